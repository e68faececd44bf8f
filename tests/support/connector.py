"""The connector in one process for tests: the real application over a real PostgreSQL, with other ends for its calls.

Owns the routing of outgoing calls to ASGI applications by origin (so nothing leaves the process), the vault and the
managed identity as dictionaries with a wire, and a browser that keeps partitioned cookies by top-level site.
"""

import asyncio
import base64
import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm
from starlette.types import ASGIApp

from runtime.audit import Audit
from runtime.bootstrap import Services, anchors
from runtime.configuration import Configuration
from runtime.database import Database, connection_parameters
from runtime.ehr.smart import SmartClient
from runtime.http import HttpClients, open_clients
from runtime.keys import NAMES, new_secret, parse_keys
from runtime.managed_identity import ManagedIdentity
from runtime.meeting.app_tokens import AppTokens
from runtime.meeting.graph import Graph
from runtime.meeting.join_links import JoinLinks
from runtime.meeting.signing_keys import SigningKeys
from runtime.promotion.standing import Standing
from runtime.settings import Settings
from runtime.storage import Storage
from runtime.vault import Vault
from schemas.configuration_document import ConfigurationDocument
from schemas.handover import Handover
from schemas.promotion.approvals import Approvals
from schemas.promotion.trust import Trust
from schemas.stack_config import Organization, StackConfig
from schemas.vocabulary import Cloud, GeographyName, RuntimeRole, Stage
from tests.support.postgres import APPLICATION, APPLICATION_PRINCIPAL, PASSWORD, PostgresServer
from tests.support.samples import load
from tests.support.statements import IMAGE, accepted, vault_signature
from tests.support.storage import STORAGE_URL, FakeStorage

PUBLIC_HOST = "localhost:8441"
PUBLIC_URL = f"https://{PUBLIC_HOST}"
VAULT_URL = "https://vault.test.invalid/"
IDENTITY_URL = "http://127.0.0.1:1/msi/token"
ENTRA_URL = "https://127.0.0.1:8461"
GRAPH_URL = "https://127.0.0.1:8462"
APPLICATION_ID = "2b2b2b2b-0000-4000-8000-000000000001"
HOME_TENANT = "1a1a1a1a-0000-4000-8000-000000000000"
TENANT = "1a1a1a1a-0000-4000-8000-000000000001"
SETTINGS_VARIABLES = {"IDENTITY_ENDPOINT": IDENTITY_URL, "IDENTITY_HEADER": "a header of the platform"}

Handler = Callable[[httpx.Request], httpx.Response]


@dataclass
class Outside:
    """Everything the connector can call, by origin; a call to any other origin fails and is remembered."""

    applications: dict[str, ASGIApp | Handler] = field(default_factory=dict[str, ASGIApp | Handler])
    calls: list[httpx.Request] = field(default_factory=list[httpx.Request])
    loop: asyncio.AbstractEventLoop | None = None

    async def answer(self, request: httpx.Request) -> httpx.Response:
        self.loop = asyncio.get_running_loop()
        self.calls.append(request)
        url = request.url
        origin = f"{url.scheme}://{url.netloc.decode()}"
        found = self.applications.get(origin)
        if found is None:
            raise httpx.ConnectError(f"nothing is at {origin}", request=request)
        if getattr(found, "is_handler", False):
            return found(request)  # type: ignore[call-arg, return-value, arg-type]
        return await httpx.ASGITransport(app=found, raise_app_exceptions=True).handle_async_request(request)  # type: ignore[arg-type]

    def called(self, origin: str) -> list[httpx.Request]:
        return [c for c in self.calls if str(c.url).startswith(origin)]


class _Blocking(httpx.BaseTransport):
    """MSAL's calls come from a worker thread; the applications live in the event loop."""

    def __init__(self, outside: Outside) -> None:
        self.outside = outside

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.read()

        async def call() -> tuple[int, httpx.Headers, bytes]:
            sent = httpx.Request(request.method, request.url, headers=request.headers, content=request.content)
            response = await self.outside.answer(sent)
            return response.status_code, response.headers, await response.aread()

        assert self.outside.loop is not None, "the event loop is not known yet"
        status, headers, body = asyncio.run_coroutine_threadsafe(call(), self.outside.loop).result(20)
        return httpx.Response(status, headers=headers, content=body)


