"""The emulated GitHub with one repository and the portal's app, and the portal's adapter of it."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import cast

import httpx
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from starlette.applications import Starlette

from emulators.github.app import create_app
from emulators.github.site import Installation, Level, Site
from runtime.http import HttpClients, open_clients
from runtime.portal.repository.github import GitHubRepository
from runtime.vault import Vault
from schemas.promotion_config import GitHubApp

NAME = "example/configuration"
KEY = "portal-github-app"


@cache
def _key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


class Secrets:
    """A vault that holds what it is given."""

    def __init__(self, values: dict[str, str]) -> None:
        self.values = values

    async def secret(self, name: str) -> str | None:
        return self.values.get(name)


@dataclass(frozen=True)
class GitHub:
    site: Site
    installation: Installation
    application: Starlette
    requests: list[httpx.Request]

    @classmethod
    def with_repository(cls, folder: Path, permissions: dict[str, Level] | None = None) -> "GitHub":
        site = Site()
        held: dict[str, Level] = permissions or {"contents": "write", "pull_requests": "write"}
        app = site.add_app("portal", _key().public_key(), held)
        repository = site.add_repository(NAME, folder)
        return cls(site, site.install(app, [repository]), create_app(site), [])

    def repository(self, name: str = NAME) -> GitHubRepository:
        """The portal's view of it, as another process would have it: with a token of its own."""
        pem = _key().private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        vault = cast(Vault, Secrets({KEY: pem.decode()}))
        config = GitHubApp(
            app_id=str(self.installation.app.id),
            installation_id=str(self.installation.id),
            key=KEY,
            api_url=self.site.url,
        )
        owner, _, repository = name.partition("/")
        return GitHubRepository(self._http(), vault, config, owner, repository, "main")

    def _http(self) -> HttpClients:
        inner = httpx.ASGITransport(app=self.application)
        requests = self.requests

        class Noted(httpx.AsyncBaseTransport):
            async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
                requests.append(request)
                return await inner.handle_async_request(request)

        return open_clients(None, transport=Noted())
