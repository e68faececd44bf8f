"""Pages of the EHR: templates, nonces, and the headers that keep other sites from framing or scripting them."""

import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import StrictUndefined
from starlette.requests import Request
from starlette.responses import Response
from starlette.templating import Jinja2Templates

_TEMPLATES = Jinja2Templates(directory=Path(__file__).with_name("templates"))
_TEMPLATES.env.trim_blocks = _TEMPLATES.env.lstrip_blocks = True
_TEMPLATES.env.undefined = StrictUndefined


def page(
    request: Request, template: str, *, status: int = 200, framed_by: Sequence[str] = (), **values: Any
) -> Response:
    """A page that may frame any https page; `framed_by` are the origins that may frame it."""
    nonce = secrets.token_urlsafe(16)
    policy = {
        "default-src": "'none'",
        "style-src": "'self'",
        "img-src": "'self'",
        "script-src": f"'nonce-{nonce}'",
        "connect-src": "'self'",
        "frame-src": "https:",
        "form-action": "https:",
        "base-uri": "'none'",
        "frame-ancestors": " ".join(framed_by) or "'none'",
    }
    headers = {
        "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "Cache-Control": "no-store",
        "Referrer-Policy": "same-origin",
        "X-Content-Type-Options": "nosniff",
    }
    return _TEMPLATES.TemplateResponse(
        request, template, {"nonce": nonce, **values}, status_code=status, headers=headers
    )
