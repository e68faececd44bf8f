"""GET /launch/{provider|patient}/{connection} and its callback.

Owns the launch cookie (one for each launch, so two windows do not disturb each other) and how a refusal is shown and
recorded.
"""

from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from runtime.audit import Action, AuditRow
from runtime.bootstrap import Services, services_of
from runtime.configuration import Served
from runtime.cookies import cookie_name, drop_cookie, read_cookie, set_cookie
from runtime.errors import DatabaseUnavailable, Refusal
from runtime.launch import flow, pending, refusals
from runtime.launch.arrival import enter
from runtime.launch.model import Party
from runtime.logs import log
from runtime.pages.rendering import refusal_page

MAXIMUM_QUERY = 16 * 1024


def routes() -> list[BaseRoute]:
    return [
        Route(f"/launch/{party}/{{connection}}{suffix}", endpoint, name=f"{party}{suffix}")
        for party in Party
        for suffix, endpoint in (("", launch), ("/callback", callback))
    ]


async def launch(request: Request) -> Response:
    services, party = services_of(request), _party(request)
    served = services.configuration.connection(request.path_params["connection"])
    if served is None:
        return _refused_nowhere(party)
    departure = await flow.depart(services, served, party, _query(request))
    if isinstance(departure, Refusal):
        return refused(served, party, departure)
    response = RedirectResponse(departure.url, 302)
    set_cookie(response, _cookie(services, departure.state), departure.cookie, pending.STATE_SECONDS)
    return response


async def callback(request: Request) -> Response:
    services, party = services_of(request), _party(request)
    served = services.configuration.connection(request.path_params["connection"])
    if served is None:
        return _refused_nowhere(party)
    query = _query(request)
    name = _cookie(services, query.get("state", [""])[0])
    arrival = await flow.arrive(services, served, party, query, read_cookie(request, name))
    entered = arrival if isinstance(arrival, Refusal) else await enter(services, request, arrival)
    if isinstance(entered, Refusal):
        if entered.code != refusals.STATE_UNKNOWN.code:
            await _record(services, served, entered)
        return refused(served, party, entered)
    log.info("launched", organization=served.organization.id, connection=served.connection.id, party=party.value)
    drop_cookie(entered, name)
    return entered


def refused(served: Served, party: Party, refusal: Refusal) -> Response:
    """The error page and a log line."""
    log.warning(
        "launch refused",
        organization=served.organization.id,
        connection=served.connection.id,
        party=party.value,
        code=refusal.code,
        reason=refusal.reason or None,
    )
    return refusal_page(refusal, frame_of=served.connection)


async def _record(services: Services, served: Served, refusal: Refusal) -> None:
    """An audit row, of a launch that we began: what anybody can send is only logged, as audit rows stay for years.

    The page does not wait for a database that is away.
    """
    organization, connection = served.organization.id, served.connection.id
    try:
        async with services.database.transaction() as database:
            row = AuditRow(Action.LAUNCH_REFUSED, organization, connection, detail=refusal.code)
            await services.audit.record(database, row)
    except DatabaseUnavailable:
        log.error("audit row not written", connection=connection, code=refusal.code)


def _refused_nowhere(party: Party) -> Response:
    log.warning("launch refused", party=party.value, code=refusals.CONNECTION_UNKNOWN.code)
    return refusal_page(refusals.CONNECTION_UNKNOWN)


def _party(request: Request) -> Party:
    return Party(request.url.path.split("/")[2])


def _query(request: Request) -> dict[str, list[str]]:
    raw = request.scope["query_string"]
    if len(raw) > MAXIMUM_QUERY:
        return {}
    try:
        return parse_qs(raw.decode("ascii"), keep_blank_values=True, strict_parsing=True, max_num_fields=40)
    except (ValueError, UnicodeDecodeError):
        return {}


def _cookie(services: Services, state: str) -> str:
    return cookie_name(services.settings, f"launch-{pending.digest(state)[:16]}")
