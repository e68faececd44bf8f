"""Signing in and out: Microsoft 365 by authorization code, members of a configured tenant only.

Owns the one redirect address at Entra, `/sign-in/callback`, to which both kinds of sign-in return: the portal's own,
and the fresh one before a decision (`proof.py`). A sign-in is found by its `state`, once, and only in the browser that
began it: it holds a cookie of that sign-in.
"""

import hmac

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from runtime.audit import Action
from runtime.bootstrap import Services, services_of
from runtime.cookies import drop_lax_cookie, read_cookie
from runtime.errors import Refusal
from runtime.logs import log
from runtime.portal import entra, held, proof, refusals, sessions, trail
from runtime.portal.access import Visitor, catalogue_of, for_signed_in, own_path
from runtime.portal.departure import ANYWHERE, browser_hash, depart, flow_cookie, flow_key
from runtime.portal.forms import checked_form, from_our_page, read_form
from runtime.portal.rendering import SIGN_OUT, portal_page, refused

_SIGN_IN = "sign-in"


def routes() -> list[BaseRoute]:
    return [
        Route("/sign-in", sign_in_page),
        Route("/sign-in", sign_in, methods=["POST"]),
        Route("/sign-in/callback", callback),
        Route("/sign-out", sign_out, methods=["POST"]),
    ]


async def sign_in_page(request: Request) -> Response:
    if await sessions.session_of(request):
        return RedirectResponse(own_path(request.query_params.get("next", "/")), 303)
    next_path = own_path(request.query_params.get("next", "/"))
    return portal_page("portal_sign_in.html", form_action=ANYWHERE, next_path=next_path)


async def sign_in(request: Request) -> Response:
    """Nobody is signed in yet, so this form has no token: what it begins is bound to this browser by a cookie."""
    if not from_our_page(request):
        return refused(refusals.FORM_ELSEWHERE)
    next_path = own_path((await read_form(request)).get("next", "/"))
    begun = await entra.begin(services_of(request), entra.ANY_ORGANIZATION)
    if isinstance(begun, Refusal):
        return refused(begun)
    return await depart(services_of(request), begun, {"purpose": _SIGN_IN, "next": next_path})


async def callback(request: Request) -> Response:
    """Entra's answer."""
    services, query = services_of(request), dict(request.query_params)
    name = flow_cookie(services, query.get("state", ""))
    response = await _answer(services, request, query, read_cookie(request, name))
    if isinstance(response, Refusal):
        log.warning("portal sign-in refused", code=response.code, reason=response.reason or None)
        response = refused(response, await sessions.session_of(request))
    drop_lax_cookie(response, name)
    return response


async def _answer(
    services: Services, request: Request, query: dict[str, str], cookie: str | None
) -> Response | Refusal:
    found = await held.take(services, flow_key(query.get("state", "")))
    if found is None:
        return refusals.STATE_UNKNOWN
    if cookie is None or not hmac.compare_digest(browser_hash(cookie), found["browser"]):
        return refusals.OTHER_BROWSER
    begun = entra.Begun(found["segment"], found["flow"], found["began"])
    fresh = found["purpose"] != _SIGN_IN
    tenants = {begun.segment} if fresh else catalogue_of(request).tenants
    signed_in = await entra.finish(services, begun, query, tenants, fresh=fresh)
    if fresh:
        return await proof.signed_in_anew(request, found, signed_in)
    if isinstance(signed_in, Refusal):
        return signed_in
    response = RedirectResponse(own_path(found["next"]), 303)
    await sessions.start(services, request, response, signed_in.account, signed_in.name, signed_in.address)
    async with services.database.transaction() as connection:
        await trail.record(services, connection, Action.PORTAL_SIGNED_IN, signed_in.account)
    return response


@for_signed_in
async def sign_out(request: Request, visitor: Visitor) -> Response | Refusal:
    fields = await checked_form(request, visitor.session, SIGN_OUT)
    if isinstance(fields, Refusal):
        return fields
    response = portal_page("portal_signed_out.html")
    await sessions.end(request, response)
    return response
