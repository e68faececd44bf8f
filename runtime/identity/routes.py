"""The pages of a first sign-in: the launching window waits and links, the sign-in window goes to Entra and back.

`/identity/wait`, `/identity/wait/state` and `/identity/link` belong to the launching window (in the EHR's frame);
`/identity/sign-in`, `/callback` and `/done` to the sign-in window (top level: Entra refuses to be framed). `pending.py`
draws how the two are bound. `/identity/consented` is for a hospital's administrator, once.
"""

import hashlib
import hmac
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from runtime.audit import Action, AuditRow
from runtime.bootstrap import Services, services_of
from runtime.configuration import Served
from runtime.cookies import cookie_name, drop_cookie, read_cookie, set_cookie
from runtime.errors import Refusal
from runtime.identity import entra, pending, refusals
from runtime.identity.links import conflict, link, unlink_other_tenant
from runtime.identity.pending import PendingSignIn, SignedIn
from runtime.launch.arrival import enter_as_provider
from runtime.launch.model import ProviderLaunch
from runtime.logs import log
from runtime.pages.rendering import page, refusal_page
from schemas.registration import CONSENTED, SIGNED_IN

MAXIMUM_FORM = 4096
_BY_CODE = {r.code: r for r in vars(refusals).values() if isinstance(r, Refusal)}


def routes() -> list[BaseRoute]:
    return [
        Route("/identity/wait", wait),
        Route("/identity/wait/state", wait_state),
        Route("/identity/sign-in", sign_in_elsewhere),
        Route("/identity/sign-in", sign_in, methods=["POST"]),
        Route(SIGNED_IN, callback),
        Route(CONSENTED, consented),
        Route("/identity/link", answer, methods=["POST"]),
        Route("/identity/done", done),
    ]


# --- the launching window ---------------------------------------------------------------------------------------


async def wait(request: Request) -> Response:
    """The page with the sign-in button; once somebody signed in, the one that names both accounts."""
    services = services_of(request)
    cookie = _cookie(request, pending.WINDOW_COOKIE)
    found = await pending.of_window(services, cookie)
    served = _served(services, found)
    if cookie is None or found is None or served is None:
        return refusal_page(refusals.SIGN_IN_EXPIRED)
    signed_in = await pending.signed_in_account(services, found)
    if signed_in:
        return page(
            "identity_link.html",
            frame_of=served.connection,
            organization=served.organization.name,
            ehr_user=found.ehr_user,
            account_name=signed_in.name or "Microsoft account",
            account_address=signed_in.address,
            confirmation=confirmation(cookie, signed_in),
        )
    return page(
        "identity_wait.html",
        frame_of=served.connection,
        form_action=("'self'", "https:"),  # the sign-in window is redirected on, to Entra and wherever it federates
        ehr_user=found.ehr_user,
        organization=served.organization.name,
        ticket=await pending.new_ticket(services, found),
        refusal=_BY_CODE.get(found.refusal_code or ""),
    )


async def wait_state(request: Request) -> Response:
    """What the waiting page asks for: it stays while it is `waiting` with the refusal that it shows.

    Else it loads again: `ticket-used` (for a new one, as the sign-in window may have been closed), `signed-in`, `gone`.
    """
    found = await pending.of_window(services_of(request), _cookie(request, pending.WINDOW_COOKIE))
    if found is None:
        return JSONResponse({"state": "gone"})
    if found.state == "signed-in":
        return JSONResponse({"state": "signed-in"})
    return JSONResponse({"state": "waiting" if found.has_ticket else "ticket-used", "refusal": found.refusal_code})


async def answer(request: Request) -> Response:
    """Yes or no, from the page that named both accounts: only here is anything linked."""
    services = services_of(request)
    cookie = _cookie(request, pending.WINDOW_COOKIE)
    found = await pending.of_window(services, cookie)
    served = _served(services, found)
    signed_in = await pending.signed_in_account(services, found) if found else None
    if cookie is None or found is None or served is None or signed_in is None:
        return refusal_page(refusals.SIGN_IN_EXPIRED, frame_of=served.connection if served else None)
    form = await _form(request)
    if not hmac.compare_digest(form.get("confirmation", "").encode(), confirmation(cookie, signed_in).encode()):
        return refusal_page(refusals.CONFIRMATION_WRONG, frame_of=served.connection)
    if form.get("decision") != "link":
        await pending.refuse(services, found, None)
        return RedirectResponse("/identity/wait", 303)
    if await pending.finish(services, found) != signed_in:
        return refusal_page(refusals.SIGN_IN_EXPIRED, frame_of=served.connection)
    entered = await _link(services, found, signed_in) or await enter_as_provider(
        services, request, _completed(found.launch, signed_in)
    )
    if isinstance(entered, Refusal):
        _log_refused(found, entered)
        entered = refusal_page(entered, frame_of=served.connection)
    drop_cookie(entered, cookie_name(services.settings, pending.WINDOW_COOKIE))
    return entered


async def _link(services: Services, found: PendingSignIn, signed_in: SignedIn) -> Refusal | None:
    launch = found.launch
    async with services.database.transaction() as connection:
        if await unlink_other_tenant(connection, launch.ehr_user_hash, signed_in.account.tenant_id):
            await services.audit.record(connection, _row(Action.UNLINKED, launch, "other-tenant"))
        refusal = await link(connection, launch.ehr_user_hash, launch.connection_id, signed_in.account)
        action = Action.LINK_REFUSED if refusal else Action.LINKED
        await services.audit.record(connection, _row(action, launch, refusal.code if refusal else None))
    return refusal


