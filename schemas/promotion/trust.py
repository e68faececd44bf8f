"""Which keys count: those that the image lists (anchors) and the stack's configuration pins, both.

An anchor is the key's material and what it may at most sign, in a file inside the image and covered by its digest; a
pin in `promotion.trustedKeys` names the key version, its geography and its statement types. So neither a changed
configuration nor a variable of a process adds a key, and the anchors of the emulated cloud, whose private keys are in
the source tree, are in a file of their own that is read nowhere else.
"""

import base64
import binascii
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Literal

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from pydantic import Field, ValidationError, model_validator
from securesystemslib.signer import SSlibKey  # pyright: ignore[reportPrivateImportUsage]

from schemas.config_model import ConfigModel
from schemas.promotion.canonical import NotStrictJson, read_json
from schemas.promotion.reasons import Code, Reason
from schemas.promotion_config import TrustedKey
from schemas.scalars import KeyId
from schemas.vocabulary import Cloud, GeographyName, StatementType

ANCHOR_FILES = {
    Cloud.AZURE: "schemas/promotion/anchors/azure.json",
    Cloud.EMULATED: "schemas/promotion/anchors/emulated.json",
}
"""By path in the project, which is the path in the image."""


def key_id_of(spki: bytes) -> str:
    """The fingerprint of a public key: SHA-256 over its SubjectPublicKeyInfo in DER."""
    return hashlib.sha256(spki).hexdigest()


class _Key(SSlibKey):
    """Held as it was read: `SSlibKey` reads its PEM again for each signature, in a fifth of the time of verifying."""

    def __init__(self, key_id: str, public: PublicKeyTypes) -> None:
        made = SSlibKey.from_crypto(public, keyid=key_id)
        super().__init__(made.keyid, made.keytype, made.scheme, made.keyval)
        self._public = public

    def _crypto_key(self) -> PublicKeyTypes:
        return self._public


class TrustAnchor(ConfigModel):
    """A public key that this image knows, and what it may sign at most."""

    key_id: KeyId
    public_key: str = Field(description="SubjectPublicKeyInfo, DER in base64: ECDSA P-256 or Ed25519")
    geography: GeographyName
    statement_types: Annotated[tuple[StatementType, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _is_its_key(self) -> "TrustAnchor":
        try:
            spki = base64.b64decode(self.public_key, validate=True)
            key = serialization.load_der_public_key(spki)
        except (binascii.Error, ValueError):
            raise ValueError("expected a public key as SubjectPublicKeyInfo, DER in base64") from None
        if not (
            isinstance(key, ed25519.Ed25519PublicKey)
            or (isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1))
        ):
            raise ValueError("expected an ECDSA P-256 or Ed25519 key")
        if key_id_of(spki) != self.key_id:
            raise ValueError("expected keyId to be the SHA-256 of publicKey")
        return self

    @cached_property
    def key(self) -> SSlibKey:
        """The key that verifies."""
        return _Key(self.key_id, serialization.load_der_public_key(base64.b64decode(self.public_key)))


class TrustAnchors(ConfigModel):
    version: Literal[1]
    keys: tuple[TrustAnchor, ...]


class AnchorsInvalid(Exception):
    """The image's trust anchors cannot be read."""


def read_anchors(data: bytes) -> TrustAnchors:
    """Raises `AnchorsInvalid`."""
    try:
        return TrustAnchors.model_validate(read_json(data), by_alias=True, by_name=False)
    except (NotStrictJson, ValidationError) as e:
        raise AnchorsInvalid(f"the image's trust anchors do not fit their schema: {e}") from None


@dataclass(frozen=True)
class Trusted:
    """A key that counts for this statement."""

    pin: TrustedKey
    anchor: TrustAnchor


class Trust:
    """Pins and anchors together."""

    def __init__(self, pins: Sequence[TrustedKey], anchors: TrustAnchors) -> None:
        self._pins = {pin.key_id: pin for pin in pins}
        self._anchors = {anchor.key_id: anchor for anchor in anchors.keys}

    def key(self, key_id: str) -> Trusted | Reason:
        """The key by its id, or why it does not count."""
        pin, anchor = self._pins.get(key_id), self._anchors.get(key_id)
        if pin is None:
            return Reason(Code.KEY_UNKNOWN, "a key that the stack's trustedKeys list", f"the key {key_id[:16]}")
        if anchor is None:
            return Reason(Code.KEY_NOT_IN_IMAGE, "a key that the image lists too", f"the key {key_id[:16]}")
        if pin.geography is not anchor.geography:
            expected = f"the geography that the image gives this key, {anchor.geography}"
            return Reason(Code.KEY_NOT_IN_IMAGE, expected, str(pin.geography))
        return Trusted(pin, anchor)

    def permits(self, trusted: Trusted, kind: StatementType, geography: GeographyName, issued: str) -> Reason | None:
        """Why this key may not sign a statement of this type, for this geography, at this time; None if it may."""
        pin = trusted.pin
        if kind not in pin.statement_types or kind not in trusted.anchor.statement_types:
            return Reason(Code.KEY_TYPE, f"a key that may sign statements of type {kind}", f"{pin.name}")
        if pin.geography is not geography:
            return Reason(Code.KEY_SCOPE, f"a key of {geography}", f"a key of {pin.geography}")
        if pin.retired_at is not None and issued >= pin.retired_at:
            return Reason(Code.KEY_RETIRED, f"a statement from before {pin.retired_at}", f"one of {issued}")
        return None

    def signing_pin(self, kind: StatementType, geography: GeographyName) -> TrustedKey | None:
        """The newest pin with which to sign: the last listed that is not retired, and that the image lists too."""
        for pin in reversed(self._pins.values()):
            fits = kind in pin.statement_types and pin.geography is geography and pin.retired_at is None
            if fits and not isinstance(self.key(pin.key_id), Reason):
                return pin
        return None