class _Async(httpx.AsyncBaseTransport):
    def __init__(self, outside: Outside) -> None:
        self.outside = outside

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await self.outside.answer(request)


def handler(function: Handler) -> Handler:
    """Marks a plain function as the application of an origin."""
    function.is_handler = True  # type: ignore[attr-defined]
    return function


@dataclass
class FakeVault:
    """Secrets by name, behind Key Vault's wire; `down` answers 503, `forbids` 403; `calls` counts what came.

    Its keys are the emulated cloud's, of `stage` and `geography`.
    """

    secrets: dict[str, str] = field(default_factory=dict[str, str])
    down: bool = False
    forbids: bool = False
    calls: int = 0
    reads: list[str] = field(default_factory=list[str])
    stage: Stage = Stage.TEST
    geography: GeographyName = GeographyName.AMERICAS

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.calls += 1
        if self.down or self.forbids:
            return httpx.Response(503 if self.down else 403)
        if request.headers.get("authorization") != f"Bearer {PASSWORD}" or request.url.params["api-version"] != "7.4":
            return httpx.Response(401)
        if request.url.path.startswith("/keys/"):
            asked = json.loads(request.content)
            assert asked["alg"] == "ES256"
            signature = vault_signature(self.stage, self.geography, request.url.path, asked["value"])
            return httpx.Response(200, json={"kid": str(request.url).rpartition("/")[0], "value": signature})
        name = request.url.path.removeprefix("/secrets/")
        if request.method == "PUT":
            self.secrets[name] = json.loads(request.content)["value"]
        self.reads.append(name)
        if name not in self.secrets:
            return httpx.Response(404, json={"error": {"code": "SecretNotFound"}})
        return httpx.Response(200, json={"value": self.secrets[name], "id": f"{VAULT_URL}secrets/{name}/1"})


def settings_for(server: PostgresServer, database: str, login: str = APPLICATION, **changes: Any) -> Settings:
    handover: dict[str, Any] = {
        "role": RuntimeRole.APPLICATION,
        "stage": Stage.TEST,
        "cloud": Cloud.EMULATED,
        "geography": GeographyName.AMERICAS,
        "image": IMAGE,
        "public_host": PUBLIC_HOST,
        "managed_identity_client_id": APPLICATION_PRINCIPAL,
        "managed_identity_principal_id": APPLICATION_PRINCIPAL,
        "key_vault_url": VAULT_URL,
        "database_url": server.url(login, database),
        "storage_url": STORAGE_URL,
        "configuration_sha256": "0" * 64,
        "configuration_secret": "configuration-0000",
        "configuration_chunks": 1,
        "entra_url": ENTRA_URL,
        "graph_url": GRAPH_URL,
        "application_id": APPLICATION_ID,
        "home_tenant_id": HOME_TENANT,
        **changes,
    }
    return Settings(Handover.model_validate(handover), 8000, "test")


def clients(
    outside: Outside,
    vault: FakeVault,
    assertion: Callable[[], str] | None = None,
    storage: FakeStorage | None = None,
) -> HttpClients:
    """The runtime's own client factory over `outside`, with vault, storage and managed identity in it."""
    blobs = storage or FakeStorage(PASSWORD)

    def identity(request: httpx.Request) -> httpx.Response:
        audience = request.url.params["resource"]
        token = assertion() if assertion and audience == "api://AzureADTokenExchange" else PASSWORD
        body = {"access_token": token, "expires_on": str(int(time.time()) + 3600), "resource": audience}
        return httpx.Response(200, json=body | {"token_type": "Bearer"})

    outside.applications["http://127.0.0.1:1"] = handler(identity)
    outside.applications[VAULT_URL.rstrip("/")] = handler(lambda request: vault(request))
    outside.applications[STORAGE_URL.rstrip("/")] = handler(lambda request: blobs(request))
    outside.loop = asyncio.get_running_loop()
    os.environ.update(SETTINGS_VARIABLES)
    return open_clients(None, _Async(outside), _Blocking(outside))


def stack(*organizations: Organization) -> StackConfig:
    """The sample test stack with other organisations."""
    loaded = load("Pulumi.local.yaml").stack
    assert loaded is not None
    return loaded.model_copy(update={"organizations": organizations})


