"""Verifying JWTs that others signed: id_tokens of EHRs and of Entra.

Owns the closed list of algorithms (asymmetric ones only: `none` and HMAC are never accepted), choosing the key, and the
claims that every id_token must have (OpenID Connect Core section 3.1.3.7). Leaves out claims that only one issuer has.
"""

import hmac
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import jwt

from runtime.errors import ConnectorError, ProtocolError
from runtime.http import Remote

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512")
LEEWAY_SECONDS = 60
_KEY_TYPES = {"R": "RSA", "P": "RSA", "E": "EC"}

Jwk = dict[str, Any]


class TokenRefused(ConnectorError):
    """The token does not prove what it says. `reason` is one of our words, safe to log."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"token refused: {reason}")
        self.reason = reason


@dataclass
class KeySets:
    """Key sets of issuers by URL, kept; read again when a token names a key that is not there, once a minute."""

    clock: Callable[[], float]
    _sets: dict[str, tuple[float, list[Jwk]]] = field(default_factory=dict[str, tuple[float, list[Jwk]]])

    async def key(self, remote: Remote, url: str, key_id: str | None, algorithm: str) -> jwt.PyJWK:
        """The issuer's key for a token's header. Raises `TokenRefused`, `ProtocolError`, `RemoteUnavailable`."""
        found = self._sets.get(url)
        if found and self.clock() < found[0] + 3600 and (key := _choose(found[1], key_id, algorithm)):
            return key
        if found is None or self.clock() > found[0] + 60:
            found = (self.clock(), await _read(remote, url))
            self._sets[url] = found
        key = _choose(found[1], key_id, algorithm)
        if key is None:
            raise TokenRefused("key-unknown")
        return key


@dataclass(frozen=True)
class Expected:
    """What an id_token must say."""

    issuer: str
    audience: str
    nonce: str


async def verified_claims(
    token: str, expected: Expected, key_of: Callable[[str | None, str], Awaitable[jwt.PyJWK]]
) -> dict[str, Any]:
    """The claims of an id_token, once signature, issuer, audience, nonce and times hold. Raises `TokenRefused`."""
    try:
        header = jwt.get_unverified_header(token)
    except jwt.PyJWTError:
        raise TokenRefused("not-a-jwt") from None
    algorithm, key_id = header.get("alg"), header.get("kid")
    if algorithm not in ALGORITHMS:
        raise TokenRefused("algorithm")
    key = await key_of(key_id if isinstance(key_id, str) else None, algorithm)
    try:
        claims = jwt.decode(
            token,
            key,
            algorithms=[algorithm],
            audience=expected.audience,
            issuer=expected.issuer,
            leeway=LEEWAY_SECONDS,
            options={"require": ["iss", "aud", "exp", "iat", "sub"]},
        )
    except jwt.PyJWTError as e:
        raise TokenRefused(_REASONS.get(type(e), "invalid")) from None
    try:
        json.dumps(claims, ensure_ascii=False).encode()
    except UnicodeEncodeError:  # JSON can name half a character, which can be neither hashed nor shown
        raise TokenRefused("not-unicode") from None
    nonce = claims.get("nonce")
    if not isinstance(nonce, str) or not hmac.compare_digest(nonce.encode(), expected.nonce.encode()):
        raise TokenRefused("nonce")
    audiences: object = claims["aud"]
    if (
        isinstance(audiences, list)
        and len(cast(list[object], audiences)) > 1
        and claims.get("azp") != expected.audience
    ):
        raise TokenRefused("authorized-party")
    if not isinstance(claims["sub"], str) or not 0 < len(claims["sub"]) <= 255:
        raise TokenRefused("subject")
    return claims


_REASONS: dict[type[Exception], str] = {
    jwt.ExpiredSignatureError: "expired",
    jwt.ImmatureSignatureError: "not-yet-valid",
    jwt.InvalidAudienceError: "audience",
    jwt.InvalidIssuerError: "issuer",
    jwt.InvalidSignatureError: "signature",
    jwt.MissingRequiredClaimError: "claim-missing",
    jwt.InvalidKeyError: "key",
}


async def _read(remote: Remote, url: str) -> list[Jwk]:
    response = await remote.get(url, headers={"accept": "application/json, application/jwk-set+json"})
    if not response.ok:
        raise ProtocolError(f"expected a key set, got {response.status}")
    keys = response.json_object().get("keys")
    if not isinstance(keys, list):
        raise ProtocolError("expected a key set")
    return [cast(Jwk, k) for k in cast(list[object], keys) if isinstance(k, dict)]


def _choose(keys: Sequence[Jwk], key_id: str | None, algorithm: str) -> jwt.PyJWK | None:
    """The one key that fits; a token without `kid` fits only where there is no choice."""
    fitting = [
        k
        for k in keys
        if k.get("kty") == _KEY_TYPES[algorithm[0]]
        and k.get("use", "sig") == "sig"
        and k.get("alg", algorithm) == algorithm
        and (key_id is None or k.get("kid") == key_id)
    ]
    if len(fitting) != 1:
        return None
    public = {name: value for name, value in fitting[0].items() if name != "d"}
    try:
        return jwt.PyJWK(public, algorithm)
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
