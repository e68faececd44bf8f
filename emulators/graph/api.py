"""Graph's HTTP surface: the routes that are emulated, bodies and headers read, errors and faults answered.

Everything else below `/v1.0` and `/beta` is answered 501: not emulated.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, cast

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from emulators.graph import errors, subscriptions
from emulators.graph.authentication import Authentication, Caller
from emulators.graph.faults import Faults
from emulators.graph.meetings import Meetings
from emulators.graph.subscriptions import Subscriptions

Body = dict[str, Any]
Call = Callable[[Request, Caller, Body], Awaitable[Response]]


class GraphApi:
    """The routes of v1.0 and beta."""

    def __init__(
        self, url: str, authentication: Authentication, faults: Faults, meetings: Meetings, subs: Subscriptions
    ) -> None:
        self._url, self._authentication, self._faults = url, authentication, faults
        self._meetings, self._subscriptions = meetings, subs

    def routes(self) -> list[Route]:
        user = "/v1.0/users/{oid}/onlineMeetings"
        return [
            self._route("POST", f"{user}/createOrGet", self._create_or_get),
            self._route("GET", user + "/{id}/getVirtualAppointmentJoinWebUrl", self._virtual_appointment),
            self._route("GET", user + "/{id}", self._get_meeting),
            self._route("PATCH", user + "/{id}", self._patch_meeting),
            self._route("POST", "/beta/subscriptions", self._create_subscription),
            self._route("GET", "/beta/subscriptions", self._list_subscriptions),
            self._route("POST", "/beta/subscriptions/{id}/reauthorize", self._reauthorize),
            self._route("GET", "/beta/subscriptions/{id}", self._get_subscription),
            self._route("PATCH", "/beta/subscriptions/{id}", self._patch_subscription),
            self._route("DELETE", "/beta/subscriptions/{id}", self._delete_subscription),
            *(self._route(None, path, self._not_emulated) for path in ("/v1.0/{rest:path}", "/beta/{rest:path}")),
        ]

    def _route(self, method: str | None, path: str, call: Call) -> Route:
        methods = [method] if method else ["GET", "POST", "PATCH", "PUT", "DELETE"]
        return Route(path, self._endpoint(call), methods=methods)

    def _endpoint(self, call: Call) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            raw = await request.body()  # first, so that the raw log holds what refused requests carried too
            try:
                fault = self._faults.of_call(request.method, request.url.path)
                if fault is not None:
                    await asyncio.sleep(fault.delay_seconds)
                    if fault.when == "before" and (error := fault.error()):
                        raise error
                caller = self._authentication.caller(request)
                response = await call(request, caller, _json(request, raw))
                if fault is not None and (error := fault.error()):
                    raise error
                return response
            except errors.GraphError as e:
                return e.response(request.headers.get("client-request-id"))

        return answer

    # --- meetings ------------------------------------------------------------------------------------------------

    async def _create_or_get(self, request: Request, caller: Caller, body: Body) -> Response:
        meeting, created = self._meetings.create_or_get(caller, request.path_params["oid"], body)
        return JSONResponse(self._meetings.entity(meeting, evolved=_evolved(request)), 201 if created else 200)

    async def _get_meeting(self, request: Request, caller: Caller, body: Body) -> Response:
        meeting = self._meetings.get(caller, request.path_params["oid"], request.path_params["id"])
        return JSONResponse(self._meetings.entity(meeting, evolved=_evolved(request)))

    async def _patch_meeting(self, request: Request, caller: Caller, body: Body) -> Response:
        oid, identifier, evolved = request.path_params["oid"], request.path_params["id"], _evolved(request)
        meeting = self._meetings.update(caller, oid, identifier, body, evolved=evolved)
        return JSONResponse(self._meetings.entity(meeting, evolved=evolved))

    async def _virtual_appointment(self, request: Request, caller: Caller, body: Body) -> Response:
        url = self._meetings.virtual_appointment_url(caller, request.path_params["oid"], request.path_params["id"])
        return JSONResponse({"@odata.context": f"{self._url}/v1.0/$metadata#Edm.String", "value": url})

    # --- subscriptions -------------------------------------------------------------------------------------------

    async def _create_subscription(self, request: Request, caller: Caller, body: Body) -> Response:
        return JSONResponse(subscriptions.entity(await self._subscriptions.create(caller, body), self._url), 201)

    async def _list_subscriptions(self, request: Request, caller: Caller, body: Body) -> Response:
        return JSONResponse({"value": [subscriptions.entity(s, self._url) for s in self._subscriptions.of(caller)]})

    async def _get_subscription(self, request: Request, caller: Caller, body: Body) -> Response:
        found = self._subscriptions.get(caller, request.path_params["id"])
        return JSONResponse(subscriptions.entity(found, self._url))

    async def _patch_subscription(self, request: Request, caller: Caller, body: Body) -> Response:
        updated = self._subscriptions.update(caller, request.path_params["id"], body)
        return JSONResponse(subscriptions.entity(updated, self._url))

    async def _reauthorize(self, request: Request, caller: Caller, body: Body) -> Response:
        self._subscriptions.reauthorize(caller, request.path_params["id"])
        return Response(status_code=204)

    async def _delete_subscription(self, request: Request, caller: Caller, body: Body) -> Response:
        self._subscriptions.delete(caller, request.path_params["id"])
        return Response(status_code=204)

    async def _not_emulated(self, request: Request, caller: Caller, body: Body) -> Response:
        raise errors.GraphError(501, "NotImplemented", f"{request.method} {request.url.path} is not emulated.")


def _evolved(request: Request) -> bool:
    """Prefer: include-unknown-enum-members (RFC 7240)."""
    preferences = ",".join(request.headers.getlist("prefer")).split(",")
    return any(p.strip().lower() == "include-unknown-enum-members" for p in preferences)


def _json(request: Request, raw: bytes) -> Body:
    if not raw:
        return {}
    if request.headers.get("content-type", "").split(";")[0].strip().lower() != "application/json":
        raise errors.GraphError(415, "UnsupportedMediaType", "A body must be application/json.")
    try:
        body = json.loads(raw)
    except ValueError:
        raise errors.bad_request("Unable to read JSON request payload.") from None
    if not isinstance(body, dict):
        raise errors.bad_request("Expected a JSON object.")
    return cast(Body, body)
