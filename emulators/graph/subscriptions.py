"""Subscriptions to meeting call events (beta): what may be asked, the validation handshake, renewal, end.

Owns the rules of "subscription resource type" and "Get change notifications for Microsoft Teams meeting call updates".
Sending is in `delivery.py`.
"""

import re
import secrets
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol
from urllib.parse import quote, unquote, urlsplit

from emulators.graph import errors
from emulators.graph.authentication import MEETINGS_PERMISSION, Caller
from emulators.graph.encryption import load_certificate
from emulators.graph.meetings import graph_time
from emulators.graph.model import Meeting, Store, Subscription

MAXIMUM_LIFETIME = timedelta(minutes=4320)
LIFECYCLE_URL_NEEDED_AFTER = timedelta(hours=1)
REQUIRED = ("changeType", "notificationUrl", "resource", "expirationDateTime")
CREATE_PROPERTIES = frozenset(
    {*REQUIRED, "lifecycleNotificationUrl", "clientState", "includeResourceData", "encryptionCertificate",
     "encryptionCertificateId", "latestSupportedTlsVersion"}
)  # fmt: skip
UPDATE_PROPERTIES = frozenset({"expirationDateTime", "encryptionCertificate", "encryptionCertificateId"})
RESOURCE = re.compile(r"/?communications/onlineMeetings\(joinWebUrl='([^']+)'\)/meetingCallEvents")


class Validator(Protocol):
    """Asks an endpoint to repeat a token within 10 s."""

    async def validates(self, url: str, token: str) -> bool: ...


class Subscriptions:
    """What an application may do with its subscriptions."""

    def __init__(self, store: Store, validator: Validator, clock: Callable[[], float]) -> None:
        self._store, self._validator, self._clock = store, validator, clock
        self._being_made: set[tuple[str, str]] = set()

    async def create(self, caller: Caller, body: Mapping[str, Any]) -> Subscription:
        caller.require(MEETINGS_PERMISSION)
        self._check(body)
        meeting = self._meeting(caller, str(body["resource"]))
        key = (caller.application_id, meeting.id)
        if key in self._being_made or self._subscribed(caller, meeting):
            raise errors.GraphError(
                409, "Conflict", "A subscription of this application for this meeting exists already."
            )
        self._being_made.add(key)
        try:
            for url in filter(None, (body["notificationUrl"], body.get("lifecycleNotificationUrl"))):
                await self._handshake(str(url))
        finally:
            self._being_made.discard(key)
        made = Subscription(
            id=str(uuid.uuid4()),
            tenant_id=caller.tenant_id,
            application_id=caller.application_id,
            meeting_id=meeting.id,
            resource=str(body["resource"]).lstrip("/"),
            notification_url=str(body["notificationUrl"]),
            lifecycle_url=body.get("lifecycleNotificationUrl"),
            client_state=body.get("clientState"),
            certificate=str(body["encryptionCertificate"]),
            certificate_id=str(body["encryptionCertificateId"]),
            expires=self._expiry(body["expirationDateTime"]),
        )
        self._store.subscriptions.put(made)
        return made

    def of(self, caller: Caller) -> list[Subscription]:
        caller.require(MEETINGS_PERMISSION)
        return [s for s in self._alive() if self._owns(caller, s)]

    def get(self, caller: Caller, identifier: str) -> Subscription:
        caller.require(MEETINGS_PERMISSION)
        found = next((s for s in self._alive() if s.id == identifier and self._owns(caller, s)), None)
        if found is None:
            raise errors.GraphError(404, "ResourceNotFound", "The object was not found.")
        return found

    def update(self, caller: Caller, identifier: str, body: Mapping[str, Any]) -> Subscription:
        """Renews, or rotates the certificate (both fields together)."""
        subscription = self.get(caller, identifier)
        _only(body, UPDATE_PROPERTIES)
        changes: dict[str, Any] = {}
        if "expirationDateTime" in body:
            changes |= {"expires": self._expiry(body["expirationDateTime"]), "reauthorization_sent": False}
        if {"encryptionCertificate", "encryptionCertificateId"} & body.keys():
            _check_certificate(body)
            changes |= {
                "certificate": body["encryptionCertificate"],
                "certificate_id": body["encryptionCertificateId"],
            }
        updated = subscription.model_copy(update=changes)
        self._store.subscriptions.put(updated)
        return updated

    def reauthorize(self, caller: Caller, identifier: str) -> None:
        subscription = self.get(caller, identifier)
        self._store.subscriptions.put(subscription.model_copy(update={"reauthorization_sent": False}))

    def delete(self, caller: Caller, identifier: str) -> None:
        self._store.subscriptions.remove(self.get(caller, identifier).id)

    # --- rules ---------------------------------------------------------------------------------------------------

    def _check(self, body: Mapping[str, Any]) -> None:
        _only(body, CREATE_PROPERTIES)
        for name in REQUIRED:
            if not isinstance(body.get(name), str) or not body[name]:
                raise _invalid(f"'{name}' is a required property and must be a non-empty string.")
        if body["changeType"] != "updated":
            raise _invalid("'changeType' must be 'updated' for this resource.")
        if body.get("includeResourceData") is not True:
            raise _invalid("'includeResourceData' must be true for this resource.")
        _check_certificate(body)
        for name in ("notificationUrl", "lifecycleNotificationUrl"):
            url = body.get(name)
            if url is not None and (not isinstance(url, str) or urlsplit(url).scheme != "https"):
                raise _invalid(f"'{name}' must be an https URL.")
        state = body.get("clientState")
        if state is not None and (not isinstance(state, str) or len(state) > 128):
            raise _invalid("'clientState' must be a string of at most 128 characters.")
        expires = self._expiry(body["expirationDateTime"])
        if expires > self._now() + LIFECYCLE_URL_NEEDED_AFTER and not body.get("lifecycleNotificationUrl"):
            raise _invalid("'lifecycleNotificationUrl' is a required property for subscriptions longer than 1 hour.")

    def _expiry(self, given: Any) -> datetime:
        try:
            value = datetime.fromisoformat(str(given))
        except ValueError:
            raise _invalid("'expirationDateTime' is not a date and time.") from None
        value = value if value.tzinfo else value.replace(tzinfo=UTC)
        if value <= self._now():
            raise _invalid("Subscription expiration must be in the future.")
        # Half a minute of grace for the caller's clock.
        if value > self._now() + MAXIMUM_LIFETIME + timedelta(seconds=30):
            raise _invalid("Subscription expiration can only be 4320 minutes in the future.")
        return value

    def _meeting(self, caller: Caller, resource: str) -> Meeting:
        """The joinWebUrl stands in the resource encoded once more, whole: decoding it once gives the link exactly."""
        found = RESOURCE.fullmatch(resource)
        if found is None:
            raise _invalid(f"The resource '{resource}' is not supported.")
        url = unquote(found[1])
        if quote(url, safe="").lower() != found[1].lower():
            raise _invalid("The joinWebUrl in the resource must be URL-encoded.")
        meeting = self._store.meeting_by_url(url)
        if meeting is None or meeting.tenant_id != caller.tenant_id:
            raise errors.not_found("No meeting has this joinWebUrl.")
        return meeting

    async def _handshake(self, url: str) -> None:
        # Decoding once gives spaces, a plus and a percent sign back; escaping for HTML, as Graph asks, changes nothing.
        token = f"Validation: Testing client application reachability for subscription. Request-Id: {uuid.uuid4()}"
        if not await self._validator.validates(url, f"{token} +%2B{secrets.token_urlsafe(8)}"):
            raise _invalid(
                "Subscription validation request failed. Notification endpoint must respond with 200 OK to validation "
                "request."
            )

    def _subscribed(self, caller: Caller, meeting: Meeting) -> bool:
        return any(s.application_id == caller.application_id and s.meeting_id == meeting.id for s in self._alive())

    def _alive(self) -> list[Subscription]:
        return [s for s in self._store.subscriptions.all.values() if s.expires > self._now()]

    @staticmethod
    def _owns(caller: Caller, s: Subscription) -> bool:
        return (s.application_id, s.tenant_id) == (caller.application_id, caller.tenant_id)

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)


