"""A visit's runtime in one process: real PostgreSQL, the application over HTTP, and Graph, Entra's keys and the EHR
answering over a mock transport that a test can break.

Owns the database of a test (a copy of the prepared one), people's sessions, and notifications as Graph sends them.
"""

import base64
import json
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from typing import Any, cast

import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm
from starlette.applications import Starlette
from starlette.requests import Request

import runtime.meeting.routes
import runtime.visit.routes
from emulators.graph.encryption import encrypted_content
from runtime.audit import Audit
from runtime.bootstrap import Services, anchors
from runtime.configuration import Configuration
from runtime.database import Database, connection_parameters
from runtime.ehr.smart import SmartClient
from runtime.errors import Refusal
from runtime.http import open_clients
from runtime.keys import NAMES, Keys, new_secret, parse_keys
from runtime.launch.model import PatientLaunch, ProviderLaunch, VisitSession
from runtime.managed_identity import ManagedIdentity
from runtime.meeting.graph import Graph
from runtime.meeting.join_links import JoinLinks
from runtime.meeting.signing_keys import SigningKeys
from runtime.promotion.standing import Standing
from runtime.sessions import start_session
from runtime.settings import Settings
from runtime.storage import Storage
from runtime.vault import Vault
from runtime.visit.begin import patient_arrives, provider_begins
from runtime.visit.process import process_notification
from runtime.visit.routes import page_id
from runtime.web import create_application
from schemas.configuration_document import ConfigurationDocument
from schemas.promotion.trust import Trust
from schemas.vocabulary import GeographyName, RuntimeRole, Stage
from tests.support.connector import settings_for
from tests.support.postgres import PASSWORD, WORKER, PostgresServer
from tests.support.samples import load
from tests.support.statements import accepted, vault_signature
from tests.support.storage import STORAGE_URL, FakeStorage
from tests.support.visit_remotes import ENTRA, GRAPH, Remotes, Subscribed, signing_key

HOST = "localhost:8441"
APPLICATION = "2b2b2b2b-0000-4000-8000-000000000001"
HOME = "1a1a1a1a-0000-4000-8000-000000000000"
LAKESIDE = "1a1a1a1a-0000-4000-8000-000000000001"
AMARA, BEN = "3c3c3c3c-0000-4000-8000-000000000011", "3c3c3c3c-0000-4000-8000-000000000012"
CHANGE_TRACKING = "0bf30f3b-4a52-48df-9a82-234910c4a086"


@cache
def geography_keys() -> Keys:
    return parse_keys({name: new_secret(name, datetime.now(UTC), "tests") for name in NAMES})


@cache
def backend_key() -> str:
    jwk: dict[str, Any] = RSAAlgorithm.to_jwk(rsa.generate_private_key(65537, 2048), as_dict=True)
    return json.dumps(jwk | {"kid": "backend", "alg": "RS384", "use": "sig"})


def validation_token(*, key: rsa.RSAPrivateKey | None = None, kid: str = "entra", **claims: Any) -> str:
    given = {
        "iss": f"{ENTRA}/{LAKESIDE}/v2.0",
        "aud": APPLICATION,
        "tid": LAKESIDE,
        "azp": CHANGE_TRACKING,
        "iat": int(time.time()),
        "exp": int(time.time()) + 3600,
    }
    return jwt.encode({**given, **claims}, key or signing_key(), "RS256", headers={"kid": kid})


class _Identity:
    async def token(self, _: str) -> str:
        return PASSWORD


class _Vault:
    async def secret(self, name: str) -> str | None:
        return backend_key() if name.endswith("-backend-key") else None

    async def sign(self, name: str, version: str, digest: bytes) -> bytes:
        path, hashed = f"keys/{name}/{version}/sign", base64.urlsafe_b64encode(digest).decode()
        signature = vault_signature(Stage.TEST, GeographyName.AMERICAS, path, hashed)
        return base64.urlsafe_b64decode(signature + "==")


