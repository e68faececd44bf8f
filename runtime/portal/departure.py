"""To Entra and back: what a sign-in holds meanwhile, and the cookie by which only the browser that left comes back."""

import hashlib
from typing import Any

from starlette.responses import RedirectResponse, Response

from runtime.bootstrap import Services
from runtime.cookies import cookie_name, new_value, set_lax_cookie
from runtime.portal import entra, held

SECONDS = 600
ANYWHERE = ("'self'", "https:")
"""Entra sends the browser on to wherever an account signs in, and `form-action` holds for redirects too."""


async def depart(services: Services, begun: entra.Begun, values: dict[str, Any]) -> Response:
    """To Entra; `values` come back with its answer. Raises `DatabaseUnavailable`."""
    cookie = new_value()
    kept = {"segment": begun.segment, "flow": begun.flow, "began": begun.began, "browser": browser_hash(cookie)}
    await held.put(services, flow_key(begun.state), {**values, **kept}, SECONDS)
    response = RedirectResponse(begun.url, 303)
    set_lax_cookie(response, flow_cookie(services, begun.state), cookie, SECONDS)
    return response


def flow_key(state: str) -> bytes:
    return held.key_of("microsoft", state)


def flow_cookie(services: Services, state: str) -> str:
    """One for each sign-in, so that two windows do not disturb each other."""
    return cookie_name(services.settings, f"portal-{browser_hash(state)[:16]}")


def browser_hash(value: str) -> str:
    return hashlib.sha256(value.encode()).hexdigest()
