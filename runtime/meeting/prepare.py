"""Making a visit's meeting ready: meeting, lobby, link, subscription; each step once, each repeatable.

Owns the order of the steps and the promise that no patient gets a link before the lobby was set and read back. One
preparation of a visit runs at a time (a lease); a step that fails leaves the visit
MENDING and a job that goes on. The subscription never holds a visit up: a meeting without live presence is still a
visit.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from runtime.audit import Action, AuditRow
from runtime.database import Connection
from runtime.jobs import Job, defer
from runtime.logs import log
from runtime.meeting import subscriptions
from runtime.meeting.errors import GraphFailure, GraphRefused, GraphUnavailable
from runtime.meeting.graph import Subscription, SubscriptionRequest
from runtime.meeting.join_links import Meeting
from runtime.visit.context import Organizer, VisitContext
from runtime.visit.rows import VisitState, lease, load_visit, notify, release, save_context, set_state

if TYPE_CHECKING:
    from runtime.bootstrap import Services

SUBJECT = "Virtual visit"
"""Fixed: a meeting's name is seen by others, and is no place for who meets whom."""

SUBSCRIPTION_LIFETIME = timedelta(minutes=4310)
"""Graph allows 4,320 minutes, counted by its own clock."""

CRASH_COVER = timedelta(seconds=20)
"""When the worker looks whether a preparation that a page began was finished."""

PART_SECONDS = 20.0
LEASE = timedelta(seconds=50)
"""Longer than both parts of a preparation."""

_LONGEST_WAIT = 300.0


async def prepare_visit(services: Services, visit_key: bytes, attempt: int = 0, *, insist: bool = False) -> None:
    """Take the steps that are still missing. What fails is kept as the visit's state, and a job goes on with it.

    Where somebody else is at it, `insist` looks again later: they may have been killed.
    """
    async with _alone(services, visit_key) as alone:
        if not alone:
            if insist:
                await _look_again(services, visit_key, attempt)
            return
        visit = await _visit(services, visit_key)
        if visit is None or not visit[0].begun:
            return
        try:
            async with _bounded():
                await _make_ready(services, visit_key)
        except GraphFailure as failure:
            await _mend_later(services, visit_key, failure, attempt)
            return
        try:
            async with _bounded():
                await _subscribe(services, visit_key)
        except GraphFailure as failure:
            await _subscribe_later(services, visit_key, failure, attempt)


def wait_seconds(failure: GraphFailure, attempt: int) -> float:
    """How long until the next attempt: what Graph asked for, else twice as long each time."""
    if isinstance(failure, GraphUnavailable) and failure.retry_after is not None:
        return max(1.0, failure.retry_after)
    first = 2.0 if isinstance(failure, GraphUnavailable) else 5.0
    return min(first * 2.0**attempt, _LONGEST_WAIT)


@asynccontextmanager
async def _bounded() -> AsyncGenerator[None]:
    """One part of a preparation, ended in time for the lease to hold."""
    try:
        async with asyncio.timeout(PART_SECONDS):
            yield
    except TimeoutError:
        raise GraphUnavailable("prepare", "too-slow") from None


@asynccontextmanager
async def _alone(services: Services, visit_key: bytes) -> AsyncGenerator[bool]:
    """A lease in the visit's row. It holds no connection while Graph is slow, and a killed holder's runs out."""
    async with services.database.transaction() as connection:
        alone = await lease(connection, visit_key, LEASE)
    try:
        yield alone
    finally:
        if alone:
            async with services.database.transaction() as connection:
                await release(connection, visit_key)


async def _look_again(services: Services, visit_key: bytes, attempt: int) -> None:
    async with services.database.transaction() as connection:
        at = datetime.now(UTC) + LEASE
        await defer(connection, Job.PREPARE_VISIT, at=at, visit=visit_key.hex(), attempt=attempt)


async def _visit(services: Services, visit_key: bytes) -> tuple[VisitState, VisitContext] | None:
    async with services.database.transaction() as connection:
        row = await load_visit(connection, visit_key)
    return None if row is None else (row.phase, row.context(services.seal))


async def _remember(
    services: Services, visit_key: bytes, change: Callable[[VisitContext], VisitContext]
) -> VisitContext:
    """Change the sealed context under the row's lock."""
    async with services.database.transaction() as connection:
        row = await load_visit(connection, visit_key, lock=True)
        if row is None:
            raise GraphRefused("visit", "purged")
        context = change(row.context(services.seal))
        await save_context(connection, visit_key, context.seal(services.seal, visit_key))
    return context


