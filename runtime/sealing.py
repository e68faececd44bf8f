"""Sealing: what is stored about a visit is unreadable without the geography's key, and unmovable between rows.

AES-256-GCM (NIST SP 800-38D) with a random 96-bit nonce; the context (table and key of the row) is authenticated, so
a sealed value copied into another row does not open. Owns the format: version, length of key id, key id, nonce, text.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from runtime.errors import ConnectorError

_VERSION = b"\x01"
_NONCE_BYTES = 12


class SealBroken(ConnectorError):
    """The value was not sealed by this geography for this place, or its key is gone."""


@dataclass(frozen=True)
class Seal:
    """Seals with the current key, opens with any key of the ring."""

    current: str
    ring: Mapping[str, bytes]

    def seal(self, plain: bytes, context: bytes) -> bytes:
        """`context` names the place: `b"<table>:" + key of the row`."""
        nonce = os.urandom(_NONCE_BYTES)
        head = _VERSION + bytes([len(self.current)]) + self.current.encode()
        return head + nonce + AESGCM(self.ring[self.current]).encrypt(nonce, plain, head + context)

    def open(self, sealed: bytes, context: bytes) -> bytes:
        """Raises `SealBroken`."""
        if len(sealed) < 2 or sealed[:1] != _VERSION:
            raise SealBroken("expected a sealed value of version 1")
        body = 2 + sealed[1]
        head = sealed[:body]
        key = self.ring.get(head[2:].decode("ascii", "replace"))
        if key is None:
            raise SealBroken("the sealing key of this value is not in the ring", "Restore the secret sealing-key.")
        nonce, ciphertext = sealed[body : body + _NONCE_BYTES], sealed[body + _NONCE_BYTES :]
        try:
            return AESGCM(key).decrypt(nonce, ciphertext, head + context)
        except (InvalidTag, ValueError):
            raise SealBroken("the value was not sealed for this place") from None
