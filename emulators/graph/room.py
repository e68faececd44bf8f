"""The room's rules: who passes the lobby, who may admit and end, and which call events each step causes.

Pure functions over a `Meeting`; time, names and tokens are arguments. Each returns the events
(`#microsoft.graph.callEvent`) to be told to subscribers, in order. Pages and endpoints are in `room_pages.py`.
"""

import uuid
from datetime import datetime, timedelta
from typing import Any

from emulators.graph.meetings import graph_time
from emulators.graph.model import Meeting, Participant

CallEvent = dict[str, Any]


class RoomError(Exception):
    """Something that the room refuses; the text is for the person."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status, self.text = status, text


def is_organizer(meeting: Meeting, participant: Participant) -> bool:
    return (participant.tenant_id, participant.object_id) == (meeting.tenant_id, meeting.organizer_id)


def is_invited(meeting: Meeting, participant: Participant, *roles: str) -> bool:
    """Whether the organiser named this account, in one of `roles` if any are given."""
    invited = (a for a in meeting.attendees if not roles or a.get("role", "attendee") in roles)
    ids = {a.get("identity", {}).get("user", {}).get("id") for a in invited}
    return participant.object_id is not None and participant.object_id in ids


def passes_lobby(meeting: Meeting, participant: Participant, *, is_tenant_guest: bool) -> bool:
    """lobbyBypassScope: who goes straight in."""
    if is_organizer(meeting, participant) or is_invited(meeting, participant, "coorganizer"):
        return True
    inside = participant.tenant_id == meeting.tenant_id
    match meeting.lobby_scope:
        case "everyone":
            return True
        case "organizationAndFederated":
            return participant.object_id is not None
        case "organization":
            return inside
        case "organizationExcludingGuests":
            return inside and not is_tenant_guest
        case "invited":
            return is_invited(meeting, participant)
        case _:
            return False


def may_manage(meeting: Meeting, participant: Participant) -> bool:
    """Whether they may admit people and end the meeting."""
    manages = is_organizer(meeting, participant) or is_invited(meeting, participant, "coorganizer")
    return participant.presence == "connected" and manages


def join(meeting: Meeting, participant: Participant, now: datetime) -> list[CallEvent]:
    """The call starts when the first person comes, even into the lobby."""
    events: list[CallEvent] = []
    if not meeting.in_call:
        meeting.in_call = True
        events.append(_event(meeting, "callStarted", now))
    meeting.participants.append(participant)
    return [*events, _roster(meeting, [_delta(participant)], now)]


def admit(meeting: Meeting, by: Participant, who: list[Participant], now: datetime) -> list[CallEvent]:
    if not may_manage(meeting, by):
        raise RoomError(403, "Only the organiser can admit people.")
    waiting = [p for p in who if p.presence == "lobby"]
    for participant in waiting:
        participant.presence = "connected"
    return [_roster(meeting, [_delta(p) for p in waiting], now)] if waiting else []


def leave(meeting: Meeting, participant: Participant, now: datetime, reason: str = "left") -> list[CallEvent]:
    if participant.presence == "gone":
        return []
    before = _delta(participant)
    participant.presence = "gone"
    events = [_roster(meeting, [before | {"removedState": {"reason": reason}}], now)]
    if not meeting.present:
        meeting.in_call = False
        events.append(_event(meeting, "callEnded", now))
    return events


def end(meeting: Meeting, by: Participant, now: datetime) -> list[CallEvent]:
    """The call's end is told alone: nobody's leaving is told one by one."""
    if not may_manage(meeting, by):
        raise RoomError(403, "Only the organiser can end the meeting.")
    for participant in meeting.present:
        participant.presence = "gone"
    meeting.in_call = False
    return [_event(meeting, "callEnded", now)]


def _event(meeting: Meeting, kind: str, now: datetime) -> CallEvent:
    if meeting.last_event is not None and now <= meeting.last_event:
        now = meeting.last_event + timedelta(milliseconds=1)
    meeting.last_event = now
    return {
        "@odata.type": "#microsoft.graph.callEvent",
        "id": str(uuid.uuid4()),
        "eventType": kind,
        "eventDateTime": graph_time(now),
    }


def _roster(meeting: Meeting, deltas: list[dict[str, Any]], now: datetime) -> CallEvent:
    return _event(meeting, "rosterUpdated", now) | {"participants@delta": deltas}


def _delta(participant: Participant) -> dict[str, Any]:
    return {
        "id": participant.id,
        "isInLobby": participant.presence == "lobby",
        "info": {"identity": participant.identity},
    }
