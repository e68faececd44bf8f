"""The Teams room and its events: from people's clicks to what a subscriber decrypts."""

import json
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest

from tests.support.microsoft import (
    AMARA,
    AMARA_PASSWORD,
    AMARA_UPN,
    APPLICATION,
    BEN,
    BEN_PASSWORD,
    LAKESIDE,
    Microsoft,
    Webhook,
    encryption_certificate,
    running,
    webhook,
)

PREFER = {"Prefer": "include-unknown-enum-members"}
CHLOE = {
    "tenant_id": "1a1a1a1a-0000-4000-8000-000000000002",
    "object_id": "3c3c3c3c-0000-4000-8000-000000000021",
    "password": "nguyen-sample-password",
}
AMARA_FORM = {"tenant_id": LAKESIDE, "object_id": AMARA, "password": AMARA_PASSWORD}
BEN_FORM = {"tenant_id": LAKESIDE, "object_id": BEN, "password": BEN_PASSWORD}
GUEST = {"guest_name": "A guest"}


@pytest.fixture(scope="module")
def microsoft() -> Generator[Microsoft]:
    with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as started:
        yield started


@pytest.fixture
def hook(microsoft: Microsoft) -> Generator[Webhook]:
    with webhook(microsoft.state) as started:
        yield started


@pytest.fixture
def graph(microsoft: Microsoft) -> Generator[httpx.Client]:
    headers = {"Authorization": f"Bearer {microsoft.application_token()}"}
    with microsoft.client(base_url=microsoft.graph, headers=headers) as client:
        yield client


@pytest.fixture
def faults(microsoft: Microsoft) -> Generator[Any]:
    path = microsoft.state / "graph" / "faults.json"

    def write(*listed: dict[str, Any]) -> None:
        path.write_text(json.dumps(listed))

    yield write
    path.unlink(missing_ok=True)


class Room:
    """A meeting's room as drivers use it."""

    def __init__(self, microsoft: Microsoft, graph: httpx.Client, external_id: str, scope: str = "organizer") -> None:
        meetings = f"/v1.0/users/{AMARA}/onlineMeetings"
        self.meeting = graph.post(f"{meetings}/createOrGet", json={"externalId": external_id}).json()
        self.url: str = self.meeting["joinWebUrl"]
        lobby = {"lobbyBypassSettings": {"scope": scope}}
        assert graph.patch(f"{meetings}/{self.meeting['id']}", json=lobby, headers=PREFER).status_code == 200
        self.microsoft = microsoft

    def post(self, action: str, fields: dict[str, str], **headers: str) -> httpx.Response:
        with self.microsoft.client() as client:
            url = f"{self.url.split('?')[0]}/{action}"
            return client.post(url, data=fields, headers={"Accept": "application/json", **headers})

    def join(self, fields: dict[str, str]) -> dict[str, Any]:
        answer = self.post("join", fields)
        assert answer.status_code == 200, answer.text
        return answer.json()


def subscribe(graph: httpx.Client, hook: Webhook, room: Room, **changes: Any) -> str:
    answer = graph.post("/beta/subscriptions", json=hook.subscription(room.url, **changes))
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


# --- a whole visit ---------------------------------------------------------------------------------------------------


def test_a_visit_is_told_step_by_step_encrypted_and_signed(
    microsoft: Microsoft, graph: httpx.Client, hook: Webhook
) -> None:
    room = Room(microsoft, graph, "visit")
    subscription = subscribe(graph, hook, room)
    patient = room.join(GUEST)
    assert patient["state"] == "lobby"
    assert [p["name"] for p in patient["participants"]] == ["A guest"]
    provider = room.join(AMARA_FORM)
    assert provider["state"] == "connected"
    room.post("admit", {"token": provider["token"], "participant_id": patient["participant_id"]})
    room.post("leave", {"token": patient["token"]})
    room.post("end", {"token": provider["token"]})

    events = hook.events(6)
    kinds = ["callStarted", "rosterUpdated", "rosterUpdated", "rosterUpdated", "rosterUpdated", "callEnded"]
    assert [e["eventType"] for e in events] == kinds
    assert sorted(e["eventDateTime"] for e in events) == [e["eventDateTime"] for e in events]
    waiting, came, admitted, left = (e["participants@delta"][0] for e in events[1:5])
    guest = waiting["info"]["identity"]["guest"]["id"]
    assert waiting == {
        "id": patient["participant_id"], "isInLobby": True, "info": {"identity": {"guest": {"id": guest}}}
    }  # fmt: skip
    assert came["info"]["identity"] == {"user": {"id": AMARA, "tenantId": LAKESIDE}}
    assert not came["isInLobby"]
    assert admitted == {**waiting, "isInLobby": False}
    assert left["removedState"] == {"reason": "left"}
    assert left["id"] == patient["participant_id"]

    body = hook.bodies[0]
    item = body["value"][0]
    assert (item["subscriptionId"], item["tenantId"], item["clientState"]) == (subscription, LAKESIDE, "client-state-1")
    assert item["encryptedContent"]["encryptionCertificateId"] == "certificate-1"
    assert item["resource"].endswith("Events")
    with microsoft.client() as client:
        keys = client.get(f"{microsoft.entra}/{LAKESIDE}/discovery/v2.0/keys").json()["keys"]
    claims = jwt.decode(
        body["validationTokens"][0], jwt.PyJWK(keys[0]), algorithms=["RS256"], audience=APPLICATION,
        issuer=f"{microsoft.entra}/{LAKESIDE}/v2.0",
    )  # fmt: skip
    assert (claims["azp"], claims["tid"]) == ("0bf30f3b-4a52-48df-9a82-234910c4a086", LAKESIDE)