def entity(subscription: Subscription, url: str) -> dict[str, Any]:
    """The resource as JSON; the client state is never shown again."""
    return {
        "@odata.context": f"{url}/beta/$metadata#subscriptions/$entity",
        "id": subscription.id,
        "resource": subscription.resource,
        "applicationId": subscription.application_id,
        "changeType": "updated",
        "clientState": None,
        "notificationUrl": subscription.notification_url,
        "lifecycleNotificationUrl": subscription.lifecycle_url,
        "expirationDateTime": graph_time(subscription.expires),
        "includeResourceData": True,
        "encryptionCertificateId": subscription.certificate_id,
        "latestSupportedTlsVersion": "v1_2",
    }


def _check_certificate(body: Mapping[str, Any]) -> None:
    certificate, identifier = body.get("encryptionCertificate"), body.get("encryptionCertificateId")
    if not isinstance(certificate, str) or not isinstance(identifier, str) or not identifier:
        raise _invalid("'encryptionCertificate' and 'encryptionCertificateId' are required together.")
    if len(identifier) > 128:
        raise _invalid("'encryptionCertificateId' must have at most 128 characters.")
    try:
        load_certificate(certificate)
    except ValueError as e:
        raise _invalid(f"'encryptionCertificate' is not a usable X.509 certificate: {e}.") from None


def _only(body: Mapping[str, Any], allowed: frozenset[str]) -> None:
    unknown = sorted(body.keys() - allowed)
    if unknown:
        raise _invalid(f"The property '{unknown[0]}' does not exist on type 'subscription' or cannot be set.")


def _invalid(message: str) -> errors.GraphError:
    return errors.GraphError(400, "ValidationError", message)
