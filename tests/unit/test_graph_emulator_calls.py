"""The emulated Graph's calls: meetings, lobby and subscriptions as documented, and what the real one refuses."""

import base64
import json
import tempfile
import time
from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import serialization

from tests.support.microsoft import (
    AMARA,
    APPLICATION,
    BEN,
    LAKESIDE,
    PRAIRIE,
    Microsoft,
    Webhook,
    encryption_certificate,
    running,
    webhook,
    world_on_free_ports,
)

CALLS: list[tuple[str, str]] = [
    ("POST", f"/v1.0/users/{AMARA}/onlineMeetings/createOrGet"),
    ("GET", f"/v1.0/users/{AMARA}/onlineMeetings/m"),
    ("PATCH", f"/v1.0/users/{AMARA}/onlineMeetings/m"),
    ("GET", f"/v1.0/users/{AMARA}/onlineMeetings/m/getVirtualAppointmentJoinWebUrl"),
    ("POST", "/beta/subscriptions"),
    ("GET", "/beta/subscriptions"),
    ("GET", "/beta/subscriptions/s"),
    ("PATCH", "/beta/subscriptions/s"),
    ("DELETE", "/beta/subscriptions/s"),
    ("POST", "/beta/subscriptions/s/reauthorize"),
]
UNKNOWN_MEMBERS = {"Prefer": "include-unknown-enum-members"}


@pytest.fixture(scope="module")
def microsoft() -> Generator[Microsoft]:
    world = world_on_free_ports(meetings_per_user_and_month=60)
    policies = tuple(p for p in world.graph.access_policies if p.tenant_id != PRAIRIE)
    world = world.model_copy(update={"graph": world.graph.model_copy(update={"access_policies": policies})})
    with tempfile.TemporaryDirectory() as folder, running(Path(folder), world) as started:
        yield started


@pytest.fixture(scope="module")
def token(microsoft: Microsoft) -> str:
    return microsoft.application_token()


@pytest.fixture(scope="module")
def graph(microsoft: Microsoft, token: str) -> Generator[httpx.Client]:
    with microsoft.client(base_url=microsoft.graph, headers={"Authorization": f"Bearer {token}"}) as client:
        yield client


@pytest.fixture(scope="module")
def hook(microsoft: Microsoft) -> Generator[Webhook]:
    with webhook(microsoft.state) as started:
        yield started


@pytest.fixture
def faults(microsoft: Microsoft) -> Generator[Any]:
    path = microsoft.state / "graph" / "faults.json"

    def write(*listed: dict[str, Any]) -> None:
        path.write_text(json.dumps(listed))

    yield write
    path.unlink(missing_ok=True)


def create(graph: httpx.Client, external_id: str, user: str = AMARA, **body: Any) -> httpx.Response:
    return graph.post(f"/v1.0/users/{user}/onlineMeetings/createOrGet", json={"externalId": external_id, **body})


def meeting_path(meeting: dict[str, Any]) -> str:
    return f"/v1.0/users/{AMARA}/onlineMeetings/{meeting['id']}"


# --- meetings --------------------------------------------------------------------------------------------------------


def test_create_or_get_makes_a_meeting_once_for_each_organizer_and_external_id(graph: httpx.Client) -> None:
    first, again, other = create(graph, "once"), create(graph, "once", subject="x"), create(graph, "once", BEN)
    assert [first.status_code, again.status_code, other.status_code] == [201, 200, 201]
    assert first.json()["id"] == again.json()["id"] != other.json()["id"]
    assert again.json()["subject"] is None


def test_the_join_link_is_percent_encoded_as_teams_does(microsoft: Microsoft, graph: httpx.Client) -> None:
    url = create(graph, "link").json()["joinWebUrl"]
    assert url.startswith(f"{microsoft.graph}/l/meetup-join/19%3ameeting_")
    assert "%40thread.v2/0?context=%7b%22Tid" in url


