"""Who waits, is connected, or left: a fold over the meeting's call events.

Owns the rules of presence as pure functions. Graph delivers at least once and not in order, so a roster line is a
last-writer-wins register over event time, and the end of the call one over all lines: the result depends on which
events came, never on their order or number. A person may have several lines (two devices) and is connected while one
of them is. Leaves out how events are read (`meeting/events.py`) and stored (`rows.py`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType


class Presence(StrEnum):
    """Lobby is not connected."""

    WAITING = "waiting"
    CONNECTED = "connected"
    LEFT = "left"


class Side(StrEnum):
    """Whose side somebody in the meeting is on: staff are providers linked in this visit, all others the patient's."""

    STAFF = "staff"
    PATIENT = "patient"


class Connection(StrEnum):
    """What is written back to the EHR."""

    CONNECTED = "connected"
    DISCONNECTED = "disconnected"


_RANK = {Presence.WAITING: 0, Presence.CONNECTED: 1, Presence.LEFT: 2}
"""At one and the same event time the later stage of a visit wins, so that equal times have one outcome."""


@dataclass(frozen=True)
class Sighting:
    """One roster line in one event; `person` is None where the event does not say who it is."""

    entry: bytes
    person: bytes | None
    presence: Presence


@dataclass(frozen=True)
class Sightings:
    """One call event, reduced: its time, the lines that it names, whether it ends the call."""

    at: datetime
    lines: tuple[Sighting, ...] = ()
    ends_call: bool = False


@dataclass(frozen=True)
class Line:
    """What is known of one roster line. `since` is when its present presence began."""

    entry: bytes
    person: bytes | None
    presence: Presence
    event_time: datetime
    since: datetime
    ever_connected: bool = False

    @property
    def who(self) -> bytes:
        return self.person or self.entry


@dataclass(frozen=True)
class Person:
    """A person of the visit, over all their lines."""

    who: bytes
    presence: Presence
    since: datetime


@dataclass(frozen=True)
class Transition:
    """Somebody connected or disconnected: one write-back each."""

    who: bytes
    connection: Connection
    at: datetime


@dataclass(frozen=True)
class Roster:
    """Everything that presence is derived from."""

    lines: Mapping[bytes, Line] = field(default_factory=lambda: MappingProxyType[bytes, Line]({}))
    call_ended_at: datetime | None = None

    @property
    def ended(self) -> bool:
        """Whether the call has ended and nobody came back since."""
        ended = self.call_ended_at
        return ended is not None and not any(
            line.event_time > ended and line.presence is not Presence.LEFT for line in self.lines.values()
        )

    def people(self) -> tuple[Person, ...]:
        """Everybody, by their most present line, in order of arrival at it."""
        best: dict[bytes, Person] = {}
        order = {Presence.LEFT: 0, Presence.WAITING: 1, Presence.CONNECTED: 2}
        for line in self.lines.values():
            seen = best.get(line.who)
            if seen is None or (order[line.presence], line.since) > (order[seen.presence], seen.since):
                best[line.who] = Person(line.who, line.presence, line.since)
        return tuple(sorted(best.values(), key=lambda p: (p.since, p.who)))

    def connected(self) -> frozenset[bytes]:
        return frozenset(line.who for line in self.lines.values() if line.presence is Presence.CONNECTED)

    def ever_connected(self) -> frozenset[bytes]:
        return frozenset(line.who for line in self.lines.values() if line.ever_connected)


def fold(roster: Roster, event: Sightings) -> tuple[Roster, tuple[Transition, ...]]:
    """The roster after an event, and who connected or disconnected by it."""
    lines = dict(roster.lines)
    for sighting in event.lines:
        lines[sighting.entry] = _seen(lines.get(sighting.entry), sighting, event.at)
    ended = roster.call_ended_at
    if event.ends_call:
        ended = event.at if ended is None else max(ended, event.at)
    if ended is not None:
        lines = {entry: _after_end(line, ended) for entry, line in lines.items()}
    after = Roster(MappingProxyType(lines), ended)
    return after, _transitions(roster, after, event.at)


def _seen(line: Line | None, sighting: Sighting, at: datetime) -> Line:
    connected = sighting.presence is Presence.CONNECTED
    if line is None:
        return Line(sighting.entry, sighting.person, sighting.presence, at, at, connected)
    line = replace(line, person=line.person or sighting.person, ever_connected=line.ever_connected or connected)
    if (at, _RANK[sighting.presence]) <= (line.event_time, _RANK[line.presence]):
        return line
    since = line.since if sighting.presence is line.presence else at
    return replace(line, presence=sighting.presence, event_time=at, since=since)


def _after_end(line: Line, ended: datetime) -> Line:
    if line.event_time > ended:
        return line
    since = line.since if line.presence is Presence.LEFT else ended
    return replace(line, presence=Presence.LEFT, event_time=ended, since=since)


def _transitions(before: Roster, after: Roster, at: datetime) -> tuple[Transition, ...]:
    """A connection that became known only after its end is told too, as a connect and a disconnect."""
    was, now = before.connected(), after.connected()
    told, known = before.ever_connected(), after.ever_connected()
    late = (known - told) - now - was
    found = [Transition(who, Connection.CONNECTED, at) for who in sorted((now - was) | late)]
    found += [Transition(who, Connection.DISCONNECTED, at) for who in sorted((was - now) | late)]
    return tuple(found)
