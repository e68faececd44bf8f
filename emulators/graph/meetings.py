"""Online meetings: `createOrGet`, read, update, and the browser join link of a virtual appointment.

Owns what a body may contain, the key (tenant, organiser, external id), the quota, the application access policy, and
how a value of an evolvable enumeration is written and read. Clause: Microsoft Graph v1.0, "onlineMeeting".
"""

import base64
import re
import secrets
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from urllib.parse import quote

from emulators.entra.directory import Directory
from emulators.graph import errors
from emulators.graph.authentication import MEETINGS_PERMISSION, VIRTUAL_APPOINTMENT_PERMISSION, Caller
from emulators.graph.model import Meeting, Store
from emulators.world import World

CREATE_PROPERTIES = frozenset({"externalId", "subject", "startDateTime", "endDateTime", "participants"})
PLAIN_SCOPES = frozenset({"organizer", "organization", "organizationAndFederated", "everyone"})
EVOLVED_SCOPES = frozenset({"invited", "organizationExcludingGuests"})
UNKNOWN_MEMBER = "unknownFutureValue"
ATTENDEE_ROLES = frozenset({"attendee", "presenter", "coorganizer"})
BOOLEAN_SETTINGS = frozenset(
    {"allowAttendeeToEnableCamera", "allowAttendeeToEnableMic", "allowTeamworkReactions", "isEntryExitAnnounced",
     "recordAutomatically", "allowTranscription", "allowRecording"}
)  # fmt: skip
CHOICE_SETTINGS: Mapping[str, frozenset[str]] = {
    "allowedPresenters": frozenset({"everyone", "organization", "roleIsPresenter", "organizer"}),
    "allowMeetingChat": frozenset({"enabled", "disabled", "limited"}),
}


class Meetings:
    """What an application may do with the meetings of a user. `oid` is the organiser's object id."""

    def __init__(self, world: World, store: Store, clock: Callable[[], float]) -> None:
        self._world, self._store, self._clock = world, store, clock
        self._directory = Directory(world)

    def create_or_get(self, caller: Caller, oid: str, body: Mapping[str, Any]) -> tuple[Meeting, bool]:
        """The meeting of this external id, and whether it is new."""
        self._require_access(caller, oid)
        _only(body, CREATE_PROPERTIES)
        external_id = body.get("externalId")
        if not isinstance(external_id, str) or not external_id:
            raise errors.bad_request("Invalid request payload: 'externalId' is required and must be a string.")
        subject = body.get("subject")
        if subject is not None and not isinstance(subject, str):
            raise errors.bad_request("Invalid request payload: 'subject' must be a string.")
        start, end = self._times(body)
        attendees = _attendees(body.get("participants"))
        for meeting in self._store.meetings.all.values():
            if (meeting.tenant_id, meeting.organizer_id, meeting.external_id) == (caller.tenant_id, oid, external_id):
                return meeting, False
        self._require_quota(caller.tenant_id, oid)
        meeting = self._new(caller, oid, external_id)
        meeting.subject, meeting.start, meeting.end, meeting.attendees = subject, start, end, attendees
        self._store.meetings.put(meeting)
        return meeting, True

    def get(self, caller: Caller, oid: str, meeting_id: str) -> Meeting:
        self._require_access(caller, oid)
        meeting = self._store.meetings.all.get(meeting_id)
        if meeting is None or (meeting.tenant_id, meeting.organizer_id) != (caller.tenant_id, oid):
            raise errors.not_found("The meeting was not found.")
        return meeting

    def update(self, caller: Caller, oid: str, meeting_id: str, body: Mapping[str, Any], *, evolved: bool) -> Meeting:
        """PATCH. `evolved`: the caller sent `Prefer: include-unknown-enum-members`."""
        meeting = self.get(caller, oid, meeting_id).model_copy(deep=True)
        _only(body, {"subject", "startDateTime", "endDateTime", "participants", "lobbyBypassSettings"}
              | BOOLEAN_SETTINGS | CHOICE_SETTINGS.keys())  # fmt: skip
        if "lobbyBypassSettings" in body:
            _set_lobby(meeting, body["lobbyBypassSettings"], evolved=evolved)
        if "subject" in body:
            meeting.subject = str(body["subject"])
        if "participants" in body:
            meeting.attendees = _attendees(body["participants"])
        if {"startDateTime", "endDateTime"} & body.keys():
            known = {"startDateTime": meeting.start.isoformat(), "endDateTime": meeting.end.isoformat()}
            meeting.start, meeting.end = self._times({**known, **body})
        for name in body.keys() & (BOOLEAN_SETTINGS | CHOICE_SETTINGS.keys()):
            allowed = isinstance(body[name], bool) if name in BOOLEAN_SETTINGS else body[name] in CHOICE_SETTINGS[name]
            if not allowed:
                raise errors.bad_request(f"Invalid value specified for property '{name}'.")
            meeting.settings[name] = body[name]
        self._store.meetings.put(meeting)
        return meeting

    def virtual_appointment_url(self, caller: Caller, oid: str, meeting_id: str) -> str:
        """A join link that opens in the browser."""
        caller.require(VIRTUAL_APPOINTMENT_PERMISSION)
        return f"{self.get(caller, oid, meeting_id).join_web_url}&virtualAppointment=true"

    def entity(self, meeting: Meeting, *, evolved: bool) -> dict[str, Any]:
        """The resource as JSON."""
        account = self._directory.by_object_id(meeting.tenant_id, meeting.organizer_id)
        upn = account.user.user_principal_name if account else None
        identity = {"id": meeting.organizer_id, "displayName": None, "tenantId": meeting.tenant_id,
                    "identityProvider": "AAD"}  # fmt: skip
        shown = evolved or meeting.lobby_scope not in EVOLVED_SCOPES
        return {
            "@odata.context": f"{self._world.graph.url}/v1.0/$metadata#users('{meeting.organizer_id}')"
            "/onlineMeetings/$entity",
            "id": meeting.id,
            "externalId": meeting.external_id,
            "creationDateTime": graph_time(meeting.created),
            "startDateTime": graph_time(meeting.start),
            "endDateTime": graph_time(meeting.end),
            "subject": meeting.subject,
            "joinWebUrl": meeting.join_web_url,
            "chatInfo": {"threadId": meeting.thread_id, "messageId": "0", "replyChainMessageId": None},
            "lobbyBypassSettings": {
                "scope": meeting.lobby_scope if shown else UNKNOWN_MEMBER,
                "isDialInBypassEnabled": meeting.dial_in_bypass,
            },
            "participants": {
                "organizer": {"upn": upn, "role": "presenter", "identity": {"user": identity}},
                "attendees": meeting.attendees,
            },
            "isBroadcast": False,
            "allowedPresenters": "everyone",
            "allowMeetingChat": "enabled",
            **meeting.settings,
        }

    # --- rules ---------------------------------------------------------------------------------------------------

    def _require_access(self, caller: Caller, oid: str) -> None:
        caller.require(MEETINGS_PERMISSION)
        if self._directory.by_object_id(caller.tenant_id, oid) is None:
            raise errors.not_found(f"User '{oid}' was not found in the tenant.")
        granted = ((p.tenant_id, p.application_id) for p in self._world.graph.access_policies)
        if (caller.tenant_id, caller.application_id) not in granted:
            raise errors.GraphError(403, "Forbidden", "No application access policy found for this app")

    def _require_quota(self, tenant_id: str, oid: str) -> None:
        now = self._now()
        made = sum(
            1
            for m in self._store.meetings.all.values()
            if (m.tenant_id, m.organizer_id) == (tenant_id, oid)
            and (m.created.year, m.created.month) == (now.year, now.month)
        )
        if made >= self._world.graph.meetings_per_user_and_month:
            raise errors.throttled(3600)

    def _times(self, body: Mapping[str, Any]) -> tuple[datetime, datetime]:
        """Start and end: now and an hour later where they are left out."""
        if "endDateTime" in body and "startDateTime" not in body:
            raise errors.bad_request("'endDateTime' must come with 'startDateTime'.")
        start = _time(body, "startDateTime") or self._now()
        end = _time(body, "endDateTime") or start + timedelta(hours=1)
        if end < start:
            raise errors.bad_request("'endDateTime' must not be before 'startDateTime'.")
        return start, end

    def _new(self, caller: Caller, oid: str, external_id: str) -> Meeting:
        thread = f"19:meeting_{secrets.token_hex(22)}@thread.v2"
        context = quote(f'{{"Tid":"{caller.tenant_id}","Oid":"{oid}"}}', safe="")
        path = re.sub("%[0-9A-F]{2}", lambda m: m[0].lower(), f"{quote(thread, safe='')}/0?context={context}")
        now = self._now()
        return Meeting(
            id=base64.b64encode(f"1*{oid}*0**{thread}".encode()).decode(),
            thread_id=thread,
            tenant_id=caller.tenant_id,
            organizer_id=oid,
            external_id=external_id,
            application_id=caller.application_id,
            subject=None,
            start=now,
            end=now,
            created=now,
            join_web_url=f"{self._world.graph.url}/l/meetup-join/{path}",
        )

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)


