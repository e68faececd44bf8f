"""The rows of a visit and of its participants.

Owns their SQL and the states of a visit. A visit is WAITING while only the patient came, PREPARING from the first
provider's begin, MENDING while a step with Graph fails, OPEN once its lobby was read back, ENDED with the call.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType

from psycopg.rows import class_row

from runtime.database import Connection
from runtime.sealing import Seal
from runtime.visit.context import VisitContext
from runtime.visit.presence import Line, Presence, Roster, Side

CHANNEL = "visit"
"""LISTEN/NOTIFY; the payload is the visit key in hexadecimal."""

RETENTION = timedelta(hours=25)
"""A visit is purged this long after anything happened: longer than write-backs are tried (`writeback/queue.py`)."""

GRACE = timedelta(hours=1)
"""After the end, for events that come late and for people who come back."""

LAST_MINUTES = timedelta(minutes=10)
"""So long before it is purged, a visit that never ended loses its subscription. Who comes now prolongs it again."""


class VisitState(StrEnum):
    WAITING = "waiting"
    PREPARING = "preparing"
    MENDING = "mending"
    OPEN = "open"
    ENDED = "ended"

    @property
    def begun(self) -> bool:
        """Whether a provider has begun and the call has not ended."""
        return self in (VisitState.PREPARING, VisitState.MENDING, VisitState.OPEN)


@dataclass(frozen=True)
class VisitRow:
    visit_key: bytes
    organization_id: str
    connection_id: str
    kind: str
    state: str
    failure_code: str | None
    sealed: bytes
    created_at: datetime
    organizer_begun_at: datetime | None
    patient_waiting_since: datetime | None
    patient_seen_at: datetime | None
    call_ended_at: datetime | None
    ended_at: datetime | None

    @property
    def phase(self) -> VisitState:
        return VisitState(self.state)

    def context(self, sealing: Seal) -> VisitContext:
        return VisitContext.open(sealing, self.visit_key, bytes(self.sealed))


_COLUMNS = b"""visit_key, organization_id, connection_id, kind, state, failure_code, sealed, created_at,
    organizer_begun_at, patient_waiting_since, patient_seen_at, call_ended_at, ended_at"""
_LOAD = b"SELECT " + _COLUMNS + b" FROM visit WHERE visit_key = %s"


@dataclass(frozen=True)
class ServedWith:
    """The digest of the connection's configuration, and the image, with which a visit was begun."""

    sha256: str | None
    image: str


async def insert_visit(
    connection: Connection,
    visit_key: bytes,
    organization_id: str,
    connection_id: str,
    kind: str,
    sealed: bytes,
    served: ServedWith,
) -> None:
    """Make the visit's row unless it exists: the unique key decides between two who come at once."""
    await connection.execute(
        """INSERT INTO visit (visit_key, organization_id, connection_id, kind, state, sealed, purge_after,
               served_sha256, served_image)
           VALUES (%s, %s, %s, %s, 'waiting', %s, now() + %s, %s, %s) ON CONFLICT (visit_key) DO NOTHING""",
        (visit_key, organization_id, connection_id, kind, sealed, RETENTION, served.sha256, served.image),
    )


async def load_visit(connection: Connection, visit_key: bytes, *, lock: bool = False) -> VisitRow | None:
    async with connection.cursor(row_factory=class_row(VisitRow)) as cursor:
        await cursor.execute(_LOAD + b" FOR UPDATE" if lock else _LOAD, (visit_key,))
        return await cursor.fetchone()


async def save_context(connection: Connection, visit_key: bytes, sealed: bytes) -> None:
    await connection.execute(
        "UPDATE visit SET sealed = %s, purge_after = greatest(purge_after, now() + %s) WHERE visit_key = %s",
        (sealed, RETENTION, visit_key),
    )


