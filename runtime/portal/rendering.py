"""How the portal's templates become responses: with who is signed in, and the form that signs them out."""

from collections.abc import Iterable
from typing import Any

from starlette.responses import HTMLResponse

from runtime.errors import Refusal
from runtime.pages.rendering import page
from runtime.portal.forms import form_token
from runtime.portal.sessions import PortalSession

SIGN_OUT = "sign-out"


def portal_page(
    template: str,
    session: PortalSession | None = None,
    *,
    status: int = 200,
    form_action: Iterable[str] = ("'self'",),
    **context: Any,
) -> HTMLResponse:
    """A page of the portal. Templates extend `portal_base.html`; `form_action` names origins that a form leads to."""
    return page(
        template,
        status=status,
        form_action=form_action,
        who=session,
        sign_out_token=form_token(session, SIGN_OUT) if session else "",
        **context,
    )


def refused(refusal: Refusal, session: PortalSession | None = None) -> HTMLResponse:
    """The page that says no: plain words and a code, nothing of the request."""
    response = portal_page("portal_refusal.html", session, status=refusal.status, refusal=refusal)
    response.headers["x-connector-code"] = refusal.code
    if refusal.status == 503:
        response.headers["retry-after"] = "10"
    return response
