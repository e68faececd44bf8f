"""Tokens of the emulated tenant's managed identities: RS256 JWTs with the claims that Entra puts in (version 1.0).

Owns the signing key (`azure/identity-signing-key.pem`, 0600, made when missing), the public half for other emulators
(`azure/identity-jwks.json`: {"issuer", "keys"}), issuing and verifying. Whether an identity may ask is decided in
`managed_identity.py`.
"""

import hashlib
import json
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from emulators.azure.deployer import DEPLOYER_CLIENT_ID, DEPLOYER_OBJECT_ID
from emulators.state import write_private

VAULT = "https://vault.azure.net"
DATABASE = "https://ossrdbms-aad.database.windows.net"
STORAGE = "https://storage.azure.com"
EXCHANGE = "api://AzureADTokenExchange"
AUDIENCES = frozenset({VAULT, DATABASE, STORAGE, EXCHANGE})
LIFETIME_SECONDS = 3600
RENEW_BEFORE_SECONDS = 300


@dataclass(frozen=True)
class Principal:
    """Somebody to whom a token is issued. `resource_id` is the ARM id of a managed identity."""

    object_id: str
    client_id: str
    resource_id: str | None = None


DEPLOYER = Principal(DEPLOYER_OBJECT_ID, DEPLOYER_CLIENT_ID)
"""Who runs Pulumi: the object id that `getClientConfig` answers."""


@dataclass(frozen=True)
class Token:
    text: str
    expires: int
    """Seconds since the epoch."""


class Issuer:
    """Issues and verifies for one tenant. `issuer` is the URL that stands in `iss`."""

    def __init__(self, state: Path, tenant_id: str, issuer: str) -> None:
        self.tenant_id, self.issuer = tenant_id, issuer
        file = state / "azure" / "identity-signing-key.pem"
        if not file.exists():
            made = rsa.generate_private_key(public_exponent=65537, key_size=2048)
            pem = made.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            write_private(file, pem)
        self._key = cast(rsa.RSAPrivateKey, serialization.load_pem_private_key(file.read_bytes(), None))
        public = RSAAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        self.kid = hashlib.sha256(public["n"].encode()).hexdigest()[:32]
        jwk = {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": self.kid, "n": public["n"], "e": public["e"]}
        document = {"issuer": issuer, "keys": [jwk]}
        write_private(state / "azure" / "identity-jwks.json", json.dumps(document, indent=1).encode())
        self._cache: dict[tuple[str, str], Token] = {}

    def token(self, principal: Principal, audience: str) -> Token:
        """The same token until five minutes before it expires."""
        if audience not in AUDIENCES:
            raise ValueError(f"no resource of this tenant has the identifier {audience}")
        cached = self._cache.get((principal.object_id, audience))
        now = int(time.time())
        if cached is not None and cached.expires - now > RENEW_BEFORE_SECONDS:
            return cached
        claims: dict[str, Any] = {
            "aud": audience,
            "iss": self.issuer,
            "iat": now,
            "nbf": now,
            "exp": now + LIFETIME_SECONDS,
            "appid": principal.client_id,
            "azp": principal.client_id,
            "oid": principal.object_id,
            "sub": principal.object_id,
            "tid": self.tenant_id,
            "idtyp": "app",
            "ver": "1.0",
            "jti": uuid.uuid4().hex,
        }
        if principal.resource_id is not None:
            claims["xms_mirid"] = principal.resource_id
        text = jwt.encode(claims, self._key, algorithm="RS256", headers={"kid": self.kid})
        token = Token(text, now + LIFETIME_SECONDS)
        self._cache[principal.object_id, audience] = token
        return token

    def verify(self, text: str, audience: str) -> dict[str, Any]:
        """The claims. Raises jwt.InvalidTokenError for another signer, audience, issuer or an expired token."""
        return jwt.decode(
            text,
            self._key.public_key(),
            algorithms=["RS256"],
            audience=audience,
            issuer=self.issuer,
            options={"require": ["exp", "nbf", "iat", "aud", "iss", "oid"]},
        )
