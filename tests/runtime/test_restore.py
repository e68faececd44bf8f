"""The rehearsal of docs/restore.md: a geography's server is lost, and a new one is made from a backup.

What is not in the database stays: keys in the vault, the list of revocations and the audit's heads in storage. What the
backup lacks is lost, and each thing lost is told.
"""

import shutil
import uuid
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from runtime.audit import Action, AuditRow
from runtime.audit_heads import CONTAINER, AuditHeads
from runtime.bootstrap import Services
from runtime.database import Database, connection_parameters
from runtime.init import prepare
from runtime.promotion.standing import Standing
from schemas.audit_chain import Finding, Flaw, read_heads, verify_chain
from schemas.promotion.envelope import StatementFile
from schemas.vocabulary import GeographyName, RuntimeRole, Stage
from tests.support.connector import FakeVault, Outside, clients, location_of, settings_for
from tests.support.launching import Connector, Place, running_connector
from tests.support.microsoft import AMARA_PASSWORD, AMARA_UPN, BEN_PASSWORD, BEN_UPN, ManagedIdentity
from tests.support.postgres import (
    INIT,
    PASSWORD,
    ROLES,
    WORKER,
    PostgresServer,
    give_password,
    restored,
    running_postgres,
)
from tests.support.statements import private_key, revocations, statement_file
from tests.support.storage import FakeStorage
from workflow.audit_rows import chained_rows

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("ignore:response_mode")]

AMERICAS, TEST = GeographyName.AMERICAS, Stage.TEST
AMARA, BEN = (AMARA_UPN, AMARA_PASSWORD), (BEN_UPN, BEN_PASSWORD)
IN_THE_BACKUP, SINCE = 2, 4
"""Versions of the list of revocations."""


async def initialise(server: PostgresServer) -> None:
    """As before each replica."""
    roles = ",".join(f"{role}={principal}" for role, principal in ROLES.items())
    http = clients(Outside(), FakeVault())
    await prepare(settings_for(server, "connector", INIT, role="init", database_roles=roles), http)
    await http.aclose()


@asynccontextmanager
async def worker_of(connector: Connector) -> AsyncGenerator[Services]:
    settings = settings_for(connector.postgres, connector.database, WORKER, role=RuntimeRole.WORKER)

    async def parameters() -> dict[str, Any]:
        return connection_parameters(settings) | {"password": PASSWORD}

    worker = replace(connector.services, settings=settings, database=Database(parameters), standing=Standing())
    await worker.database.open()
    try:
        yield worker
    finally:
        await worker.database.close()


def publish(storage: FakeStorage, version: int) -> None:
    """As `connector revoke` does."""
    key = private_key(TEST, AMERICAS, "revocation-signing")
    storage.publish(statement_file(key, revocations(AMERICAS, TEST, datetime.now(UTC), version=version)))


async def launch(connector: Connector, user: str) -> str:
    """Where an EHR user's launch leads."""
    connector.ehr.claims = {"sub": user, "fhirUser": f"Practitioner/{user}"}
    return location_of(await connector.launch(connector.browser(), launch=f"launch-{uuid.uuid4()}"))[0]


async def signs_in(connector: Connector, user: str, login: tuple[str, str]) -> None:
    browser = connector.browser()
    connector.ehr.claims = {"sub": user, "fhirUser": f"Practitioner/{user}"}
    assert location_of(await connector.launch(browser, launch=f"first-of-{user}"))[0] == "/identity/wait"
    assert location_of(await connector.link(browser, *login))[0] == "/visit/provider"


async def a_day(connector: Connector, user: str, login: tuple[str, str], version: int) -> None:
    """A first sign-in, a list of revocations, and the audit anchored."""
    await signs_in(connector, user, login)
    publish(connector.storage, version)
    async with worker_of(connector) as worker:
        await worker.standing.refresh(worker)
        assert await AuditHeads(worker).chain_and_anchor()