def graph_time(value: datetime) -> str:
    """RFC 3339 with seven digits of a second, as Graph writes it."""
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f") + "0Z"


def _set_lobby(meeting: Meeting, given: Any, *, evolved: bool) -> None:
    if not isinstance(given, dict):
        raise errors.bad_request("Invalid value specified for property 'lobbyBypassSettings'.")
    lobby = cast(dict[str, Any], given)
    _only(lobby, {"@odata.type", "scope", "isDialInBypassEnabled"})
    scope, dial_in = lobby.get("scope", meeting.lobby_scope), lobby.get("isDialInBypassEnabled", False)
    if scope not in PLAIN_SCOPES | (EVOLVED_SCOPES if evolved else frozenset[str]()):
        raise errors.bad_request(f"Invalid value '{scope}' specified for property 'lobbyBypassSettings.scope'.")
    if not isinstance(dial_in, bool):
        raise errors.bad_request("Invalid value specified for property 'lobbyBypassSettings.isDialInBypassEnabled'.")
    meeting.lobby_scope, meeting.dial_in_bypass = scope, dial_in


def _attendees(given: Any) -> list[dict[str, Any]]:
    if given is None:
        return []
    if not isinstance(given, dict):
        raise errors.bad_request("Invalid value specified for property 'participants'.")
    participants = cast(dict[str, Any], given)
    _only(participants, {"attendees"})
    attendees = cast(list[dict[str, Any]], participants.get("attendees", []))
    for attendee in attendees:
        _only(attendee, {"@odata.type", "identity", "upn", "role"})
        if attendee.get("role", "attendee") not in ATTENDEE_ROLES:
            raise errors.bad_request("Invalid value specified for property 'role'.")
    return attendees


def _only(body: Mapping[str, Any], allowed: frozenset[str] | set[str]) -> None:
    unknown = sorted(body.keys() - allowed)
    if unknown:
        raise errors.bad_request(f"Invalid request payload: the property '{unknown[0]}' is not supported here.")


def _time(body: Mapping[str, Any], name: str) -> datetime | None:
    given = body.get(name)
    if given is None:
        return None
    try:
        value = datetime.fromisoformat(str(given))
    except ValueError:
        raise errors.bad_request(f"Invalid value specified for property '{name}'.") from None
    return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
