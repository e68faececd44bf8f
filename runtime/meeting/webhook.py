"""What comes from Graph: judged before anything of it is kept.

Owns the checks of a notification, in order: known path, size, shape, client state, subscription, tenant, validation
tokens, encrypted content. All need only memory and one row, so Graph's three seconds hold. What passes is kept sealed,
by the event's id, so that a second delivery of it is not kept again. Answers are in `routes.py`, processing is in
`visit/process.py`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from runtime.jobs import Job, defer
from runtime.meeting import subscriptions
from runtime.meeting.encryption import ContentRefused, open_content
from runtime.meeting.events import CallEventInvalid, parse_call_event
from runtime.meeting.subscriptions import SubscriptionRow
from runtime.meeting.validation_tokens import ValidationTokenRefused, verify_validation_token
from runtime.visit.process import sealed_for

if TYPE_CHECKING:
    from runtime.bootstrap import Services

MAXIMUM_ITEMS = 100
LIFECYCLE_EVENTS = frozenset({"reauthorizationRequired", "subscriptionRemoved", "missed"})


class NotificationRefused(Exception):
    """Which check failed, in our own words."""


@dataclass(frozen=True)
class Incoming:
    """A request's items and tokens, parsed and no more."""

    items: tuple[Mapping[str, Any], ...]
    tokens: tuple[str, ...]


def parse(body: bytes) -> Incoming:
    """Raises `NotificationRefused`."""
    try:
        parsed = json.loads(body)
        json.dumps(parsed, ensure_ascii=False).encode()  # "\\ud800" is JSON, and no text
    except (ValueError, RecursionError):
        raise NotificationRefused("not-json") from None
    fields = cast("dict[str, Any]", parsed) if isinstance(parsed, dict) else {}
    items, tokens = fields.get("value"), fields.get("validationTokens", [])
    if not isinstance(items, list) or not 0 < len(cast("list[object]", items)) <= MAXIMUM_ITEMS:
        raise NotificationRefused("no-items")
    if not all(isinstance(item, dict) for item in cast("list[object]", items)):
        raise NotificationRefused("malformed-item")
    if not isinstance(tokens, list) or not all(isinstance(t, str) for t in cast("list[object]", tokens)):
        raise NotificationRefused("malformed-tokens")
    return Incoming(tuple(cast("list[dict[str, Any]]", items)), tuple(cast("list[str]", tokens)))


async def accept_notifications(services: Services, subscription: SubscriptionRow, incoming: Incoming) -> None:
    """Keep what Graph tells, and queue it for the worker. One wrong item refuses all.

    Raises `NotificationRefused`, `SigningKeysUnavailable`.
    """
    tenant = _tenant(services, subscription)
    for item in incoming.items:
        _check_item(services, subscription, item, tenant)
    if not incoming.tokens:
        raise NotificationRefused("no-validation-tokens")
    await _check_tokens(services, incoming, tenant)
    events = [_open(services, item) for item in incoming.items]
    async with services.database.transaction() as connection:
        for plain, event_id in events:
            event_hash = hashlib.sha256(subscription.id.bytes + event_id.encode()).digest()
            cursor = await connection.execute(
                """INSERT INTO connector.notification (subscription_id, event_hash, sealed) VALUES (%s, %s, %s)
                   ON CONFLICT (event_hash) DO NOTHING RETURNING id""",
                (subscription.id, event_hash, services.seal.seal(plain, sealed_for(event_hash))),
            )
            row = await cursor.fetchone()
            if row is not None:
                await defer(connection, Job.PROCESS_NOTIFICATION, notification=row[0])


async def accept_lifecycle(services: Services, subscription: SubscriptionRow, incoming: Incoming) -> None:
    """Queue what a subscription's life asks for. Raises `NotificationRefused`, `SigningKeysUnavailable`."""
    tenant = _tenant(services, subscription)
    for item in incoming.items:
        _check_item(services, subscription, item, tenant, lifecycle=True)
    await _check_tokens(services, incoming, tenant)
    events = {str(item.get("lifecycleEvent")) for item in incoming.items} & LIFECYCLE_EVENTS
    async with services.database.transaction() as connection:
        for event in sorted(events):
            await defer(
                connection,
                Job.MEND_SUBSCRIPTION,
                lock=f"subscription:{subscription.id}",
                subscription=str(subscription.id),
                event=event,
            )


async def known(services: Services, path: str) -> SubscriptionRow | None:
    async with services.database.connection() as connection:
        return await subscriptions.by_path(connection, path)


def _tenant(services: Services, subscription: SubscriptionRow) -> str:
    served = services.configuration.connection(subscription.connection_id)
    if served is None:
        raise NotificationRefused("connection-not-served")
    return served.organization.tenant_id


def _check_item(
    services: Services,
    subscription: SubscriptionRow,
    item: Mapping[str, Any],
    tenant: str,
    *,
    lifecycle: bool = False,
) -> None:
    if not subscription.secrets(services.seal).client_state_is(item.get("clientState")):
        raise NotificationRefused("client-state")
    if subscription.graph_id is not None and item.get("subscriptionId") != subscription.graph_id:
        raise NotificationRefused("subscription-id")
    named = item.get("tenantId", tenant if lifecycle else None)
    if not isinstance(named, str) or named.lower() != tenant.lower():
        raise NotificationRefused("tenant")


async def _check_tokens(services: Services, incoming: Incoming, tenant: str) -> None:
    for token in incoming.tokens:
        try:
            await verify_validation_token(
                token,
                services.graph_keys.key,
                application_id=services.settings.handover.application_id,
                tenant_id=tenant,
                entra_url=services.settings.entra_url,
            )
        except ValidationTokenRefused as refused:
            raise NotificationRefused(f"validation-token: {refused}") from None


def _open(services: Services, item: Mapping[str, Any]) -> tuple[bytes, str]:
    """The plain event and its id."""
    content = item.get("encryptedContent")
    if not isinstance(content, dict):
        raise NotificationRefused("no-encrypted-content")
    fields = cast("dict[str, Any]", content)
    key = services.keys.notification_ring.get(str(fields.get("encryptionCertificateId")))
    if key is None:
        raise NotificationRefused("unknown-certificate")
    try:
        plain = open_content(fields, key.private_key)
        return plain, parse_call_event(plain).id
    except (ContentRefused, CallEventInvalid) as refused:
        raise NotificationRefused(type(refused).__name__) from None
