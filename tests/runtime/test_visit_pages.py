"""The visit's pages and streams: who may watch which visit, and what a patient can learn there."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, suppress
from dataclasses import replace
from typing import Any

import pytest
from sse_starlette import ServerSentEvent

from runtime.launch.model import Party, VisitSession
from runtime.visit import streams
from runtime.visit.rows import STALE_SECONDS
from runtime.visit.snapshot import read_provider_snapshot
from runtime.visit.watch import Watch
from tests.support.postgres import PostgresServer
from tests.support.refusals import code_of
from tests.support.visits import BEN, HOST, Clinic, clinic, guest, staff, visit_query

pytestmark = pytest.mark.anyio


@pytest.fixture
async def here(postgres: PostgresServer) -> AsyncGenerator[Clinic]:
    async with clinic(postgres) as made:
        yield made


async def patient_of(here: Clinic, session_id: str = "csn-1") -> VisitSession:
    session = await here.patient(session_id)
    assert isinstance(session, VisitSession)
    return session


async def always() -> bool:
    return True


def of_provider(here: Clinic, watch: Watch, session: VisitSession) -> AsyncGenerator[ServerSentEvent]:
    return streams.provider_stream(here.services, watch, session.visit_key, session.participant_hash, always)


async def following(stream: AsyncIterator[ServerSentEvent]) -> dict[str, Any]:
    async with asyncio.timeout(10):
        event = await anext(stream)
    return {"event": event.event, **json.loads(event.data or "{}")}


async def status_of(here: Clinic, path: str, **options: Any) -> int:
    """A stream that is not refused never ends: then this fails by its time limit."""
    async with asyncio.timeout(5):
        return (await here.http.get(path, **options)).status_code


# --- who may watch ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/visit/provider/events", "/visit/patient/events"])
async def test_without_a_session_there_is_no_stream(here: Clinic, path: str) -> None:
    session = await here.provider()
    assert await status_of(here, path, params=visit_query(session)) == 403


async def test_a_page_whose_stream_was_refused_learns_whether_it_is_over(here: Clinic) -> None:
    provider, patient = await here.provider(), await patient_of(here)
    for session in (provider, patient):
        path, headers = f"/visit/{session.party}/state", await here.cookie(session)
        assert (await here.http.get(path, params=visit_query(session), headers=headers)).status_code == 204
        assert (await here.http.get(path, params=visit_query(session))).status_code == 403
        assert (await here.http.get(path, params={"visit": "another"}, headers=headers)).status_code == 403
        here.execute(f"UPDATE session SET expires_at = now() WHERE party = '{session.party}'")
        assert (await here.http.get(path, params=visit_query(session), headers=headers)).status_code == 403
    headers = await here.cookie(provider)
    here.execute("DELETE FROM visit")
    gone = await here.http.get("/visit/provider/state", params=visit_query(provider), headers=headers)
    assert gone.status_code == 410


async def test_a_patient_gets_nothing_on_the_providers_stream(here: Clinic) -> None:
    await here.provider()
    patient = await patient_of(here)
    own = await here.cookie(patient)
    renamed = {"cookie": own["cookie"].replace("-patient=", "-provider=")}
    for headers in (own, renamed, {"cookie": f"{own['cookie']}; {renamed['cookie']}"}):
        assert (await here.http.get("/visit/provider", headers=headers)).status_code == 401
        assert await status_of(here, "/visit/provider/events", params=visit_query(patient), headers=headers) == 403


async def test_a_provider_of_another_visit_gets_nothing(here: Clinic) -> None:
    mine, other = await here.provider("csn-1"), await here.provider("csn-2", object_id=BEN)
    headers = await here.cookie(other)
    assert await status_of(here, "/visit/provider/events", params=visit_query(mine), headers=headers) == 403
    assert await status_of(here, "/visit/provider/events", headers=headers) == 403


@pytest.mark.parametrize(
    "changes",
    [
        {"organization_id": "prairie", "connection_id": "prairie-test"},
        {"organization_id": "prairie"},
        {"connection_id": "unknown"},
    ],
)
@pytest.mark.rule("no-session")
async def test_another_organization_gets_nothing(here: Clinic, changes: dict[str, str]) -> None:
    session = replace(await here.provider(), **changes)
    headers = await here.cookie(session)
    answer = await here.http.get("/visit/provider", headers=headers)
    assert (answer.status_code, code_of(answer)) == (401, "no-session")
    assert await status_of(here, "/visit/provider/events", params=visit_query(session), headers=headers) == 403


async def test_a_page_left_open_never_shows_or_joins_the_next_visit_of_its_browser(here: Clinic) -> None:
    first, second = await patient_of(here, "csn-1"), await patient_of(here, "csn-2")
    await here.provider("csn-2")
    headers = await here.cookie(second)
    assert await status_of(here, "/visit/patient/events", params=visit_query(first), headers=headers) == 403
    join = await here.http.get("/visit/patient/join", params=visit_query(first), headers=headers)
    assert join.status_code == 401


async def test_a_session_of_a_visit_that_was_purged_is_none_of_the_next_one_with_its_key(here: Clinic) -> None:
    patient, provider = await patient_of(here), await here.provider()
    of_patient, of_first = await here.cookie(patient), await here.cookie(provider)
    here.execute("DELETE FROM visit")
    await here.patient(patient_id="patient-2")
    again = await here.provider(object_id=BEN)
    assert again.visit_key == patient.visit_key
    for path, headers in (("patient", of_patient), ("patient/join", of_patient), ("provider", of_first)):
        answer = await here.http.get(f"/visit/{path}", params=visit_query(patient), headers=headers)
        assert answer.status_code == 401, path
    for path, headers in (("patient", of_patient), ("provider", of_first)):
        assert await status_of(here, f"/visit/{path}/events", params=visit_query(patient), headers=headers) == 403


async def test_a_stream_ends_with_its_session(here: Clinic) -> None:
    session, watch = await here.provider(), Watch(here.services.database)
    alive = [True]

    async def still() -> bool:
        return alive[0]

    stream = streams.provider_stream(here.services, watch, session.visit_key, session.participant_hash, still)
    async with aclosing(stream):
        assert (await following(stream))["event"] == "visit"
        alive[0] = False
        await here.happen("n-1", 1, staff("p-1"))
        assert (await following(stream))["event"] == "over"


async def test_who_watches_as_the_last_one_leaves_is_still_woken(here: Clinic) -> None:
    session, watch = await here.provider(), Watch(here.services.database)
    async with watch.visit(session.visit_key) as first:
        async with asyncio.timeout(5):
            await first.wait()
    async with watch.visit(session.visit_key) as changed, asyncio.timeout(5):
        await changed.wait()
        changed.clear()
        here.execute("SELECT pg_notify('visit', encode(visit_key, 'hex')) FROM visit")
        await changed.wait()


# --- what is shown ----------------------------------------------------------------------------------------------


async def test_the_provider_sees_participants_live(here: Clinic) -> None:
    session, watch = await here.provider(), Watch(here.services.database)
    async with aclosing(of_provider(here, watch, session)) as stream:
        assert (await following(stream))["people"] == []
        await here.happen("n-1", 1, staff("p-1"), guest("p-2", lobby=True))
        shown = await following(stream)
        assert {(p["who"], p["presence"]) for p in shown["people"]} == {("you", "connected"), ("patient", "waiting")}
        assert "In the lobby since" in shown["html"]
        await here.happen("n-2", 5, kind="callEnded")
        assert (await following(stream))["state"] == "ended"


async def test_another_replica_hears_of_it_too(here: Clinic) -> None:
    session = await here.provider()
    watch = Watch(here.worker.database)
    stream = streams.provider_stream(here.worker, watch, session.visit_key, session.participant_hash, always)
    async with aclosing(stream):
        await following(stream)
        await here.happen("n-1", 1, staff("p-1"))
        assert (await following(stream))["people"][0]["who"] == "you"


async def test_a_stream_outlives_the_loss_of_the_database(here: Clinic) -> None:
    session, watch = await here.provider(), Watch(here.services.database)
    async with aclosing(of_provider(here, watch, session)) as stream:
        await following(stream)
        here.lose_connections()
        for attempt in range(20):
            try:
                await here.happen("n-1", 1, staff("p-1"))
                break
            except AssertionError:
                await asyncio.sleep(0.1 * attempt)
        assert (await following(stream))["people"][0]["presence"] == "connected"


async def test_the_provider_sees_since_when_the_patient_waits_and_no_longer_than_heard_of(
    here: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert 25 <= STALE_SECONDS <= 60
    session, watch = await here.provider(), Watch(here.services.database)
    async with aclosing(of_provider(here, watch, session)) as stream:
        assert (await following(stream))["patientWaitingSince"] is None
        await patient_of(here)
        waiting = await following(stream)
        assert waiting["patientWaitingSince"] is not None
        assert "Patient waiting since" in waiting["html"]
        seconds = STALE_SECONDS - 1
        here.execute(f"UPDATE visit SET patient_seen_at = now() - interval '{seconds} seconds'")
        here.execute("SELECT pg_notify('visit', encode(visit_key, 'hex')) FROM visit")
        assert (await following(stream))["patientWaitingSince"] is None


async def test_a_patient_who_comes_back_waits_anew(here: Clinic) -> None:
    session = await here.provider()
    await patient_of(here)
    here.execute("UPDATE visit SET patient_waiting_since = now() - interval '1 hour'")
    await patient_of(here)
    assert here.rows("SELECT patient_waiting_since < now() - interval '59 minutes' FROM visit") == [(True,)]
    here.execute("UPDATE visit SET patient_seen_at = now() - interval '2 minutes'")
    await patient_of(here)
    assert here.rows("SELECT patient_waiting_since > now() - interval '1 minute' FROM visit") == [(True,)]
    snapshot = await read_provider_snapshot(here.services, session.visit_key, session.participant_hash)
    assert snapshot is not None


async def test_a_patients_stream_is_a_state_and_a_sign_of_life(here: Clinic) -> None:
    patient, watch = await patient_of(here), Watch(here.services.database)
    here.execute("UPDATE visit SET patient_seen_at = NULL, patient_waiting_since = NULL")
    async with aclosing(streams.patient_stream(here.services, watch, patient.visit_key, always)) as stream:
        assert await following(stream) == {"event": "visit", "state": "waiting"}
        assert here.rows("SELECT patient_waiting_since IS NOT NULL FROM visit") == [(True,)]
        await here.provider()
        assert await following(stream) == {"event": "visit", "state": "go"}
        await here.happen("n-1", 1, staff("p-1"), guest("p-2"), guest("p-3"))
        await here.happen("n-2", 2, kind="callEnded")
        assert await following(stream) == {"event": "visit", "state": "ended"}


async def test_a_provider_who_looked_in_early_and_left_ends_nothing_for_the_patient(here: Clinic) -> None:
    provider = await here.provider()
    await here.happen("n-1", 1, staff("p-1"))
    await here.happen("n-2", 2, kind="callEnded")
    patient, watch = await patient_of(here), Watch(here.services.database)
    page = await here.http.get("/visit/patient", headers=await here.cookie(patient))
    assert 'data-state="waiting"' in page.text
    snapshot = await read_provider_snapshot(here.services, provider.visit_key, provider.participant_hash)
    assert snapshot is not None
    assert (snapshot.state, snapshot.patient_waiting_since is not None) == ("ended", True)
    async with aclosing(streams.patient_stream(here.services, watch, patient.visit_key, always)) as stream:
        assert await following(stream) == {"event": "visit", "state": "waiting"}
        await here.provider()
        assert await following(stream) == {"event": "visit", "state": "go"}


async def test_a_page_left_open_waits_for_nobody_after_the_end_nor_after_going_on(here: Clinic) -> None:
    provider, patient = await here.provider(), await patient_of(here)
    watch, headers = Watch(here.services.database), await here.cookie(patient)
    going = await here.http.get("/visit/patient/join", params=visit_query(patient), headers=headers)
    assert going.status_code == 303

    async def waits() -> bool:
        """With the page's stream open, as a provider sees it."""
        async with aclosing(streams.patient_stream(here.services, watch, patient.visit_key, always)) as stream:
            await following(stream)
            here.execute("SELECT pg_notify('visit', encode(visit_key, 'hex')) FROM visit")
            with suppress(TimeoutError):
                async with asyncio.timeout(0.3):
                    await anext(stream)
        snapshot = await read_provider_snapshot(here.services, provider.visit_key, provider.participant_hash)
        assert snapshot is not None
        return snapshot.patient_waiting_since is not None

    assert not await waits()
    await here.happen("n-1", 1, staff("p-1"), guest("p-2"))
    await here.happen("n-2", 2, kind="callEnded")
    assert not await waits()
    assert here.rows("SELECT patient_seen_at FROM visit") == [(None,)]
    assert (await here.http.get("/visit/patient", headers=headers)).status_code == 200
    assert not await waits()
    await here.provider()
    assert await waits(), "a page that was loaded again is somebody again"


