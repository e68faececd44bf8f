"""What a page shows of a visit: everything for its providers, one word for its patient.

Owns the reading of both and their JSON. The patient's snapshot is a state and nothing else: no people, no times, no
link. The provider's names nobody: people are the reader, other providers, and the patient's side.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from runtime.meeting import subscriptions
from runtime.visit.context import VisitContext
from runtime.visit.presence import Person, Presence, Roster
from runtime.visit.rows import STALE_SECONDS, VisitRow, VisitState, load_roster, load_visit

if TYPE_CHECKING:
    from runtime.bootstrap import Services
    from runtime.database import Connection

TEAMS_HOSTS = frozenset(
    {"teams.microsoft.com", "teams.microsoft.us", "gov.teams.microsoft.us", "dod.teams.microsoft.us"}
)
"""Whose links the Teams app opens as `msteams:`; any other host's only the browser does."""


class PatientState(StrEnum):
    WAITING = "waiting"
    GO = "go"
    ENDED = "ended"


def patient_state(state: VisitState, context: VisitContext, roster: Roster) -> PatientState:
    """GO only once the lobby was read back and there is a link.

    A call that ended before anybody of the patient's side was in it was a provider who looked in early.
    """
    if state is VisitState.ENDED and any(not context.is_staff(who) for who in roster.ever_connected()):
        return PatientState.ENDED
    if state is VisitState.OPEN and context.lobby_verified and context.patient_url:
        return PatientState.GO
    return PatientState.WAITING


def waiting_since(visit: VisitRow, now: datetime) -> datetime | None:
    """Since when the patient's page waits, while it is heard of."""
    seen = visit.patient_seen_at
    if seen is None or now - seen > timedelta(seconds=STALE_SECONDS):
        return None
    return visit.patient_waiting_since


@dataclass(frozen=True)
class ProviderSnapshot:
    state: VisitState
    failure_code: str | None
    open_url: str | None
    app_url: str | None
    patient_waiting_since: datetime | None
    stale_at: datetime | None
    people: tuple[dict[str, Any], ...]
    live: bool
    behind: bool
    write_backs: dict[str, int]

    def as_json(self) -> dict[str, Any]:
        """For the page's script; times are RFC 3339 in UTC."""
        waiting = self.patient_waiting_since
        return {
            "state": self.state.value,
            "failure": self.failure_code,
            "open": self.open_url,
            "app": self.app_url,
            "patientWaitingSince": _time(waiting) if waiting else None,
            "people": list(self.people),
            "live": self.live,
            "behind": self.behind,
            "writeBacks": self.write_backs,
        }


async def read_patient_state(services: Services, visit_key: bytes) -> PatientState:
    """A visit that was purged has ended."""
    async with services.database.transaction() as connection:
        visit = await load_visit(connection, visit_key)
        if visit is None:
            return PatientState.ENDED
        roster = await load_roster(connection, visit)
    return patient_state(visit.phase, visit.context(services.seal), roster)


async def read_provider_snapshot(services: Services, visit_key: bytes, reader: bytes) -> ProviderSnapshot | None:
    """What the provider `reader` sees; None once the visit was purged."""
    async with services.database.connection() as connection:
        visit = await load_visit(connection, visit_key)
        if visit is None:
            return None
        return await provider_snapshot(services, connection, visit, reader)


async def provider_snapshot(
    services: Services, connection: Connection, visit: VisitRow, reader: bytes
) -> ProviderSnapshot:
    """The same of a visit that was just read."""
    now, context = datetime.now(UTC), visit.context(services.seal)
    roster = await load_roster(connection, visit)
    subscription = await subscriptions.of_visit(connection, visit.visit_key)
    write_backs = await _write_backs(connection, visit.visit_key)
    people = roster.people()
    over = patient_state(visit.phase, context, roster) is PatientState.ENDED
    there = any(_is_patient_in(person, context) for person in people)
    waiting = None if over or there else waiting_since(visit, now)
    ready = visit.phase in (VisitState.OPEN, VisitState.ENDED) and context.lobby_verified and context.meeting
    url = context.meeting.join_web_url if ready and context.meeting else None
    stale_at = visit.patient_seen_at + timedelta(seconds=STALE_SECONDS) if waiting and visit.patient_seen_at else None
    return ProviderSnapshot(
        state=visit.phase,
        failure_code=visit.failure_code,
        open_url=url,
        app_url=_app_url(url),
        patient_waiting_since=waiting,
        stale_at=stale_at,
        people=tuple(_shown(person, context, reader) for person in people),
        live=subscription is not None and subscription.graph_id is not None,
        behind=subscription is not None and subscription.missed_at is not None,
        write_backs=write_backs,
    )


def _is_patient_in(person: Person, context: VisitContext) -> bool:
    """The meeting itself shows that the patient is there: their waiting page has nothing to add."""
    return person.presence is not Presence.LEFT and not context.is_staff(person.who)


def _shown(person: Person, context: VisitContext, reader: bytes) -> dict[str, Any]:
    others = "staff" if context.is_staff(person.who) else "patient"
    return {
        "who": "you" if person.who == reader else others,
        "presence": person.presence.value,
        "since": _time(person.since),
    }


async def _write_backs(connection: Connection, visit_key: bytes) -> dict[str, int]:
    cursor = await connection.execute(
        "SELECT state, count(*) FROM connector.write_back WHERE visit_key = %s GROUP BY state", (visit_key,)
    )
    return {str(row[0]): int(row[1]) async for row in cursor}


def _app_url(url: str | None) -> str | None:
    if url is None or (urlsplit(url).hostname or "") not in TEAMS_HOSTS:
        return None
    return "msteams:" + url.partition(urlsplit(url).netloc)[2]


def _time(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