@pytest.mark.parametrize(
    "body",
    [
        {"lobbyBypassSettings": {"scope": "organizer"}},
        {"allowedPresenters": "organizer"},
        {"joinMeetingIdSettings": {}},
        {"externalId": ""},
        {"externalId": None},
        {"externalId": 7},
        {"subject": 7},
        {"endDateTime": "2026-01-05T14:00:00Z"},
        {"startDateTime": "2026-01-05T14:00:00Z", "endDateTime": "2026-01-05T13:00:00Z"},
        {"startDateTime": "today"},
        {"participants": {"organizer": {}}},
    ],
)
def test_create_or_get_takes_the_documented_properties_only(graph: httpx.Client, body: dict[str, Any]) -> None:
    answer = graph.post(f"/v1.0/users/{AMARA}/onlineMeetings/createOrGet", json={"externalId": "strict", **body})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "BadRequest")


def test_the_lobby_is_set_by_patch_and_read_back(graph: httpx.Client) -> None:
    path = meeting_path(create(graph, "lobby").json())
    assert graph.patch(path, json={"lobbyBypassSettings": {"scope": "organizer"}}).status_code == 200
    assert graph.get(path).json()["lobbyBypassSettings"] == {"scope": "organizer", "isDialInBypassEnabled": False}


def test_invited_needs_the_preference_to_be_written_and_to_be_read(graph: httpx.Client) -> None:
    path, body = meeting_path(create(graph, "invited").json()), {"lobbyBypassSettings": {"scope": "invited"}}
    assert graph.patch(path, json=body).status_code == 400
    assert graph.patch(path, json=body, headers=UNKNOWN_MEMBERS).status_code == 200
    assert graph.get(path).json()["lobbyBypassSettings"]["scope"] == "unknownFutureValue"
    assert graph.get(path, headers=UNKNOWN_MEMBERS).json()["lobbyBypassSettings"]["scope"] == "invited"


@pytest.mark.parametrize(
    "body", [{"lobbyBypassSettings": {"scope": "nobody"}}, {"externalId": "x"}, {"joinWebUrl": "x"}]
)
def test_what_cannot_be_patched_is_refused(graph: httpx.Client, body: dict[str, Any]) -> None:
    path = meeting_path(create(graph, "patch").json())
    assert graph.patch(path, json=body, headers=UNKNOWN_MEMBERS).status_code == 400


def test_the_virtual_appointment_link_leads_to_the_same_room(graph: httpx.Client) -> None:
    meeting = create(graph, "browser").json()
    value = graph.get(meeting_path(meeting) + "/getVirtualAppointmentJoinWebUrl").json()["value"]
    assert value.split("?")[0] == meeting["joinWebUrl"].split("?")[0]


def test_without_an_application_access_policy_meetings_are_forbidden(microsoft: Microsoft, graph: httpx.Client) -> None:
    headers = {"Authorization": f"Bearer {microsoft.application_token(PRAIRIE)}"}
    path = "/v1.0/users/3c3c3c3c-0000-4000-8000-000000000021/onlineMeetings/createOrGet"
    answer = graph.post(path, json={"externalId": "x"}, headers=headers)
    assert answer.status_code == 403
    assert answer.json()["error"]["message"] == "No application access policy found for this app"


def test_a_user_of_another_tenant_is_not_found(graph: httpx.Client) -> None:
    assert create(graph, "other", "3c3c3c3c-0000-4000-8000-000000000021").status_code == 404


def test_another_users_meeting_is_not_found(graph: httpx.Client) -> None:
    meeting = create(graph, "mine").json()
    assert graph.get(f"/v1.0/users/{BEN}/onlineMeetings/{meeting['id']}").status_code == 404


def test_the_monthly_quota_of_a_user_is_kept(microsoft: Microsoft, graph: httpx.Client) -> None:
    quota = microsoft.world.graph.meetings_per_user_and_month
    user = "3c3c3c3c-0000-4000-8000-000000000018"
    assert {create(graph, f"q{i}", user).status_code for i in range(quota)} == {201}
    refused = create(graph, "one more", user)
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) > 0
    assert create(graph, "q0", user).status_code == 200


# --- callers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "path"), CALLS)
def test_every_call_needs_a_token(graph: httpx.Client, method: str, path: str) -> None:
    answer = graph.request(method, path, headers={"Authorization": ""})
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "InvalidAuthenticationToken")
    assert "www-authenticate" in answer.headers


