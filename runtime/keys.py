"""The geography's keys: made once by init, kept in the vault, never leaving the geography.

Owns the secrets' names and formats, and how absent ones are made. Every ring is JSON
`{"current": "<id>", "keys": {"<id>": ...}}`, so that a key rotates by adding one and moving `current`; older ids stay
until nothing sealed by them is left. The two HMAC keys are not rings: rotating one unlinks every provider or visit.
"""

import base64
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from runtime.errors import StartRefused
from runtime.sealing import Seal
from runtime.vault import Vault

VISIT_KEY = "visit-key"
USER_HASH_KEY = "user-hash-key"
SEALING_KEY = "sealing-key"
NOTIFICATION_CERTIFICATE = "notification-certificate"
NAMES = (VISIT_KEY, USER_HASH_KEY, SEALING_KEY, NOTIFICATION_CERTIFICATE)
CERTIFICATE_YEARS = 2


@dataclass(frozen=True)
class NotificationKey:
    """What Graph encrypts event contents for; `id` goes into the subscription and comes back in each notification."""

    id: str
    certificate_der: bytes
    private_key: rsa.RSAPrivateKey

    @property
    def ends_at(self) -> datetime:
        return x509.load_der_x509_certificate(self.certificate_der).not_valid_after_utc


@dataclass(frozen=True)
class Keys:
    """All keys of a geography. HMAC keys are 32 bytes, for HMAC-SHA256.

    `notification` is for new subscriptions; `notification_ring` holds it and older ones, whose events may still come.
    """

    visit_key_hmac: bytes
    user_hash_hmac: bytes
    sealing_current: str
    sealing: Mapping[str, bytes]
    notification: NotificationKey
    notification_ring: Mapping[str, NotificationKey]

    @property
    def seal(self) -> Seal:
        return Seal(self.sealing_current, self.sealing)

    def __repr__(self) -> str:
        return "Keys(...)"


async def read_keys(vault: Vault) -> Keys:
    """Raises `StartRefused` where one is absent or malformed, `VaultUnavailable`."""
    return parse_keys({name: await vault.secret(name) for name in NAMES})


def parse_keys(secrets: Mapping[str, str | None]) -> Keys:
    """Keys from the secrets' values. Raises `StartRefused`."""
    for name in NAMES:
        if secrets.get(name) is None:
            raise StartRefused(f"the vault has no secret {name}", "The init container makes it; look at its log.")
    try:
        current, sealing = _ring(secrets[SEALING_KEY] or "")
        notification_current, notification = _ring(secrets[NOTIFICATION_CERTIFICATE] or "")
        by_id = {key_id: _notification_key(key_id, pem) for key_id, pem in notification.items()}
        return Keys(
            _bytes32(secrets[VISIT_KEY] or ""),
            _bytes32(secrets[USER_HASH_KEY] or ""),
            current,
            {key_id: _bytes32(value) for key_id, value in sealing.items()},
            by_id[notification_current],
            by_id,
        )
    except (ValueError, KeyError, TypeError, AttributeError) as e:
        raise StartRefused(f"a geography key in the vault is malformed: {type(e).__name__}") from None


def new_secret(name: str, now: datetime, label: str) -> str:
    """A fresh value for one of `NAMES`; `label` names the geography and stage in the certificate."""
    if name in (VISIT_KEY, USER_HASH_KEY):
        return _random32()
    key_id = f"{now:%Y%m%d}-{os.urandom(4).hex()}"
    value = _random32() if name == SEALING_KEY else _new_certificate(now, label)
    return json.dumps({"current": key_id, "keys": {key_id: value}})


async def make_absent_keys(vault: Vault, now: datetime, label: str) -> tuple[str, ...]:
    """Make what is absent, never replacing anything; the caller holds the init lock. The names made."""
    made: list[str] = []
    for name in NAMES:
        if await vault.secret(name) is None:
            await vault.write(name, new_secret(name, now, label))
            made.append(name)
    return tuple(made)


def _random32() -> str:
    return base64.b64encode(os.urandom(32)).decode()


def _bytes32(value: str) -> bytes:
    raw = base64.b64decode(value, validate=True)
    if len(raw) != 32:
        raise ValueError("expected 32 bytes")
    return raw


def _ring(value: str) -> tuple[str, dict[str, str]]:
    parsed: dict[str, Any] = json.loads(value)
    keys: dict[str, str] = parsed["keys"]
    if parsed["current"] not in keys or not all(k.isascii() and 0 < len(k) < 128 for k in keys):
        raise ValueError("expected the current key in the ring")
    return parsed["current"], keys


def _notification_key(key_id: str, pem: str) -> NotificationKey:
    private_key = serialization.load_pem_private_key(pem.encode(), None)
    if not isinstance(private_key, rsa.RSAPrivateKey):
        raise ValueError("expected an RSA key")
    certificate = x509.load_pem_x509_certificate(pem.encode())
    return NotificationKey(key_id, certificate.public_bytes(serialization.Encoding.DER), private_key)


def _new_certificate(now: datetime, label: str) -> str:
    """A private key and its self-signed certificate in one PEM. RSA 2048 is what Graph takes for event contents."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"teams-ehr-connector {label}"[:64])])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now.astimezone(UTC) - timedelta(hours=1))
        .not_valid_after(now.astimezone(UTC) + timedelta(days=365 * CERTIFICATE_YEARS))
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return (private + certificate.public_bytes(serialization.Encoding.PEM)).decode()
