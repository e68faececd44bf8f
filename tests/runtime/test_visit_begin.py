"""Beginning a visit: who organises, that one meeting is made, that no patient gets a link before the lobby holds."""

import asyncio
import json
from collections.abc import AsyncGenerator

import httpx
import pytest

from runtime.errors import Refusal
from runtime.launch.model import VisitSession
from runtime.meeting.prepare import SUBSCRIPTION_PATIENCE_SECONDS, prepare_visit, take_up_unfinished
from runtime.visit import begin
from runtime.visit.begin import OTHER_PATIENT, SECOND_PATIENT
from runtime.visit.context import Organizer, VisitContext
from runtime.visit.rows import load_visit
from runtime.visit.snapshot import PatientState, read_patient_state, read_provider_snapshot
from tests.support.postgres import PostgresServer
from tests.support.visits import AMARA, BEN, LAKESIDE, Clinic, clinic, visit_query

pytestmark = pytest.mark.anyio


@pytest.fixture
async def here(postgres: PostgresServer) -> AsyncGenerator[Clinic]:
    async with clinic(postgres) as made:
        yield made


async def patient_of(here: Clinic, session_id: str = "csn-1") -> VisitSession:
    session = await here.patient(session_id)
    assert isinstance(session, VisitSession)
    return session


async def context_of(here: Clinic, visit_key: bytes) -> VisitContext:
    async with here.services.database.transaction() as connection:
        visit = await load_visit(connection, visit_key)
    assert visit is not None
    return visit.context(here.services.seal)


async def test_a_provider_gets_a_meeting_a_locked_lobby_and_a_subscription(here: Clinic) -> None:
    session = await here.provider()
    names = here.remotes.names()
    assert [n for n in names if n != "subscribe"] == ["create", "lobby", "read", "link"]
    assert names.index("subscribe") > 0, "beside the others, once there is a meeting"
    created = json.loads(here.remotes.calls[0][1].content)
    assert created == {"externalId": session.visit_key.hex(), "subject": "Virtual visit"}
    meeting = next(iter(here.remotes.meetings.values()))
    assert meeting["lobbyBypassSettings"] == {"scope": "organizer", "isDialInBypassEnabled": False}
    snapshot = await read_provider_snapshot(here.services, session.visit_key, session.participant_hash)
    assert snapshot is not None
    assert (snapshot.state, snapshot.open_url, snapshot.live) == ("open", meeting["joinWebUrl"], True)


async def test_the_subscription_is_asked_for_as_graph_documents_it(here: Clinic) -> None:
    await here.provider()
    body = here.remotes.subscriptions[0].body
    assert body["changeType"] == "updated"
    assert body["resource"].startswith("communications/onlineMeetings(joinWebUrl='https%3A%2F%2F127.0.0.1%3A8462%2F")
    assert "%253ameeting_1%2540thread.v2" in body["resource"]
    assert body["resource"].endswith("')/meetingCallEvents")
    assert body["includeResourceData"] is True
    assert body["notificationUrl"].startswith("https://localhost:8441/graph/notifications/")
    assert len(body["notificationUrl"].rpartition("/")[2]) >= 43
    assert len(body["clientState"]) <= 128


async def test_two_providers_at_once_make_one_meeting_one_organizer_and_one_subscription(here: Clinic) -> None:
    create = here.remotes._create  # pyright: ignore[reportPrivateUsage]

    async def slow(request: httpx.Request) -> httpx.Response:
        """The other one begins once more while the meeting is being made."""
        await here.provider(object_id=BEN if AMARA in request.url.path else AMARA)
        return await create(request)

    here.remotes._create = slow  # type: ignore[method-assign] # pyright: ignore[reportPrivateUsage]
    sessions = await asyncio.gather(*(here.provider(object_id=p) for p in (AMARA, BEN) * 3))
    await asyncio.sleep(0.05)
    await prepare_visit(here.services, sessions[0].visit_key)
    assert len({s.visit_key for s in sessions}) == 1
    assert len(here.remotes.meetings) == 1
    assert here.remotes.names().count("create") == 1
    assert here.remotes.names().count("subscribe") == len(here.remotes.subscriptions) == 1
    owner = next(iter(here.remotes.meetings))[0]
    assert (await context_of(here, sessions[0].visit_key)).organizer == Organizer(LAKESIDE, owner)