def _row(action: Action, launch: ProviderLaunch, detail: str | None = None) -> AuditRow:
    return AuditRow(action, launch.organization_id, launch.connection_id, launch.ehr_user_hash, detail=detail)


def _completed(launch: ProviderLaunch, signed_in: SignedIn) -> ProviderLaunch:
    from dataclasses import replace

    return replace(launch, tenant_id=signed_in.account.tenant_id, object_id=signed_in.account.object_id)


def confirmation(cookie: str, shown: SignedIn) -> str:
    """What the confirmation's form carries: known only to a page of this window that showed this very account."""
    account = shown.account
    return hashlib.sha256(f"confirmation/2:{cookie}:{account.tenant_id}:{account.object_id}".encode()).hexdigest()


# --- the sign-in window -----------------------------------------------------------------------------------------


async def sign_in_elsewhere(_: Request) -> Response:
    """A link to the sign-in, pasted or sent: nobody signs in by one."""
    return refusal_page(refusals.TICKET_ELSEWHERE)


async def sign_in(request: Request) -> Response:
    """The ticket arrives from the launching window, in the same browser, and is used up."""
    services = services_of(request)
    if not from_our_page(request):
        return refusal_page(refusals.TICKET_ELSEWHERE)
    opened = await pending.open_ticket(services, (await _form(request)).get("ticket", ""))
    if opened is None:
        return refusal_page(refusals.TICKET_USED)
    found, cookie = opened
    served = _served(services, found)
    if served is None:
        return refusal_page(refusals.SIGN_IN_EXPIRED)
    flow = await entra.begin(services, served.organization.tenant_id)
    if isinstance(flow, Refusal):
        return await _refused(services, found, flow)
    await pending.keep_flow(services, found, flow)
    response = RedirectResponse(flow["auth_uri"], 303)
    set_cookie(response, cookie_name(services.settings, pending.SIGN_IN_COOKIE), cookie, pending.SECONDS)
    return response


async def callback(request: Request) -> Response:
    """Entra's answer, for the window that went there, once."""
    services = services_of(request)
    found = await pending.of_sign_in(services, _cookie(request, pending.SIGN_IN_COOKIE), "opened")
    served = _served(services, found)
    if found is None or served is None:
        return refusal_page(refusals.STATE_MISMATCH)
    flow = await pending.take_flow(services, found)
    if flow is None:
        return refusal_page(refusals.STATE_MISMATCH)
    signed_in = await entra.finish(services, served.organization.tenant_id, flow, dict(request.query_params))
    if isinstance(signed_in, Refusal):
        return await _refused(services, found, signed_in)
    launch = found.launch
    async with services.database.transaction() as connection:
        await services.audit.record(connection, _row(Action.SIGNED_IN, launch))
        stands = await conflict(connection, launch.ehr_user_hash, launch.connection_id, signed_in.account)
    if stands:
        return await _refused(services, found, stands)
    if not await pending.keep_account(services, found, signed_in):
        return refusal_page(refusals.STATE_MISMATCH)
    response = RedirectResponse("/identity/done", 303)
    drop_cookie(response, cookie_name(services.settings, pending.SIGN_IN_COOKIE))
    return response


async def consented(request: Request) -> Response:
    """Where Entra sends a hospital's administrator after the consent page. Entra keeps the consent; here nothing is."""
    given = request.query_params.get("admin_consent") == "True" and "error" not in request.query_params
    return page("identity_consented.html") if given else refusal_page(refusals.CONSENT_NOT_GIVEN)


async def done(_: Request) -> Response:
    """Whoever signed in here learns nothing about the launching window."""
    return page("identity_done.html")


def from_our_page(request: Request) -> bool:
    """Whether a page of ours, in this browser, sent this request (Fetch Metadata; else the Origin header)."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    return request.headers.get("origin") == services_of(request).settings.public_url


# --- shared -----------------------------------------------------------------------------------------------------


async def _refused(services: Services, found: PendingSignIn, refusal: Refusal) -> Response:
    """Shown here, and in the launching window, which offers another try."""
    _log_refused(found, refusal)
    await pending.refuse(services, found, refusal)
    async with services.database.transaction() as connection:
        await services.audit.record(connection, _row(Action.LINK_REFUSED, found.launch, refusal.code))
    response = refusal_page(refusal)
    drop_cookie(response, cookie_name(services.settings, pending.SIGN_IN_COOKIE))
    return response


def _log_refused(found: PendingSignIn, refusal: Refusal) -> None:
    log.warning(
        "sign-in refused",
        organization=found.launch.organization_id,
        connection=found.launch.connection_id,
        code=refusal.code,
        reason=refusal.reason or None,
    )


def _served(services: Services, found: PendingSignIn | None) -> Served | None:
    return services.configuration.connection(found.launch.connection_id) if found else None


def _cookie(request: Request, purpose: str) -> str | None:
    return read_cookie(request, cookie_name(services_of(request).settings, purpose))


async def _form(request: Request) -> dict[str, str]:
    """A small form; anything else is empty."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAXIMUM_FORM:
            return {}
    try:
        return dict(parse_qsl(body.decode("utf-8"), max_num_fields=10))
    except ValueError:
        return {}
