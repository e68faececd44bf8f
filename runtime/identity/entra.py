"""Signing a person in at Entra: MSAL's authorization code flow with PKCE, and our own verification of the id_token.

MSAL compares state and nonce but does not verify the signature, so tenant and object id are read only after
`jose.verified_claims`. Owns the refusal of other tenants and of guests. A client lives for one sign-in, so MSAL's
cache keeps nobody's tokens.
"""

# pyright: reportUnknownMemberType=false

import asyncio
import time
from collections.abc import Mapping
from typing import Any, cast
from urllib.parse import urlsplit

import jwt
import msal  # pyright: ignore[reportMissingTypeStubs]

from runtime.bootstrap import Services
from runtime.errors import ConnectorError, ProtocolError, Refusal, Unavailable
from runtime.identity import refusals
from runtime.identity.links import Account
from runtime.identity.pending import SignedIn
from runtime.jose import Expected, KeySets, TokenRefused, verified_claims
from schemas.registration import SIGNED_IN
from schemas.stack_config import NATIONAL_CLOUDS, exchange_audience

_MICROSOFT_HOSTS = frozenset(urlsplit(cloud.entra_url).hostname for cloud in NATIONAL_CLOUDS.values())
_MEMBER_IDENTITY_PROVIDERS = ("https://sts.windows.net/{tenant}/", "{entra}/{tenant}/v2.0", "{entra}/{tenant}/")


async def begin(services: Services, tenant_id: str) -> dict[str, Any] | Refusal:
    """MSAL's flow, with `auth_uri`; the account picker is always shown, never a silent sign-in."""

    def start() -> dict[str, Any]:
        return cast(
            dict[str, Any],
            client_for(services, tenant_id).initiate_auth_code_flow(
                [], redirect_uri=f"{services.settings.public_url}{SIGNED_IN}", prompt="select_account"
            ),
        )

    try:
        return await asyncio.to_thread(start)
    except (Unavailable, ProtocolError, ValueError):
        return refusals.ENTRA_UNAVAILABLE


async def finish(
    services: Services, tenant_id: str, flow: dict[str, Any], answer: Mapping[str, str]
) -> SignedIn | Refusal:
    """Who signed in, verified, or why not."""

    def redeem() -> dict[str, Any]:
        return cast(
            dict[str, Any], client_for(services, tenant_id).acquire_token_by_auth_code_flow(flow, dict(answer)) or {}
        )

    try:
        result = await asyncio.to_thread(redeem)
    except Unavailable:
        return refusals.ENTRA_UNAVAILABLE
    except (ValueError, RuntimeError, ConnectorError):
        return refusals.STATE_MISMATCH
    token = result.get("id_token")
    if not isinstance(token, str):
        return refusals.NOT_SIGNED_IN
    try:
        claims = await verified_token(services, tenant_id, token, hashed_nonce(flow))
    except TokenRefused as e:
        return refusals.TOKEN_REFUSED.because(e.reason)
    except (Unavailable, ProtocolError):
        return refusals.ENTRA_UNAVAILABLE
    return judge(claims, tenant_id, services.settings.entra_url)


def judge(claims: Mapping[str, Any], tenant_id: str, entra_url: str) -> SignedIn | Refusal:
    """A member of the organisation's own tenant, by verified claims ("ID token claims reference")."""
    if claims.get("tid") != tenant_id:
        return refusals.OTHER_TENANT
    provider = claims.get("idp")
    own = {p.format(tenant=tenant_id, entra=entra_url) for p in _MEMBER_IDENTITY_PROVIDERS}
    if (provider is not None and provider not in own) or claims.get("acct") == 1:
        return refusals.GUEST
    object_id = claims.get("oid")
    if not isinstance(object_id, str) or not object_id:
        return refusals.TOKEN_REFUSED.because("object-id")
    name, address = claims.get("name"), claims.get("preferred_username")
    return SignedIn(
        Account(tenant_id, object_id.lower()),
        name[:200] if isinstance(name, str) else "",
        address[:200] if isinstance(address, str) else "",
    )


def hashed_nonce(flow: Mapping[str, Any]) -> str:
    """MSAL sends the SHA-256 of the nonce that it keeps in the flow."""
    import hashlib

    return hashlib.sha256(str(flow["nonce"]).encode("ascii")).hexdigest()


async def verified_token(services: Services, tenant_id: str, token: str, nonce: str) -> dict[str, Any]:
    """Claims of a tenant's id_token. Raises `TokenRefused`, `ProtocolError`, `Unavailable`."""
    entra = services.settings.entra_url
    remote, keys = services.http.to([entra]), KeySets(time.monotonic)

    async def key_of(key_id: str | None, algorithm: str) -> jwt.PyJWK:
        return await keys.key(remote, f"{entra}/{tenant_id}/discovery/v2.0/keys", key_id, algorithm)

    expected = Expected(f"{entra}/{tenant_id}/v2.0", services.settings.handover.application_id, nonce)
    return await verified_claims(token, expected, key_of)


def client_for(services: Services, tenant_id: str) -> msal.ConfidentialClientApplication:
    """MSAL's client of this process's application, for one sign-in at a tenant (or `organizations`)."""
    settings = services.settings
    audience = exchange_audience(settings.entra_url)
    return msal.ConfidentialClientApplication(
        settings.handover.application_id,
        authority=f"{settings.entra_url}/{tenant_id}",
        client_credential={"client_assertion": lambda: services.identity_tokens.token_blocking(audience)},
        instance_discovery=urlsplit(settings.entra_url).hostname in _MICROSOFT_HOSTS,
        http_client=services.http.msal,
        exclude_scopes=["offline_access"],
    )
