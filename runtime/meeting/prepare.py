"""Making a visit's meeting ready: meeting, lobby, link, subscription; each step once, and after a crash once more.

Owns the order of the steps and the promise that no patient gets a link before the lobby was set and read back. One
preparation of a visit runs at a time (a lease); a step that fails leaves the visit MENDING and a job that goes on. The
subscription never holds a visit up: a meeting without live presence is still a visit.
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
from runtime.meeting.subscriptions import SubscriptionRow, SubscriptionSecrets
from runtime.visit.context import Organizer, VisitContext
from runtime.visit.rows import VisitRow, VisitState, lease, load_visit, notify, release, save_context, set_state

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


@dataclass
class _Turn:
    """One preparation: the visit as it was found, and what was done since and is not written yet."""

    visit: VisitRow
    context: VisitContext
    unwritten: dict[str, Any] = field(default_factory=dict[str, Any])
    """Fields of the context."""
    subscribed: tuple[SubscriptionRow, Subscription] | None = None

    @property
    def key(self) -> bytes:
        return self.visit.visit_key

    def did(self, **fields: Any) -> None:
        """A step was taken: its place in the context."""
        self.context = replace(self.context, **fields)
        self.unwritten |= fields


async def prepare_visit(services: Services, visit_key: bytes, attempt: int = 0, *, insist: bool = False) -> None:
    """Take the steps that are still missing. What fails is kept as the visit's state, and a job goes on with it.

    Where somebody else is at it, `insist` looks again later: they may have been killed.
    """
    async with _alone(services, visit_key) as turn:
        if turn is None:
            if insist:
                await _look_again(services, visit_key, attempt)
            return
        if not turn.visit.phase.begun or turn.context.organizer is None:
            return
        try:
            async with _bounded():
                meeting = await _make_ready(services, turn, turn.context.organizer)
        except GraphFailure as failure:
            await _mend_later(services, turn, failure, attempt)
            return
        row = await _open(services, turn)
        if row is None or row.graph_id is not None:
            return
        try:
            async with _bounded():
                made = await _subscribe(services, turn.context.organizer, meeting, row.secrets(services.seal))
        except GraphFailure as failure:
            await _subscribe_later(services, visit_key, failure, attempt)
        else:
            turn.subscribed = row, made


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
async def _alone(services: Services, visit_key: bytes) -> AsyncGenerator[_Turn | None]:
    """A lease in the visit's row. It holds no connection while Graph is slow, and a killed holder's runs out.

    What was done is written with its release, also where a step failed or was broken off: Graph's steps may be taken
    again, but need not.
    """
    async with services.database.transaction() as connection:
        visit = await lease(connection, visit_key, LEASE)
    if visit is None:
        yield None
        return
    turn = _Turn(visit, visit.context(services.seal))
    try:
        yield turn
    finally:
        async with services.database.transaction() as connection:
            await _write(services, connection, turn)
            if turn.subscribed is not None:
                row, made = turn.subscribed
                await subscriptions.made(connection, row.id, made.id, made.expires_at)
                await notify(connection, visit_key)
            await release(connection, visit_key)


async def _write(services: Services, connection: Connection, turn: _Turn) -> VisitRow | None:
    """The visit's row, locked, with what was done; others may have changed its context meanwhile."""
    if not turn.unwritten:
        return turn.visit
    visit = await load_visit(connection, turn.key, lock=True)
    if visit is not None:
        turn.context = replace(visit.context(services.seal), **turn.unwritten)
        await save_context(connection, turn.key, turn.context.seal(services.seal, turn.key))
    turn.unwritten = {}
    return visit


async def _look_again(services: Services, visit_key: bytes, attempt: int) -> None:
    async with services.database.transaction() as connection:
        if await load_visit(connection, visit_key) is None:
            return
        at = datetime.now(UTC) + LEASE
        await defer(connection, Job.PREPARE_VISIT, at=at, visit=visit_key.hex(), attempt=attempt)


async def _make_ready(services: Services, turn: _Turn, organizer: Organizer) -> Meeting:
    """Ask Graph for what the context does not have yet."""
    meeting = turn.context.meeting
    if meeting is None:
        meeting = await services.graph.create_or_get_meeting(
            organizer.tenant_id, organizer.object_id, turn.key.hex(), SUBJECT
        )
        turn.did(meeting=meeting)
    if not turn.context.lobby_verified:
        await _lock_lobby(services, organizer, meeting)
        turn.did(lobby_verified=True)
    if turn.context.patient_url is None:
        url = await services.join_links.patient_url(organizer.tenant_id, organizer.object_id, meeting)
        turn.did(patient_url=url)
    return meeting


async def _open(services: Services, turn: _Turn) -> SubscriptionRow | None:
    """The meeting is open from now on. Answers the subscription's row, which stands before Graph is asked for one: its
    validation call and first notifications come before its answer. None where the visit was purged or has ended.
    """
    async with services.database.transaction() as connection:
        visit = await _write(services, connection, turn)
        if visit is None or not visit.phase.begun:
            return None
        if visit.phase is not VisitState.OPEN:
            await set_state(connection, turn.key, VisitState.OPEN)
            row = AuditRow(Action.MEETING_MADE, visit.organization_id, visit.connection_id, visit_key=turn.key)
            await services.audit.record(connection, row)
        return await subscriptions.ensure_row(connection, services.seal, turn.key)


async def _lock_lobby(services: Services, organizer: Organizer, meeting: Meeting) -> None:
    await services.graph.set_lobby(organizer.tenant_id, organizer.object_id, meeting.id)
    if not await services.graph.lobby_holds(organizer.tenant_id, organizer.object_id, meeting.id):
        raise GraphRefused("lobby", "lobby-not-held")


async def _subscribe(
    services: Services, organizer: Organizer, meeting: Meeting, secrets: SubscriptionSecrets
) -> Subscription:
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
        return await services.graph.subscribe(organizer.tenant_id, request)
    except GraphRefused as refused:
        found = await _adopt(services, organizer.tenant_id, request) if refused.status == 409 else None
        if found is None:
            raise
        return found


async def _adopt(services: Services, tenant: str, request: SubscriptionRequest) -> Subscription | None:
    """A subscription made by an attempt that was killed before it could note the id."""
    for existing in await services.graph.subscriptions(tenant):
        if existing.notification_url == request.notification_url:
            return existing
    return None


async def _mend_later(services: Services, turn: _Turn, failure: GraphFailure, attempt: int) -> None:
    _log("meeting-not-ready", turn.key, failure, attempt)
    async with services.database.transaction() as connection:
        visit = await load_visit(connection, turn.key, lock=True)
        if visit is None or not visit.phase.begun:
            return
        await set_state(connection, turn.key, VisitState.MENDING, failure.code)
        await _again(connection, turn.key, failure, attempt)


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
