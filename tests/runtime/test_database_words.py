"""Whose word a row is: the database refuses what a role has no business to write, whatever its code does."""

import pytest
from psycopg import errors

from tests.support.launching import Place
from tests.support.postgres import APPLICATION, INIT, PORTAL, WORKER, PostgresServer
from tests.support.privileges import login, may

VISIT = "decode(repeat('76', 32), 'hex')"
BEGUN = f"""INSERT INTO visit (visit_key, organization_id, connection_id, kind, state, sealed, purge_after)
    VALUES ({VISIT}, 'lakeside', 'lakeside-test', 'one-to-one', 'waiting', '\\x00', now())"""
CONNECTED = f"""INSERT INTO participant
    (visit_key, participant_hash, party, presence, since, event_time, ever_connected)
    VALUES ({VISIT}, '\\x01', 'staff', 'connected', now(), now(), true)"""
DELIVERED = f"""INSERT INTO write_back (id, visit_key, sequence, sealed, state)
    VALUES ('77777777-0000-4000-8000-000000000001', {VISIT}, 1, NULL, 'delivered')"""
FAKED = (
    BEGUN.replace("purge_after)", "purge_after, call_ended_at)").replace("now())", "now(), now())"),
    "UPDATE visit SET call_ended_at = now()",
    "UPDATE visit SET served_image = 'sha256:other'",
    "UPDATE visit SET served_sha256 = 'other'",
    CONNECTED,
    "UPDATE participant SET ever_connected = true",
    "UPDATE participant SET presence = 'connected'",
    DELIVERED,
    DELIVERED.replace("'delivered'", "'unsupported'"),
    DELIVERED.replace("'delivered'", "'pending'"),
    "UPDATE write_back SET state = 'delivered'",
    "UPDATE write_back SET delivered_at = now()",
    "DELETE FROM write_back",
    "UPDATE notification SET processed_at = now()",
    "INSERT INTO statement (path, organization_id, connection_id, kind, content) VALUES ('p', 'o', 'c', 'k', '')",
)
"""What a rehearsal rests on, and the rehearsal itself."""


# --- a visit, as a rehearsal sees it ------------------------------------------------------------------------------


@pytest.mark.parametrize("statement", FAKED)
def test_the_application_writes_nothing_that_a_rehearsal_rests_on(
    postgres: PostgresServer, place: Place, statement: str
) -> None:
    with login(postgres, APPLICATION, place.database) as connection:
        assert not may(connection, statement)


def test_the_worker_writes_it(postgres: PostgresServer, place: Place) -> None:
    with login(postgres, WORKER, place.database) as connection:
        assert all(may(connection, statement) for statement in (BEGUN, CONNECTED, DELIVERED))
        assert may(connection, "DELETE FROM visit")


# --- statements ---------------------------------------------------------------------------------------------------

APPROVAL, REHEARSAL = "approval-000009-refuse.json", "rehearsal-20260601t113000z-aaaaaaaaaaaa.json"


def _recorded(kind: str, path: str) -> str:
    return f"""INSERT INTO statement (path, organization_id, connection_id, kind, content)
        VALUES ('{path}', 'lakeside', 'lakeside-test', '{kind}', 'junk')"""


@pytest.mark.parametrize(
    ("role", "own", "others"),
    [(WORKER, ("rehearsal", REHEARSAL), APPROVAL), (PORTAL, ("approval", APPROVAL), REHEARSAL)],
)
def test_worker_and_portal_record_only_what_they_sign(
    postgres: PostgresServer, place: Place, role: str, own: tuple[str, str], others: str
) -> None:
    """A file that is named as a refusal and cannot be read would stop a connection that is not served yet."""
    kind, name = own
    folder = "approvals/lakeside/lakeside-test"
    postgres.empty(place.database)
    with login(postgres, role, place.database) as connection:
        for row in (
            _recorded(kind, f"{folder}/{others}"),
            _recorded(others.partition("-")[0], f"{folder}/{others}"),
            _recorded(others.partition("-")[0], f"{folder}/{name}"),
            _recorded(kind, f"{folder}/../{name}"),
            _recorded(kind, name),
        ):
            with pytest.raises(errors.CheckViolation, match="the worker records rehearsals, the portal approvals"):
                connection.execute(row.encode())
        assert may(connection, _recorded(kind, f"{folder}/{name}"))


# --- what only goes up --------------------------------------------------------------------------------------------

SEEN = ("highest_serial", "INSERT INTO highest_serial (connection_id, serial) VALUES ('lakeside-test', %s)", "serial")
HELD = ("revocation_list", "INSERT INTO revocation_list (content, version) VALUES ('{}', %s)", "version")


@pytest.mark.parametrize(("role", "kept"), [(WORKER, SEEN), (PORTAL, SEEN), (INIT, SEEN), (WORKER, HELD), (INIT, HELD)])
def test_no_role_lowers_what_only_goes_up(
    postgres: PostgresServer, place: Place, role: str, kept: tuple[str, str, str]
) -> None:
    table, insert, column = kept
    postgres.empty(place.database)
    with login(postgres, role, place.database) as connection:
        connection.execute(insert.encode(), (5,))
        connection.execute(f"UPDATE {table} SET {column} = 6".encode())
        with pytest.raises(errors.CheckViolation, match=f"{table}.{column} only goes up"):
            connection.execute(f"UPDATE {table} SET {column} = 5".encode())
        assert connection.execute(f"SELECT {column} FROM {table}".encode()).fetchall() == [(6,)]


def test_a_serial_stays_with_its_connection(postgres: PostgresServer, place: Place) -> None:
    postgres.empty(place.database)
    with login(postgres, WORKER, place.database) as connection:
        connection.execute(SEEN[1].encode(), (5,))
        with pytest.raises(errors.CheckViolation):
            connection.execute("UPDATE highest_serial SET connection_id = 'other'")


@pytest.mark.parametrize("role", [WORKER, PORTAL, APPLICATION])
@pytest.mark.parametrize("table", ["highest_serial", "revocation_list"])
def test_no_role_that_serves_takes_away_what_is_kept(
    postgres: PostgresServer, place: Place, role: str, table: str
) -> None:
    with login(postgres, role, place.database) as connection:
        for statement in (f"DELETE FROM {table}", f"TRUNCATE {table}", f"ALTER TABLE {table} DISABLE TRIGGER ALL"):
            assert not may(connection, statement), statement


@pytest.mark.parametrize(("role", "kept"), [(APPLICATION, SEEN), (APPLICATION, HELD), (PORTAL, HELD)])
def test_who_serves_people_raises_nothing_either(
    postgres: PostgresServer, place: Place, role: str, kept: tuple[str, str, str]
) -> None:
    """A version of nothing, higher than all to come, would stay."""
    table, insert, column = kept
    with login(postgres, role, place.database) as connection:
        assert not may(connection, insert % 2147483647)
        assert not may(connection, f"UPDATE {table} SET {column} = 2147483647")
