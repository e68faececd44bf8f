"""Reading a decrypted call event of a meeting: today's roster form and the older one.

Owns the shape of Graph's `callEvent` (beta, "Get change notifications for Microsoft Teams meeting call updates").
Unknown fields are ignored, names are compared without case. Leaves out what events mean (`visit/presence.py`); display
names are never read.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, cast

from runtime.visit.presence import Presence

EventKind = Literal["started", "ended", "roster", "other"]

_KINDS: dict[str, EventKind] = {
    "callstarted": "started",
    "callended": "ended",
    "rosterupdated": "roster",
    "callrosterupdated": "roster",
    "microsoft.communication.callstarted": "started",
    "microsoft.communication.callended": "ended",
    "microsoft.communication.callrosterupdate": "roster",
    "microsoft.communication.callrosterupdated": "roster",
}
_JOINED, _EXITED = "activeparticipants@joined", "activeparticipants@exited"


class CallEventInvalid(Exception):
    """A decrypted notification is not a call event that we can read."""


@dataclass(frozen=True)
class Identity:
    """Who Microsoft says somebody is; `kind` is `user`, `guest`, `phone`, ..."""

    kind: str
    tenant_id: str
    id: str


@dataclass(frozen=True)
class RosterLine:
    """One participant of an event: `id` is None in the older form, `identity` where the event names nobody."""

    id: str | None
    identity: Identity | None
    presence: Presence


@dataclass(frozen=True)
class CallEvent:
    id: str
    kind: EventKind
    at: datetime
    lines: tuple[RosterLine, ...]


def parse_call_event(plain: bytes) -> CallEvent:
    """The event in a decrypted payload. Raises `CallEventInvalid`, never with its content."""
    try:
        payload = json.loads(plain)
        json.dumps(payload, ensure_ascii=False).encode()  # "\\ud800" is JSON, and no text
    except (ValueError, RecursionError):
        raise CallEventInvalid("expected JSON") from None
    event = _lowered(payload)
    identifier, kind, time = event.get("id"), event.get("eventtype"), event.get("eventdatetime")
    if not isinstance(identifier, str) or not identifier:
        raise CallEventInvalid("expected an id")
    if not isinstance(kind, str):
        raise CallEventInvalid("expected an eventType")
    return CallEvent(identifier, _KINDS.get(kind.lower(), "other"), _time(time), tuple(_lines(event)))


def _lowered(value: object) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        return {}
    return {str(k).lower(): v for k, v in cast("dict[object, Any]", value).items()}


def _items(value: object) -> list[Mapping[str, Any]]:
    return [_lowered(item) for item in cast("list[object]", value)] if isinstance(value, list) else []


def _time(value: object) -> datetime:
    if not isinstance(value, str):
        raise CallEventInvalid("expected an eventDateTime")
    try:
        time = datetime.fromisoformat(value)
    except ValueError:
        raise CallEventInvalid("expected an eventDateTime as RFC 3339 has it") from None
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def _lines(event: Mapping[str, Any]) -> Iterator[RosterLine]:
    for item in _items(event.get("participants@delta")):
        if item.get("removedstate") is not None or item.get("@removed") is not None:
            presence = Presence.LEFT
        else:
            presence = Presence.WAITING if item.get("isinlobby") is True else Presence.CONNECTED
        yield from _line(item, presence)
    for item in _items(event.get(_JOINED)):
        yield from _line(item, Presence.WAITING if item.get("isinlobby") is True else Presence.CONNECTED)
    for item in _items(event.get(_EXITED)):
        yield from _line(item, Presence.LEFT)


def _line(item: Mapping[str, Any], presence: Presence) -> Iterator[RosterLine]:
    roster_id = item.get("id")
    roster_id = roster_id if isinstance(roster_id, str) and roster_id else None
    identity = _identity(_lowered(item.get("info")).get("identity")) or _identity(item.get("identity"))
    if roster_id is not None or identity is not None:
        yield RosterLine(roster_id, identity, presence)


def _identity(value: object) -> Identity | None:
    for kind, person in _lowered(value).items():
        fields = _lowered(person)
        identifier, tenant = fields.get("id"), fields.get("tenantid")
        if not kind.startswith("@") and isinstance(identifier, str) and identifier:
            return Identity(kind, tenant if isinstance(tenant, str) else "", identifier)
    return None