def test_a_rotated_certificate_is_used_from_then_on(microsoft: Microsoft, graph: httpx.Client, hook: Webhook) -> None:
    room = Room(microsoft, graph, "rotated")
    path = f"/beta/subscriptions/{subscribe(graph, hook, room)}"
    hook.key, certificate = encryption_certificate(3072)
    graph.patch(path, json={"encryptionCertificate": certificate, "encryptionCertificateId": "certificate-2"})
    room.join(GUEST)
    assert [e["eventType"] for e in hook.events(2)] == ["callStarted", "rosterUpdated"]


def test_the_call_ends_when_the_last_person_leaves(microsoft: Microsoft, graph: httpx.Client, hook: Webhook) -> None:
    room = Room(microsoft, graph, "last")
    subscribe(graph, hook, room)
    room.post("leave", {"token": room.join(GUEST)["token"]})
    assert [e["eventType"] for e in hook.events(4)][2:] == ["rosterUpdated", "callEnded"]


def test_a_deleted_subscription_hears_nothing_more(microsoft: Microsoft, graph: httpx.Client, hook: Webhook) -> None:
    room = Room(microsoft, graph, "deleted")
    first = subscribe(graph, hook, room)
    room.join(GUEST)
    hook.wait(2)
    graph.delete(f"/beta/subscriptions/{first}")
    room.join(GUEST)
    second = subscribe(graph, hook, room)
    room.join(GUEST)
    assert [b["value"][0]["subscriptionId"] for b in hook.wait(3)] == [first, first, second]


# --- delivery --------------------------------------------------------------------------------------------------------


def test_what_is_not_accepted_comes_again(microsoft: Microsoft, graph: httpx.Client, hook: Webhook) -> None:
    room = Room(microsoft, graph, "again")
    subscribe(graph, hook, room)
    hook.statuses = [503, 202, 500, 202]
    room.join(GUEST)
    ids = [e["id"] for e in hook.events(4)]
    assert len(set(ids)) == 2
    assert sorted(ids.count(i) for i in set(ids)) in ([2, 2], [1, 3])


def test_a_duplicate_and_disorder_can_be_asked_for(
    microsoft: Microsoft, graph: httpx.Client, hook: Webhook, faults: Any
) -> None:
    room = Room(microsoft, graph, "faults")
    subscribe(graph, hook, room)
    faults({"notifications": "disorder", "times": 1}, {"notifications": "duplicate", "times": 1})
    room.join(GUEST)
    kinds = [e["eventType"] for e in hook.events(3)]
    assert kinds == ["rosterUpdated", "rosterUpdated", "callStarted"]


def test_a_notification_can_get_lost(microsoft: Microsoft, graph: httpx.Client, hook: Webhook, faults: Any) -> None:
    room = Room(microsoft, graph, "lost")
    subscribe(graph, hook, room)
    faults({"notifications": "drop", "times": 1})
    room.join(GUEST)
    assert hook.events(1)[0]["eventType"] == "rosterUpdated"


def test_lifecycle_notifications_go_to_their_own_url(
    microsoft: Microsoft, graph: httpx.Client, hook: Webhook, faults: Any
) -> None:
    room = Room(microsoft, graph, "lifecycle")
    subscription = subscribe(graph, hook, room)
    faults({"lifecycle": "subscriptionRemoved", "times": 1})
    room.join(GUEST)
    item = next(b["value"][0] for b in hook.wait(1) if "lifecycleEvent" in b["value"][0])
    assert (item["lifecycleEvent"], item["subscriptionId"]) == ("subscriptionRemoved", subscription)
    assert graph.get(f"/beta/subscriptions/{subscription}").status_code == 404


