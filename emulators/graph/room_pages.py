"""The Teams room at a meeting's joinWebUrl: its page, and the same actions for drivers as forms or JSON.

Owns who is who in a browser (one cookie per browser, a token per participant) and what each person may see: somebody
in the lobby sees nobody else. Rules and events are in `room.py`.
"""

import hmac
import json
import secrets
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from emulators.entra.directory import Account, Directory
from emulators.graph import room
from emulators.graph.delivery import Delivery
from emulators.graph.model import Meeting, Participant, Store
from emulators.graph.room import RoomError
from emulators.pages import Pages

COOKIE = "teams-room"
TOKEN_HEADER = "X-Room-Token"
ROOM = "/l/meetup-join/{thread}/0"
Fields = Mapping[str, str]
Action = Callable[[Request, Meeting, Fields], Participant]


class RoomPages:
    """Join, admit, remove, leave, end."""

    def __init__(self, url: str, directory: Directory, store: Store, delivery: Delivery, clock: Callable[[], float]):
        self._url, self._directory, self._store = url, directory, store
        self._delivery, self._clock = delivery, clock
        self._pages = Pages(Path(__file__).parent / "templates")

    def routes(self) -> list[Route]:
        actions = {"join": self._join, "admit": self._admit, "remove": self._remove, "leave": self._leave,
                   "end": self._end}  # fmt: skip
        return [
            Route(ROOM, self._page),
            Route(f"{ROOM}/state", self._state),
            *(Route(f"{ROOM}/{name}", self._endpoint(act), methods=["POST"]) for name, act in actions.items()),
        ]

    # --- endpoints -----------------------------------------------------------------------------------------------

    async def _page(self, request: Request) -> Response:
        meeting = self._meeting(request)
        if meeting is None:
            return self._pages.render("no-meeting.html", {}, status=404)
        return self._render(request, meeting)

    async def _state(self, request: Request) -> Response:
        """What the caller may know: themselves, and everybody once they are in."""
        meeting = self._meeting(request)
        me = self._me(request, meeting, {}) if meeting else None
        if meeting is None or me is None:
            return JSONResponse({"error": "Join the meeting first."}, 404 if meeting is None else 403)
        return JSONResponse(_shown(meeting, me))

    def _endpoint(self, act: Action) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            fields = await _fields(request)
            meeting = self._meeting(request)
            if meeting is None:
                return self._pages.render("no-meeting.html", {}, status=404)
            wants_json = "application/json" in request.headers.get("accept", "")
            try:
                if request.headers.get("origin", self._url) != self._url:
                    raise RoomError(403, "This form was sent from another site.")
                me = act(request, meeting, fields)
            except RoomError as e:
                if wants_json:
                    return JSONResponse({"error": e.text}, e.status)
                return self._render(request, meeting, problem=e.text, status=e.status)
            if wants_json:
                return JSONResponse({"participant_id": me.id, "token": me.token, **_shown(meeting, me)})
            response = RedirectResponse(f"{self._path(meeting)}?{request.url.query}".rstrip("?"), 303)
            response.set_cookie(COOKIE, me.token, secure=True, httponly=True, samesite="lax", path="/l/")
            return response

        return answer

    # --- actions -------------------------------------------------------------------------------------------------

    def _join(self, request: Request, meeting: Meeting, fields: Fields) -> Participant:
        guest_name = fields.get("guest_name", "").strip()
        if guest_name:
            participant = self._participant(name=guest_name[:100], guest_id=f"g-{secrets.token_hex(12)}")
            is_tenant_guest = False
        else:
            account = self._signed_in(fields)
            participant = self._participant(
                name=account.user.display_name, object_id=account.user.object_id, tenant_id=account.tenant.id
            )
            is_tenant_guest = account.is_guest
        passes = room.passes_lobby(meeting, participant, is_tenant_guest=is_tenant_guest)
        participant.presence = "connected" if passes else "lobby"
        self._change(meeting, room.join(meeting, participant, self._now()))
        return participant

    def _admit(self, request: Request, meeting: Meeting, fields: Fields) -> Participant:
        me = self._required(request, meeting, fields)
        everyone = fields.get("everyone") == "true"
        chosen = meeting.present if everyone else [self._other(meeting, fields.get("participant_id", ""))]
        self._change(meeting, room.admit(meeting, me, chosen, self._now()))
        return me

    def _remove(self, request: Request, meeting: Meeting, fields: Fields) -> Participant:
        me = self._required(request, meeting, fields)
        if not room.may_manage(meeting, me):
            raise RoomError(403, "Only the organiser can remove people.")
        other = self._other(meeting, fields.get("participant_id", ""))
        self._change(meeting, room.leave(meeting, other, self._now(), reason="removedByOrganizer"))
        return me

    def _leave(self, request: Request, meeting: Meeting, fields: Fields) -> Participant:
        me = self._required(request, meeting, fields)
        self._change(meeting, room.leave(meeting, me, self._now()))
        return me

    def _end(self, request: Request, meeting: Meeting, fields: Fields) -> Participant:
        me = self._required(request, meeting, fields)
        self._change(meeting, room.end(meeting, me, self._now()))
        return me

    # --- parts ---------------------------------------------------------------------------------------------------

    def _change(self, meeting: Meeting, events: list[room.CallEvent]) -> None:
        meeting.version += 1
        self._store.meetings.put(meeting)
        self._delivery.tell(meeting, events)

    def _signed_in(self, fields: Fields) -> Account:
        """By object id and tenant id, or by e-mail address; always with the password."""
        if fields.get("login"):
            account = self._directory.account("organizations", fields["login"])
        else:
            account = self._directory.by_object_id(fields.get("tenant_id", ""), fields.get("object_id", ""))
        given = fields.get("password", "").encode()
        if account is None or not hmac.compare_digest(account.user.password.encode(), given):
            raise RoomError(403, "Your account or password is incorrect.")
        return account

    def _meeting(self, request: Request) -> Meeting | None:
        return self._store.meeting_by_thread(request.path_params["thread"])

    def _me(self, request: Request, meeting: Meeting, fields: Fields) -> Participant | None:
        token = fields.get("token") or request.headers.get(TOKEN_HEADER) or request.cookies.get(COOKIE, "")
        return next((p for p in meeting.participants if hmac.compare_digest(p.token.encode(), token.encode())), None)

    def _required(self, request: Request, meeting: Meeting, fields: Fields) -> Participant:
        me = self._me(request, meeting, fields)
        if me is None or me.presence == "gone":
            raise RoomError(403, "You are not in this meeting.")
        return me

    def _other(self, meeting: Meeting, identifier: str) -> Participant:
        found = next((p for p in meeting.present if p.id == identifier), None)
        if found is None:
            raise RoomError(404, "This person is not in the meeting any more.")
        return found

    def _participant(
        self, *, name: str, object_id: str | None = None, tenant_id: str | None = None, guest_id: str | None = None
    ) -> Participant:
        return Participant(
            id=f"p-{secrets.token_hex(8)}",
            token=secrets.token_urlsafe(32),
            name=name,
            object_id=object_id,
            tenant_id=tenant_id,
            guest_id=guest_id,
            presence="lobby",
        )

    def _render(self, request: Request, meeting: Meeting, *, problem: str = "", status: int = 200) -> Response:
        me = self._me(request, meeting, {})
        values: dict[str, Any] = {
            "path": self._path(meeting), "problem": problem, "subject": meeting.subject or "Meeting",
            "me": me, "shown": _shown(meeting, me) if me else None,
            "manages": me is not None and room.may_manage(meeting, me), "query": request.url.query,
        }  # fmt: skip
        return self._pages.render("room.html", values, status=status)

    def _path(self, meeting: Meeting) -> str:
        return meeting.join_web_url.removeprefix(self._url).split("?")[0]

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)


def _shown(meeting: Meeting, me: Participant) -> dict[str, Any]:
    people = meeting.present if me.presence == "connected" else [p for p in (me,) if p.presence != "gone"]
    return {
        "state": me.presence,
        "in_call": meeting.in_call,
        "participants": [
            {
                "id": p.id,
                "name": p.name,
                "state": p.presence,
                "kind": "user" if p.object_id else "guest",
                "is_organizer": room.is_organizer(meeting, p),
                "is_me": p.id == me.id,
            }
            for p in people
        ],
    }


async def _fields(request: Request) -> Fields:
    """A form's or a JSON object's fields as text."""
    if request.headers.get("content-type", "").startswith("application/json"):
        try:
            body = json.loads(await request.body() or b"{}")
        except ValueError:
            body = {}
        given = cast(dict[str, Any], body) if isinstance(body, dict) else dict[str, Any]()
        return {k: ("true" if v is True else str(v)) for k, v in given.items()}
    return {k: str(v) for k, v in (await request.form()).items()}
