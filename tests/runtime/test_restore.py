"""The rehearsal of docs/restore.md: a geography's server is lost, and a new one is made from a backup.

What is not in the database stays: keys in the vault, the list of revocations and the audit's heads in storage. What the
backup lacks is lost, and each thing lost is told.
"""

import os
import re
import shutil
import subprocess
import uuid
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from emulators.azure.postgres import BINARIES
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
PAGE = (Path(__file__).parents[2] / "docs" / "restore.md").read_text(encoding="utf-8")


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


# --- the server stands, its data are wrong ----------------------------------------------------------------------------


def fenced(language: str, word: str) -> str:
    """The one block of the page that says `word`."""
    (block,) = [b for b in re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL) if word in b]
    return block


def copy_as_the_page_says(beside: PostgresServer, stands: PostgresServer, folder: Path) -> None:
    """Its commands by a shell, but for where the servers are and how they are reached."""
    script = fenced("sh", "pg_restore")
    for written, here in (
        (" PGSSLMODE=verify-full PGSSLROOTCERT=system", ""),  # these programs come without TLS
        ("PGHOST=<the one beside>.postgres.database.azure.com", f"PGHOST=127.0.0.1 PGPORT={beside.port}"),
        ("PGHOST=<the one that stands>.postgres.database.azure.com", f"PGHOST=127.0.0.1 PGPORT={stands.port}"),
    ):
        assert script.count(written) == 1
        script = script.replace(written, here)
    azure = folder / "az"
    azure.write_text(f"#!/bin/sh\necho {PASSWORD}\n")
    azure.chmod(0o755)
    search = os.pathsep.join([str(folder), str(BINARIES), os.defpath])
    done = subprocess.run(
        ["sh", "-eu", "-c", script], cwd=folder, env={"PATH": search}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert not (folder / "connector.dump").exists()


async def test_what_the_one_beside_holds_is_copied_into_the_one_that_stands(lost: Lost, tmp_path: Path) -> None:
    with running_postgres() as stands, restored(lost.backup) as beside:
        await initialise(stands)
        with stands.administrator() as connection:
            give_password(connection, *ROLES)
        place = Place(stands, "connector", tmp_path, ManagedIdentity(tmp_path))
        async with running_connector(place) as connector:
            await signs_in(connector, "U-2", BEN)

        copy_as_the_page_says(beside, stands, tmp_path)
        with stands.administrator("connector") as connection:
            assert connection.execute(fenced("sql", "pg_class").encode()).fetchall() == []
        await initialise(stands)
        assert stands.dump("connector") == beside.dump("connector")

        async with running_connector(place, kept=lost.storage) as connector:
            assert await launch(connector, "U-1") == "/visit/provider"
            assert await launch(connector, "U-2") == "/identity/wait", "what was wrong is gone"
            async with worker_of(connector) as worker:
                assert await AuditHeads(worker).chain()


async def test_into_an_empty_server_it_is_copied_once_the_roles_are_made(lost: Lost, tmp_path: Path) -> None:
    make = fenced("sql", "pgaadauth")
    assert make.count("connector_application") == make.count("<principal id>") == 1
    with running_postgres() as stands, restored(lost.backup) as beside:
        with stands.administrator() as connection:
            for role, principal in ROLES.items():
                connection.execute(
                    make.replace("connector_application", role).replace("<principal id>", principal).encode()
                )
            give_password(connection, *ROLES)
        copy_as_the_page_says(beside, stands, tmp_path)
        await initialise(stands)
        place = Place(stands, "connector", tmp_path, ManagedIdentity(tmp_path))
        async with running_connector(place, kept=lost.storage) as connector:
            assert await launch(connector, "U-1") == "/visit/provider"