async def test_providers_at_once_on_a_visit_that_a_patient_made_forget_none_of_them(here: Clinic) -> None:
    patient = await patient_of(here)
    people = [f"{AMARA[:-2]}{n}" for n in range(20, 26)]
    sessions = await asyncio.gather(*(here.provider(object_id=p) for p in people))
    context = await context_of(here, patient.visit_key)
    assert set(context.staff) == {s.participant_hash.hex() for s in sessions}
    assert context.patient == patient.participant_hash.hex()
    assert [Organizer(LAKESIDE, owner) for owner, _ in here.remotes.meetings] == [context.organizer]


async def test_a_provider_who_comes_second_joins_the_first_ones_meeting(here: Clinic) -> None:
    first, second = await here.provider(object_id=AMARA), await here.provider(object_id=BEN)
    shown = [await read_provider_snapshot(here.services, s.visit_key, s.participant_hash) for s in (first, second)]
    assert len({s.open_url for s in shown if s}) == 1
    assert None not in shown
    assert [organizer for organizer, _ in here.remotes.meetings] == [AMARA]
    assert (await context_of(here, first.visit_key)).organizer == Organizer(LAKESIDE, AMARA)


async def test_no_meeting_is_made_for_a_patient_who_comes_first(here: Clinic) -> None:
    session = await patient_of(here)
    assert here.remotes.calls == []
    assert await read_patient_state(here.services, session.visit_key) is PatientState.WAITING


async def test_the_same_patient_may_come_again_and_a_second_one_is_refused(here: Clinic) -> None:
    assert isinstance(await here.patient(patient_id="patient-1"), VisitSession)
    assert isinstance(await here.patient(patient_id="patient-1"), VisitSession)
    refused = await here.patient(patient_id="patient-2")
    assert isinstance(refused, Refusal)
    assert refused == SECOND_PATIENT
    assert isinstance(await here.patient("csn-2", patient_id="patient-2"), VisitSession)


async def test_two_patients_at_once_are_told_apart(here: Clinic) -> None:
    came = await asyncio.gather(*(here.patient(patient_id=f"patient-{n}") for n in range(5)))
    assert sum(isinstance(c, VisitSession) for c in came) == 1


async def test_two_patients_at_once_are_told_apart_after_a_provider_began_too(here: Clinic) -> None:
    await here.provider()
    came = await asyncio.gather(*(here.patient(patient_id=f"patient-{n}") for n in range(5)))
    (admitted,) = (c for c in came if isinstance(c, VisitSession))
    assert (await context_of(here, admitted.visit_key)).patient == admitted.participant_hash.hex()


async def test_a_provider_who_launched_for_another_patient_than_the_one_who_came_is_refused(here: Clinic) -> None:
    await here.patient(patient_id="patient-1")
    assert await here.launch_provider(patient_id="patient-2") == OTHER_PATIENT
    assert here.remotes.calls == []
    assert here.rows("SELECT state FROM visit") == [("waiting",)]
    assert isinstance(await here.launch_provider(patient_id="patient-1"), VisitSession)


async def test_one_session_id_for_two_patients_never_puts_them_into_one_meeting(here: Clinic) -> None:
    assert isinstance(await here.launch_provider(patient_id="patient-1"), VisitSession)
    assert await here.launch_provider(object_id=BEN, patient_id="patient-2") == OTHER_PATIENT
    assert await here.patient(patient_id="patient-2") == SECOND_PATIENT
    assert isinstance(await here.patient(patient_id="patient-1"), VisitSession)
    assert isinstance(await here.launch_provider(object_id=BEN), VisitSession), "a launch may name no patient"