@pytest.mark.parametrize(
    ("claims", "status"),
    [
        ({"aud": "https://graph.example"}, 401),
        ({"exp": 1}, 401),
        ({"tid": PRAIRIE}, 401),
        ({"iss": "https://evil.example/"}, 401),
        ({"roles": []}, 403),
        ({"roles": ["VirtualAppointment.Read.All"]}, 403),
    ],
)
@pytest.mark.parametrize(("method", "path"), [c for c in CALLS if not c[1].endswith("Url")])
def test_a_token_for_another_thing_is_refused_everywhere(
    microsoft: Microsoft, graph: httpx.Client, token: str, claims: dict[str, Any], status: int, method: str, path: str
) -> None:
    private = serialization.load_pem_private_key((microsoft.state / "entra" / "signing-key.pem").read_bytes(), None)
    real = jwt.decode(token, options={"verify_signature": False})
    forged = jwt.encode({**real, **claims}, private, "RS256")  # pyright: ignore[reportArgumentType]
    assert graph.request(method, path, headers={"Authorization": f"Bearer {forged}"}).status_code == status


@pytest.mark.parametrize("algorithm", ["none", "HS256"])
def test_a_token_not_signed_by_entra_is_refused(graph: httpx.Client, token: str, algorithm: str) -> None:
    claims = jwt.decode(token, options={"verify_signature": False})
    forged = jwt.encode(claims, "" if algorithm == "none" else "s" * 64, algorithm)
    answer = graph.get("/beta/subscriptions", headers={"Authorization": f"Bearer {forged}"})
    assert answer.status_code == 401


def test_what_is_not_emulated_says_so(graph: httpx.Client) -> None:
    assert graph.get("/v1.0/me").status_code == 501


# --- faults ----------------------------------------------------------------------------------------------------------


def test_faults_happen_as_often_as_told(graph: httpx.Client, faults: Any) -> None:
    faults({"method": "POST", "path_suffix": "/createOrGet", "status": 429, "retry_after": 2, "times": 1})
    first, second = create(graph, "fault"), create(graph, "fault")
    assert (first.status_code, first.headers["retry-after"], second.status_code) == (429, "2", 201)


def test_an_answer_can_be_lost_after_the_call_was_carried_out(graph: httpx.Client, faults: Any) -> None:
    faults({"path_prefix": "/v1.0/users/", "status": 504, "when": "after", "times": 1})
    assert [create(graph, "lost").status_code, create(graph, "lost").status_code] == [504, 200]


def test_an_answer_can_be_slow(graph: httpx.Client, faults: Any) -> None:
    faults({"delay_seconds": 0.5, "times": 1})
    started = time.monotonic()
    assert create(graph, "slow").status_code == 201
    assert time.monotonic() - started >= 0.5


def test_a_faults_file_that_does_not_read_is_refused_aloud(graph: httpx.Client, faults: Any) -> None:
    faults({"statsu": 429})
    assert create(graph, "aloud").json()["error"]["code"] == "EmulatorMisconfigured"


# --- subscriptions ---------------------------------------------------------------------------------------------------


def test_a_subscription_is_made_after_both_urls_repeated_their_tokens(graph: httpx.Client, hook: Webhook) -> None:
    hook.validations.clear()
    meeting = create(graph, "subscribe").json()
    answer = graph.post("/beta/subscriptions", json=hook.subscription(meeting["joinWebUrl"]))
    assert answer.status_code == 201
    assert hook.validations == ["/notify", "/lifecycle"]
    made = answer.json()
    assert graph.get(f"/beta/subscriptions/{made['id']}").json()["clientState"] is None
    assert [s["id"] for s in graph.get("/beta/subscriptions").json()["value"]] == [made["id"]]
    again = graph.post("/beta/subscriptions", json=hook.subscription(meeting["joinWebUrl"]))
    assert again.status_code == 409
    assert graph.delete(f"/beta/subscriptions/{made['id']}").status_code == 204
    assert graph.get(f"/beta/subscriptions/{made['id']}").status_code == 404


def test_no_subscription_without_the_right_echo(graph: httpx.Client, hook: Webhook) -> None:
    meeting = create(graph, "echo").json()
    hook.echo = False
    try:
        answer = graph.post("/beta/subscriptions", json=hook.subscription(meeting["joinWebUrl"]))
    finally:
        hook.echo = True
    assert answer.status_code == 400
    assert "validation request failed" in answer.json()["error"]["message"]
    assert graph.get("/beta/subscriptions").json()["value"] == []


