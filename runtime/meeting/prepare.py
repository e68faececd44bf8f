"""Making a visit's meeting ready: meeting, lobby, link, subscription; each step once, and after a crash once more.

Owns the order of the steps and the promise that no patient gets a link before the lobby was set and read back. One
preparation of a visit runs at a time (a lease); a step that fails leaves the visit MENDING and a job that goes on. The
subscription is made beside the others and never holds a visit up: a meeting without live presence is still a visit.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from runtime.audit import Action, AuditRow
from runtime.database import Connection
from runtime.jobs import Job, defer
from runtime.logs import log
from runtime.meeting import subscriptions
from runtime.meeting.errors import GraphFailure, GraphRefused, GraphUnavailable
from runtime.meeting.graph import Subscription, SubscriptionRequest
from runtime.meeting.join_links import Meeting
from runtime.meeting.subscriptions import SubscriptionRow
from runtime.tasks import end
from runtime.visit.context import Organizer, VisitContext
from runtime.visit.rows import (
    VisitRow,
    VisitState,
    lease,
    load_visit,
    notify,
    release,
    save_context,
    set_state,
    unfinished,
)

if TYPE_CHECKING:
    from runtime.bootstrap import Services

SUBJECT = "Virtual visit"
"""Fixed: a meeting's name is seen by others, and is no place for who meets whom."""

SUBSCRIPTION_LIFETIME = timedelta(minutes=4310)
"""Graph allows 4,320 minutes, counted by its own clock."""

PART_SECONDS = 20.0
LEASE = timedelta(seconds=50)
"""Longer than both parts of a preparation."""

SUBSCRIPTION_PATIENCE_SECONDS = 0.5
"""How long an open meeting waits for its subscription, to be written down with it."""

_LONGEST_WAIT = 300.0


@dataclass
class Turn:
    """One preparation: the visit as it was found, and what was done since and is not written yet."""

    visit: VisitRow
    context: VisitContext
    subscription: SubscriptionRow
    """Known before Graph is asked for one: its validation call and first notifications come before its answer."""
    attempt: int = 0
    changed: dict[str, Any] = field(default_factory=dict[str, Any])
    """Fields of the context."""
    opened: bool = False
    failed: GraphFailure | None = None
    subscribed: Subscription | None = None
    not_subscribed: GraphFailure | None = None

    @property
    def key(self) -> bytes:
        return self.visit.visit_key

    def did(self, **fields: Any) -> None:
        """A step was taken: its place in the context."""
        self.context = replace(self.context, **fields)
        self.changed |= fields

    def is_written(self) -> None:
        self.changed, self.opened, self.failed, self.subscribed, self.not_subscribed = {}, False, None, None, None


async def take_turn(services: Services, connection: Connection, visit_key: bytes) -> Turn | None:
    """A lease in the visit's row, in the caller's transaction: who has it gives it to `prepare`.

    None where somebody else is at it, or the visit was purged. A killed holder's runs out.
    """
    visit = await lease(connection, visit_key, LEASE)
    if visit is None:
        return None
    row = await subscriptions.ensure_row(connection, services.seal, visit_key)
    return Turn(visit, visit.context(services.seal), row)


async def prepare_visit(services: Services, visit_key: bytes, attempt: int = 0) -> None:
    """Take a turn and the steps that are still missing; nothing, where somebody else is at it."""
    async with services.database.transaction() as connection:
        turn = await take_turn(services, connection, visit_key)
    if turn is not None:
        turn.attempt = attempt
        await prepare(services, turn)


async def take_up_unfinished(services: Services) -> None:
    """Queue the preparations that were begun and that nobody is at: killed, or broken off."""
    async with services.database.transaction() as connection:
        for visit_key in await unfinished(connection):
            await defer(connection, Job.PREPARE_VISIT, visit=visit_key.hex(), attempt=0)


async def prepare(services: Services, turn: Turn) -> None:
    """Take the missing steps and give the turn back. What fails is the visit's state, and a job goes on with it.

    No connection is held while Graph is slow. What was done is written at the end, also where a step was broken off:
    Graph's steps may be taken again, but need not.
    """
    organizer = turn.context.organizer
    broken_off = False
    try:
        if organizer is not None and turn.visit.phase.begun:
            await _take_steps(services, turn, organizer)
    except asyncio.CancelledError:
        broken_off = True
        raise
    finally:
        async with services.database.pipeline() as connection:
            await _write(services, connection, turn)
            await release(connection, turn.key, finished=not broken_off)


