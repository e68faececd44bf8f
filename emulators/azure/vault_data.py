"""What a vault holds, on disk: versions of secrets and keys, one 0600 file a name.

Owns `azure/vaults/<vault>/` of the state folder. Resource Manager (`operations.py`) and the data plane
(`key_vault.py`) both write here; who may is decided there.
"""

import base64
import json
import time
import uuid
from pathlib import Path
from typing import Any, cast

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from emulators.azure.store import locked
from emulators.state import write_private

CURVES: dict[str, ec.EllipticCurve] = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1()}


class VaultData:
    """The contents of one vault. Names are compared without case, as Key Vault does."""

    def __init__(self, state: Path, vault: str) -> None:
        self._folder = state / "azure" / "vaults" / vault.lower()

    def set_secret(
        self, name: str, value: str, *, content_type: str | None = None, tags: dict[str, str] | None = None
    ) -> dict[str, Any]:
        """A new version; returns it."""
        return self._add("secrets", name, {"value": value, "contentType": content_type, "tags": tags})

    def secret(self, name: str, version: str | None = None) -> dict[str, Any] | None:
        return self._get("secrets", name, version)

    def create_key(self, name: str, kty: str, *, curve: str = "P-256", size: int = 2048) -> dict[str, Any]:
        """A new key version. `kty` is RSA or EC; `size` in bits. Raises ValueError for what the vault has not."""
        if kty == "EC" and curve in CURVES:
            private: Any = ec.generate_private_key(CURVES[curve])
        elif kty == "RSA" and size in (2048, 3072, 4096):
            private = rsa.generate_private_key(public_exponent=65537, key_size=size)
        else:
            raise ValueError(f"expected an RSA key of 2048, 3072 or 4096 bits or an EC key of {', '.join(CURVES)}")
        pem = private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()
        return self._add("keys", name, {"pem": pem, "kty": kty, "crv": curve if kty == "EC" else None})

    def bring_key(self, name: str, pem: str, version: str) -> dict[str, Any]:
        """A key that was made elsewhere, as its version says; EC P-256."""
        return self._add("keys", name, {"pem": pem, "kty": "EC", "crv": "P-256"}, version)

    def key(self, name: str, version: str | None = None) -> dict[str, Any] | None:
        return self._get("keys", name, version)

    def names(self, kind: str) -> list[str]:
        folder = self._folder / kind
        return sorted(file.stem for file in folder.glob("*.json")) if folder.is_dir() else []

    def delete(self, kind: str, name: str) -> dict[str, Any] | None:
        """Remove all versions; returns the last."""
        last = self._get(kind, name, None)
        (self._folder / kind / f"{name.lower()}.json").unlink(missing_ok=True)
        return last

    def clear(self) -> None:
        """The vault is gone, and with it what it held."""
        for kind in ("secrets", "keys"):
            for name in self.names(kind):
                self.delete(kind, name)

    def _add(self, kind: str, name: str, fields: dict[str, Any], number: str | None = None) -> dict[str, Any]:
        file = self._folder / kind / f"{name.lower()}.json"
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        now = int(time.time())
        version = {k: v for k, v in fields.items() if v is not None} | {
            "name": name,
            "version": number or uuid.uuid4().hex,
            "attributes": {"enabled": True, "created": now, "updated": now, "recoveryLevel": "Purgeable"},
        }
        with locked(self._folder / "lock"):
            versions = self._versions(kind, name)
            write_private(file, json.dumps([*versions, version]).encode())
        return version

    def _get(self, kind: str, name: str, version: str | None) -> dict[str, Any] | None:
        versions = self._versions(kind, name)
        if version is None:
            return versions[-1] if versions else None
        return next((v for v in versions if v["version"] == version), None)

    def _versions(self, kind: str, name: str) -> list[dict[str, Any]]:
        try:
            return cast(list[dict[str, Any]], json.loads((self._folder / kind / f"{name.lower()}.json").read_bytes()))
        except FileNotFoundError:
            return []


def public_jwk(key: dict[str, Any]) -> dict[str, Any]:
    """The public part as RFC 7517 has it."""
    public: Any = cast(Any, serialization.load_pem_private_key(key["pem"].encode(), None)).public_key()
    numbers = public.public_numbers()
    if key["kty"] == "EC":
        length = (public.curve.key_size + 7) // 8
        return {"kty": "EC", "crv": key["crv"], "x": _base64(numbers.x, length), "y": _base64(numbers.y, length)}
    return {"kty": "RSA", "n": _base64(numbers.n, (public.key_size + 7) // 8), "e": "AQAB"}


def _base64(number: int, length: int) -> str:
    return base64.urlsafe_b64encode(number.to_bytes(length, "big")).rstrip(b"=").decode()