@dataclass
class Clinic:
    """Everything a test of visits needs."""

    services: Services
    worker: Services
    remotes: Remotes
    storage: FakeStorage
    application: Starlette
    http: httpx.AsyncClient
    server: PostgresServer
    database: str

    async def provider(self, session_id: str = "csn-1", object_id: str = AMARA, **changes: Any) -> VisitSession:
        began = await self.launch_provider(session_id, object_id, **changes)
        assert isinstance(began, VisitSession)
        return began

    async def launch_provider(
        self, session_id: str = "csn-1", object_id: str = AMARA, **changes: Any
    ) -> VisitSession | Refusal:
        launch = ProviderLaunch(
            organization_id="lakeside",
            connection_id="lakeside-test",
            session_id=session_id,
            department_id=None,
            patient_id=None,
            ehr_user_hash=b"u" * 32,
            tenant_id=LAKESIDE,
            object_id=object_id,
        )
        return await provider_begins(self.services, launch.__class__(**{**launch.__dict__, **changes}))

    async def patient(self, session_id: str = "csn-1", patient_id: str = "patient-1") -> VisitSession | Refusal:
        return await patient_arrives(self.services, PatientLaunch("lakeside", "lakeside-test", session_id, patient_id))

    async def cookie(self, session: VisitSession) -> dict[str, str]:
        """The headers of a browser that holds this session."""
        request = Request({"type": "http", "headers": [], "app": self.application})
        made = await start_session(self.services, request, session)
        return {"cookie": f"__Host-americas-test-{session.party}={made.cookie}"}

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """As the administrator: what is there, whoever may see it."""
        with self.server.administrator(self.database) as connection:
            connection.execute("SET search_path = connector")
            return connection.execute(query.encode()).fetchall()

    def execute(self, query: str) -> None:
        with self.server.administrator(self.database) as connection:
            connection.execute("SET search_path = connector")
            connection.execute(query.encode())

    def lose_connections(self) -> None:
        """Every connection of the connector is lost, as when the database server is killed."""
        self.rows("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename LIKE 'connector_%'")

    def event(
        self, identifier: str, second: int, *people: dict[str, Any], kind: str = "rosterUpdated"
    ) -> dict[str, Any]:
        return {
            "@odata.type": "#microsoft.graph.callEvent",
            "id": identifier,
            "eventType": kind,
            "eventDateTime": f"2026-01-05T14:{second // 60:02d}:{second % 60:02d}.1234567Z",
            "participants@delta": list(people),
        }

    def item(self, event: dict[str, Any], subscription: Subscribed | None = None, **changes: Any) -> dict[str, Any]:
        made = subscription or self.remotes.subscriptions[-1]
        content = encrypted_content(event, made.body["encryptionCertificate"], made.body["encryptionCertificateId"])
        item = {
            "subscriptionId": made.id,
            "clientState": made.body["clientState"],
            "tenantId": LAKESIDE,
            "changeType": "updated",
            "resource": made.body["resource"],
            "encryptedContent": content,
        }
        return {**item, **changes}

    async def notify(
        self,
        *items: dict[str, Any],
        tokens: list[str] | None = None,
        path: str | None = None,
    ) -> httpx.Response:
        body = {"value": list(items), "validationTokens": [validation_token()] if tokens is None else tokens}
        content = json.dumps(body)  # in ASCII, so that a test can send "\\ud800"
        headers = {"content-type": "application/json"}
        return await self.http.post(path or self.remotes.subscriptions[-1].path, content=content, headers=headers)

    async def happen(self, identifier: str, second: int, *people: dict[str, Any], kind: str = "rosterUpdated") -> None:
        answer = await self.notify(self.item(self.event(identifier, second, *people, kind=kind)))
        assert answer.status_code == 202, answer.status_code
        await self.processed()

    async def processed(self) -> None:
        """What was kept, as the worker does it, in the order in which it came."""
        for (number,) in self.rows("SELECT id FROM notification WHERE processed_at IS NULL ORDER BY id"):
            await process_notification(self.worker, number)