async def test_no_page_of_a_patient_holds_the_link_or_other_people(here: Clinic) -> None:
    patient = await patient_of(here)
    await here.provider()
    await here.happen("n-1", 1, staff("p-1"), guest("p-2"))
    page = await here.http.get("/visit/patient", headers=await here.cookie(patient))
    for word in ("meetup-join", "teams.microsoft", patient.visit_key.hex(), "csn-1", "connected", "lobby"):
        assert word not in page.text.lower(), word


async def test_the_patient_goes_on_only_to_the_link_kept_on_the_server(here: Clinic) -> None:
    patient = await patient_of(here)
    headers = await here.cookie(patient)
    query = {**visit_query(patient), "url": "https://evil.example", "joinWebUrl": "https://evil.example"}
    early = await here.http.get("/visit/patient/join", params=query, headers=headers)
    assert early.headers["location"] == "/visit/patient"
    await here.provider()
    going = await here.http.get("/visit/patient/join", params=query, headers=headers)
    meeting = next(iter(here.remotes.meetings.values()))
    assert going.headers["location"] == meeting["joinWebUrl"] + "&browser=true"
    assert here.rows("SELECT count(*) FROM audit WHERE action = 'join-given'") == [(1,)]


# --- a tab of its own -------------------------------------------------------------------------------------------