def _in(**delta: float) -> str:
    return (datetime.now(UTC) + timedelta(**delta)).isoformat()


@pytest.mark.parametrize(
    "changes",
    [
        {"changeType": "created"},
        {"expirationDateTime": _in(days=30)},
        {"expirationDateTime": _in(minutes=-1)},
        {"includeResourceData": False},
        {"includeResourceData": None},
        {"encryptionCertificate": None},
        {"encryptionCertificateId": None},
        {"encryptionCertificate": base64.b64encode(b"not a certificate").decode()},
        {"encryptionCertificate": encryption_certificate(1024)[1]},
        {"clientState": "c" * 129},
        {"notificationUrl": "http://127.0.0.1:1/notify"},
        {"lifecycleNotificationUrl": None},
        {"resource": "communications/onlineMeetings/x/meetingCallEvents"},
        {"somethingElse": 1},
    ],
)
def test_a_subscription_asked_for_wrongly_is_refused(
    graph: httpx.Client, hook: Webhook, changes: dict[str, Any]
) -> None:
    meeting = create(graph, "wrong").json()
    answer = graph.post("/beta/subscriptions", json=hook.subscription(meeting["joinWebUrl"], **changes))
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "ValidationError")


def test_the_join_link_must_be_encoded_once_more(graph: httpx.Client, hook: Webhook) -> None:
    url = create(graph, "encode").json()["joinWebUrl"]
    plain = f"communications/onlineMeetings(joinWebUrl='{url}')/meetingCallEvents"
    thrice = plain.replace(url, quote(quote(url, safe=""), safe=""))
    assert graph.post("/beta/subscriptions", json=hook.subscription(url, resource=plain)).status_code == 400
    assert graph.post("/beta/subscriptions", json=hook.subscription(url, resource=thrice)).status_code == 404


def test_a_subscription_is_renewed_reauthorized_and_its_certificate_rotated(graph: httpx.Client, hook: Webhook) -> None:
    meeting = create(graph, "renew").json()
    made = graph.post("/beta/subscriptions", json=hook.subscription(meeting["joinWebUrl"])).json()
    path = f"/beta/subscriptions/{made['id']}"
    try:
        assert graph.patch(path, json={"expirationDateTime": _in(minutes=60)}).status_code == 200
        assert graph.patch(path, json={"expirationDateTime": _in(minutes=4340)}).status_code == 400
        assert graph.patch(path, json={"encryptionCertificateId": "certificate-2"}).status_code == 400
        rotated = {"encryptionCertificate": encryption_certificate()[1], "encryptionCertificateId": "certificate-2"}
        assert graph.patch(path, json=rotated).json()["encryptionCertificateId"] == "certificate-2"
        assert graph.patch(path, json={"lifecycleNotificationUrl": "https://127.0.0.1/x"}).status_code == 400
        assert graph.post(f"{path}/reauthorize").status_code == 204
    finally:
        graph.delete(path)


def test_the_raw_log_holds_what_refused_requests_carried(microsoft: Microsoft, graph: httpx.Client) -> None:
    create(graph, "x", joinWebUrl="canary-of-a-patient")
    graph.post("/beta/subscriptions", json={"x": "second-canary"}, headers={"Authorization": ""})
    text = (microsoft.state / "graph" / "raw-requests.jsonl").read_text()
    assert "canary-of-a-patient" in text
    assert "second-canary" in text


def test_the_application_of_the_token_is_the_subscriptions_owner(
    microsoft: Microsoft, graph: httpx.Client, hook: Webhook
) -> None:
    made = graph.post("/beta/subscriptions", json=hook.subscription(create(graph, "owner").json()["joinWebUrl"])).json()
    try:
        assert made["applicationId"] == APPLICATION
        other = {"Authorization": f"Bearer {microsoft.application_token(PRAIRIE)}"}
        assert graph.get(f"/beta/subscriptions/{made['id']}", headers=other).status_code == 404
        assert LAKESIDE not in graph.get("/beta/subscriptions", headers=other).text
    finally:
        graph.delete(f"/beta/subscriptions/{made['id']}")