def staff(roster_id: str, object_id: str = AMARA, *, lobby: bool = False, left: bool = False) -> dict[str, Any]:
    return _participant(roster_id, {"user": {"id": object_id, "tenantId": LAKESIDE}}, lobby=lobby, left=left)


def guest(roster_id: str, *, lobby: bool = False, left: bool = False) -> dict[str, Any]:
    return _participant(roster_id, {"guest": {"id": f"guest-{roster_id}"}}, lobby=lobby, left=left)


def _participant(roster_id: str, identity: dict[str, Any], *, lobby: bool, left: bool) -> dict[str, Any]:
    shown = {"id": roster_id, "isInLobby": lobby, "info": {"identity": identity}, "somethingNew": 1}
    return shown | ({"removedState": {"reason": "whatever"}} if left else {})


def visit_query(session: VisitSession) -> dict[str, str]:
    return {"visit": page_id(session.visit_key)}


@asynccontextmanager
async def clinic(server: PostgresServer, database: str | None = None) -> AsyncGenerator[Clinic]:
    """The application over a database, as it is; over an empty one where none is named."""
    database = database or _emptied(server)
    remotes, storage = Remotes(), FakeStorage(PASSWORD)

    async def answer(request: httpx.Request) -> httpx.Response:
        return storage(request) if str(request.url).startswith(STORAGE_URL) else await remotes.answer(request)

    http = open_clients(None, transport=httpx.MockTransport(answer))
    settings = settings_for(server, database)
    keys = geography_keys()
    vault = cast(Vault, _Vault())

    async def token(_: str) -> str:
        return "graph-token"

    graph = Graph(http, GRAPH, token)
    identity = cast(ManagedIdentity, _Identity())
    configuration = _configuration()
    services = Services(
        settings=settings,
        configuration=configuration,
        database=_database(settings),
        http=http,
        vault=vault,
        keys=keys,
        seal=keys.seal,
        identity_tokens=identity,
        smart=SmartClient(http, vault),
        graph=graph,
        join_links=JoinLinks(graph),
        graph_keys=SigningKeys(settings, http),
        audit=Audit(),
        storage=Storage.at(STORAGE_URL, http, identity),
        trust=Trust(configuration.document.promotion.trusted_keys, anchors(settings.cloud)),
        standing=Standing(),
    )
    of_worker = settings_for(server, database, WORKER, role=RuntimeRole.WORKER)
    worker = replace(services, settings=of_worker, database=_database(of_worker), standing=Standing())
    routes = [*runtime.visit.routes.routes(), *runtime.meeting.routes.routes()]
    application = create_application(services, all_routes=list(routes))
    await services.database.open()
    await worker.database.open()
    for each in (services, worker):
        await each.standing.refresh(each)
    transport = httpx.ASGITransport(application)
    try:
        async with httpx.AsyncClient(transport=transport, base_url=f"https://{HOST}") as client:
            remotes.webhook = client
            yield Clinic(services, worker, remotes, storage, application, client, server, database)
    finally:
        await services.database.close()
        await worker.database.close()
        await http.aclose()


def _database(settings: Settings) -> Database:
    async def parameters() -> dict[str, Any]:
        return connection_parameters(settings) | {"password": PASSWORD}

    return Database(parameters, size=10)


_DATABASES: dict[int, str] = {}


def _emptied(server: PostgresServer) -> str:
    """One copy of the prepared database for all tests of visits, emptied: a copy a test costs the disk too much."""
    if server.port not in _DATABASES:
        _DATABASES[server.port] = server.new_database()
    name = _DATABASES[server.port]
    with server.administrator(name) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'connector'").fetchall()
        names = ", ".join(f"connector.{table}" for (table,) in tables if table != "alembic_version")
        connection.execute(f"TRUNCATE {names} RESTART IDENTITY".encode())
    return name


@cache
def _configuration() -> Configuration:
    stack = load("Pulumi.local.yaml").stack
    assert stack is not None
    return Configuration(ConfigurationDocument.of(stack, GeographyName.AMERICAS, accepted(stack, datetime.now(UTC))))
