"""Tokens of this process's managed identity, for Key Vault, storage, PostgreSQL and as our assertion to Entra.

Owns the call to the platform's token endpoint, by MSAL (which reads IDENTITY_ENDPOINT and IDENTITY_HEADER itself and
caches until shortly before expiry). Azure Container Apps, "Managed identities", REST endpoint reference.
"""

import asyncio
import threading
from typing import Any, cast

import msal  # pyright: ignore[reportMissingTypeStubs]

from runtime.errors import IdentityUnavailable, ProtocolError, RemoteUnavailable
from runtime.http import MsalHttp

VAULT_AUDIENCE = "https://vault.azure.net"
STORAGE_AUDIENCE = "https://storage.azure.com"
DATABASE_AUDIENCE = "https://ossrdbms-aad.database.windows.net"


class ManagedIdentity:
    """One user-assigned identity."""

    def __init__(self, client_id: str, http: MsalHttp) -> None:
        self._client = msal.ManagedIdentityClient(
            msal.UserAssignedManagedIdentity(client_id=client_id), http_client=http
        )
        self._lock = threading.Lock()

    def token_blocking(self, audience: str) -> str:
        """A token for `audience`, cached. For MSAL's callables and psycopg; raises `IdentityUnavailable`."""
        try:
            with self._lock:
                answer = cast(dict[str, Any], self._client.acquire_token_for_client(resource=audience))
        except (ProtocolError, RemoteUnavailable, ValueError, KeyError) as e:
            raise IdentityUnavailable(f"the managed identity endpoint did not answer: {type(e).__name__}") from e
        token = answer.get("access_token")
        if not isinstance(token, str):
            raise IdentityUnavailable(
                f"the managed identity has no token for {audience}", "Check the identity's assignment to the app."
            )
        return token

    async def token(self, audience: str) -> str:
        return await asyncio.to_thread(self.token_blocking, audience)
