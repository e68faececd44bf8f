"""One notification, processed: folded into presence, told to the pages, queued as write-backs; all or nothing.

The worker's: the application keeps notifications, and may write neither presence nor write-backs (`grants.py`), which a
rehearsal rests on. Owns the transaction. A notification's row is locked while it is processed and marked when it was,
so two jobs of it never both count. Leaves out how it came (`meeting/webhook.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.audit import Action, AuditRow
from runtime.meeting.events import CallEvent, RosterLine, parse_call_event
from runtime.visit.key import entry_hash, person_hash
from runtime.visit.presence import Roster, Sighting, Sightings, Transition, fold
from runtime.visit.rows import (
    VisitRow,
    VisitState,
    keep,
    load_roster,
    load_visit,
    notify,
    save_roster,
    set_state,
    shorten_retention,
)
from runtime.writeback.queue import queue_write_backs

if TYPE_CHECKING:
    from runtime.bootstrap import Services
    from runtime.database import Connection

_LOCKED = """SELECT n.sealed, n.event_hash, s.visit_key FROM connector.notification n
             JOIN connector.subscription s ON s.id = n.subscription_id
             WHERE n.id = %s AND n.processed_at IS NULL FOR UPDATE OF n"""


async def process_notification(services: Services, notification_id: int) -> None:
    """Process it unless that was done. Raises what fails; nothing of it is kept then, and the job tries again."""
    async with services.database.transaction() as connection:
        row = await (await connection.execute(_LOCKED, (notification_id,))).fetchone()
        if row is None:
            return
        event = parse_call_event(services.seal.open(bytes(row[0]), sealed_for(bytes(row[1]))))
        visit = await load_visit(connection, bytes(row[2]), lock=True)
        if visit is not None:
            await _apply(services, connection, visit, event)
        await connection.execute(
            "UPDATE connector.notification SET processed_at = now(), sealed = NULL WHERE id = %s", (notification_id,)
        )


def sealed_for(event_hash: bytes) -> bytes:
    """The place that a notification's content is sealed for."""
    return b"notification:" + event_hash


async def _apply(services: Services, connection: Connection, visit: VisitRow, event: CallEvent) -> None:
    context = visit.context(services.seal)
    before = await load_roster(connection, visit)
    after, transitions = fold(before, _sightings(services.keys.visit_key_hmac, visit.visit_key, event))
    await save_roster(connection, visit.visit_key, before, after, context.staff)
    await keep(connection, visit.visit_key)
    if transitions:
        await queue_write_backs(services, connection, visit, context, transitions)
        await _record(services, connection, visit, transitions)
    await _move_on(services, connection, visit, before, after)
    await notify(connection, visit.visit_key)


async def _move_on(services: Services, connection: Connection, visit: VisitRow, before: Roster, after: Roster) -> None:
    """The end of the call ends the visit; somebody who comes back to the call reopens it."""
    if after.ended and not before.ended:
        await set_state(connection, visit.visit_key, VisitState.ENDED)
        row = AuditRow(Action.VISIT_ENDED, visit.organization_id, visit.connection_id, visit_key=visit.visit_key)
        await services.audit.record(connection, row)
        await shorten_retention(connection, visit.visit_key)
    elif before.ended and not after.ended and visit.phase is VisitState.ENDED:
        await set_state(connection, visit.visit_key, VisitState.OPEN)


async def _record(
    services: Services, connection: Connection, visit: VisitRow, transitions: tuple[Transition, ...]
) -> None:
    for transition in transitions:
        await services.audit.record(
            connection,
            AuditRow(
                Action.PRESENCE_CHANGED,
                visit.organization_id,
                visit.connection_id,
                actor=transition.who,
                visit_key=visit.visit_key,
                detail=transition.connection.value,
            ),
        )


def _sightings(key: bytes, visit_key: bytes, event: CallEvent) -> Sightings:
    lines = tuple(_sighting(key, visit_key, line) for line in event.lines)
    return Sightings(event.at, lines, ends_call=event.kind == "ended")


def _sighting(key: bytes, visit_key: bytes, line: RosterLine) -> Sighting:
    """In the older form a line has no id of its own: its person stands for it."""
    identity = line.identity
    person = person_hash(key, visit_key, identity.kind, identity.tenant_id, identity.id) if identity else None
    if line.id is not None:
        return Sighting(entry_hash(key, visit_key, line.id), person, line.presence)
    assert person is not None
    return Sighting(person, person, line.presence)
