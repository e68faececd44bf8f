"""What the portal asks of Entra: who somebody is, of any configured tenant; and the same again, freshly, of one tenant.

A fresh sign-in asks for `prompt=login` and `max_age=0` (OpenID Connect Core section 3.1.2.1), and believes only the
verified `auth_time`, because a browser can strip both on the way. Entra puts `auth_time` into id_tokens of applications
that list it as an optional claim. MSAL and the verification of tokens are `identity/entra.py`'s.
"""

# pyright: reportUnknownMemberType=false

import asyncio
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, cast

import jwt

from runtime.bootstrap import Services
from runtime.errors import ConnectorError, ProtocolError, Refusal, Unavailable
from runtime.identity import refusals as identity_refusals
from runtime.identity.entra import client_for, hashed_nonce, judge, verified_token
from runtime.identity.pending import SignedIn
from runtime.jose import TokenRefused
from runtime.portal import refusals

ANY_ORGANIZATION = "organizations"
LEEWAY_SECONDS = 30

_WORDS = {
    identity_refusals.OTHER_TENANT.code: refusals.OTHER_TENANT,
    identity_refusals.GUEST.code: refusals.GUEST,
}


@dataclass(frozen=True)
class Begun:
    """A sign-in under way: MSAL's flow, and when it began (for `auth_time`)."""

    segment: str
    flow: dict[str, Any]
    began: float

    @property
    def url(self) -> str:
        return str(self.flow["auth_uri"])

    @property
    def state(self) -> str:
        return str(self.flow["state"])


async def begin(services: Services, segment: str, *, fresh: bool = False) -> Begun | Refusal:
    """`segment` is a tenant, or `ANY_ORGANIZATION`. Fresh: whoever signs in types what proves them, now."""
    redirect_uri = f"{services.settings.public_url}/sign-in/callback"
    how: dict[str, Any] = {"prompt": "login", "max_age": 0} if fresh else {"prompt": "select_account"}

    def start() -> dict[str, Any]:
        return cast(
            dict[str, Any],
            client_for(services, segment).initiate_auth_code_flow([], redirect_uri=redirect_uri, **how),
        )

    try:
        flow = await asyncio.to_thread(start)
    except (Unavailable, ProtocolError, ValueError):
        return refusals.ENTRA_UNAVAILABLE
    flow.pop("max_age", None)  # MSAL would judge an unverified `auth_time`
    return Begun(segment, flow, time.time())


async def finish(
    services: Services, begun: Begun, answer: Mapping[str, str], tenants: Collection[str], *, fresh: bool = False
) -> SignedIn | Refusal:
    """The member of one of these tenants who signed in, verified, or why nobody did."""

    def redeem() -> dict[str, Any]:
        client = client_for(services, begun.segment)
        return cast(dict[str, Any], client.acquire_token_by_auth_code_flow(begun.flow, dict(answer)) or {})

    try:
        result = await asyncio.to_thread(redeem)
    except Unavailable:
        return refusals.ENTRA_UNAVAILABLE
    except (ValueError, RuntimeError, ConnectorError) as e:  # MSAL's words for a wrong state and a bad nonce
        return refusals.STATE_UNKNOWN.because(type(e).__name__.lower())
    token = result.get("id_token")
    if not isinstance(token, str):
        return refusals.NOT_SIGNED_IN
    tenant = _tenant_of(token)
    if tenant is None or tenant not in tenants:
        return refusals.OTHER_TENANT
    try:
        claims = await verified_token(services, tenant, token, hashed_nonce(begun.flow))
    except TokenRefused as e:
        return refusals.TOKEN_REFUSED.because(e.reason)
    except (Unavailable, ProtocolError):
        return refusals.ENTRA_UNAVAILABLE
    found = judge(claims, tenant, services.settings.entra_url)
    if isinstance(found, Refusal):
        return _WORDS.get(found.code, refusals.TOKEN_REFUSED)
    if fresh and not is_fresh(claims.get("auth_time"), begun.began, time.time()):
        return refusals.NOT_FRESH
    return found


def is_fresh(auth_time: object, began: float, now: float) -> bool:
    """Whether somebody authenticated after the sign-in began; without a time, nobody did."""
    if not isinstance(auth_time, int) or isinstance(auth_time, bool):
        return False
    return began - LEEWAY_SECONDS <= auth_time <= now + LEEWAY_SECONDS


def _tenant_of(token: str) -> str | None:
    """Whose keys to verify with: the token's own word, which the verified issuer must bear out."""
    try:
        tenant = jwt.decode(token, options={"verify_signature": False}).get("tid")
    except jwt.PyJWTError:
        return None
    return tenant if isinstance(tenant, str) else None
