"""The private keys of `private_key_jwt` clients, as they lie in the vault: one JWK, or a key set while one rotates.

In a set the first key signs and every one is published, so that an EHR that caches our key set knows the next key
before it signs. Owns parsing and the public form (RFC 7517, RFC 7638).
"""

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from runtime.errors import ConnectorError

PUBLIC_MEMBERS = {"RSA": ("kty", "n", "e"), "EC": ("kty", "crv", "x", "y")}


class ClientKeyInvalid(ConnectorError):
    """The secret holds no usable private JWK."""


@dataclass(frozen=True)
class ClientKey:
    """A private key with what is published of it."""

    key_id: str
    thumbprint: str
    algorithm: str
    private: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
    public_jwk: Mapping[str, str]

    def __repr__(self) -> str:
        return f"ClientKey({self.key_id!r}, {self.algorithm!r})"


def parse_client_keys(secret: str, algorithm: str) -> tuple[ClientKey, ...]:
    """At least one key for `algorithm` (RS384 or ES384), the signing one first. Raises `ClientKeyInvalid`."""
    try:
        value: object = json.loads(secret)
    except ValueError:
        raise ClientKeyInvalid("expected a JWK in JSON") from None
    members = cast(dict[str, Any], value) if isinstance(value, dict) else {}
    listed = members.get("keys", [members])
    if not isinstance(listed, list) or not listed:
        raise ClientKeyInvalid("expected a JWK or a JWK Set")
    return tuple(_parse(jwk, algorithm) for jwk in cast(list[object], listed))


def _parse(value: object, algorithm: str) -> ClientKey:
    jwk = cast(dict[str, Any], value) if isinstance(value, dict) else {}
    kind = str(jwk.get("kty"))
    try:
        private = jwt.PyJWK(jwk, algorithm).key
    except (jwt.PyJWTError, ValueError, TypeError, KeyError):
        raise ClientKeyInvalid(f"expected a private JWK for {algorithm}") from None
    fits = (algorithm == "RS384" and isinstance(private, rsa.RSAPrivateKey) and private.key_size >= 2048) or (
        algorithm == "ES384" and isinstance(private, ec.EllipticCurvePrivateKey) and private.curve.name == "secp384r1"
    )
    if not fits:
        raise ClientKeyInvalid(f"expected a private JWK for {algorithm}: RSA of 2048 bits or more, or EC P-384")
    public = {name: str(jwk[name]) for name in PUBLIC_MEMBERS[kind]}
    canonical = json.dumps(public, sort_keys=True, separators=(",", ":")).encode()
    thumbprint = base64.urlsafe_b64encode(hashlib.sha256(canonical).digest()).rstrip(b"=").decode()
    key_id = jwk.get("kid")
    if not isinstance(key_id, str) or not key_id:
        key_id = thumbprint
    published = public | {"kid": key_id, "alg": algorithm, "use": "sig"}
    return ClientKey(key_id, thumbprint, algorithm, private, published)
