"""Opening the encrypted content of a Graph notification.

Owns the order of "Set up change notifications that include resource data": RSA-OAEP opens the data key, the HMAC over
the ciphertext is compared before anything is decrypted, then AES-256-CBC with PKCS #7. The algorithms are Graph's.
"""

import base64
import binascii
import hmac
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.padding import PKCS7


class ContentRefused(Exception):
    """The encrypted content is not what Graph makes for our certificate; which check failed is not told apart."""


def open_content(content: Mapping[str, Any], private_key: RSAPrivateKey) -> bytes:
    """The plain text of `encryptedContent`. Raises `ContentRefused`."""
    try:
        data = base64.b64decode(str(content["data"]), validate=True)
        signature = base64.b64decode(str(content["dataSignature"]), validate=True)
        wrapped = base64.b64decode(str(content["dataKey"]), validate=True)
    except (KeyError, binascii.Error, ValueError):
        raise ContentRefused("the encrypted content is malformed") from None
    try:
        key = private_key.decrypt(wrapped, OAEP(MGF1(SHA1()), SHA1(), None))
    except ValueError:
        raise ContentRefused("the data key was not made for this certificate") from None
    if not hmac.compare_digest(hmac.digest(key, data, "sha256"), signature):
        raise ContentRefused("the data signature does not match")
    try:
        decryptor = Cipher(AES(key), CBC(key[:16])).decryptor()
        padded = decryptor.update(data) + decryptor.finalize()
        unpadder = PKCS7(128).unpadder()
        return unpadder.update(padded) + unpadder.finalize()
    except ValueError:
        raise ContentRefused("the data cannot be decrypted") from None
