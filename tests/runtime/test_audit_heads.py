"""The audit chain on a real PostgreSQL: who may write what, how rows are chained, anchored and purged."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg import errors
from structlog.testing import capture_logs

from runtime import worker
from runtime.audit import Action, AuditRow
from runtime.audit_heads import CONTAINER, AuditHeads
from runtime.errors import StorageUnavailable
from runtime.purge import purge
from runtime.tasks import end
from schemas.audit_chain import ChainedRow, Finding, Flaw, Head, head_name, read_heads, verify_chain
from schemas.promotion.envelope import StatementFile
from schemas.vocabulary import GeographyName, Stage
from tests.support.audit_chains import chained, contents_of
from tests.support.ports import free_port
from tests.support.postgres import APPLICATION, PASSWORD, PORTAL, WORKER, PostgresServer
from tests.support.visits import Clinic, clinic
from workflow.audit_rows import chained_rows, unchained_rows

pytestmark = pytest.mark.anyio

AMERICAS, TEST = GeographyName.AMERICAS, Stage.TEST


@pytest.fixture
async def here(postgres: PostgresServer) -> AsyncGenerator[Clinic]:
    """A clinic that has recorded nothing yet."""
    async with clinic(postgres) as made:
        made.execute("TRUNCATE audit, audit_head RESTART IDENTITY")
        yield made


async def record(here: Clinic, *actions: Action, **row: Any) -> None:
    for action in actions:
        async with here.services.database.transaction() as connection:
            await here.services.audit.record(connection, AuditRow(action, **row))


def rows(here: Clinic) -> list[ChainedRow]:
    with here.server.administrator(here.database) as connection:
        connection.autocommit = False
        return list(chained_rows(connection))


def heads(here: Clinic) -> list[Head]:
    blobs = here.storage.blobs.get(CONTAINER, {})
    found, findings = read_heads((StatementFile(n, c) for n, c in blobs.items()), here.worker.trust, AMERICAS, TEST)
    assert findings == []
    return found


def verified(here: Clinic, exported: datetime | None = None) -> list[Finding]:
    return list(verify_chain(rows(here), heads(here), exported or datetime.now(UTC)))


def flaws(here: Clinic) -> list[tuple[Flaw, int]]:
    return [(f.flaw, f.sequence) for f in verified(here)]


def rewrite(here: Clinic, new: list[ChainedRow]) -> None:
    """What a superuser does who knows everything: every row anew, every hash right."""
    here.execute("DELETE FROM audit")
    with here.server.administrator(here.database) as connection:
        for row in new:
            columns = row.model_dump(exclude_none=True)
            columns |= {k: bytes.fromhex(columns[k]) for k in ("previous_hash", "row_hash")}
            names, places = ", ".join(columns), ", ".join(["%s"] * len(columns))
            query = f"INSERT INTO connector.audit ({names}) OVERRIDING SYSTEM VALUE VALUES ({places})"
            connection.execute(query.encode(), list(columns.values()))


# --- who may do what ----------------------------------------------------------------------------------------------


def login(here: Clinic, role: str) -> psycopg.Connection[Any]:
    url = here.server.url(role, here.database)
    return psycopg.connect(url, password=PASSWORD, autocommit=True, options="-c search_path=connector")


@pytest.mark.parametrize("role", [APPLICATION, WORKER, PORTAL])
@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO audit (action, sequence) VALUES ('launched', 1)",
        "INSERT INTO audit (action, previous_hash) VALUES ('launched', decode(repeat('00', 32), 'hex'))",
        "INSERT INTO audit (action, row_hash) VALUES ('launched', decode(repeat('00', 32), 'hex'))",
        "INSERT INTO audit (action, at) VALUES ('launched', now() - interval '1 day')",
        "INSERT INTO audit (id, action) OVERRIDING SYSTEM VALUE VALUES (1, 'launched')",
        "UPDATE audit SET sequence = 1",
        "UPDATE audit SET detail = 'x'",
        "DELETE FROM audit",
        "TRUNCATE audit",
        "SELECT sequence FROM audit",
        "INSERT INTO audit_head (sequence, row_hash) VALUES (1, decode(repeat('00', 32), 'hex'))",
        "DELETE FROM audit_head",
        "SELECT audit_field('x')",
        "ALTER TABLE audit DISABLE TRIGGER ALL",
        "CREATE OR REPLACE FUNCTION connector.audit_hash(wanted bigint) RETURNS bytea LANGUAGE sql AS 'SELECT NULL'",
    ],
)
async def test_no_role_writes_anything_but_a_new_rows_content(here: Clinic, role: str, statement: str) -> None:
    with login(here, role) as connection:
        connection.execute("INSERT INTO audit (action) VALUES ('launched')")
        with pytest.raises(errors.InsufficientPrivilege):
            connection.execute(statement.encode())


@pytest.mark.parametrize("role", [APPLICATION, PORTAL])
@pytest.mark.parametrize(
    "call", ["chain_audit(10)", "audit_end()", "audit_hash(1)", "record_audit_head(1, '')", "purge_audit('6 years')"]
)
async def test_the_worker_alone_chains_anchors_and_purges(here: Clinic, role: str, call: str) -> None:
    with login(here, WORKER) as connection:
        connection.execute(f"SELECT {call}".encode())
    with login(here, role) as connection, pytest.raises(errors.InsufficientPrivilege):
        connection.execute(f"SELECT {call}".encode())


async def test_the_worker_records_no_head_that_is_not_a_row(here: Clinic) -> None:
    await record(here, Action.LAUNCHED)
    await AuditHeads(here.worker).chain()
    with login(here, WORKER) as connection:
        connection.execute("SELECT record_audit_head(1, decode(repeat('00', 32), 'hex'))")
        connection.execute("SELECT record_audit_head(1000000, decode(repeat('00', 32), 'hex'))")
    assert here.rows("SELECT * FROM audit_head") == []


# --- the chain ----------------------------------------------------------------------------------------------------


async def test_rows_are_chained_as_the_verifier_computes_it(here: Clinic) -> None:
    await record(here, Action.LAUNCHED, organization_id="lakeside", connection_id="lakeside-test", actor=b"a" * 32)
    await record(here, Action.VISIT_BEGUN, visit_key=b"v" * 32, detail="grüße-日本")
    await record(here, Action.PURGED, actor=b"", detail="")
    assert await AuditHeads(here.worker).chain() == 3
    assert [(r.sequence, r.action, r.detail, r.actor) for r in rows(here)] == [
        (1, "launched", None, "61" * 32),
        (2, "visit-begun", "grüße-日本", None),
        (3, "purged", "", ""),
    ]
    assert verified(here) == []
    assert await AuditHeads(here.worker).chain() == 0


async def test_many_writers_and_workers_at_once_make_one_chain_without_a_gap(here: Clinic) -> None:
    async def write(number: int) -> None:
        for _ in range(15):
            with suppress(ZeroDivisionError):
                async with here.services.database.transaction() as connection:
                    await here.services.audit.record(connection, AuditRow(Action.LAUNCHED, detail=f"writer-{number}"))
                    if number == 0:
                        raise ZeroDivisionError  # an id that never becomes a row

    async def chain(ended: asyncio.Event) -> None:
        while not ended.is_set():
            await AuditHeads(here.worker).chain()
            await asyncio.sleep(0)

    ended = asyncio.Event()
    chainers = [asyncio.create_task(chain(ended)) for _ in range(3)]
    await asyncio.gather(*(write(number) for number in range(8)))
    ended.set()
    await asyncio.gather(*chainers)
    await AuditHeads(here.worker).chain()
    assert [r.sequence for r in rows(here)] == list(range(1, 7 * 15 + 1))
    assert verified(here) == []


async def test_a_writer_does_not_wait_for_another_nor_for_the_chain(here: Clinic) -> None:
    with login(here, APPLICATION) as slow, login(here, WORKER) as chaining:
        with slow.transaction():
            slow.execute("INSERT INTO audit (action, detail) VALUES ('launched', 'slow')")
            with chaining.transaction():
                chaining.execute("SELECT chain_audit(10)")
                async with asyncio.timeout(5):
                    await record(here, Action.LAUNCHED, detail="quick")
            await AuditHeads(here.worker).chain()
        await AuditHeads(here.worker).chain()
    assert [(r.sequence, r.detail) for r in rows(here)] == [(1, "quick"), (2, "slow")]
    assert rows(here)[0].id > rows(here)[1].id, "what is committed later stands later"
    assert verified(here) == []


async def test_a_row_that_is_late_for_the_chain_is_counted(here: Clinic) -> None:
    await record(here, Action.LAUNCHED, Action.LINKED)
    here.execute("UPDATE audit SET at = now() - interval '16 minutes' WHERE action = 'linked'")
    with here.server.administrator(here.database) as connection:
        assert unchained_rows(connection) == 1
        await AuditHeads(here.worker).chain()
        assert unchained_rows(connection) == 0


async def test_more_rows_than_a_batch_are_chained_at_once(here: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.audit_heads.BATCH", 3)
    await record(here, *[Action.LAUNCHED] * 7)
    assert await AuditHeads(here.worker).chain() == 7
    assert verified(here) == []


# --- heads --------------------------------------------------------------------------------------------------------


async def chained_and_anchored(here: Clinic, *actions: Action, by: AuditHeads | None = None) -> Head | None:
    await record(here, *actions)
    return await (by or AuditHeads(here.worker)).chain_and_anchor()


async def test_a_head_is_anchored_where_there_are_new_rows(here: Clinic) -> None:
    anchoring = AuditHeads(here.worker)
    assert await anchoring.anchor() is None, "there is no row"
    head = await chained_and_anchored(here, Action.LAUNCHED, Action.LINKED, by=anchoring)
    assert head is not None
    assert (head.sequence, head.row_hash) == (2, rows(here)[1].row_hash)
    assert list(here.storage.blobs[CONTAINER]) == ["americas-test/000000000002.json"]
    assert await anchoring.anchor() is None, "there is no new row"
    await chained_and_anchored(here, Action.UNLINKED, by=anchoring)
    assert [head.sequence for head in heads(here)] == [2, 3]
    assert verified(here) == []


async def test_heads_hold_no_more_than_a_hash(here: Clinic) -> None:
    await record(here, Action.LAUNCHED, organization_id="lakeside", actor=b"a" * 32)
    await chained_and_anchored(here)
    assert all(b"lakeside" not in c for c in here.storage.blobs[CONTAINER].values())


async def test_a_worker_killed_between_anchor_and_commit_leaves_nothing_to_mend(here: Clinic) -> None:
    await chained_and_anchored(here, Action.LAUNCHED)
    before = dict(here.storage.blobs[CONTAINER])
    here.execute("DELETE FROM audit_head")
    later = replace(here.worker, clock=lambda: datetime.now(UTC) + timedelta(minutes=1))
    head = await AuditHeads(later).anchor()
    assert head is not None
    assert head.sequence == 1
    assert here.storage.blobs[CONTAINER] == before, "the head is the one that was anchored"
    assert here.rows("SELECT sequence FROM audit_head") == [(1,)]


async def test_no_storage_is_no_head_and_the_next_minute_has_it(here: Clinic) -> None:
    here.storage.down = True
    with pytest.raises(StorageUnavailable):
        await chained_and_anchored(here, Action.LAUNCHED)
    assert here.rows("SELECT sequence FROM audit_head") == []
    here.storage.down = False
    assert await AuditHeads(here.worker).anchor() is not None


async def test_two_workers_at_once_anchor_one_head(here: Clinic) -> None:
    await record(here, Action.LAUNCHED)
    first, second = AuditHeads(here.worker), AuditHeads(here.worker)
    await first.chain()
    await asyncio.gather(first.anchor(), second.anchor())
    assert len(heads(here)) == 1
    assert verified(here) == []


async def test_a_rewritten_chain_is_found_and_the_worker_says_so_and_anchors_on(here: Clinic) -> None:
    anchoring = AuditHeads(here.worker)
    await chained_and_anchored(here, Action.LAUNCHED, Action.LINKED, by=anchoring)
    contents = contents_of(rows(here))
    rewrite(here, chained([{**contents[0], "action": "unlinked"}, contents[1]]))
    for by in (AuditHeads(here.worker), anchoring, anchoring):
        with capture_logs() as logs:
            await chained_and_anchored(here, Action.JOIN_GIVEN, by=by)
        assert [(e["event"], e["sequence"]) for e in logs] == [("audit-chain-rewritten", 2)]
    assert [head.sequence for head in heads(here)] == [2, 3, 4, 5]
    assert flaws(here) == [(Flaw.CHAIN_REWRITTEN, 2)]


async def test_rows_cut_off_and_replaced_by_new_ones_are_found(here: Clinic) -> None:
    await chained_and_anchored(here, Action.LAUNCHED, Action.LINKED)
    here.execute("DELETE FROM audit WHERE sequence = 2")
    assert flaws(here) == [(Flaw.END_MISSING, 2)]
    here.execute("DELETE FROM audit_head")
    with capture_logs() as logs:
        assert await chained_and_anchored(here, Action.UNLINKED) is None
    assert [entry["event"] for entry in logs] == ["audit-head-contradicted"]
    assert flaws(here) == [(Flaw.CHAIN_REWRITTEN, 2)]


@pytest.mark.parametrize(
    ("change", "flaw"),
    [
        ("UPDATE audit SET detail = 'other' WHERE sequence = 2", (Flaw.ROW_CHANGED, 2)),
        ("UPDATE audit SET at = at + interval '1 microsecond' WHERE sequence = 2", (Flaw.ROW_CHANGED, 2)),
        ("UPDATE audit SET id = DEFAULT WHERE sequence = 2", (Flaw.ROW_CHANGED, 2)),
        ("DELETE FROM audit WHERE sequence = 2", (Flaw.ROWS_MISSING, 2)),
        ("DELETE FROM audit WHERE sequence = 1", (Flaw.START_MISSING, 1)),
        ("DELETE FROM audit WHERE sequence >= 2", (Flaw.END_MISSING, 3)),
        ("UPDATE audit SET sequence = 9 WHERE sequence = 2", (Flaw.ROWS_MISSING, 2)),
    ],
)
async def test_what_a_superuser_changes_is_found(here: Clinic, change: str, flaw: tuple[Flaw, int]) -> None:
    await chained_and_anchored(here, Action.LAUNCHED, Action.LINKED, Action.UNLINKED)
    here.execute(change)
    assert flaws(here)[0] == flaw


# --- retention ----------------------------------------------------------------------------------------------------


async def old_rows(here: Clinic, count: int) -> None:
    """Rows of seven years ago below a head of then."""
    await record(here, *[Action.LAUNCHED] * count)
    here.execute("UPDATE audit SET at = now() - interval '7 years' WHERE sequence IS NULL")
    then = replace(here.worker, clock=lambda: datetime.now(UTC) - timedelta(days=7 * 365))
    await AuditHeads(then).chain()
    await AuditHeads(then).anchor()
    here.execute("UPDATE audit_head SET anchored_at = now() - interval '7 years'")


async def test_purging_removes_old_rows_up_to_an_old_head_and_the_rest_verifies(here: Clinic) -> None:
    await old_rows(here, 3)
    await old_rows(here, 2)
    await chained_and_anchored(here, Action.LINKED)
    assert (await purge(here.worker))["audit"] == 5
    await chained_and_anchored(here, Action.UNLINKED)
    assert [row.sequence for row in rows(here)] == [6, 7, 8]
    assert here.rows("SELECT min(sequence) FROM audit_head") == [(6,)]
    assert verified(here) == []


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE audit SET at = now() - interval '1 day' WHERE sequence = 1",
        "UPDATE audit_head SET anchored_at = now() - interval '1 day'",
        "DELETE FROM audit_head",
        "UPDATE audit_head SET row_hash = decode(repeat('00', 32), 'hex')",
    ],
)
async def test_purging_stops_at_a_young_row_and_where_no_old_head_is(here: Clinic, change: str) -> None:
    await old_rows(here, 3)
    await record(here, Action.LINKED)
    await AuditHeads(here.worker).chain()
    here.execute(change)
    assert (await purge(here.worker))["audit"] == 0


async def test_purging_keeps_the_newest_row_and_what_is_not_chained(here: Clinic) -> None:
    await old_rows(here, 2)
    await record(here, Action.LINKED)
    here.execute("UPDATE audit SET at = now() - interval '7 years'")
    assert (await purge(here.worker))["audit"] == 0
    assert len(here.rows("SELECT * FROM audit")) == 3


# --- the worker ---------------------------------------------------------------------------------------------------


async def test_the_worker_chains_while_it_runs_and_anchors_at_its_end(here: Clinic) -> None:
    services = replace(here.worker, settings=replace(here.worker.settings, port=free_port()))
    task = asyncio.create_task(worker.run(services))
    await record(here, Action.LAUNCHED)
    async with asyncio.timeout(20):
        while here.rows("SELECT count(*) FROM audit WHERE sequence = 1") != [(1,)]:  # noqa: ASYNC110 - by the clock
            await asyncio.sleep(0.05)
    await record(here, Action.LINKED)
    await end(task)
    assert heads(here)[-1].sequence == len(rows(here)) >= 2
    assert here.rows("SELECT count(*) FROM audit WHERE sequence IS NULL") == [(0,)]
    assert json.loads(here.storage.blobs[CONTAINER][head_name(AMERICAS, TEST, len(rows(here)))])["payloadType"]
