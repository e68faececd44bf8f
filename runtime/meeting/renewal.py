"""Keeping subscriptions alive while their visits last, and none after.

Owns renewal before expiry, telling when their certificate ends, what each lifecycle notification asks for, and removal
after the visit. A subscription that Graph lost is made again on the same path.
"""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from runtime.logs import log
from runtime.meeting import subscriptions
from runtime.meeting.errors import GraphFailure, GraphNotFound
from runtime.meeting.graph import Renewal
from runtime.meeting.prepare import SUBSCRIPTION_LIFETIME, prepare_visit
from runtime.meeting.subscriptions import SubscriptionRow
from runtime.visit.rows import GRACE, LAST_MINUTES, notify

if TYPE_CHECKING:
    from runtime.bootstrap import Services

RENEW_BEFORE = timedelta(hours=12)
TELL_BEFORE = timedelta(days=60)
"""How long before the notification certificate ends people are told: its key is changed by hand."""


async def renew_due(services: Services) -> None:
    """Extend what ends soon."""
    async with services.database.transaction() as connection:
        due = await subscriptions.due_for_renewal(connection, datetime.now(UTC) + RENEW_BEFORE)
    for row in due:
        await _renew(services, row)


async def tell_certificate(services: Services) -> None:
    """Say that the certificate of new subscriptions ends soon, or has ended: Graph takes none that has."""
    left = services.keys.notification.ends_at - services.clock()
    if left < TELL_BEFORE:
        log.error("certificate-ends", name=services.keys.notification.id, seconds=round(left.total_seconds()))


async def remove_left_over(services: Services) -> None:
    """End the subscriptions of visits that ended a while ago, or that nobody comes to any more."""
    now = datetime.now(UTC)
    async with services.database.transaction() as connection:
        rows = await subscriptions.left_over(connection, now - GRACE / 2, now + LAST_MINUTES)
    for row in rows:
        try:
            await services.graph.unsubscribe(_tenant(services, row), row.graph_id or "")
        except GraphFailure as failure:
            log.warning("subscription-not-removed", subscription=str(row.id), code=failure.code)
            continue
        async with services.database.transaction() as connection:
            await subscriptions.gone(connection, row.id)


async def mend(services: Services, subscription_id: UUID, event: str) -> None:
    """What a lifecycle notification asks for; its event is one of `webhook.LIFECYCLE_EVENTS`.

    `missed`: Graph has lost events and does not tell which. The subscription is renewed, which shows whether it still
    lives, and the page is told that presence may be behind.
    """
    async with services.database.transaction() as connection:
        row = await subscriptions.by_id(connection, subscription_id)
    if row is None:
        return
    log.warning("subscription-event", subscription=str(row.id), change=event)
    if event == "missed":
        async with services.database.transaction() as connection:
            await subscriptions.missed(connection, row.id)
            await notify(connection, row.visit_key)
    if event == "subscriptionRemoved":
        await _make_again(services, row)
    else:
        await _renew(services, row)


async def _renew(services: Services, row: SubscriptionRow) -> None:
    if row.graph_id is None:
        return
    key = services.keys.notification
    certificate = base64.b64encode(key.certificate_der).decode()
    renewal = Renewal(certificate, key.id, datetime.now(UTC) + SUBSCRIPTION_LIFETIME)
    try:
        await services.graph.renew(_tenant(services, row), row.graph_id, renewal)
    except GraphNotFound:
        await _make_again(services, row)
        return
    except GraphFailure as failure:
        log.warning("subscription-not-renewed", subscription=str(row.id), code=failure.code)
        return
    async with services.database.transaction() as connection:
        await subscriptions.made(connection, row.id, row.graph_id, renewal.expires_at)


async def _make_again(services: Services, row: SubscriptionRow) -> None:
    async with services.database.transaction() as connection:
        await subscriptions.gone(connection, row.id)
        await notify(connection, row.visit_key)
    await prepare_visit(services, row.visit_key)


def _tenant(services: Services, row: SubscriptionRow) -> str:
    served = services.configuration.connection(row.connection_id)
    return served.organization.tenant_id if served else ""