async def _take_steps(services: Services, turn: Turn, organizer: Organizer) -> None:
    """The meeting first; then its lobby and link, and beside them the subscription, which is not waited for long."""
    try:
        async with _bounded():
            meeting = await _meeting(services, turn, organizer)
    except GraphFailure as failure:
        _fails(turn, failure)
        return
    subscribing = asyncio.create_task(_subscribe(services, turn, organizer, meeting))
    try:
        try:
            async with _bounded():
                await _make_ready(services, turn, organizer, meeting)
        except GraphFailure as failure:
            _fails(turn, failure)
        else:
            turn.opened = True
        await asyncio.wait({subscribing}, timeout=SUBSCRIPTION_PATIENCE_SECONDS)
        if not subscribing.done():
            async with services.database.transaction() as connection:
                await _write(services, connection, turn)
            await subscribing
    finally:
        await end(subscribing)


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


async def _write(services: Services, connection: Connection, turn: Turn) -> None:
    """What was done, under the row's lock: others may have changed the visit meanwhile. Purged visits stay purged."""
    visit = await load_visit(connection, turn.key, lock=True)
    if visit is not None:
        if turn.changed:
            context = replace(visit.context(services.seal), **turn.changed)
            await save_context(connection, turn.key, context.seal(services.seal, turn.key))
        if turn.subscribed is not None:
            made = turn.subscribed
            await subscriptions.made(connection, turn.subscription.id, made.id, made.expires_at)
            await notify(connection, turn.key)
        if visit.phase.begun:
            await _move_on(services, connection, turn, visit)
    turn.is_written()


async def _move_on(services: Services, connection: Connection, turn: Turn, visit: VisitRow) -> None:
    if turn.failed is not None:
        await set_state(connection, turn.key, VisitState.MENDING, turn.failed.code)
    elif turn.opened and visit.phase is not VisitState.OPEN:
        await set_state(connection, turn.key, VisitState.OPEN)
        row = AuditRow(Action.MEETING_MADE, visit.organization_id, visit.connection_id, visit_key=turn.key)
        await services.audit.record(connection, row)
    failure = turn.failed or turn.not_subscribed
    if failure is not None:
        at = datetime.now(UTC) + timedelta(seconds=wait_seconds(failure, turn.attempt))
        await defer(connection, Job.PREPARE_VISIT, at=at, visit=turn.key.hex(), attempt=turn.attempt + 1)


async def _meeting(services: Services, turn: Turn, organizer: Organizer) -> Meeting:
    meeting = turn.context.meeting
    if meeting is None:
        meeting = await services.graph.create_or_get_meeting(
            organizer.tenant_id, organizer.object_id, turn.key.hex(), SUBJECT
        )
        turn.did(meeting=meeting)
    return meeting


async def _make_ready(services: Services, turn: Turn, organizer: Organizer, meeting: Meeting) -> None:
    if not turn.context.lobby_verified:
        await _lock_lobby(services, organizer, meeting)
        turn.did(lobby_verified=True)
    if turn.context.patient_url is None:
        url = await services.join_links.patient_url(organizer.tenant_id, organizer.object_id, meeting)
        turn.did(patient_url=url)


async def _lock_lobby(services: Services, organizer: Organizer, meeting: Meeting) -> None:
    await services.graph.set_lobby(organizer.tenant_id, organizer.object_id, meeting.id)
    if not await services.graph.lobby_holds(organizer.tenant_id, organizer.object_id, meeting.id):
        raise GraphRefused("lobby", "lobby-not-held")


async def _subscribe(services: Services, turn: Turn, organizer: Organizer, meeting: Meeting) -> None:
    """Raises nothing of Graph: a visit without live presence is still a visit."""
    if turn.subscription.graph_id is not None:
        return
    secrets = turn.subscription.secrets(services.seal)
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
        async with _bounded():
            turn.subscribed = await _made(services, organizer.tenant_id, request)
    except GraphFailure as failure:
        turn.not_subscribed = failure
        _log("subscription-not-made", turn, failure)


async def _made(services: Services, tenant: str, request: SubscriptionRequest) -> Subscription:
    try:
        return await services.graph.subscribe(tenant, request)
    except GraphRefused as refused:
        found = await _adopt(services, tenant, request) if refused.status == 409 else None
        if found is None:
            raise
        return found


async def _adopt(services: Services, tenant: str, request: SubscriptionRequest) -> Subscription | None:
    """A subscription made by an attempt that was killed before it could note the id."""
    for existing in await services.graph.subscriptions(tenant):
        if existing.notification_url == request.notification_url:
            return existing
    return None


def _fails(turn: Turn, failure: GraphFailure) -> None:
    turn.failed = failure
    _log("meeting-not-ready", turn, failure)


def _log(event: str, turn: Turn, failure: GraphFailure) -> None:
    log.warning(event, visit=turn.key.hex()[:8], reason=failure.operation, code=failure.code, attempt=turn.attempt)