OURS = {"origin": f"https://{HOST}"}


async def ticket_of(here: Clinic, patient: VisitSession, headers: dict[str, str]) -> str:
    """As the page's script asks for it when its button is pressed."""
    answer = await here.http.post("/visit/patient/ticket", params=visit_query(patient), headers=headers | OURS)
    assert answer.status_code == 200
    return answer.text


async def test_a_framed_page_goes_on_in_a_tab_by_a_ticket_that_works_once(here: Clinic) -> None:
    patient = await patient_of(here)
    form = {"ticket": await ticket_of(here, patient, await here.cookie(patient))}
    answer = await here.http.post("/visit/patient/continue", data=form, headers=OURS)
    assert (answer.status_code, answer.headers["location"]) == (303, "/visit/patient")
    assert (await here.http.post("/visit/patient/continue", data=form, headers=OURS)).status_code == 401
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("__Host-americas-test-patient=")
    assert "Partitioned" in cookie
    assert form["ticket"] not in cookie
    again = await here.http.get("/visit/patient", headers={"cookie": cookie.partition(";")[0]})
    assert again.status_code == 200


async def test_the_button_works_again_and_whatever_page_was_loaded_meanwhile(here: Clinic) -> None:
    patient = await patient_of(here)
    frame, other = await here.cookie(patient), await here.cookie(patient)
    for headers in (frame, other, frame):
        form = {"ticket": await ticket_of(here, patient, headers)}
        assert (await here.http.get("/visit/patient", headers=other)).status_code == 200
        assert (await here.http.post("/visit/patient/continue", data=form, headers=OURS)).status_code == 303


