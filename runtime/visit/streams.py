"""The two event streams: snapshots as they change, until the session ends.

Owns their rhythm. Each is woken by `watch.py`, and by itself every `HEARTBEAT_SECONDS`, sends only what differs from
what it sent, and goes on while the database is away.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sse_starlette import ServerSentEvent

from runtime.errors import DatabaseUnavailable
from runtime.pages.rendering import fragment
from runtime.visit.rows import HEARTBEAT_SECONDS, VisitState, heartbeat
from runtime.visit.snapshot import PatientState, ProviderSnapshot, read_patient_state, read_provider_snapshot
from runtime.visit.watch import Watch

if TYPE_CHECKING:
    from runtime.bootstrap import Services

RETRY_SECONDS = 1.0
OVER = ServerSentEvent("{}", event="over")
"""The session ended, or the visit was purged: the page says so and stops."""

_WORDS = {
    "NoApplicationAccessPolicy": "Microsoft 365 is not set up for video visits yet: your administrator has to grant "
    "the connector access to meetings (application access policy). We keep trying.",
    "entra-refused": "Your organization has not yet allowed the connector in Microsoft 365. Please tell your "
    "administrator. We keep trying.",
    "lobby-not-held": "The meeting's lobby could not be locked. No patient is let through until it is. We keep trying.",
}
_OTHER_WORDS = (
    "Microsoft Teams does not answer as it should. No patient is let through until your meeting is ready. "
    "We keep trying; there is nothing you have to do."
)


def words_of(snapshot: ProviderSnapshot) -> str | None:
    """What a provider is told about a meeting that is being mended."""
    return _WORDS.get(snapshot.failure_code or "", _OTHER_WORDS) if snapshot.state is VisitState.MENDING else None


async def provider_stream(
    services: Services, watch: Watch, visit_key: bytes, reader: bytes, still: Callable[[], Awaitable[bool]]
) -> AsyncGenerator[ServerSentEvent]:
    sent = None
    async with watch.visit(visit_key) as changed:
        while True:
            changed.clear()
            wait = HEARTBEAT_SECONDS
            try:
                snapshot = await read_provider_snapshot(services, visit_key, reader) if await still() else None
                if snapshot is None:
                    yield OVER
                    return
                shown = snapshot.as_json()
                if shown != sent:
                    yield ServerSentEvent(_provider_message(snapshot, shown), event="visit")
                    sent = shown
                wait = _until_stale(snapshot)
            except DatabaseUnavailable:
                wait = RETRY_SECONDS
            await _woken(changed, wait)


async def patient_stream(
    services: Services, watch: Watch, visit_key: bytes, still: Callable[[], Awaitable[bool]]
) -> AsyncGenerator[ServerSentEvent]:
    """While it is open, the provider sees that the patient waits: until they went on, from this page or another."""
    sent: PatientState | None = None
    beat_at = float("-inf")
    clock = asyncio.get_running_loop().time
    async with watch.visit(visit_key) as changed:
        while True:
            changed.clear()
            wait = float(HEARTBEAT_SECONDS)
            try:
                if not await still():
                    yield OVER
                    return
                state = await read_patient_state(services, visit_key)
                if state is not PatientState.ENDED and clock() - beat_at >= HEARTBEAT_SECONDS - 1:
                    async with services.database.transaction() as connection:
                        await heartbeat(connection, visit_key, begin=state is PatientState.WAITING)
                    beat_at = clock()
                if state is not sent:
                    yield ServerSentEvent(json.dumps({"state": state.value}), event="visit")
                    sent = state
            except DatabaseUnavailable:
                wait = RETRY_SECONDS
            await _woken(changed, wait)


def _provider_message(snapshot: ProviderSnapshot, shown: dict[str, Any]) -> str:
    html = fragment("visit_provider_live.html", snapshot=shown, words=words_of(snapshot))
    return json.dumps({**shown, "html": html})


def _until_stale(snapshot: ProviderSnapshot) -> float:
    """A patient who is no longer heard of is dropped in time, though nothing happens in the database then."""
    if snapshot.stale_at is None:
        return HEARTBEAT_SECONDS
    return min(max((snapshot.stale_at - datetime.now(UTC)).total_seconds() + 0.1, 0.1), HEARTBEAT_SECONDS)


async def _woken(changed: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await changed.wait()
    except TimeoutError:
        return
