"""A connection is withdrawn while people are in a visit, or on their way into one: launches stop, the visit goes on."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import UTC, datetime

import pytest

from runtime.bootstrap import Services
from runtime.configuration import Served
from runtime.launch.model import VisitSession
from runtime.promotion.minutely import deciding
from runtime.serving import may_serve
from runtime.visit import streams
from runtime.visit.watch import Watch
from runtime.writeback.delivery import deliver
from schemas.promotion.approvals import Approvals
from schemas.promotion.envelope import StatementFile
from schemas.promotion.statement import Revoked, at
from schemas.vocabulary import ClientRole, GeographyName, Stage
from tests.support.connector import location_of
from tests.support.launching import Connector, Place, running_connector
from tests.support.microsoft import AMARA_PASSWORD, AMARA_UPN
from tests.support.postgres import PostgresServer
from tests.support.refusals import code_of
from tests.support.statements import private_key, revocations, statement_file
from tests.support.visits import Clinic, clinic, guest, staff, visit_query

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("ignore:response_mode")]

AMERICAS = GeographyName.AMERICAS


def revoking(connection: str = "lakeside-test") -> StatementFile:
    now = datetime.now(UTC)
    entry = Revoked(connection=connection, reason="lost device", at=at(now))
    list_ = revocations(AMERICAS, Stage.TEST, now, version=2, revoked=(entry,))
    return statement_file(private_key(Stage.TEST, AMERICAS, "revocation-signing"), list_)


@pytest.fixture
async def here(postgres: PostgresServer) -> AsyncGenerator[Clinic]:
    async with clinic(postgres) as made:
        yield made


@pytest.fixture
async def connector(place: Place) -> AsyncGenerator[Connector]:
    async with running_connector(place) as made:
        yield made


async def revoke(here: Clinic) -> None:
    here.storage.publish(revoking())
    for services in (here.services, here.worker):
        await services.standing.refresh(services)


def lakeside(services: Services) -> Served:
    served = services.configuration.connection("lakeside-test")
    assert served is not None
    return served


async def test_a_visit_under_way_goes_on_to_its_end_and_is_written_back(here: Clinic) -> None:
    provider, patient = await here.provider(), await here.patient()
    assert isinstance(patient, VisitSession)
    await here.happen("n-1", 1, staff("p-1"))
    await revoke(here)
    serving = await may_serve(here.services, lakeside(here.services), ClientRole.PROVIDER)
    assert [r.code for r in serving.refusals] == ["connection-withdrawn"]

    for session in (provider, patient):
        headers = await here.cookie(session)
        assert (await here.http.get(f"/visit/{session.party}", headers=headers)).status_code == 200
        state = await here.http.get(f"/visit/{session.party}/state", params=visit_query(session), headers=headers)
        assert state.status_code == 204
    join = await here.http.get(
        "/visit/patient/join", params=visit_query(patient), headers=await here.cookie(patient), follow_redirects=False
    )
    assert join.status_code in (302, 303)

    async def still() -> bool:
        return True

    watch = Watch(here.services.database)
    watched = streams.provider_stream(here.services, watch, provider.visit_key, provider.participant_hash, still)
    async with aclosing(watched) as stream, asyncio.timeout(20):
        assert _connected((await anext(stream)).data) == 1
        await here.happen("n-2", 2, guest("p-2"))
        assert _connected((await anext(stream)).data) == 2
    await here.happen("n-3", 3, kind="callEnded")
    await deliver(here.worker, here.rows("SELECT visit_key FROM visit")[0][0])
    assert [t["ConnectionStatus"] for t in here.remotes.told] == ["Connected"] * 2 + ["Disconnected"] * 2
    assert {state for (state,) in here.rows("SELECT state FROM write_back")} == {"delivered"}
    assert here.rows("SELECT state FROM visit") == [("ended",)]


@pytest.mark.parametrize("party", ["provider", "patient"])
@pytest.mark.rule("connection-not-approved")
async def test_a_launch_of_a_connection_that_nobody_approved_is_refused_in_plain_words(
    place: Place, party: str
) -> None:
    async with running_connector(place, approvals=Approvals()) as connector:
        response = await connector.start(connector.browser(), party)
        assert (response.status_code, code_of(response)) == (403, "connection-not-approved")
        assert "not open yet" in response.text
        assert connector.ehr.requests == []


@pytest.mark.parametrize("party", ["provider", "patient"])
@pytest.mark.rule("connection-withdrawn")
async def test_a_launch_of_a_withdrawn_connection_is_refused_before_the_ehr_is_asked(
    connector: Connector, party: str
) -> None:
    await _revoke(connector)
    response = await connector.start(connector.browser(), party)
    assert (response.status_code, code_of(response)) == (403, "connection-withdrawn")
    assert connector.ehr.requests == []
    assert "support team" in response.text


@pytest.mark.parametrize("party", ["provider", "patient"])
@pytest.mark.rule("connection-withdrawn")
async def test_who_is_at_the_ehr_when_it_is_withdrawn_comes_back_to_a_refusal(connector: Connector, party: str) -> None:
    browser = connector.browser()
    _, asked = location_of(await connector.start(browser, party))
    await _revoke(connector)
    response = await connector.back(browser, party, "lakeside-test", connector.ehr.authorize(asked))
    assert (response.status_code, code_of(response)) == (403, "connection-withdrawn")
    assert not [r for r in connector.ehr.requests if r.url.path.endswith("/token")], "the code was not redeemed"
    assert "connection-withdrawn" in {row[7] for row in connector.rows("audit")}


@pytest.mark.rule("connection-withdrawn")
async def test_who_is_at_the_first_sign_in_when_it_is_withdrawn_does_not_enter(connector: Connector) -> None:
    browser = connector.browser()
    assert location_of(await connector.launch(browser))[0] == "/identity/wait"
    await connector.sign_in(browser, AMARA_UPN, AMARA_PASSWORD)
    await _revoke(connector)
    assert code_of(await connector.confirm(browser)) == "connection-withdrawn"
    assert connector.rows("visit") == []


@pytest.mark.parametrize("looks_a_minute", [1, 1_000_000], ids=["by deciding", "by a look for another list"])
async def test_a_revocation_is_noticed_within_the_minute(
    connector: Connector, monkeypatch: pytest.MonkeyPatch, looks_a_minute: int
) -> None:
    monkeypatch.setattr("runtime.promotion.minutely.LOOK_SECONDS", 0.01)
    monkeypatch.setattr("runtime.promotion.minutely.LOOKS_A_MINUTE", looks_a_minute)
    services = connector.services
    async with deciding(services):
        assert (await may_serve(services, lakeside(services), ClientRole.PROVIDER)).allowed
        connector.storage.publish(revoking())
        async with asyncio.timeout(20):
            while (await may_serve(services, lakeside(services), ClientRole.PROVIDER)).allowed:
                pass  # which asks the database, so that others go on


def _connected(data: object) -> int:
    return json.dumps(json.loads(str(data))).count('"connected"')


async def _revoke(connector: Connector) -> None:
    connector.storage.publish(revoking())
    await connector.services.standing.refresh(connector.services)
