"""How our clients prove themselves at an EHR's token endpoint.

RFC 6749 section 2.3.1 (`client_secret_basic`), RFC 7523 and SMART App Launch 2.2 "Client Authentication: Asymmetric"
(`private_key_jwt`): `iss` = `sub` = client id, `aud` = the token URL as a string, `exp` at most 300 s ahead, one `jti`.
"""

import base64
import secrets
from dataclasses import dataclass, field
from urllib.parse import quote_plus

import jwt

from runtime.ehr.client_keys import parse_client_keys
from runtime.errors import ConnectorError
from runtime.vault import Vault
from schemas.stack_config import ClientSecretBasic, PrivateKeyJwt, PublicClient

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ASSERTION_SECONDS = 240


class CredentialAbsent(ConnectorError):
    """The vault has no secret for this client: only this client cannot be used."""


@dataclass(frozen=True)
class Credentials:
    """What goes into a token request."""

    form: dict[str, str] = field(default_factory=dict[str, str])
    headers: dict[str, str] = field(default_factory=dict[str, str])


async def credentials_for(
    vault: Vault, client_id: str, method: PublicClient | ClientSecretBasic | PrivateKeyJwt, token_url: str, now: float
) -> Credentials:
    """Raises `CredentialAbsent`, `ClientKeyInvalid`, `VaultUnavailable`."""
    match method:
        case PublicClient():
            return Credentials({"client_id": client_id})
        case ClientSecretBasic(secret=name):
            pair = f"{quote_plus(client_id)}:{quote_plus(await _secret(vault, name))}"
            return Credentials(headers={"authorization": "Basic " + base64.b64encode(pair.encode()).decode()})
        case PrivateKeyJwt(key=name, algorithm=algorithm):
            assertion = sign_assertion(await _secret(vault, name), algorithm, client_id, token_url, now)
            return Credentials({"client_assertion_type": ASSERTION_TYPE, "client_assertion": assertion})


def sign_assertion(secret: str, algorithm: str, client_id: str, token_url: str, now: float) -> str:
    key = parse_client_keys(secret, algorithm)[0]
    claims = {
        "iss": client_id,
        "sub": client_id,
        "aud": token_url,
        "iat": int(now),
        "exp": int(now) + ASSERTION_SECONDS,
        "jti": secrets.token_urlsafe(24),
    }
    return jwt.encode(claims, key.private, algorithm, headers={"kid": key.key_id, "typ": "JWT"})


async def _secret(vault: Vault, name: str) -> str:
    value = await vault.secret(name)
    if not value:
        raise CredentialAbsent(f"the vault has no secret {name}", "Write it into this geography's vault.")
    return value.strip()
