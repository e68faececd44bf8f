"""Microsoft Graph: the one client, for the calls that a visit needs.

Owns requests, answers and retries. 429 is retried after its Retry-After, 5xx and time-outs with back-off, all bounded
by `PATIENCE_SECONDS`; who called continues later by a job. Leaves out when to call (`prepare.py`, `renewal.py`) and
tokens (`app_tokens.py`).
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast
from urllib.parse import quote, urlsplit

import stamina

from runtime.errors import ProtocolError, RemoteUnavailable
from runtime.http import HttpClients, Response
from runtime.meeting.errors import GraphNotFound, GraphRefused, GraphUnavailable
from runtime.meeting.join_links import Meeting

PATIENCE_SECONDS = 8.0
"""Longer than this a page shall not wait; a Retry-After beyond it is left to the worker."""

ATTEMPTS = 3

LOBBY_SCOPE = "organizer"
"""Everybody but the organiser waits until admitted. `organization` would let an employee who is a patient pass, and
`invited` is outside Graph's declared enumeration and depends on a list of invited people that visits do not keep."""

TokenSource = Callable[[str], Awaitable[str]]
"""Tenant id to an app-only access token for Graph. Raises `GraphFailure`."""


@dataclass(frozen=True)
class Subscription:
    id: str
    notification_url: str
    expires_at: datetime


@dataclass(frozen=True)
class SubscriptionRequest:
    """Where notifications of a meeting go; URLs hold an unguessable path."""

    join_web_url: str
    notification_url: str
    lifecycle_url: str
    client_state: str
    certificate: str
    certificate_id: str
    expires_at: datetime


@dataclass(frozen=True)
class Renewal:
    """`certificate` is base64 of DER."""

    certificate: str
    certificate_id: str
    expires_at: datetime


