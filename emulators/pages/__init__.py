"""How the pages of the emulated Microsoft services look: base template, style sheet, security headers.

Owns the Jinja environment and the response headers; what a page says is in the templates of each emulator.
"""

import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse

_HERE = Path(__file__).parent
_STYLE = (_HERE / "emulated.css").read_text()


class Pages:
    """Renders templates of `folder` (and the shared ones) with autoescape, a CSP nonce and no framing."""

    def __init__(self, folder: Path) -> None:
        self._environment = Environment(
            loader=FileSystemLoader([folder, _HERE]), autoescape=True, undefined=StrictUndefined
        )

    def render(
        self, template: str, values: Mapping[str, Any], *, status: int = 200, form_targets: tuple[str, ...] = ()
    ) -> HTMLResponse:
        """A page. `form_targets` are the origins to which its forms may lead, by redirect or directly."""
        nonce = secrets.token_urlsafe(16)
        html = self._environment.get_template(template).render({**values, "nonce": nonce, "style": _STYLE})
        return HTMLResponse(html, status, {**_HEADERS, "Content-Security-Policy": _policy(nonce, form_targets)})


_HEADERS = {
    "Cache-Control": "no-store, no-cache",
    "Pragma": "no-cache",
    "Referrer-Policy": "strict-origin-when-cross-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def _policy(nonce: str, form_targets: tuple[str, ...]) -> str:
    # Chromium applies form-action to every redirect that answers a form, so the reply address must be listed.
    targets = " ".join(("'self'", *form_targets))
    return (
        f"default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; connect-src 'self'; "
        f"img-src 'self' data:; base-uri 'none'; frame-ancestors 'none'; "
        f"form-action {targets}"
    )
