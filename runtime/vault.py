"""Key Vault by its REST API (7.4): secrets read by identity, cached; written only by init. Keys sign, and never leave.

Owns the cache: a secret is read again after five minutes, an absent one after ten seconds. While the vault does not
answer the last known value serves for an hour, asked for again every ten seconds; a vault that says no is no outage,
and ends it. Leaves out what secrets mean (`keys.py`, `ehr/client_authentication.py`).
"""

import asyncio
import base64
import binascii
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from runtime.errors import IdentityUnavailable, ProtocolError, RemoteUnavailable, VaultUnavailable
from runtime.http import HttpClients, Remote, Response
from runtime.managed_identity import VAULT_AUDIENCE, ManagedIdentity

PRESENT_SECONDS = 300.0
ABSENT_SECONDS = 10.0
AGAIN_SECONDS = 10.0
STALE_SECONDS = 3600.0
_VERSION = {"api-version": "7.4"}


@dataclass(frozen=True)
class _Cached:
    value: str | None
    until: float
    read_at: float


@dataclass
class Vault:
    """The geography's vault. `url` ends in a slash, as `vaultUri` does."""

    url: str
    remote: Remote
    identity: ManagedIdentity
    clock: Callable[[], float] = time.monotonic
    _cache: dict[str, _Cached] = field(default_factory=dict[str, _Cached])
    _locks: dict[str, asyncio.Lock] = field(default_factory=dict[str, asyncio.Lock])

    @classmethod
    def at(cls, url: str, http: HttpClients, identity: ManagedIdentity) -> "Vault":
        return cls(url, http.to([url]), identity)

    async def secret(self, name: str) -> str | None:
        """The current version's value, `None` where absent. Raises `VaultUnavailable`, `IdentityUnavailable`."""
        async with self._locks.setdefault(name, asyncio.Lock()):
            cached = self._cache.get(name)
            if cached and self.clock() < cached.until:
                return cached.value
            try:
                value = await self._read(name)
            except _Forbidden:
                self._cache.pop(name, None)
                raise
            except (VaultUnavailable, IdentityUnavailable):
                now = self.clock()
                if cached is None or cached.value is None or now >= cached.read_at + STALE_SECONDS:
                    raise
                self._cache[name] = replace(cached, until=now + AGAIN_SECONDS)
                return cached.value
            now, seconds = self.clock(), PRESENT_SECONDS if value is not None else ABSENT_SECONDS
            self._cache[name] = _Cached(value, now + seconds, now)
            return value

    async def write(self, name: str, value: str) -> None:
        """Set a secret. Raises `VaultUnavailable`."""
        self._cache.pop(name, None)
        response = await self._call("PUT", f"secrets/{name}", {"value": value})
        if not response.ok:
            raise _refused("write", name, response)

    async def sign(self, name: str, version: str, digest: bytes) -> bytes:
        """The ES256 signature (r and s, 32 bytes each) by a version of a key over a SHA-256 digest.

        Raises `VaultUnavailable`, `IdentityUnavailable`.
        """
        value = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        response = await self._call("POST", f"keys/{name}/{version}/sign", {"alg": "ES256", "value": value})
        if not response.ok:
            raise VaultUnavailable(
                f"expected to sign with key {name}, got {response.status}",
                "Check the identity's role assignment on the key (Key Vault Crypto User), and the pinned version.",
            )
        try:
            signature = base64.urlsafe_b64decode(f"{response.json_object().get('value')}==")
        except (ProtocolError, binascii.Error, ValueError):
            signature = b""
        if len(signature) != 64:
            raise VaultUnavailable(f"the vault's answer for key {name} is no ES256 signature")
        return signature

    async def _read(self, name: str) -> str | None:
        response = await self._call("GET", f"secrets/{name}")
        if response.status == 404:
            return None
        if not response.ok:
            raise _refused("read", name, response)
        value = response.json_object().get("value")
        if not isinstance(value, str):
            raise VaultUnavailable(f"the vault's answer for {name} has no value")
        return value

    async def _call(self, method: str, path: str, body: object = None) -> Response:
        token = await self.identity.token(VAULT_AUDIENCE)
        try:
            return await self.remote.request(
                method,
                f"{self.url}{path}",
                params=_VERSION,
                headers={"authorization": f"Bearer {token}"},
                json=body,
            )
        except (RemoteUnavailable, ProtocolError) as e:
            raise VaultUnavailable(f"the vault did not answer for {path}: {e}") from e


class _Forbidden(VaultUnavailable):
    """The vault answered, and this identity may not read."""


def _refused(verb: str, name: str, response: Response) -> VaultUnavailable:
    kind = _Forbidden if response.status in (401, 403) else VaultUnavailable
    return kind(
        f"expected to {verb} secret {name}, got {response.status}",
        "Check the identity's role assignment on the vault (Key Vault Secrets User).",
    )
