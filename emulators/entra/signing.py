"""Entra's signing key and the tokens that it signs.

Owns `<state>/entra/signing-key.pem` (RSA 2048, 0600): made by whichever emulator needs it first, so that the Graph
emulator can sign validation tokens and verify access tokens. Claims follow "ID token claims reference" and "Access
token claims reference" of the Microsoft identity platform.
"""

import base64
import hashlib
import os
import secrets
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from emulators.entra.directory import Account, Directory
from emulators.world import AppRegistration

LIFETIME_SECONDS = 3600
CHANGE_NOTIFICATIONS_APPLICATION = "0bf30f3b-4a52-48df-9a82-234910c4a086"
"""Microsoft Graph's own application id in the tokens of change notifications."""


class SigningKey:
    """The private key, its JWKS, and signing."""

    def __init__(self, private: rsa.RSAPrivateKey) -> None:
        self.private = private
        numbers = private.public_key().public_numbers()
        self._n, self._e = _base64url_integer(numbers.n), _base64url_integer(numbers.e)
        thumbprint = hashlib.sha256(f'{{"e":"{self._e}","kty":"RSA","n":"{self._n}"}}'.encode()).digest()
        self.kid = _base64url(thumbprint)  # RFC 7638

    def jwks(self) -> dict[str, Any]:
        return {"keys": [{"kty": "RSA", "use": "sig", "kid": self.kid, "alg": "RS256", "n": self._n, "e": self._e}]}

    def sign(self, claims: Mapping[str, Any]) -> str:
        return jwt.encode(dict(claims), self.private, "RS256", headers={"kid": self.kid})


def ensure_signing_key(state: Path) -> SigningKey:
    """The key of this state folder, made if there is none; two processes that start at once get the same."""
    path = state / "entra" / "signing-key.pem"
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not path.exists():
        made = rsa.generate_private_key(65537, 2048).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        partial = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(made)
        with suppress(FileExistsError):
            os.link(partial, path)
        partial.unlink()
    private = serialization.load_pem_private_key(path.read_bytes(), None)
    assert isinstance(private, rsa.RSAPrivateKey)
    return SigningKey(private)


def issuer(directory_url: str, tenant_id: str) -> str:
    """The issuer of version 2.0 tokens."""
    return f"{directory_url}/{tenant_id}/v2.0"


def access_token_issuer(directory_url: str, tenant_id: str) -> str:
    """The issuer of version 1.0 tokens, which Graph takes; Entra's own is https://sts.windows.net/{tenant}/."""
    return f"{directory_url}/{tenant_id}/"


def id_token(
    key: SigningKey,
    directory: Directory,
    account: Account,
    *,
    client_id: str,
    nonce: str | None,
    scopes: Iterable[str],
    now: int,
    authenticated_at: float | None = None,
) -> str:
    claims: dict[str, Any] = {
        "aud": client_id,
        "iss": issuer(directory.url, account.tenant.id),
        "iat": now,
        "nbf": now,
        "exp": now + LIFETIME_SECONDS,
        "sub": _base64url(
            hashlib.sha256(f"{client_id}|{account.tenant.id}|{account.user.object_id}".encode()).digest()
        ),
        "tid": account.tenant.id,
        "uti": secrets.token_urlsafe(16),
        "ver": "2.0",
    }
    if nonce is not None:
        claims["nonce"] = nonce
    if authenticated_at is not None:
        claims["auth_time"] = int(authenticated_at)
    if account.is_guest and account.user.home_tenant_id:
        claims["idp"] = access_token_issuer(directory.url, account.user.home_tenant_id)
    scopes = frozenset(scopes)
    if "profile" in scopes:
        claims |= {
            "oid": account.user.object_id,
            "name": account.user.display_name,
            "preferred_username": account.user.user_principal_name,
        }
    if "email" in scopes:
        claims["email"] = account.user.user_principal_name
    return key.sign(claims)


def application_token(
    key: SigningKey, directory: Directory, registration: AppRegistration, tenant_id: str, now: int
) -> str:
    """An access token for Graph with application permissions."""
    principal = hashlib.sha256(f"{registration.application_id}|{tenant_id}".encode()).hexdigest()
    principal_id = f"{principal[:8]}-{principal[8:12]}-4{principal[13:16]}-8{principal[17:20]}-{principal[20:32]}"
    return key.sign(
        _access_claims(directory, tenant_id, now)
        | {
            "appid": registration.application_id,
            "idtyp": "app",
            "oid": principal_id,
            "sub": principal_id,
            "roles": list(registration.application_permissions),
        }
    )


def delegated_token(key: SigningKey, directory: Directory, account: Account, client_id: str, now: int) -> str:
    """An access token for Graph on behalf of somebody; it carries no application permission."""
    return key.sign(
        _access_claims(directory, account.tenant.id, now)
        | {
            "appid": client_id,
            "idtyp": "user",
            "oid": account.user.object_id,
            "scp": "email openid profile User.Read",
            "sub": _base64url(hashlib.sha256(f"graph|{account.user.object_id}".encode()).digest()),
            "upn": account.user.user_principal_name,
        }
    )


def notification_token(key: SigningKey, directory_url: str, *, tenant_id: str, application_id: str, now: int) -> str:
    """A validation token of a change notification: signed for the subscribing application, on behalf of Graph."""
    return key.sign(
        {
            "aud": application_id,
            "iss": issuer(directory_url, tenant_id),
            "iat": now,
            "nbf": now,
            "exp": now + LIFETIME_SECONDS,
            "azp": CHANGE_NOTIFICATIONS_APPLICATION,
            "azpacr": "2",
            "tid": tenant_id,
            "uti": secrets.token_urlsafe(16),
            "ver": "2.0",
        }
    )


def _access_claims(directory: Directory, tenant_id: str, now: int) -> dict[str, Any]:
    return {
        "aud": directory.graph_url,
        "iss": access_token_issuer(directory.url, tenant_id),
        "iat": now,
        "nbf": now,
        "exp": now + LIFETIME_SECONDS,
        "tid": tenant_id,
        "uti": secrets.token_urlsafe(16),
        "ver": "1.0",
    }


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _base64url_integer(value: int) -> str:
    return _base64url(value.to_bytes((value.bit_length() + 7) // 8))