@dataclass(frozen=True)
class Lost:
    """What is left after the server is gone: a backup, storage, and how many rows the audit had."""

    backup: Path
    storage: FakeStorage
    rows: int


def audit(connector: Connector) -> tuple[int, list[Finding]]:
    """How many rows are chained, and what `connector audit verify` finds."""
    with connector.postgres.administrator(connector.database) as connection:
        connection.autocommit = False
        rows = list(chained_rows(connection))
    blobs = (StatementFile(name, content) for name, content in connector.storage.blobs[CONTAINER].items())
    heads, findings = read_heads(blobs, connector.services.trust, AMERICAS, TEST)
    return len(rows), [*findings, *verify_chain(rows, heads, datetime.now(UTC))]


@pytest.fixture
async def lost(tmp_path: Path) -> AsyncGenerator[Lost]:
    """A day, a backup, another day; then the server is gone."""
    storage = FakeStorage(PASSWORD)
    with running_postgres() as server:
        await initialise(server)
        with server.administrator() as connection:
            give_password(connection, *ROLES)
        place = Place(server, "connector", tmp_path, ManagedIdentity(tmp_path))
        async with running_connector(place, kept=storage) as connector:
            await a_day(connector, "U-1", AMARA, IN_THE_BACKUP)
        backup = server.backup()
        async with running_connector(place, kept=storage) as connector:
            await a_day(connector, "U-2", BEN, SINCE)
            rows, findings = audit(connector)
            assert findings == []
        server.stop(kill=True)
    try:
        yield Lost(backup, storage, rows)
    finally:
        shutil.rmtree(backup, ignore_errors=True)


@pytest.fixture
async def here(lost: Lost, tmp_path: Path) -> AsyncGenerator[Connector]:
    """The same geography over a new server."""
    with restored(lost.backup) as server:
        await initialise(server)
        place = Place(server, "connector", tmp_path, ManagedIdentity(tmp_path))
        async with running_connector(place, kept=lost.storage) as connector:
            yield connector


async def test_who_was_linked_needs_no_sign_in_and_who_linked_since_needs_one_more(here: Connector) -> None:
    assert await launch(here, "U-1") == "/visit/provider"
    assert await launch(here, "U-2") == "/identity/wait"
    await signs_in(here, "U-2", BEN)


async def test_the_list_of_revocations_that_is_published_is_held_again(here: Connector) -> None:
    held = [row[2] for row in here.rows("revocation_list")]
    assert held == [IN_THE_BACKUP], "the database forgot the newer one"
    async with worker_of(here) as worker:
        await worker.standing.refresh(worker)
        assert worker.standing.held
        assert worker.standing.held.revocations.version == SINCE
    assert [row[2] for row in here.rows("revocation_list")] == [SINCE]


async def test_the_anchored_heads_tell_which_rows_the_backup_lacks(here: Connector, lost: Lost) -> None:
    rows, findings = audit(here)
    assert rows < lost.rows
    assert [(f.flaw, f.sequence) for f in findings] == [(Flaw.END_MISSING, lost.rows)]
    assert f"rows {rows + 1} to {lost.rows} are missing at the end" in str(findings[0])


async def test_new_rows_take_the_numbers_of_the_lost_ones_and_the_worker_says_so(here: Connector, lost: Lost) -> None:
    """It goes on anchoring; the head of the lost row stays where it is and proves that there was another."""
    async with worker_of(here) as worker:
        heads = AuditHeads(worker)
        while audit(here)[0] < lost.rows:
            async with worker.database.transaction() as connection:
                await worker.audit.record(connection, AuditRow(Action.LAUNCHED))
            await heads.chain()
        with capture_logs() as said:
            assert await heads.anchor() is None
        assert "audit-head-contradicted" in {entry["event"] for entry in said}
        assert await launch(here, "U-1") == "/visit/provider"
        assert await heads.chain_and_anchor()
    assert {(f.flaw, f.sequence) for f in audit(here)[1]} == {(Flaw.CHAIN_REWRITTEN, lost.rows)}
