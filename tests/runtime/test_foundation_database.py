"""Init, privileges and retention: against a real PostgreSQL."""

import asyncio
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import errors

from runtime import init
from runtime.database import Database, connection_parameters
from runtime.errors import StartRefused
from runtime.grants import GRANTS
from runtime.init import parse_roles, prepare
from runtime.keys import NAMES
from runtime.migrations import versions
from runtime.purge import KEPT, OF_THE_QUEUE, RETENTION, WITH_THEIR_VISIT, purge
from tests.support.connector import FakeVault, Outside, clients, settings_for
from tests.support.launching import Connector, Place, running_connector
from tests.support.postgres import (
    APPLICATION,
    INIT,
    PASSWORD,
    ROLES,
    WORKER,
    PostgresServer,
    give_password,
    running_postgres,
)
from tests.support.privileges import login, may

pytestmark = pytest.mark.anyio

COLUMNS = {
    "alembic_version": {"version_num"},
    "audit": {
        "id", "at", "action", "organization_id", "connection_id", "actor", "visit_key", "detail",
        "sequence", "previous_hash", "row_hash",
    },
    "audit_head": {"sequence", "row_hash", "anchored_at"},
    "ehr_user_link": {"ehr_user_hash", "connection_id", "tenant_id", "object_id", "linked_at"},
    "highest_serial": {"connection_id", "serial"},
    "launch": {"state_hash", "sealed", "expires_at"},
    "launch_used": {"launch_hash", "expires_at"},
    "portal_flow": {"flow_hash", "sealed", "expires_at"},
    "portal_session": {"session_hash", "sealed", "expires_at"},
    "revocation_list": {"one", "content", "version", "held_at"},
    "session": {"session_hash", "party", "sealed", "created_at", "expires_at"},
    "statement": {
        "path", "organization_id", "connection_id", "kind", "content", "recorded_at", "published_at",
    },
    "ticket": {
        "window_hash", "ticket_hash", "sign_in_hash", "state", "refusal_code", "sealed", "sealed_sign_in", "expires_at",
    },
}  # fmt: skip
"""What launches, identity, promotion and audit store; a column more is a decision to be made here."""


def newest_revision() -> str:
    return max(file.name[:4] for file in Path(versions.__path__[0]).glob("0*.py"))


# --- init -------------------------------------------------------------------------------------------------------


async def test_init_run_by_several_replicas_at_once_prepares_once() -> None:
    with running_postgres() as server:
        roles = ",".join(f"{role}={principal}" for role, principal in ROLES.items())
        settings = settings_for(server, "connector", INIT, role="init", database_roles=roles)
        vault = FakeVault()
        http = clients(Outside(), vault)
        await asyncio.gather(*(prepare(settings, http) for _ in range(3)))
        made = dict(vault.secrets)
        assert set(made) == set(NAMES)
        await prepare(settings, http)
        assert vault.secrets == made, "what is there is never made again"
        await http.aclose()
        with server.administrator() as connection:
            principals = dict(connection.execute("SELECT role_name, object_id FROM pgaadauth.principal").fetchall())
            assert principals.items() >= ROLES.items()
            give_password(connection, *ROLES)
        with server.administrator("connector") as connection:
            version = connection.execute("SELECT version_num FROM connector.alembic_version").fetchall()
            assert version == [(newest_revision(),)]


def test_init_without_roles_is_refused() -> None:
    with pytest.raises(StartRefused):
        parse_roles(None)


