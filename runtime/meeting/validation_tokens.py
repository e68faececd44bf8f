"""The tokens by which Graph proves that a notification is its own.

Owns the claims that must hold ("Validate the authenticity of notifications"): signature by Microsoft's key, expiry,
audience = our application, tenant = the notification's, and the publisher's application id. The key comes from outside.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import jwt
from jwt.types import Options

CHANGE_TRACKING_APPLICATION = "0bf30f3b-4a52-48df-9a82-234910c4a086"
"""Microsoft Graph change tracking, in every cloud."""

LEEWAY_SECONDS = 60

KeyOf = Callable[[str], Awaitable[Any]]
"""Key id to public key. Raises `KeyUnknown` of the key source, or its own failure where keys cannot be had."""


class ValidationTokenRefused(Exception):
    """Which claim was wrong; never the token."""


async def verify_validation_token(
    token: str, key_of: KeyOf, *, application_id: str, tenant_id: str, entra_url: str
) -> None:
    """Accept one token for one tenant. Raises `ValidationTokenRefused`, and what `key_of` raises."""
    try:
        header = jwt.get_unverified_header(token)
    except jwt.PyJWTError:
        raise ValidationTokenRefused("not a token") from None
    kid = header.get("kid")
    if header.get("alg") != "RS256" or not isinstance(kid, str):
        raise ValidationTokenRefused("expected RS256 and a kid")
    key = await key_of(kid)
    issuers = [f"{entra_url}/{tenant_id}/v2.0", f"https://sts.windows.net/{tenant_id}/"]
    options: Options = {"require": ["exp", "aud", "iss"], "verify_iat": False}
    try:
        claims = jwt.decode(
            token,
            key,
            algorithms=["RS256"],
            audience=application_id,
            issuer=issuers,
            leeway=LEEWAY_SECONDS,
            options=options,
        )
    except jwt.PyJWTError as e:
        raise ValidationTokenRefused(type(e).__name__) from None
    if str(claims.get("tid", "")).lower() != tenant_id.lower():
        raise ValidationTokenRefused("tid")
    publisher = claims.get("azp") if claims.get("azp") is not None else claims.get("appid")
    if publisher != CHANGE_TRACKING_APPLICATION:
        raise ValidationTokenRefused("azp or appid")
