"""A statement signed by a key of the vault, and verified before anybody gets it.

Owns the way from a payload to a statement's file: the vault signs the digest (ES256), the signature goes into the
envelope in DER, and the result must be one that everybody else will accept. Which key signs what is `schemas/`.
"""

import hashlib

from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from runtime.errors import ConnectorError
from runtime.vault import Vault
from schemas.promotion.envelope import Rejected, StatementFile, signed, unsigned, verify
from schemas.promotion.trust import Trust
from schemas.promotion_config import TrustedKey


class SignatureUseless(ConnectorError):
    """What was signed here would be accepted nowhere."""


async def sign(vault: Vault, pin: TrustedKey, trust: Trust, payload: bytes) -> bytes:
    """The content of the statement's file. Raises `VaultUnavailable`, `SignatureUseless`."""
    covered = hashlib.sha256(unsigned(payload).pae()).digest()
    raw = await vault.sign(pin.name, pin.version, covered)
    signature = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    content = signed(payload, pin.key_id, signature)
    verified = verify(StatementFile(pin.name, content), trust, placed=False)
    if isinstance(verified, Rejected):
        raise SignatureUseless(
            f"{pin.name} made a statement that would not count: {verified.reason.message} [{verified.reason.code}]",
            "Compare the pinned key version with the one in the vault, and with the image's trust anchors.",
        )
    return content