@pytest.mark.parametrize(
    "failure",
    [
        pytest.param(("lobby", httpx.Response(403, json={"error": {"code": "Forbidden"}})), id="PATCH refused"),
        pytest.param(("lobby", httpx.Response(500)), id="PATCH 5xx"),
        pytest.param(
            ("read", httpx.Response(200, json={"lobbyBypassSettings": {"scope": "everyone"}})),
            id="PATCH without effect",
        ),
        pytest.param(
            (
                "read",
                httpx.Response(
                    200, json={"lobbyBypassSettings": {"scope": "organizer", "isDialInBypassEnabled": True}}
                ),
            ),
            id="telephones bypass",
        ),
    ],
)
async def test_no_patient_gets_a_link_until_the_lobby_heals(here: Clinic, failure: tuple[str, httpx.Response]) -> None:
    name, answer = failure
    here.remotes.broken[name] = lambda _: answer
    patient = await patient_of(here)
    cookie = await here.cookie(patient)
    provider = await here.provider()
    snapshot = await read_provider_snapshot(here.services, provider.visit_key, provider.participant_hash)
    assert snapshot is not None
    assert (snapshot.state, snapshot.open_url) == ("mending", None)
    page = await here.http.get("/visit/provider", headers=await here.cookie(provider))
    assert "Your meeting is not ready yet" in page.text
    refused = await here.http.get("/visit/patient/join", params=visit_query(patient), headers=cookie)
    assert refused.headers["location"] == "/visit/patient"
    assert "meetup-join" not in (await here.http.get("/visit/patient", headers=cookie)).text
    here.remotes.broken.clear()
    await prepare_visit(here.worker, provider.visit_key, 1)
    going = await here.http.get("/visit/patient/join", params=visit_query(patient), headers=cookie)
    assert (going.status_code, "meetup-join" in going.headers["location"]) == (303, True)


async def test_a_failed_preparation_leaves_a_job_that_waits_as_long_as_graph_asks(here: Clinic) -> None:
    here.remotes.broken["create"] = lambda _: httpx.Response(429, headers={"retry-after": "120"})
    await here.provider()
    assert here.remotes.names() == ["create"]
    jobs = here.rows(
        "SELECT extract(epoch FROM scheduled_at - now()) FROM procrastinate_jobs WHERE task_name = 'prepare-visit'"
    )
    assert any(110 < seconds <= 120 for (seconds,) in jobs)


async def test_a_short_retry_after_is_waited_for_at_once(here: Clinic) -> None:
    answers = [httpx.Response(429, headers={"retry-after": "1"})]
    here.remotes.broken["create"] = lambda r: answers.pop()
    original = here.remotes.answer

    async def heal(request: httpx.Request) -> httpx.Response:
        if not answers:
            here.remotes.broken.clear()
        return await original(request)

    here.remotes.answer = heal  # type: ignore[method-assign]
    here.services.http.client._transport = httpx.MockTransport(heal)  # pyright: ignore[reportPrivateUsage]
    session = await here.provider()
    snapshot = await read_provider_snapshot(here.services, session.visit_key, session.participant_hash)
    assert snapshot is not None
    assert snapshot.state == "open"


