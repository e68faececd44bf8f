"""The queue of write-backs: one row per connect or disconnect, numbered within its visit.

Owns the rows' SQL and states. PENDING until the EHR took it (DELIVERED) or was given up on (DEAD); UNSUPPORTED where
the EHR's kind has no way to take one, so that the provider sees it. What a row says is sealed, and wiped on delivery.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from psycopg.rows import class_row

from runtime.jobs import Job, defer
from runtime.visit.key import external_id
from runtime.visit.presence import Connection as ConnectionState
from runtime.visit.presence import Side, Transition
from runtime.writeback.epic import ConnectionChange
from schemas.vocabulary import EhrKind

if TYPE_CHECKING:
    from runtime.bootstrap import Services
    from runtime.database import Connection
    from runtime.sealing import Seal
    from runtime.visit.context import VisitContext
    from runtime.visit.rows import VisitRow

GIVE_UP_AFTER = timedelta(hours=24)
FIRST_WAIT_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 300.0


class WriteBackState(StrEnum):
    PENDING = "pending"
    DELIVERED = "delivered"
    DEAD = "dead"
    UNSUPPORTED = "unsupported"


@dataclass(frozen=True)
class WriteBackRow:
    id: UUID
    sequence: int
    sealed: bytes
    attempts: int
    created_at: datetime
    next_attempt_at: datetime

    def change(self, seal: Seal) -> ConnectionChange:
        fields = json.loads(seal.open(bytes(self.sealed), _sealed_for(self.id)))
        return ConnectionChange(
            fields["session_id"],
            fields["external_id"],
            Side(fields["side"]),
            ConnectionState(fields["connection"]),
        )


def wait_after(attempts: int) -> timedelta:
    """How long after the n-th failed attempt: one second first, doubled each time, five minutes at most."""
    return timedelta(seconds=min(FIRST_WAIT_SECONDS * 2.0 ** min(attempts - 1, 20), LONGEST_WAIT_SECONDS))


async def queue_write_backs(
    services: Services,
    connection: Connection,
    visit: VisitRow,
    context: VisitContext,
    transitions: Sequence[Transition],
) -> None:
    """A row for each transition and one job to deliver them, in the caller's transaction, which locked the visit."""
    served = services.configuration.connection(visit.connection_id)
    supported = served is None or served.connection.ehr is EhrKind.EPIC
    for transition in transitions:
        identifier = uuid4()
        change = {
            "session_id": context.session_id,
            "external_id": external_id(transition.who),
            "side": (Side.STAFF if context.is_staff(transition.who) else Side.PATIENT).value,
            "connection": transition.connection.value,
        }
        sealed = services.seal.seal(json.dumps(change).encode(), _sealed_for(identifier)) if supported else None
        state = WriteBackState.PENDING if supported else WriteBackState.UNSUPPORTED
        await connection.execute(
            """INSERT INTO connector.write_back (id, visit_key, sequence, sealed, state)
               SELECT %s, %s, coalesce(max(sequence), 0) + 1, %s, %s FROM connector.write_back WHERE visit_key = %s""",
            (identifier, visit.visit_key, sealed, state.value, visit.visit_key),
        )
    if supported:
        await defer_delivery(connection, visit.visit_key)


async def defer_delivery(connection: Connection, visit_key: bytes, at: datetime | None = None) -> None:
    """One visit's write-backs are delivered by one job at a time, so their order holds."""
    name = visit_key.hex()
    await defer(connection, Job.DELIVER_WRITE_BACKS, lock=f"write-back:{name}", at=at, visit=name)


async def next_pending(connection: Connection, visit_key: bytes) -> WriteBackRow | None:
    """The oldest one not delivered: those after it wait for it."""
    async with connection.cursor(row_factory=class_row(WriteBackRow)) as cursor:
        await cursor.execute(
            """SELECT id, sequence, sealed, attempts, created_at, next_attempt_at FROM connector.write_back
               WHERE visit_key = %s AND state = 'pending' ORDER BY sequence LIMIT 1""",
            (visit_key,),
        )
        return await cursor.fetchone()


async def mark_delivered(connection: Connection, identifier: UUID) -> bool:
    return await _finish(connection, identifier, WriteBackState.DELIVERED, None)


async def mark_dead(connection: Connection, identifier: UUID, code: str) -> bool:
    return await _finish(connection, identifier, WriteBackState.DEAD, code)


async def _finish(connection: Connection, identifier: UUID, state: WriteBackState, code: str | None) -> bool:
    cursor = await connection.execute(
        """UPDATE connector.write_back SET state = %(state)s, sealed = NULL, attempts = attempts + 1,
               last_error_code = coalesce(%(code)s, last_error_code),
               delivered_at = CASE WHEN %(state)s = 'delivered' THEN now() END
           WHERE id = %(id)s AND state = 'pending'""",
        {"state": state.value, "code": code, "id": identifier},
    )
    return cursor.rowcount == 1


async def mark_failed(connection: Connection, identifier: UUID, code: str, next_attempt_at: datetime) -> None:
    await connection.execute(
        """UPDATE connector.write_back SET attempts = attempts + 1, last_error_code = %s, next_attempt_at = %s
           WHERE id = %s AND state = 'pending'""",
        (code, next_attempt_at, identifier),
    )


async def overdue(connection: Connection, before: datetime) -> list[bytes]:
    """Visits whose next write-back should have been tried before a time: their job was lost."""
    cursor = await connection.execute(
        """SELECT DISTINCT visit_key FROM connector.write_back WHERE state = 'pending' AND next_attempt_at < %s
           LIMIT 500""",
        (before,),
    )
    return [bytes(row[0]) async for row in cursor]


def _sealed_for(identifier: UUID) -> bytes:
    return b"write_back:" + identifier.bytes