async def set_state(
    connection: Connection, visit_key: bytes, state: VisitState, failure_code: str | None = None
) -> None:
    """Move a visit on and tell the pages that watch it."""
    await connection.execute(
        """UPDATE visit SET state = %(state)s, failure_code = %(code)s,
               organizer_begun_at = CASE WHEN %(state)s = 'preparing' THEN coalesce(organizer_begun_at, now())
                                         ELSE organizer_begun_at END,
               ended_at = CASE WHEN %(state)s = 'ended' THEN coalesce(ended_at, now()) ELSE NULL END,
               purge_after = now() + %(retention)s
           WHERE visit_key = %(key)s""",
        {"state": state.value, "code": failure_code, "retention": RETENTION, "key": visit_key},
    )
    await notify(connection, visit_key)


async def lease(connection: Connection, visit_key: bytes, length: timedelta) -> VisitRow | None:
    """The visit, where the caller alone may prepare its meeting now, for that long."""
    async with connection.cursor(row_factory=class_row(VisitRow)) as cursor:
        await cursor.execute(
            b"""UPDATE visit SET preparing_until = now() + %s
                WHERE visit_key = %s AND (preparing_until IS NULL OR preparing_until < now()) RETURNING """
            + _COLUMNS,
            (length, visit_key),
        )
        return await cursor.fetchone()


async def release(connection: Connection, visit_key: bytes, *, finished: bool) -> None:
    """Give the lease back; what is not finished is anybody's to take up."""
    await connection.execute(
        "UPDATE visit SET preparing_until = CASE WHEN %s THEN NULL ELSE now() END WHERE visit_key = %s",
        (finished, visit_key),
    )


async def unfinished(connection: Connection) -> list[bytes]:
    """Visits whose preparation was begun and nobody is at: its lease ran out, or was given back."""
    cursor = await connection.execute("SELECT visit_key FROM visit WHERE preparing_until < now() LIMIT 500")
    return [bytes(row[0]) async for row in cursor]


async def keep(connection: Connection, visit_key: bytes) -> None:
    """Something happened in the visit: the time until it is purged begins anew."""
    await connection.execute("UPDATE visit SET purge_after = now() + %s WHERE visit_key = %s", (RETENTION, visit_key))


async def notify(connection: Connection, visit_key: bytes) -> None:
    """Wake the pages of a visit in every replica, when the transaction commits."""
    await connection.execute("SELECT pg_notify(%s, %s)", (CHANNEL, visit_key.hex()))


async def shorten_retention(connection: Connection, visit_key: bytes) -> None:
    """An ended visit whose write-backs are all delivered is kept for the grace period only."""
    await connection.execute(
        """UPDATE visit SET purge_after = greatest(ended_at + %s, now())
           WHERE visit_key = %s AND ended_at IS NOT NULL
             AND NOT EXISTS (SELECT FROM write_back w WHERE w.visit_key = visit.visit_key AND w.state = 'pending')""",
        (GRACE, visit_key),
    )


async def unprepared(connection: Connection, before: datetime) -> list[bytes]:
    """Visits that began before a time and whose meeting or subscription is not ready."""
    cursor = await connection.execute(
        """SELECT v.visit_key FROM visit v LEFT JOIN subscription s USING (visit_key)
           WHERE v.state IN ('preparing', 'mending', 'open') AND v.organizer_begun_at < %s
             AND (v.state <> 'open' OR s.graph_id IS NULL) AND v.purge_after > now() + %s LIMIT 500""",
        (before, LAST_MINUTES),
    )
    return [bytes(row[0]) async for row in cursor]


# --- participants -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ParticipantRow:
    participant_hash: bytes
    person_hash: bytes | None
    presence: str
    since: datetime
    event_time: datetime
    ever_connected: bool

    @property
    def line(self) -> Line:
        return Line(
            self.participant_hash,
            self.person_hash,
            Presence(self.presence),
            self.event_time,
            self.since,
            self.ever_connected,
        )