async def test_the_extension_is_loaded_where_the_server_brings_it(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The embedded server brings `vector`, and no `pgaudit`."""
    database = postgres.new_database()
    with postgres.administrator(database) as administrator:
        dsn = administrator.info.dsn
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        for extension, loaded in (("pgaudit", []), ("vector", [("vector",)]), ("vector", [("vector",)])):
            monkeypatch.setattr(init, "EXTENSION", extension)
            await init.load_extension(connection)
            found = await connection.execute("SELECT extname FROM pg_extension WHERE extname <> 'plpgsql'")
            assert await found.fetchall() == loaded


async def test_a_server_that_was_not_restarted_is_named_with_its_remedy(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an extension that is not preloaded answers; a trigger answers here."""
    with postgres.administrator(postgres.new_database()) as administrator:
        dsn = administrator.info.dsn
        administrator.execute(
            """CREATE FUNCTION refuse() RETURNS event_trigger LANGUAGE plpgsql AS $$
               BEGIN RAISE 'must be loaded via shared_preload_libraries' USING ERRCODE = '55000'; END $$"""
        )
        administrator.execute("CREATE EVENT TRIGGER refuse ON ddl_command_start EXECUTE FUNCTION refuse()")
    monkeypatch.setattr(init, "EXTENSION", "vector")
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        with pytest.raises(StartRefused, match="has not preloaded vector") as refused:
            await init.load_extension(connection)
    assert "Restart the server once" in refused.value.advice


def test_the_tables_have_the_listed_columns(postgres: PostgresServer) -> None:
    with postgres.administrator("connector") as connection:
        rows = connection.execute(
            "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'connector'"
        ).fetchall()
    found: dict[str, set[str]] = {}
    for table, column in rows:
        found.setdefault(table, set()).add(column)
    assert {name: found[name] for name in COLUMNS} == COLUMNS


def test_every_table_has_a_retention(postgres: PostgresServer) -> None:
    with postgres.administrator("connector") as connection:
        tables = {n for (n,) in connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'connector'")}
    assert tables == {r.table for r in RETENTION} | WITH_THEIR_VISIT | KEPT | OF_THE_QUEUE


# --- privileges -------------------------------------------------------------------------------------------------


def test_grants_name_tables_that_exist(postgres: PostgresServer) -> None:
    with postgres.administrator("connector") as connection:
        tables = {n for (n,) in connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'connector'")}
    assert all(set(grants.tables) <= tables for grants in GRANTS.values())


@pytest.mark.parametrize("role", [APPLICATION, WORKER])
def test_audit_rows_can_be_added_but_not_read_or_changed(postgres: PostgresServer, place: Place, role: str) -> None:
    with login(postgres, role, place.database) as connection:
        assert may(connection, "INSERT INTO audit (action) VALUES ('launched')")
        for statement in (
            "SELECT action FROM audit",
            "UPDATE audit SET action = 'x'",
            "DELETE FROM audit",
            "TRUNCATE audit",
            "DROP TABLE audit",
        ):
            assert not may(connection, statement), statement


@pytest.mark.parametrize("role", [APPLICATION, WORKER])
def test_neither_role_changes_the_schema_or_becomes_another(postgres: PostgresServer, place: Place, role: str) -> None:
    with login(postgres, role, place.database) as connection:
        for statement in (
            "CREATE TABLE connector.mine (x int)",
            "ALTER TABLE visit ADD COLUMN x int",
            "CREATE ROLE other",
            "GRANT azure_pg_admin TO connector_application",
            "SET ROLE connector_init",
            "UPDATE alembic_version SET version_num = '0'",
        ):
            assert not may(connection, statement), statement


def test_the_worker_sees_of_pending_rows_only_when_they_expire(postgres: PostgresServer, place: Place) -> None:
    with login(postgres, WORKER, place.database) as connection:
        for table in ("launch", "ticket", "session"):
            assert may(connection, f"SELECT expires_at FROM {table}")
            assert not may(connection, f"SELECT sealed FROM {table}")
        assert not may(connection, "SELECT object_id FROM ehr_user_link")


def test_what_became_of_a_write_back_is_the_workers_word(postgres: PostgresServer, place: Place) -> None:
    """A rehearsal rests on it."""
    with login(postgres, APPLICATION, place.database) as connection:
        for change in ("state = 'delivered'", "state = 'dead'", "attempts = 0"):
            assert not may(connection, f"UPDATE write_back SET {change}"), change
        assert not may(connection, "DELETE FROM write_back")
    with login(postgres, WORKER, place.database) as connection:
        assert may(connection, "UPDATE write_back SET state = 'delivered'")


def test_the_application_cannot_purge_audit_rows_nor_the_worker_young_ones(
    postgres: PostgresServer, place: Place
) -> None:
    with login(postgres, APPLICATION, place.database) as connection:
        assert not may(connection, "SELECT connector.purge_audit(interval '6 years')")
    with login(postgres, WORKER, place.database) as connection:
        assert may(connection, "SELECT connector.purge_audit(interval '6 years')")
        with pytest.raises(errors.RaiseException):
            connection.execute("SELECT connector.purge_audit(interval '1 day')")


# --- retention --------------------------------------------------------------------------------------------------


async def test_purge_removes_what_is_past_and_nothing_else(place: Place) -> None:
    async with running_connector(place) as connector:
        await connector.launch(connector.browser())
        await connector.start(connector.browser(), launch="launch-2")
        with connector.postgres.administrator(connector.database) as database:
            database.execute("UPDATE connector.ticket SET expires_at = now() - interval '1 second'")
        worker = await _as_worker(connector)
        try:
            gone = await purge(worker)
        finally:
            await worker.database.close()
        assert {k: v for k, v in gone.items() if v} == {"ticket": 1}
        assert len(connector.rows("launch")) == 1
        assert connector.rows("ticket") == []
        assert {row[2] for row in connector.rows("audit")} >= {"launched", "purged"}


async def test_purge_removes_jobs_that_ended_a_day_ago_and_no_others(place: Place) -> None:
    async with running_connector(place) as connector:
        with connector.postgres.administrator(connector.database) as database:
            database.execute("SET search_path = connector")
            for status in ("failed", "cancelled", "aborted", "succeeded", "todo"):
                for age in ("26 hours", "24 hours"):
                    row = database.execute(
                        "INSERT INTO procrastinate_jobs (task_name, queue_name) VALUES ('t', 'q') RETURNING id"
                    ).fetchone()
                    database.execute("UPDATE procrastinate_jobs SET status = %s WHERE id = %s", (status, *(row or ())))
                    database.execute(
                        "UPDATE procrastinate_events SET at = now() - %s::interval WHERE job_id = %s",
                        (age, *(row or ())),
                    )
        worker = await _as_worker(connector)
        try:
            gone = await purge(worker)
        finally:
            await worker.database.close()
        assert gone["procrastinate_jobs"] == 4
        assert len(connector.rows("procrastinate_jobs")) == 6


async def _as_worker(connector: Connector) -> Any:
    from dataclasses import replace

    settings = settings_for(connector.postgres, connector.database, WORKER)

    async def parameters() -> dict[str, Any]:
        return connection_parameters(settings) | {"password": PASSWORD}

    database = Database(parameters)
    await database.open()
    return replace(connector.services, database=database)
