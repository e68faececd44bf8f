"""How a template or a refusal becomes a response, with its own Content-Security-Policy.

Owns the template environment (autoescape, unknown variables are errors) and the policy: `default-src 'none'`, a nonce
a page, `frame-ancestors` of the one connection whose page it is, else none. The headers that every response carries
are in `web.py`.
"""

import secrets
from collections.abc import Iterable
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse

from runtime.errors import Refusal
from schemas.stack_config import EhrConnection

HERE = Path(__file__).parent
_ENVIRONMENT = Environment(
    loader=FileSystemLoader(HERE / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    auto_reload=False,
)


def page(
    template: str,
    *,
    status: int = 200,
    frame_of: EhrConnection | None = None,
    form_action: Iterable[str] = ("'self'",),
    camera: bool = False,
    **context: object,
) -> HTMLResponse:
    """A page. `frame_of`: the connection whose EHR pages may frame it; every script and style carries `nonce`.

    `camera` lets the page (only our own origin) ask for camera and microphone.
    """
    nonce = secrets.token_urlsafe(16)
    html = _ENVIRONMENT.get_template(template).render(nonce=nonce, **context)
    ancestors = " ".join(frame_of.frame_origins) if frame_of and frame_of.frame_origins else "'none'"
    policy = (
        f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'self' 'nonce-{nonce}'; img-src 'self'; "
        f"connect-src 'self'; form-action {' '.join(form_action)}; base-uri 'none'; frame-ancestors {ancestors}"
    )
    headers = {"content-security-policy": policy}
    if camera:
        headers["permissions-policy"] = "camera=(self), microphone=(self)"
    return HTMLResponse(html, status_code=status, headers=headers)


def refusal_page(refusal: Refusal, frame_of: EhrConnection | None = None) -> HTMLResponse:
    """The error page: plain words and a code, nothing of the request."""
    response = page("error.html", status=refusal.status, frame_of=frame_of, refusal=refusal)
    response.headers["x-connector-code"] = refusal.code
    if refusal.status == 503:
        response.headers["retry-after"] = "10"
    return response


def fragment(template: str, **context: object) -> str:
    """A part of a page, for a page's script to put in place: no script or style of its own, hence no nonce."""
    return _ENVIRONMENT.get_template(template).render(**context)