async def load_roster(connection: Connection, visit: VisitRow) -> Roster:
    async with connection.cursor(row_factory=class_row(ParticipantRow)) as cursor:
        await cursor.execute(
            """SELECT participant_hash, person_hash, presence, since, event_time, ever_connected
               FROM participant WHERE visit_key = %s""",
            (visit.visit_key,),
        )
        lines = [row.line async for row in cursor]
    return Roster(MappingProxyType({line.entry: line for line in lines}), visit.call_ended_at)


async def save_roster(
    connection: Connection, visit_key: bytes, before: Roster, after: Roster, staff: Iterable[str]
) -> None:
    """Write the lines that changed. The side is the person's, so that it is put right when a provider begins later."""
    known = frozenset(staff)
    for entry, line in after.lines.items():
        if before.lines.get(entry) == line:
            continue
        side = Side.STAFF if line.who.hex() in known else Side.PATIENT
        await connection.execute(
            """INSERT INTO participant (visit_key, participant_hash, person_hash, party, presence, since, event_time,
                   ever_connected)
               VALUES (%s, %s, %s, %s, %s, %s, %s, %s)
               ON CONFLICT (visit_key, participant_hash) DO UPDATE SET person_hash = EXCLUDED.person_hash,
                   party = EXCLUDED.party, presence = EXCLUDED.presence, since = EXCLUDED.since,
                   event_time = EXCLUDED.event_time, ever_connected = EXCLUDED.ever_connected""",
            (
                visit_key,
                entry,
                line.person,
                side.value,
                line.presence.value,
                line.since,
                line.event_time,
                line.ever_connected,
            ),
        )
    if after.call_ended_at != before.call_ended_at:
        await connection.execute(
            "UPDATE visit SET call_ended_at = %s WHERE visit_key = %s", (after.call_ended_at, visit_key)
        )


async def mark_staff(connection: Connection, visit_key: bytes, person: bytes) -> None:
    """Somebody of the meeting turned out to be a provider of this visit."""
    await connection.execute(
        "UPDATE participant SET party = 'staff' WHERE visit_key = %s AND person_hash = %s", (visit_key, person)
    )


# --- the patient's waiting room ---------------------------------------------------------------------------------

HEARTBEAT_SECONDS = 15
"""How often a waiting page is heard of: its event stream, or its refresh where it has no script."""

STALE_SECONDS = 40
"""After this long without a heartbeat nobody waits: two heartbeats may be lost."""


async def heartbeat(connection: Connection, visit_key: bytes, *, begin: bool = True) -> None:
    """The patient's page is there. Providers are told when it newly is.

    Without `begin` it only goes on: a page left open after its patient went to the meeting waits for nobody.
    """
    async with connection.cursor() as cursor:
        await cursor.execute(
            """WITH was AS (SELECT patient_waiting_since AS since, patient_seen_at AS seen FROM visit
                            WHERE visit_key = %(key)s FOR UPDATE)
               UPDATE visit SET patient_seen_at = now(),
                   patient_waiting_since = CASE WHEN was.seen IS NULL OR was.seen < now() - %(stale)s THEN now()
                                                ELSE coalesce(was.since, now()) END
               FROM was WHERE visit_key = %(key)s AND (%(begin)s OR was.seen IS NOT NULL)
               RETURNING was.seen IS NULL OR was.seen < now() - %(stale)s""",
            {"key": visit_key, "stale": timedelta(seconds=STALE_SECONDS), "begin": begin},
        )
        row = await cursor.fetchone()
    if row and row[0]:
        await notify(connection, visit_key)


async def patient_gone(connection: Connection, visit_key: bytes) -> None:
    """The patient went on to the meeting, or left the waiting room."""
    await connection.execute(
        "UPDATE visit SET patient_seen_at = NULL, patient_waiting_since = NULL WHERE visit_key = %s", (visit_key,)
    )
    await notify(connection, visit_key)
