"""Cookies: `__Host-`, Secure, HttpOnly; those inside an EHR's frame SameSite=None and Partitioned, the portal's Lax.

Owns names and attributes. Names carry geography and stage, because browsers do not separate cookies by port
(RFC 6265 section 8.5) and locally all are on one host. The header is written raw: Starlette refuses `partitioned`
before Python 3.14. CHIPS, "Cookies Having Independent Partitioned State".
"""

import re
import secrets

from starlette.requests import Request
from starlette.responses import Response

from runtime.settings import Settings

_VALUE = re.compile(r"[A-Za-z0-9_-]{43}")


def cookie_name(settings: Settings, purpose: str) -> str:
    return f"__Host-{settings.geography}-{settings.stage}-{purpose}"


def new_value() -> str:
    """256 random bits, as 43 characters."""
    return secrets.token_urlsafe(32)


def read_cookie(request: Request, name: str) -> str | None:
    """The value, where it can be one of ours."""
    value = request.cookies.get(name, "")
    return value if _VALUE.fullmatch(value) else None


def set_cookie(response: Response, name: str, value: str, max_age_seconds: int) -> None:
    header = f"{name}={value}; Path=/; Max-Age={max_age_seconds}; Secure; HttpOnly; SameSite=None; Partitioned"
    response.headers.append("set-cookie", header)


def drop_cookie(response: Response, name: str) -> None:
    set_cookie(response, name, "", 0)


def set_lax_cookie(response: Response, name: str, value: str, max_age_seconds: int) -> None:
    """Of a page that is never framed: another site's links bring it along, another site's forms do not."""
    header = f"{name}={value}; Path=/; Max-Age={max_age_seconds}; Secure; HttpOnly; SameSite=Lax"
    response.headers.append("set-cookie", header)


def drop_lax_cookie(response: Response, name: str) -> None:
    set_lax_cookie(response, name, "", 0)
