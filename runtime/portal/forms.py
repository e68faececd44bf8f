"""Our own forms: sent by a page of this portal, of this very session, for this purpose, once.

A form carries `token`: 128 random bits and their HMAC under a key of the session, bound to what the form is for. So a
form of another session or another page is refused; a second sending is, because a token that was used is remembered for
as long as a session lives. Fetch Metadata and `Origin` are asked besides (OWASP "Cross-Site Request Forgery
Prevention"), and the session's cookie is not sent with another site's POST at all (`SameSite=Lax`).
"""

import hmac
import secrets
from urllib.parse import parse_qsl

from starlette.requests import Request

from runtime.bootstrap import services_of
from runtime.errors import Refusal
from runtime.portal import held, refusals
from runtime.portal.sessions import LIFETIME_SECONDS, PortalSession

MAXIMUM_BYTES = 256 * 1024
MAXIMUM_FIELDS = 1000
FIELD = "token"


def form_token(session: PortalSession, purpose: str) -> str:
    """The value of the hidden field `token` in a form for this purpose, `<verb>:<ids>`."""
    nonce = secrets.token_hex(16)
    return f"{nonce}.{_mac(session, purpose, nonce)}"


async def checked_form(
    request: Request, session: PortalSession, purpose: str, *, once: bool = True
) -> dict[str, str] | Refusal:
    """The fields of a form of ours, or why it is none. `once=False` is for what changes nothing (live validation).

    Raises `DatabaseUnavailable`.
    """
    if not from_our_page(request):
        return refusals.FORM_ELSEWHERE
    fields = await read_form(request)
    nonce, _, mac = fields.pop(FIELD, "").partition(".")
    if not hmac.compare_digest(mac.encode(), _mac(session, purpose, nonce).encode()):
        return refusals.FORM_INVALID
    key = held.key_of("form", session.key.hex(), nonce)
    if once and not await held.first(services_of(request), key, LIFETIME_SECONDS):
        return refusals.FORM_REPLAYED
    return fields


def from_our_page(request: Request) -> bool:
    """Whether a page of this portal, in this browser, sent this request: Fetch Metadata and `Origin`, one at least."""
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is None and origin is None:
        return False
    own = services_of(request).settings.public_url
    return site in (None, "same-origin") and origin in (None, own)


async def read_form(request: Request) -> dict[str, str]:
    """A small form, each field once; anything else is empty."""
    if not request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        return {}
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAXIMUM_BYTES:
            return {}
    try:
        pairs = parse_qsl(body.decode("utf-8"), keep_blank_values=True, max_num_fields=MAXIMUM_FIELDS)
    except ValueError:
        return {}
    fields = dict(pairs)
    return fields if len(fields) == len(pairs) else {}


def _mac(session: PortalSession, purpose: str, nonce: str) -> str:
    return hmac.digest(session.form_key, f"portal-form/1:{purpose}:{nonce}".encode(), "sha256").hex()