class Graph:
    """App-only access to Graph in each organisation's tenant."""

    def __init__(self, http: HttpClients, graph_url: str, token: TokenSource) -> None:
        self._url = graph_url
        self._remote = http.to([graph_url])
        self._token = token

    async def create_or_get_meeting(self, tenant: str, organizer: str, external_id: str, subject: str) -> Meeting:
        """The organiser's meeting with that external id: the same one however often it is asked for."""
        body = {"externalId": external_id, "subject": subject}
        answer = await self._call("createOrGet", tenant, "POST", f"{_meetings(organizer)}/createOrGet", body)
        return Meeting(_text(answer, "id", "createOrGet"), _https(_text(answer, "joinWebUrl", "createOrGet")))

    async def set_lobby(self, tenant: str, organizer: str, meeting_id: str) -> None:
        body = {"lobbyBypassSettings": {"scope": LOBBY_SCOPE, "isDialInBypassEnabled": False}}
        await self._call("lobby", tenant, "PATCH", f"{_meetings(organizer)}/{_segment(meeting_id)}", body)

    async def lobby_holds(self, tenant: str, organizer: str, meeting_id: str) -> bool:
        """Whether the lobby, read back, is the one that was asked for."""
        answer = await self._call("lobby", tenant, "GET", f"{_meetings(organizer)}/{_segment(meeting_id)}")
        settings = answer.get("lobbyBypassSettings")
        if not isinstance(settings, dict):
            return False
        found = cast("dict[str, Any]", settings)
        return found.get("scope") == LOBBY_SCOPE and found.get("isDialInBypassEnabled") is False

    async def virtual_appointment_url(self, tenant: str, organizer: str, meeting_id: str) -> str:
        """The browser link that never asks for the app, where this cloud gives it to apps."""
        path = f"{_meetings(organizer)}/{_segment(meeting_id)}/getVirtualAppointmentJoinWebUrl"
        answer = await self._call("getVirtualAppointmentJoinWebUrl", tenant, "GET", path)
        return _https(_text(answer, "value", "getVirtualAppointmentJoinWebUrl"))

    async def subscribe(self, tenant: str, request: SubscriptionRequest) -> Subscription:
        body = {
            "changeType": "updated",
            "resource": call_events_resource(request.join_web_url),
            "notificationUrl": request.notification_url,
            "lifecycleNotificationUrl": request.lifecycle_url,
            "expirationDateTime": _rfc3339(request.expires_at),
            "clientState": request.client_state,
            "includeResourceData": True,
            "encryptionCertificate": request.certificate,
            "encryptionCertificateId": request.certificate_id,
        }
        return _subscription(await self._call("subscribe", tenant, "POST", "/beta/subscriptions", body))

    async def subscriptions(self, tenant: str) -> tuple[Subscription, ...]:
        """The app's subscriptions in a tenant, first page."""
        answer = await self._call("subscriptions", tenant, "GET", "/beta/subscriptions")
        found = answer.get("value")
        items = cast("list[object]", found) if isinstance(found, list) else []
        return tuple(_subscription(cast("dict[str, Any]", item)) for item in items if isinstance(item, dict))

    async def renew(self, tenant: str, subscription_id: str, renewal: Renewal) -> None:
        """Both certificate fields go with it, so that a rotated certificate is used from then on."""
        body = {
            "expirationDateTime": _rfc3339(renewal.expires_at),
            "encryptionCertificate": renewal.certificate,
            "encryptionCertificateId": renewal.certificate_id,
        }
        await self._call("renew", tenant, "PATCH", f"/beta/subscriptions/{_segment(subscription_id)}", body)

    async def unsubscribe(self, tenant: str, subscription_id: str) -> None:
        try:
            await self._call("unsubscribe", tenant, "DELETE", f"/beta/subscriptions/{_segment(subscription_id)}")
        except GraphNotFound:
            return

    async def _call(
        self, operation: str, tenant: str, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        answer: dict[str, Any] = {}
        async for attempt in stamina.retry_context(
            on=_wait_before_retry, attempts=ATTEMPTS, timeout=PATIENCE_SECONDS, wait_initial=0.3, wait_max=3.0
        ):
            with attempt:
                answer = await self._once(operation, tenant, method, path, body)
        return answer

    async def _once(
        self, operation: str, tenant: str, method: str, path: str, body: Mapping[str, Any] | None
    ) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {await self._token(tenant)}", "Accept": "application/json"}
        if method in ("PATCH", "GET"):
            headers["Prefer"] = "include-unknown-enum-members"
        try:
            response = await self._remote.request(method, self._url + path, json=body, headers=headers)
        except RemoteUnavailable as e:
            raise GraphUnavailable(operation, "unavailable", retry_after=e.retry_after) from None
        except ProtocolError:
            raise GraphRefused(operation, "not-graphs-answer") from None
        if response.status in (404, 410):
            raise GraphNotFound(operation, _code(response), response.status)
        if not response.ok:
            raise GraphRefused(operation, _code(response), response.status)
        return _object(operation, response) if response.body else {}


def call_events_resource(join_web_url: str) -> str:
    """The resource of a meeting's call events: the join URL, as encoded as it comes, is encoded once more."""
    return f"communications/onlineMeetings(joinWebUrl='{quote(join_web_url, safe='')}')/meetingCallEvents"


def _wait_before_retry(error: Exception) -> bool | float:
    if not isinstance(error, GraphUnavailable):
        return False
    if error.retry_after is None:
        return True
    return error.retry_after if error.retry_after < PATIENCE_SECONDS else False


def _meetings(organizer: str) -> str:
    return f"/v1.0/users/{_segment(organizer)}/onlineMeetings"


def _segment(value: str) -> str:
    return quote(value, safe="")


def _rfc3339(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _object(operation: str, response: Response) -> dict[str, Any]:
    try:
        return response.json_object()
    except ProtocolError:
        raise GraphRefused(operation, "not-a-json-object", response.status) from None


def _text(answer: Mapping[str, Any], name: str, operation: str) -> str:
    value = answer.get(name)
    if not isinstance(value, str) or not value:
        raise GraphRefused(operation, f"no-{name}")
    return value


def _https(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname or "@" in parts.netloc:
        raise GraphRefused("link", "not-https")
    return url


def _subscription(answer: Mapping[str, Any]) -> Subscription:
    try:
        expires = datetime.fromisoformat(_text(answer, "expirationDateTime", "subscription"))
    except ValueError:
        raise GraphRefused("subscription", "expirationDateTime") from None
    url = answer.get("notificationUrl")
    return Subscription(_text(answer, "id", "subscription"), url if isinstance(url, str) else "", expires)


_KNOWN_CODE_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")
_NO_ACCESS_POLICY = "no application access policy found"


def _code(response: Response) -> str:
    """Graph's error code, or ours for the one refusal that is told apart by its message only."""
    try:
        error = response.json_object().get("error")
    except ProtocolError:
        error = None
    fields = cast("dict[str, Any]", error) if isinstance(error, dict) else {}
    code, message = fields.get("code"), fields.get("message")
    if response.status == 403 and isinstance(message, str) and _NO_ACCESS_POLICY in message.lower():
        return "NoApplicationAccessPolicy"
    if isinstance(code, str) and 0 < len(code) <= 64 and set(code) <= _KNOWN_CODE_CHARACTERS:
        return code
    return f"status-{response.status}"
