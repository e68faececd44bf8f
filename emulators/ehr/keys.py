"""The EHR's own secrets, made when it first starts: the key that signs id_tokens, and its clients' secrets.

All are 0600 in the EHR's folder. A client secret is read at each use, so replacing the file rotates it.
"""

import base64
import hashlib
import hmac
import secrets
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from emulators.tls import write_private
from emulators.world import Ehr


class SigningKey:
    """RS256, as Epic signs id_tokens."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            made = rsa.generate_private_key(public_exponent=65537, key_size=2048)
            pkcs8, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            write_private(path, made.private_bytes(serialization.Encoding.PEM, pkcs8, plain))
        loaded = serialization.load_pem_private_key(path.read_bytes(), None)
        assert isinstance(loaded, rsa.RSAPrivateKey)
        self._private = loaded
        der = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        digest = hashlib.sha256(loaded.public_key().public_bytes(*der)).digest()
        self.kid = base64.urlsafe_b64encode(digest[:12]).decode()

    def sign(self, claims: dict[str, Any]) -> str:
        return jwt.encode(claims, self._private, "RS256", headers={"kid": self.kid})

    def jwks(self) -> dict[str, Any]:
        public = RSAAlgorithm.to_jwk(self._private.public_key(), as_dict=True)
        own = {name: public[name] for name in ("kty", "n", "e")}
        return {"keys": [{**own, "kid": self.kid, "use": "sig", "alg": "RS256"}]}


class ClientSecrets:
    """`clients/<clientId>.secret` for each client that the EHR registered with a secret."""

    def __init__(self, folder: Path, ehr: Ehr) -> None:
        self._folder = folder
        for environment in ehr.environments:
            for client in environment.clients:
                path = self._path(client.client_id)
                if client.method == "client_secret_basic" and not path.exists():
                    write_private(path, secrets.token_urlsafe(32).encode())

    def matches(self, client_id: str, secret: str) -> bool:
        path = self._path(client_id)
        return path.exists() and hmac.compare_digest(path.read_bytes().strip(), secret.encode())

    def _path(self, client_id: str) -> Path:
        return self._folder / f"{client_id}.secret"