@pytest.mark.parametrize("name", ["create", "lobby", "subscribe"])
async def test_graph_timing_out_leaves_the_visit_to_the_worker(here: Clinic, name: str) -> None:
    def silent(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("silence", request=request)

    here.remotes.broken[name] = silent
    session = await here.provider()
    assert here.rows("SELECT state FROM visit") == [("open",) if name == "subscribe" else ("mending",)]
    here.remotes.broken.clear()
    await prepare_visit(here.worker, session.visit_key, 1)
    assert here.rows("SELECT state FROM visit") == [("open",)]
    assert len(here.remotes.subscriptions) == len(here.remotes.meetings) == 1


async def test_an_open_meeting_does_not_wait_for_a_slow_subscription(here: Clinic) -> None:
    states: list[tuple[object, ...]] = []

    async def slow(_: object) -> None:
        """Graph answers a while after our patience with it ended."""
        await asyncio.sleep(2 * SUBSCRIPTION_PATIENCE_SECONDS)
        states.extend(here.rows("SELECT v.state, s.graph_id FROM visit v JOIN subscription s USING (visit_key)"))

    here.remotes.during_subscribe = slow
    session = await here.provider()
    assert states == [("open", None)]
    snapshot = await read_provider_snapshot(here.services, session.visit_key, session.participant_hash)
    assert snapshot is not None
    assert (snapshot.state, snapshot.live) == ("open", True)


async def test_without_an_access_policy_the_page_says_whom_to_ask(here: Clinic) -> None:
    message = "No application access policy found for this app"
    here.remotes.broken["create"] = lambda _: httpx.Response(
        403, json={"error": {"code": "Forbidden", "message": message}}
    )
    page = await here.http.get("/visit/provider", headers=await here.cookie(await here.provider()))
    assert "application access policy" in page.text
    assert "administrator" in page.text


async def test_where_graph_gives_apps_no_browser_link_the_meetings_own_is_used_and_not_asked_again(
    here: Clinic,
) -> None:
    here.remotes.broken["link"] = lambda _: httpx.Response(403, json={"error": {"code": "Forbidden"}})
    await here.provider("csn-1")
    await here.provider("csn-2")
    assert here.remotes.names().count("link") == 1
    assert here.rows("SELECT DISTINCT state FROM visit") == [("open",)]


async def test_a_subscription_made_by_an_attempt_that_was_killed_is_adopted(here: Clinic) -> None:
    session = await here.provider()
    here.execute("UPDATE subscription SET graph_id = NULL, expires_at = NULL")
    await prepare_visit(here.services, session.visit_key)
    assert here.rows("SELECT graph_id FROM subscription") == [(here.remotes.subscriptions[0].id,)]
    assert len(here.remotes.subscriptions) == 1


async def test_beginning_again_after_the_end_opens_the_same_meeting_with_its_lobby_locked_again(here: Clinic) -> None:
    await here.provider()
    await here.happen("n-1", 1, kind="callEnded")
    assert here.rows("SELECT state FROM visit") == [("ended",)]
    await here.provider()
    assert here.rows("SELECT state FROM visit") == [("open",)]
    assert len(here.remotes.meetings) == 1
    assert here.remotes.names().count("lobby") == 2


async def test_a_preparation_whose_holder_was_killed_is_taken_up_when_its_lease_ends(here: Clinic) -> None:
    here.remotes.broken["create"] = lambda _: httpx.Response(503)
    session = await here.provider()
    here.remotes.broken.clear()
    here.execute("UPDATE visit SET preparing_until = now() + interval '30 seconds'")
    here.execute("DELETE FROM procrastinate_jobs")
    await take_up_unfinished(here.worker)
    assert jobs(here) == []
    await prepare_visit(here.worker, session.visit_key)
    assert here.rows("SELECT state FROM visit") == [("mending",)], "somebody else is at it"
    here.execute("UPDATE visit SET preparing_until = now() - interval '1 second'")
    await take_up_unfinished(here.worker)
    assert jobs(here) == [("prepare-visit", {"visit": session.visit_key.hex(), "attempt": 0})]
    await prepare_visit(here.worker, session.visit_key)
    assert here.rows("SELECT state, preparing_until FROM visit") == [("open", None)]
    here.execute("DELETE FROM procrastinate_jobs")
    await take_up_unfinished(here.worker)
    assert jobs(here) == []


async def test_what_a_page_waits_for_too_long_is_broken_off_and_taken_up(
    here: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(begin, "PAGE_PATIENCE_SECONDS", 0.2)

    async def slow(_: object) -> None:
        await asyncio.sleep(2)

    here.remotes.during_subscribe = slow
    session = await here.provider()
    assert here.rows("SELECT state FROM visit") == [("open",)], "what was done is written"
    here.remotes.during_subscribe = None
    await take_up_unfinished(here.worker)
    assert jobs(here) == [("prepare-visit", {"visit": session.visit_key.hex(), "attempt": 0})]
    await prepare_visit(here.worker, session.visit_key)
    assert here.rows(
        "SELECT v.preparing_until, s.graph_id IS NOT NULL FROM visit v JOIN subscription s USING (visit_key)"
    ) == [(None, True)]


async def test_a_visit_that_begins_as_it_should_leaves_no_job(here: Clinic) -> None:
    await here.provider()
    assert jobs(here) == []


def jobs(here: Clinic) -> list[tuple[object, ...]]:
    return here.rows("SELECT task_name, args FROM procrastinate_jobs")