async def test_a_ticket_is_given_to_its_own_page_only(here: Clinic) -> None:
    patient, provider = await patient_of(here), await here.provider()
    headers = await here.cookie(patient)
    for refused in (
        OURS,
        headers,
        headers | {"origin": "https://evil.invalid"},
        headers | {"sec-fetch-site": "cross-site"},
        await here.cookie(provider) | OURS,
    ):
        answer = await here.http.post("/visit/patient/ticket", params=visit_query(patient), headers=refused)
        assert (answer.status_code, answer.text) == (403, "")
    assert (await here.http.post("/visit/patient/ticket", headers=headers | OURS)).status_code == 403


async def test_a_ticket_dies_with_its_page_and_works_from_no_other_site(here: Clinic) -> None:
    patient = await patient_of(here)
    form = {"ticket": await ticket_of(here, patient, await here.cookie(patient))}
    for foreign in ({"sec-fetch-site": "cross-site"}, {"origin": "https://evil.invalid"}, {"origin": "null"}, {}):
        assert (await here.http.post("/visit/patient/continue", data=form, headers=foreign)).status_code == 401
    here.execute("UPDATE visit SET patient_seen_at = now() - interval '3 minutes'")
    assert (await here.http.post("/visit/patient/continue", data=form, headers=OURS)).status_code == 401


async def test_the_waiting_page_lets_its_form_name_its_origin(here: Clinic) -> None:
    page = await here.http.get("/visit/patient", headers=await here.cookie(await patient_of(here)))
    assert page.headers["referrer-policy"] == "same-origin"


# --- headers ----------------------------------------------------------------------------------------------------


async def test_only_the_waiting_page_may_ask_for_camera_and_microphone(here: Clinic) -> None:
    provider, patient = await here.provider(), await patient_of(here)
    pages = {
        party: await here.http.get(f"/visit/{party}", headers=await here.cookie(session))
        for party, session in ((Party.PROVIDER, provider), (Party.PATIENT, patient))
    }
    assert pages[Party.PATIENT].headers["permissions-policy"] == "camera=(self), microphone=(self)"
    assert "camera=()" in pages[Party.PROVIDER].headers["permissions-policy"]
    served = here.services.configuration.connection("lakeside-test")
    assert served is not None
    for page in pages.values():
        policy = page.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'nonce-")
        assert f"frame-ancestors {' '.join(served.connection.frame_origins)}" in policy
        assert page.text.count("<script") == page.text.count(f'<script nonce="{policy.split("nonce-")[1][:22]}"')


@pytest.mark.rule("visit-gone")
async def test_a_visit_that_was_purged_is_over(here: Clinic) -> None:
    provider, patient = await here.provider(), await patient_of(here)
    headers = await here.cookie(provider), await here.cookie(patient)
    here.execute("DELETE FROM visit")
    answer = await here.http.get("/visit/provider", headers=headers[0])
    assert (answer.status_code, code_of(answer)) == (410, "visit-gone")
    assert "has ended" in (await here.http.get("/visit/patient", headers=headers[1])).text
