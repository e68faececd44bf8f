"""Who reads audit rows: a group of auditors, where the configuration names one, and nothing else than the rows."""

from collections.abc import Generator
from typing import Any

import psycopg
import pytest
from psycopg import errors

from runtime.grants import GRANTS
from runtime.init import prepare
from schemas.handover import AUDITOR_DATABASE_ROLE
from tests.support.connector import FakeVault, Outside, clients, settings_for
from tests.support.postgres import INIT, PASSWORD, ROLES, PostgresServer, give_password, running_postgres
from workflow.audit_rows import chained_rows

pytestmark = pytest.mark.anyio

AUDITORS = "6f6f6f6f-0000-4000-8000-000000000003"
OTHERS = "6f6f6f6f-0000-4000-8000-000000000009"


@pytest.fixture
def server() -> Generator[PostgresServer]:
    with running_postgres() as made:
        yield made


async def initialise(server: PostgresServer, auditors: str | None) -> None:
    roles = ROLES | ({AUDITOR_DATABASE_ROLE: auditors} if auditors else {})
    text = ",".join(f"{role}={principal}" for role, principal in roles.items())
    http = clients(Outside(), FakeVault())
    await prepare(settings_for(server, "connector", INIT, role="init", database_roles=text), http)
    await http.aclose()


def auditor(server: PostgresServer) -> psycopg.Connection[Any]:
    with server.administrator() as connection:
        give_password(connection, AUDITOR_DATABASE_ROLE)
    return psycopg.connect(server.url(AUDITOR_DATABASE_ROLE, "connector"), password=PASSWORD, autocommit=True)


def may_read(server: PostgresServer) -> bool:
    with auditor(server) as connection:
        try:
            connection.execute("SELECT * FROM connector.audit")
        except errors.InsufficientPrivilege:
            return False
    return True


async def test_an_auditor_reads_the_chain_and_nothing_else(server: PostgresServer) -> None:
    await initialise(server, AUDITORS)
    with server.administrator("connector") as connection:
        connection.execute("INSERT INTO connector.audit (action) VALUES ('launched')")
        connection.execute("SELECT connector.chain_audit(10)")
        tables = {n for (n,) in connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'connector'")}
        kind = connection.execute("SELECT proname FROM pg_proc WHERE pronamespace = 'connector'::regnamespace")
        functions = {name for (name,) in kind if "audit" in name}
    with auditor(server) as connection:
        assert [row.action for row in chained_rows(connection)] == ["launched"]
        refused = [f"SELECT 1 FROM connector.{table}" for table in tables - {"audit"}]
        refused += [
            "INSERT INTO connector.audit (action) VALUES ('launched')",
            "UPDATE connector.audit SET action = 'x'",
            "DELETE FROM connector.audit",
            "SELECT nextval('connector.audit_id_seq')",
            "CREATE TABLE connector.mine (x int)",
            "SELECT connector.chain_audit(10)",
            "SELECT connector.purge_audit('6 years')",
        ]
        for statement in refused:
            with pytest.raises(errors.InsufficientPrivilege):
                connection.execute(statement.encode())
    assert functions == {"audit_field", "chain_audit", "audit_end", "audit_hash", "record_audit_head", "purge_audit"}


async def test_without_auditors_nobody_can_log_in_as_one(server: PostgresServer) -> None:
    await initialise(server, None)
    with server.administrator() as connection:
        found = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (AUDITOR_DATABASE_ROLE,)).fetchone()
    assert found is None


@pytest.mark.parametrize("later", [None, OTHERS])
async def test_auditors_that_the_configuration_does_not_name_any_more_read_nothing(
    server: PostgresServer, later: str | None
) -> None:
    await initialise(server, AUDITORS)
    assert may_read(server)
    await initialise(server, later)
    assert not may_read(server)
    await initialise(server, AUDITORS)
    assert may_read(server)


def test_one_role_alone_reads_audit_rows() -> None:
    readers = {role for role, grants in GRANTS.items() if "SELECT" in grants.tables.get("audit", "")}
    assert readers == {AUDITOR_DATABASE_ROLE}
