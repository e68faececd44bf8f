"""The data planes that the supervisor serves itself: managed identity over loopback http, vaults and blobs over TLS.

Owns their listeners, who exists (identities of the store and the deployer), and who may do what: role assignments of
the store, to somebody or to a group, at the key, container, vault or account or a scope above it. The deployer is Key
Vault Secrets Officer of every vault from the start, as an operator with a subscription-wide assignment would be; it can
get a token only over the supervisor's control socket.
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Awaitable, Callable, Container, Generator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import uvicorn
from starlette.types import ASGIApp

from emulators import tls
from emulators.azure.blob_data import BlobData
from emulators.azure.blobs import Account, BlobService
from emulators.azure.errors import AzureError
from emulators.azure.key_vault import KeyVault
from emulators.azure.managed_identity import ManagedIdentityEndpoint
from emulators.azure.permissions import permitted
from emulators.azure.roles import ROLES, SECRETS_OFFICER
from emulators.azure.store import Contents, Store
from emulators.azure.tokens import DEPLOYER, Issuer, Principal, Token
from emulators.azure.vault_data import VaultData
from emulators.credentials import CredentialLog
from emulators.hosting import HostCheck
from emulators.state import JsonLines

OnToken = Callable[[str, str, int], Awaitable[None]]
"""(object id, token, expiry) of each token for the database."""


class DataPlanes:
    """All data planes of one cloud."""

    def __init__(
        self,
        state: Path,
        tenant_id: str,
        on_database_token: OnToken,
        groups: Mapping[str, frozenset[str]] | None = None,
    ) -> None:
        """`groups` are the tenant's, with their members."""
        self.state, self.store, self._groups = state, Store(state), groups or {}
        self._credentials = JsonLines(state / "azure" / "credentials.jsonl")
        self._socket = listening(0)
        port = self._socket.getsockname()[1]
        self.issuer = Issuer(state, tenant_id, f"https://127.0.0.1:{port}/{tenant_id}/v2.0")

        async def on_database(object_id: str, token: Token) -> None:
            await on_database_token(object_id, token.text, token.expires)

        self._on_database = on_database
        self.identities = ManagedIdentityEndpoint(
            self.issuer, f"http://127.0.0.1:{port}", lambda object_id: object_id in self.object_ids(), on_database
        )
        self._servers: dict[str, Server] = {}

    async def start(self) -> None:
        url = self.identities.url
        self._servers["identity"] = await self._serving(self.identities.app, url, self._socket, None)

    async def open_vault(self, arm: Mapping[str, Any]) -> None:
        """Listen at the vault's URI. Raises AzureError where its port is taken."""
        url = str(arm["properties"]["vaultUri"]).rstrip("/")
        vault = KeyVault(arm["id"], url, VaultData(self.state, arm["name"]), self.issuer, self._permitted)
        await self._open(arm, url, vault.app)

    async def open_account(self, arm: Mapping[str, Any]) -> None:
        """Listen at the account's blob endpoint. Raises AzureError where its port is taken."""
        url = str(arm["properties"]["primaryEndpoints"]["blob"]).rstrip("/")
        account = Account(arm["id"], url, self.store.read)
        await self._open(
            arm, url, BlobService(account, BlobData(self.state, arm["name"]), self.issuer, self._permitted).app
        )

    async def _open(self, arm: Mapping[str, Any], url: str, app: ASGIApp) -> None:
        key = arm["id"].lower()
        if key in self._servers:
            return
        port = urlsplit(url).port or 443
        try:
            bound = listening(port)
        except OSError:
            message = f"port {port} of 127.0.0.1, which '{arm['name']}' was given, is in use by another program"
            raise AzureError(409, "PortInUse", f"{message}: stop that program") from None
        context = tls.server_context(self.state)
        self._servers[key] = await self._serving(app, url, bound, context)

    async def _serving(self, app: ASGIApp, url: str, bound: socket.socket, context: ssl.SSLContext | None) -> "Server":
        return await Server.serving(HostCheck(CredentialLog(app, self._credentials), [url]), bound, context)

    async def close_except(self, present: Container[str]) -> None:
        for key in [key for key in self._servers if key != "identity" and key not in present]:
            server = self._servers.pop(key, None)  # another reconcile may have come first
            if server is not None:
                await server.stop()

    async def stop(self) -> None:
        await asyncio.gather(*(server.stop() for server in self._servers.values()))

    def principal_of(self, arm_id: str) -> Principal | None:
        arm = self.store.read().get(arm_id)
        if arm is None or "principalId" not in arm["properties"]:
            return None
        return Principal(arm["properties"]["principalId"], arm["properties"]["clientId"], arm["id"])

    def object_ids(self) -> set[str]:
        """Principals of the identities that exist now."""
        return identities_of(self.store.read())

    def operator_token(self, audience: str) -> Token:
        """A token of the deployer. Raises ValueError for an unknown audience."""
        return self.issuer.token(DEPLOYER, audience)

    async def let_into_databases(self, token: Token) -> None:
        """With a token for the database, the deployer logs in as itself and by the name of each group that it is in."""
        for principal in self._principals(DEPLOYER.object_id):
            await self._on_database(principal, token)

    def _principals(self, object_id: str) -> set[str]:
        return {object_id, *(group for group, members in self._groups.items() if object_id in members)}

    def _permitted(self, object_id: str, arm_id: str, action: str) -> bool:
        contents, deployer = self.store.read(), object_id == DEPLOYER.object_id
        if deployer and action in ROLES[SECRETS_OFFICER].data_actions:
            return True
        if not deployer and object_id not in identities_of(contents):
            return False
        return permitted(contents, self._principals(object_id), arm_id, action)


def identities_of(contents: Contents) -> set[str]:
    kind = "Microsoft.ManagedIdentity/userAssignedIdentities"
    return {arm["properties"]["principalId"] for arm in contents.of_type(kind)}


def listening(port: int) -> socket.socket:
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind(("127.0.0.1", port))
        bound.listen(1024)
    except OSError:
        bound.close()
        raise
    return bound


class Server(uvicorn.Server):
    """An ASGI server inside the supervisor's event loop, which keeps the signals for itself."""

    task: asyncio.Task[None]
    listening: asyncio.Event

    @classmethod
    async def serving(cls, app: ASGIApp, bound: socket.socket, context: ssl.SSLContext | None) -> "Server":
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="off",
            timeout_graceful_shutdown=1,
        )
        config.load()
        config.ssl = context
        server = cls(config)
        server.listening = asyncio.Event()
        server.task = asyncio.create_task(server.serve(sockets=[bound]))
        await server.listening.wait()
        return server

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets)
        finally:
            self.listening.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield

    async def stop(self) -> None:
        self.should_exit = True
        await self.task