def document(*organizations: Organization, approvals: Approvals | None = None) -> ConfigurationDocument:
    """A test stack's document in which every connection is approved, or what `approvals` say."""
    given = stack(*organizations)
    return ConfigurationDocument.of(
        given, GeographyName.AMERICAS, approvals if approvals is not None else accepted(given, datetime.now(UTC))
    )


def services_over(
    settings: Settings, http: HttpClients, vault: FakeVault, configuration: ConfigurationDocument
) -> Services:
    """A `Services` as `bootstrap.build` makes it, over other transports."""
    for name in NAMES:
        if name not in vault.secrets:
            vault.secrets[name] = _KEYS.setdefault(name, new_secret(name, datetime.now(UTC), "test"))
    keys = parse_keys(dict(vault.secrets))
    identity = ManagedIdentity(APPLICATION_PRINCIPAL, http.msal)
    reader = Vault.at(VAULT_URL, http, identity)

    async def parameters() -> dict[str, Any]:
        return connection_parameters(settings) | {"password": PASSWORD}

    graph = Graph(http, settings.graph_url, AppTokens(settings, identity, http))
    return Services(
        settings=settings,
        configuration=Configuration(configuration),
        database=Database(parameters, size=8),
        http=http,
        vault=reader,
        keys=keys,
        seal=keys.seal,
        identity_tokens=identity,
        smart=SmartClient(http, reader),
        graph=graph,
        join_links=JoinLinks(graph),
        graph_keys=SigningKeys(settings, http),
        audit=Audit(),
        storage=Storage.at(settings.handover.storage_url, http, identity),
        trust=Trust(configuration.promotion.trusted_keys, anchors(settings.cloud)),
        standing=Standing(),
    )


_KEYS: dict[str, str] = {}
"""Made once: an RSA key takes a while."""


@dataclass
class Browser:
    """A browser: cookies by host, kept apart by the site of the top-level page as `Partitioned` asks.

    `partition` is that site. `window()` is another window of the same browser with another top-level site: it sees
    none of this one's partitioned cookies.
    """

    app: ASGIApp
    partition: str = "https://127.0.0.1"
    jars: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])
    headers: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def cookies(self) -> dict[str, str]:
        return self.jars.setdefault(self.partition, {})

    def window(self, partition: str) -> "Browser":
        return replace(self, partition=partition)

    async def get(self, url: str, **headers: str) -> httpx.Response:
        return await self.send("GET", url, headers=headers)

    async def post(self, url: str, data: Mapping[str, str], **headers: str) -> httpx.Response:
        """A form of our own page, unless headers say otherwise."""
        return await self.send("POST", url, data=data, headers={"sec-fetch-site": "same-origin", **headers})

    async def send(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, data: Mapping[str, str] | None = None
    ) -> httpx.Response:
        full = url if url.startswith("https://") else PUBLIC_URL + url
        jar = "; ".join(f"{k}={v}" for k, v in self.cookies.items())
        sent = {**self.headers, **({"cookie": jar} if jar else {}), **(headers or {})}
        sent = {k.replace("_", "-"): v for k, v in sent.items()}
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=self.app, raise_app_exceptions=False)) as http:
            response = await http.request(method, full, headers=sent, data=dict(data) if data else None)
        for header in response.headers.get_list("set-cookie"):
            pair, *attributes = header.split("; ")
            assert set(attributes) >= {"Path=/", "Secure", "HttpOnly", "SameSite=None", "Partitioned"}, header
            name, _, value = pair.partition("=")
            assert name.startswith("__Host-")
            if "Max-Age=0" in attributes:
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = value
        return response


def location_of(response: httpx.Response) -> tuple[str, dict[str, str]]:
    """Where a redirect goes, without its query, and the query."""
    assert response.status_code in (302, 303), (response.status_code, response.text)
    parts = urlsplit(response.headers["location"])
    return f"{parts.scheme}://{parts.netloc}{parts.path}" if parts.netloc else parts.path, dict(parse_qsl(parts.query))


def private_jwk(key_id: str = "key-1") -> tuple[str, rsa.RSAPrivateKey]:
    """A secret for a `private_key_jwt` client."""
    key = rsa.generate_private_key(65537, 2048)
    jwk: dict[str, Any] = json.loads(RSAAlgorithm.to_jwk(key))
    jwk.pop("key_ops", None)
    return json.dumps(jwk | {"kid": key_id, "alg": "RS384", "use": "sig"}), key


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
