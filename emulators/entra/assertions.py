"""Federated client assertions: a managed identity's token that stands for an application's secret.

Owns the rules by which Entra exchanges such a token ("Configure an application to trust a managed identity"): audience,
issuer, lifetime, the same tenant as the registration, and a subject that is the principal of an identity named by one
of the registration's federated credentials. Reads the emulated Azure's published keys and stored identities.
"""

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, cast

import jwt

from emulators.entra import errors
from emulators.world import AppRegistration

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
AUDIENCE = "api://AzureADTokenExchange"
IDENTITY_TYPE = "microsoft.managedidentity/userassignedidentities"
CLOCK_SKEW_SECONDS = 300


class ManagedIdentities:
    """What the emulated Azure says of its managed identities."""

    def __init__(self, state: Path) -> None:
        self._state = state

    def published(self) -> Mapping[str, Any]:
        """The issuer and its keys (a JWKS with an `issuer` member); empty while there is none."""
        return _read(self._state / "azure" / "identity-jwks.json")

    def principals(self, names: Collection[str]) -> set[str]:
        """The principal ids of the user-assigned identities so named."""
        stored = _read(self._state / "azure" / "resources.json")
        resources = cast(Mapping[str, Any], stored.get("resources", stored))
        found: set[str] = set()
        for identifier, resource in resources.items():
            kind, _, name = identifier.lower().rpartition("/")
            if kind.endswith(IDENTITY_TYPE) and name in names:
                found.add(str(resource.get("properties", {}).get("principalId", "")).lower())
        return found - {""}


def verify(token: str, registration: AppRegistration, identities: ManagedIdentities, now: float) -> str:
    """The principal id that the assertion proves. Raises `EntraError`."""
    published = identities.published()
    issuer = published.get("issuer")
    claims = _unverified(token)
    if not issuer or claims.get("iss") != issuer:
        raise _refused(700211, f"No matching federated identity record found for presented assertion issuer "
                               f"'{claims.get('iss')}'.")  # fmt: skip
    _check_signature(token, published)
    if claims.get("aud") != AUDIENCE:
        raise _refused(700212, f"No matching federated identity record found for presented assertion audience "
                               f"'{claims.get('aud')}'.")  # fmt: skip
    _check_lifetime(claims, now)
    if claims.get("tid") != registration.home_tenant_id:
        raise _refused(
            700236,
            f"Entra ID tokens issued by issuer '{issuer}' may not be used for federated identity credential flows for "
            "applications or managed identities registered in this tenant.",
        )
    subject = str(claims.get("sub", "")).lower()
    if subject not in identities.principals(registration.federated_identities):
        raise _refused(700213, f"No matching federated identity record found for presented assertion subject "
                               f"'{subject}'.")  # fmt: skip
    return subject


def _check_signature(token: str, published: Mapping[str, Any]) -> None:
    try:
        key_id = jwt.get_unverified_header(token).get("kid")
        key = next(k for k in published["keys"] if k.get("kid") == key_id)
        options: Any = {"verify_exp": False, "verify_nbf": False, "verify_iat": False, "verify_aud": False}
        jwt.decode(token, jwt.PyJWK(key, "RS256").key, algorithms=["RS256"], options=options)
    except (jwt.InvalidTokenError, jwt.PyJWKError, StopIteration, KeyError):
        raise _refused(700027, "The certificate with identifier used to sign the client assertion is not registered "
                               "on application: client assertion failed signature validation.") from None  # fmt: skip


def _check_lifetime(claims: Mapping[str, Any], now: float) -> None:
    expires, starts = claims.get("exp"), claims.get("nbf", claims.get("iat", 0))
    in_time = isinstance(expires, int) and isinstance(starts, int) and starts - CLOCK_SKEW_SECONDS <= now < expires
    if not in_time:
        raise _refused(700024, "Client assertion is not within its valid time range.")


def _unverified(token: str) -> Mapping[str, Any]:
    try:
        return cast(Mapping[str, Any], jwt.decode(token, options={"verify_signature": False}))
    except jwt.InvalidTokenError:
        raise _refused(50027, "JWT token is invalid or malformed.") from None


def _refused(code: int, text: str) -> errors.EntraError:
    return errors.EntraError(code, "invalid_client", text, status=401)


def _read(path: Path) -> Mapping[str, Any]:
    try:
        return cast(Mapping[str, Any], json.loads(path.read_bytes()))
    except (FileNotFoundError, ValueError):
        return {}
