"""A Rehearsal comes from a visit that was whole, with what is served now; once, and with nobody in it."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any

import httpx
import pytest

from runtime import worker
from runtime.promotion.rehearsals import rehearse
from runtime.promotion.statements import mark_published, stored, unpublished
from runtime.tasks import end
from runtime.writeback.delivery import deliver
from schemas.handover import Handover
from schemas.promotion.envelope import StatementFile, Verified, verify
from schemas.promotion.statement import Rehearsal, at, moment
from schemas.vocabulary import GeographyName, Stage
from tests.support.ports import free_port
from tests.support.postgres import APPLICATION, PostgresServer
from tests.support.privileges import login
from tests.support.statements import IMAGE, private_key, revocations, statement_file
from tests.support.visits import Clinic, clinic, guest, staff

pytestmark = pytest.mark.anyio


@pytest.fixture
async def here(postgres: PostgresServer) -> AsyncGenerator[Clinic]:
    """The document has a rehearsal of the sample; here none counts but what is recorded."""
    async with clinic(postgres) as made:
        document = made.worker.configuration.document
        kept = tuple(s for s in document.statements if "/rehearsal-" not in s.path)
        configuration = made.worker.configuration.__class__(document.model_copy(update={"statements": kept}))
        made.worker = replace(made.worker, configuration=configuration)
        await made.worker.standing.refresh(made.worker)
        yield made


async def visit(here: Clinic, *, patient: bool = True, end: bool = True, delivered: bool = True) -> None:
    await here.provider()
    await here.happen("n-1", 1, staff("p-1"))
    if patient:
        await here.happen("n-2", 2, guest("p-2"))
    if end:
        await here.happen("n-3", 3, kind="callEnded")
    if delivered:
        await deliver(here.worker, here.rows("SELECT visit_key FROM visit")[0][0])


async def recorded(here: Clinic) -> list[StatementFile]:
    async with here.worker.database.connection() as connection:
        return await stored(connection)


async def test_a_whole_visit_is_recorded_once_and_signed_by_the_worker(here: Clinic) -> None:
    await visit(here)
    assert [await rehearse(here.worker) for _ in range(2)] == [1, 0]
    (file,) = await recorded(here)
    found = verify(file, here.services.trust)
    assert isinstance(found, Verified)
    said = found.predicate
    assert isinstance(said, Rehearsal)
    assert (said.organization, said.connection, said.geography) == ("lakeside", "lakeside-test", "americas")
    assert said.image == IMAGE.rpartition("@")[2]
    assert found.sha256 == here.services.standing.decisions["lakeside-test"].sha256
    assert (moment(said.expires) - moment(said.issued)).days == 180
    assert here.rows("SELECT organization_id, connection_id, kind FROM statement") == [
        ("lakeside", "lakeside-test", "rehearsal")
    ]
    assert here.rows("SELECT count(*) FROM audit WHERE action = 'rehearsal-recorded'") == [(1,)]


async def test_a_rehearsal_names_nobody(here: Clinic) -> None:
    await here.provider("csn-canary")
    await here.happen("n-1", 1, staff("p-canary"))
    await here.happen("n-2", 2, guest("g-canary"))
    await here.happen("n-3", 3, kind="callEnded")
    await deliver(here.worker, here.rows("SELECT visit_key FROM visit")[0][0])
    assert await rehearse(here.worker) == 1
    (file,) = await recorded(here)
    found = verify(file, here.services.trust)
    assert isinstance(found, Verified)
    assert set(found.predicate.model_dump()) == {
        "form", "organization", "geography", "connection", "image", "issued", "expires",
    }  # fmt: skip
    assert "canary" not in repr(found)


@pytest.mark.parametrize("part", ["patient", "end", "delivered"])
async def test_a_visit_with_a_part_missing_is_no_rehearsal(here: Clinic, part: str) -> None:
    await visit(here, **{part: False})
    assert await rehearse(here.worker) == 0
    assert await recorded(here) == []


async def test_a_call_whose_end_graph_did_not_tell_is_no_rehearsal(here: Clinic) -> None:
    """The application moves a visit to its states; only the worker says that the call ended."""
    await visit(here, end=False)
    with login(here.server, APPLICATION, here.database) as connection:
        connection.execute("UPDATE visit SET state = 'ended', ended_at = now()")
    assert await rehearse(here.worker) == 0
    here.execute("UPDATE visit SET call_ended_at = now()")
    assert await rehearse(here.worker) == 1


async def test_a_visit_without_its_provider_is_no_rehearsal(here: Clinic) -> None:
    await here.provider()
    await here.happen("n-1", 1, guest("p-2"))
    await here.happen("n-2", 2, kind="callEnded")
    await deliver(here.worker, here.rows("SELECT visit_key FROM visit")[0][0])
    assert await rehearse(here.worker) == 0


async def test_a_visit_whose_write_back_was_given_up_on_is_no_rehearsal(here: Clinic) -> None:
    await here.provider()
    here.remotes.broken["ehr_status"] = lambda _: httpx.Response(400)
    await visit(here)
    assert ("dead",) in here.rows("SELECT DISTINCT state FROM write_back")
    assert await rehearse(here.worker) == 0


async def test_an_ehr_that_takes_no_write_back_is_rehearsed_without(here: Clinic) -> None:
    await visit(here, delivered=False)
    for untold in ("WHERE sequence > 1", ""):
        here.execute("UPDATE write_back SET state = 'delivered'")
        here.execute(f"UPDATE write_back SET state = 'unsupported' {untold}")
        assert await rehearse(here.worker) == 0, "Epic takes them: this visit was not wholly told to it"
    served = here.worker.configuration.document.organizations
    smart = [
        o.model_copy(update={"connections": tuple(c.model_copy(update={"ehr": "smart"}) for c in o.connections)})
        for o in served
    ]
    document = here.worker.configuration.document.model_copy(update={"organizations": tuple(smart)})
    other = replace(here.worker, configuration=here.worker.configuration.__class__(document))
    assert await rehearse(other) == 1


@pytest.mark.parametrize(
    "column", ["served_image = 'sha256:" + "b" * 64 + "'", "served_sha256 = '" + "b" * 64 + "'", "served_image = NULL"]
)
async def test_a_visit_begun_with_another_image_or_configuration_is_no_rehearsal_of_this_one(
    here: Clinic, column: str
) -> None:
    await visit(here)
    here.execute(f"UPDATE visit SET {column}")
    assert await rehearse(here.worker) == 0


async def test_each_image_is_rehearsed_anew(here: Clinic) -> None:
    await visit(here)
    assert await rehearse(here.worker) == 1
    other = "sha256:" + "b" * 64
    here.execute(f"UPDATE visit SET served_image = '{other}'")
    newer = _with_handover(here, image=f"registry.local/connector@{other}")
    assert [await rehearse(newer) for _ in range(2)] == [1, 0]
    assert len(await recorded(here)) == 2


async def test_a_rehearsal_in_the_repository_is_not_recorded_again(here: Clinic) -> None:
    await visit(here)
    deployed = replace(here.worker, configuration=here.services.configuration)
    await deployed.standing.refresh(deployed)
    assert await rehearse(deployed) == 0


async def test_a_withdrawn_connection_is_not_rehearsed(here: Clinic) -> None:
    await visit(here)
    now = here.worker.clock()
    entry: dict[str, Any] = {"connection": "lakeside-test", "reason": "lost", "at": at(now)}
    list_ = revocations(GeographyName.AMERICAS, Stage.TEST, now, version=2, revoked=[entry])
    key = private_key(Stage.TEST, GeographyName.AMERICAS, "revocation-signing")
    here.storage.publish(statement_file(key, list_))
    await here.worker.standing.refresh(here.worker)
    assert await rehearse(here.worker) == 0


async def test_production_records_no_rehearsals(here: Clinic) -> None:
    await visit(here)
    assert await rehearse(_with_handover(here, stage=Stage.PRODUCTION)) == 0


async def test_the_worker_rehearses_by_the_clock(here: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "REHEARSE_SECONDS", 0.1)
    services = replace(here.worker, settings=replace(here.worker.settings, port=free_port()))
    working = asyncio.create_task(worker.run(services))
    try:
        await visit(here, delivered=False)
        async with asyncio.timeout(20):
            while not await recorded(here):  # noqa: ASYNC110 - the worker tells nobody but the database
                await asyncio.sleep(0.05)
    finally:
        await end(working)


async def test_what_was_published_is_not_published_again(here: Clinic) -> None:
    await visit(here)
    await rehearse(here.worker)
    (file,) = await recorded(here)
    here.execute("GRANT UPDATE (published_at) ON statement TO connector_worker")
    try:
        async with here.worker.database.transaction() as connection:
            assert await unpublished(connection) == [file]
            await mark_published(connection, [file.path])
            assert await unpublished(connection) == []
            assert await stored(connection) == [file]
    finally:
        here.execute("REVOKE UPDATE (published_at) ON statement FROM connector_worker")


def _with_handover(here: Clinic, **changes: Any) -> Any:
    settings = here.worker.settings
    handover = Handover.model_validate({**settings.handover.model_dump(), **changes})
    return replace(here.worker, settings=replace(settings, handover=handover))