async def _make_ready(services: Services, visit_key: bytes) -> None:
    found = await _visit(services, visit_key)
    if found is None:
        return
    phase, context = found
    organizer = context.organizer
    if organizer is None:
        return
    meeting = context.meeting
    if meeting is None:
        made = await services.graph.create_or_get_meeting(
            organizer.tenant_id, organizer.object_id, visit_key.hex(), SUBJECT
        )
        context = await _remember(services, visit_key, lambda c: replace(c, meeting=made))
        meeting = made
    if not context.lobby_verified:
        await _lock_lobby(services, organizer, meeting)
        context = await _remember(services, visit_key, lambda c: replace(c, lobby_verified=True))
    if context.patient_url is None:
        url = await services.join_links.patient_url(organizer.tenant_id, organizer.object_id, meeting)
        await _remember(services, visit_key, lambda c: replace(c, patient_url=url))
    if phase is not VisitState.OPEN:
        async with services.database.transaction() as connection:
            await _open(services, connection, visit_key)


async def _open(services: Services, connection: Connection, visit_key: bytes) -> None:
    visit = await load_visit(connection, visit_key, lock=True)
    if visit is None or not visit.phase.begun:
        return
    await set_state(connection, visit_key, VisitState.OPEN)
    row = AuditRow(Action.MEETING_MADE, visit.organization_id, visit.connection_id, visit_key=visit_key)
    await services.audit.record(connection, row)


async def _lock_lobby(services: Services, organizer: Organizer, meeting: Meeting) -> None:
    await services.graph.set_lobby(organizer.tenant_id, organizer.object_id, meeting.id)
    if not await services.graph.lobby_holds(organizer.tenant_id, organizer.object_id, meeting.id):
        raise GraphRefused("lobby", "lobby-not-held")


async def _subscribe(services: Services, visit_key: bytes) -> None:
    """Commit the path, then ask Graph: its validation call and first notifications come before its answer."""
    found = await _visit(services, visit_key)
    if found is None or found[1].organizer is None or found[1].meeting is None:
        return
    organizer, meeting = found[1].organizer, found[1].meeting
    async with services.database.transaction() as connection:
        row = await subscriptions.ensure_row(connection, services.seal, visit_key)
    if row.graph_id is not None:
        return
    secrets = row.secrets(services.seal)
    base = f"{services.settings.public_url}/graph"
    certificate = services.keys.notification
    request = SubscriptionRequest(
        join_web_url=meeting.join_web_url,
        notification_url=f"{base}/notifications/{secrets.path}",
        lifecycle_url=f"{base}/lifecycle/{secrets.path}",
        client_state=secrets.client_state,
        certificate=base64.b64encode(certificate.certificate_der).decode(),
        certificate_id=certificate.id,
        expires_at=datetime.now(UTC) + SUBSCRIPTION_LIFETIME,
    )
    try:
        made = await services.graph.subscribe(organizer.tenant_id, request)
    except GraphRefused as refused:
        if refused.status != 409:
            raise
        found_again = await _adopt(services, organizer.tenant_id, request)
        if found_again is None:
            raise
        made = found_again
    async with services.database.transaction() as connection:
        await subscriptions.made(connection, row.id, made.id, made.expires_at)
        await notify(connection, visit_key)


async def _adopt(services: Services, tenant: str, request: SubscriptionRequest) -> Subscription | None:
    """A subscription made by an attempt that was killed before it could note the id."""
    for existing in await services.graph.subscriptions(tenant):
        if existing.notification_url == request.notification_url:
            return existing
    return None


async def _mend_later(services: Services, visit_key: bytes, failure: GraphFailure, attempt: int) -> None:
    _log("meeting-not-ready", visit_key, failure, attempt)
    async with services.database.transaction() as connection:
        visit = await load_visit(connection, visit_key, lock=True)
        if visit is None or not visit.phase.begun:
            return
        await set_state(connection, visit_key, VisitState.MENDING, failure.code)
        await _again(connection, visit_key, failure, attempt)


async def _subscribe_later(services: Services, visit_key: bytes, failure: GraphFailure, attempt: int) -> None:
    _log("subscription-not-made", visit_key, failure, attempt)
    async with services.database.transaction() as connection:
        await _again(connection, visit_key, failure, attempt)


def _log(event: str, visit_key: bytes, failure: GraphFailure, attempt: int) -> None:
    log.warning(event, visit=visit_key.hex()[:8], reason=failure.operation, code=failure.code, attempt=attempt)


async def _again(connection: Connection, visit_key: bytes, failure: GraphFailure, attempt: int) -> None:
    await defer(
        connection,
        Job.PREPARE_VISIT,
        at=datetime.now(UTC) + timedelta(seconds=wait_seconds(failure, attempt)),
        visit=visit_key.hex(),
        attempt=attempt + 1,
    )
