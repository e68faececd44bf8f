"""Migrations expand, then contract: docs/migrations.md, held against each revision and against steps that break it."""

import hashlib
import json
from dataclasses import asdict

import pytest

from runtime.grants import GRANTS
from tests.support.postgres import INIT, PostgresServer
from tests.support.privileges import login
from tests.support.schema import (
    Schema,
    declared,
    in_use,
    narrowed,
    newest_revision,
    read,
    removed,
    revisions,
    statements,
    upgrade_to,
)


def schema_of(server: PostgresServer, database: str) -> Schema:
    with server.administrator(database) as connection:
        return read(connection)


@pytest.fixture(scope="module")
def walked(postgres: PostgresServer) -> dict[str, tuple[Schema, Schema]]:
    """Revision to the schema before it and after it, from an empty database on."""
    database = postgres.new_database("template0")
    with login(postgres, INIT, database) as connection:
        connection.execute("CREATE SCHEMA connector")
    found: dict[str, tuple[Schema, Schema]] = {}
    before = schema_of(postgres, database)
    for revision in revisions():
        upgrade_to(postgres, database, revision)
        after = schema_of(postgres, database)
        found[revision] = (before, after)
        before = after
    return found


@pytest.mark.parametrize("revision", revisions())
def test_a_revision_does_what_its_phase_allows(walked: dict[str, tuple[Schema, Schema]], revision: str) -> None:
    before, after = walked[revision]
    phase = declared(revision, "phase")
    assert phase in ("expand", "contract"), f"{revision} says of itself neither `expand` nor `contract`"
    if phase == "expand":
        assert narrowed(before, after) == []
    assert [gone for gone in removed(before, after) if in_use(gone, statements())] == []


def test_privileges_change_with_a_revision() -> None:
    """A replica of the release before applies its own list when it starts again, but to no newer revision."""
    granted = json.dumps({role: asdict(grants) for role, grants in GRANTS.items()}, sort_keys=True)
    digest = hashlib.sha256(granted.encode()).hexdigest()
    assert declared(newest_revision(), "privileges") == digest, (
        "runtime/grants.py has changed: that is a revision of its own (it may be empty otherwise), "
        f'with privileges = "{digest}"; see docs/migrations.md'
    )


NARROWING = [
    ("DROP TABLE connector.launch_used", "removes launch_used"),
    ("ALTER TABLE connector.visit DROP COLUMN failure_code", "removes visit.failure_code"),
    ("ALTER TABLE connector.visit RENAME COLUMN failure_code TO reason", "removes visit.failure_code"),
    ("DROP FUNCTION connector.audit_end()", "removes audit_end("),
    ("ALTER TABLE connector.visit ADD COLUMN note text NOT NULL", "adds visit.note without a default"),
    ("ALTER TABLE connector.visit ALTER COLUMN kind TYPE varchar", "makes visit.kind varchar, was text"),
    ("ALTER TABLE connector.visit ALTER COLUMN failure_code SET NOT NULL", "demands visit.failure_code"),
    ("ALTER TABLE connector.visit ALTER COLUMN created_at DROP DEFAULT", "demands visit.created_at"),
    ("ALTER TABLE connector.visit ADD CHECK (kind <> '')", "narrows visit by visit_kind_check"),
    ("CREATE UNIQUE INDEX one ON connector.visit (connection_id)", "narrows visit by one"),
    ("ALTER TABLE connector.write_back DROP CONSTRAINT write_back_visit_key_sequence_key", "takes write_back_visit"),
    (
        "CREATE TRIGGER one BEFORE INSERT ON connector.visit EXECUTE FUNCTION connector.refused('no')",
        "puts the trigger one before statements on visit",
    ),
]
WIDENING = [
    "CREATE TABLE connector.one (id bigint PRIMARY KEY, note text NOT NULL CHECK (note <> ''))",
    "ALTER TABLE connector.visit ADD COLUMN note text",
    "ALTER TABLE connector.visit ADD COLUMN note text NOT NULL DEFAULT 'none' CHECK (note <> '')",
    "CREATE INDEX one ON connector.visit (connection_id)",
    "ALTER TABLE connector.session DROP CONSTRAINT session_party_check",
    "ALTER TABLE connector.visit ALTER COLUMN kind DROP NOT NULL",
    "CREATE FUNCTION connector.one() RETURNS integer LANGUAGE sql RETURN 1",
    "DROP INDEX connector.visit_purge",
]


def step(server: PostgresServer, statement: str) -> tuple[Schema, Schema]:
    """The present schema, and the same after a statement."""
    database = server.new_database()
    before = schema_of(server, database)
    with server.administrator(database) as connection:
        connection.execute(statement.encode())
    return before, schema_of(server, database)


@pytest.mark.parametrize(("statement", "why"), NARROWING)
def test_an_expand_step_may_not(postgres: PostgresServer, statement: str, why: str) -> None:
    found = narrowed(*step(postgres, statement))
    assert [line for line in found if line.startswith(why)], found


@pytest.mark.parametrize("statement", WIDENING)
def test_an_expand_step_may(postgres: PostgresServer, statement: str) -> None:
    assert narrowed(*step(postgres, statement)) == []


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE connector.launch_used",
        "ALTER TABLE connector.visit DROP COLUMN failure_code",
        "ALTER TABLE connector.visit DROP COLUMN served_image",
        "DROP FUNCTION connector.chain_audit(integer)",
    ],
)
def test_a_contract_step_may_not_remove_what_this_release_names(postgres: PostgresServer, statement: str) -> None:
    gone = removed(*step(postgres, statement))
    assert gone
    assert all(in_use(one, statements()) for one in gone)


def test_a_contract_step_may_remove_what_no_statement_names(postgres: PostgresServer) -> None:
    database = postgres.new_database()
    with postgres.administrator(database) as connection:
        connection.execute("ALTER TABLE connector.visit ADD COLUMN forsaken text")
        connection.execute("CREATE TABLE connector.deserted (id bigint)")
    before = schema_of(postgres, database)
    with postgres.administrator(database) as connection:
        connection.execute("ALTER TABLE connector.visit DROP COLUMN forsaken")
        connection.execute("DROP TABLE connector.deserted")
    gone = removed(before, schema_of(postgres, database))
    assert gone == ["deserted", "visit.forsaken"]
    assert not [one for one in gone if in_use(one, statements())]