def test_meetings_subscriptions_and_undelivered_events_survive_a_restart(
    microsoft: Microsoft, graph: httpx.Client, hook: Webhook
) -> None:
    room = Room(microsoft, graph, "restart")
    subscribe(graph, hook, room)
    hook.statuses = [500] * 4
    provider = room.join(AMARA_FORM)
    hook.wait(2)
    microsoft.stop("graph")
    hook.statuses = []
    before = len(hook.bodies)
    microsoft.start("graph")
    assert hook.events(before + 2)[-1]["eventType"] in ("callStarted", "rosterUpdated")
    assert room.post("end", {"token": provider["token"]}).json()["in_call"] is False
    assert hook.events(before + 3)[-1]["eventType"] == "callEnded"


# --- the room --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scope", "colleague", "outsider", "guest"),
    [
        ("organizer", "lobby", "lobby", "lobby"),
        ("invited", "lobby", "lobby", "lobby"),
        ("organization", "connected", "lobby", "lobby"),
        ("organizationExcludingGuests", "connected", "lobby", "lobby"),
        ("organizationAndFederated", "connected", "connected", "lobby"),
        ("everyone", "connected", "connected", "connected"),
    ],
)
def test_the_lobby_holds_back_whom_its_scope_says(
    microsoft: Microsoft, graph: httpx.Client, scope: str, colleague: str, outsider: str, guest: str
) -> None:
    room = Room(microsoft, graph, f"scope {scope}", scope)
    assert room.join(AMARA_FORM)["state"] == "connected"
    assert [room.join(who)["state"] for who in (BEN_FORM, CHLOE, GUEST)] == [colleague, outsider, guest]


def test_only_the_organizer_admits_removes_and_ends(microsoft: Microsoft, graph: httpx.Client) -> None:
    room = Room(microsoft, graph, "rights", "organization")
    guest, colleague = room.join(GUEST), room.join(BEN_FORM)
    for action in ("admit", "remove", "end"):
        fields = {"token": colleague["token"], "participant_id": guest["participant_id"]}
        assert room.post(action, fields).status_code == 403
    assert room.post("admit", {"token": guest["token"], "participant_id": guest["participant_id"]}).status_code == 403


@pytest.mark.parametrize(
    "fields",
    [
        {**AMARA_FORM, "password": BEN_PASSWORD},
        {**AMARA_FORM, "tenant_id": CHLOE["tenant_id"]},
        {"login": AMARA_UPN, "password": ""},
        {},
    ],
)
def test_nobody_joins_as_staff_without_their_password(
    microsoft: Microsoft, graph: httpx.Client, fields: dict[str, str]
) -> None:
    assert Room(microsoft, graph, "password").post("join", fields).status_code == 403


def test_a_strangers_token_and_another_sites_form_do_nothing(microsoft: Microsoft, graph: httpx.Client) -> None:
    room = Room(microsoft, graph, "forgery")
    provider = room.join(AMARA_FORM)
    assert room.post("end", {"token": "guess"}).status_code == 403
    assert room.post("end", {"token": provider["token"]}, Origin="https://evil.example").status_code == 403
    other = Room(microsoft, graph, "forgery 2")
    assert other.post("end", {"token": provider["token"]}).status_code == 403


def test_people_join_and_admit_by_the_page(microsoft: Microsoft, graph: httpx.Client) -> None:
    room = Room(microsoft, graph, "page")
    path = room.url.split("?")[0]
    with microsoft.client(follow_redirects=True) as patient, microsoft.client(follow_redirects=True) as provider:
        assert "Join as a guest" in patient.get(room.url).text
        assert "You are in the lobby" in patient.post(f"{path}/join", data=GUEST).text
        page = provider.post(f"{path}/join", data={"login": AMARA_UPN, "password": AMARA_PASSWORD}).text
        assert "You are in the meeting" in page
        assert "Admit" in page
        assert "Admit" not in provider.post(f"{path}/admit", data={"everyone": "true"}).text
        seen = patient.get(room.url).text
        assert "You are in the meeting" in seen
        assert "Dr. Amara Okafor" in seen
        assert "End meeting" not in seen
        assert patient.get(f"{path}/state").json()["state"] == "connected"
        assert "no longer in this meeting" in patient.post(f"{path}/leave").text


def test_a_link_to_no_meeting_is_not_found(microsoft: Microsoft) -> None:
    with microsoft.client() as client:
        answer = client.get(f"{microsoft.graph}/l/meetup-join/19%3ameeting_x%40thread.v2/0")
    assert answer.status_code == 404
    assert answer.headers["x-frame-options"] == "DENY"


def test_who_waits_in_the_lobby_sees_nobody_else(microsoft: Microsoft, graph: httpx.Client) -> None:
    room = Room(microsoft, graph, "unseen")
    room.join(AMARA_FORM)
    waiting = room.join(GUEST)
    assert [p["name"] for p in waiting["participants"]] == ["A guest"]
