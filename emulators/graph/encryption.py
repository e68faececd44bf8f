"""Encrypted content of change notifications ("Set up change notifications that include resource data").

Owns the wire format only: a fresh AES-256 key per notification, wrapped by RSA-OAEP (SHA-1) for the subscriber's
certificate; AES-256-CBC with PKCS #7 padding (RFC 5652 section 6.3) and the key's first 16 bytes as IV; HMAC-SHA256
with the same key over the ciphertext.
"""

import base64
import binascii
import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7


def load_certificate(encoded: str) -> x509.Certificate:
    """A base64 DER certificate with an RSA key of 2048 to 4096 bits. Raises ValueError."""
    try:
        certificate = x509.load_der_x509_certificate(base64.b64decode(encoded, validate=True))
    except binascii.Error as e:
        raise ValueError(f"not base64: {e}") from None
    key = certificate.public_key()
    if not isinstance(key, rsa.RSAPublicKey) or not 2048 <= key.key_size <= 4096:
        raise ValueError("expected an RSA key of 2048 to 4096 bits")
    return certificate


def encrypted_content(event: Mapping[str, Any], certificate: str, certificate_id: str) -> dict[str, str]:
    loaded = load_certificate(certificate)
    public = loaded.public_key()
    assert isinstance(public, rsa.RSAPublicKey)
    key = secrets.token_bytes(32)
    padder = PKCS7(128).padder()
    plain = padder.update(json.dumps(event).encode()) + padder.finalize()
    encryptor = Cipher(algorithms.AES256(key), modes.CBC(key[:16])).encryptor()
    ciphertext = encryptor.update(plain) + encryptor.finalize()
    sha1 = hashes.SHA1()
    wrapped = public.encrypt(key, padding.OAEP(padding.MGF1(sha1), sha1, None))
    return {
        "data": _base64(ciphertext),
        "dataSignature": _base64(hmac.new(key, ciphertext, hashlib.sha256).digest()),
        "dataKey": _base64(wrapped),
        "encryptionCertificateId": certificate_id,
        "encryptionCertificateThumbprint": loaded.fingerprint(sha1).hex().upper(),
    }


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
