"""A visit's runtime in one process: real PostgreSQL, the application over HTTP, and Graph, Entra's keys and the EHR
answering over a mock transport that a test can break.

Owns the database of a test (a copy of a migrated template), the fake remote systems, and people's sessions.
"""

import json
import time
import uuid
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from datetime import UTC, datetime
from typing import Any, cast
from urllib.parse import parse_qs, unquote, urlsplit

import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from starlette.applications import Starlette
from starlette.requests import Request

import runtime.meeting.routes
import runtime.visit.routes
from emulators.graph.encryption import encrypted_content
from runtime.audit import Audit
from runtime.bootstrap import Services
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
from runtime.sessions import start_session
from runtime.settings import Settings
from runtime.vault import Vault
from runtime.visit.begin import patient_arrives, provider_begins
from runtime.visit.routes import page_id
from runtime.web import create_application
from schemas.configuration_document import ConfigurationDocument
from schemas.vocabulary import GeographyName
from tests.support.connector import settings_for
from tests.support.postgres import PASSWORD, WORKER, PostgresServer
from tests.support.samples import load

HOST = "localhost:8441"
GRAPH, ENTRA, EHR = "https://127.0.0.1:8462", "https://127.0.0.1:8461", "https://127.0.0.1:8471"
APPLICATION = "2b2b2b2b-0000-4000-8000-000000000001"
HOME = "1a1a1a1a-0000-4000-8000-000000000000"
LAKESIDE = "1a1a1a1a-0000-4000-8000-000000000001"
AMARA, BEN = "3c3c3c3c-0000-4000-8000-000000000011", "3c3c3c3c-0000-4000-8000-000000000012"
JOIN_PATH = "/l/meetup-join/19%3ameeting_1%40thread.v2/0?context=%7b%22Tid%22%3a%22t%22%7d"
CHANGE_TRACKING = "0bf30f3b-4a52-48df-9a82-234910c4a086"
ACCESS_TOKEN = "an-access-token"


@cache
def signing_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


@cache
def geography_keys() -> Keys:
    return parse_keys({name: new_secret(name, datetime.now(UTC), "tests") for name in NAMES})


@cache
def backend_key() -> str:
    rsa_key = rsa.generate_private_key(65537, 2048)
    jwk = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(rsa_key)) | {"kid": "backend", "alg": "RS384", "use": "sig"}
    return json.dumps(jwk)


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


@dataclass
class Subscribed:
    """A subscription as Graph keeps it."""

    id: str
    body: dict[str, Any]

    @property
    def path(self) -> str:
        return urlsplit(self.body["notificationUrl"]).path

    @property
    def lifecycle_path(self) -> str:
        return urlsplit(self.body["lifecycleNotificationUrl"]).path


@dataclass
class Remotes:
    """Graph, Entra's key set and the EHR. `broken` maps a call's name to what answers in its place."""

    meetings: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict[tuple[str, str], dict[str, Any]])
    subscriptions: list[Subscribed] = field(default_factory=list[Subscribed])
    calls: list[tuple[str, httpx.Request]] = field(default_factory=list[tuple[str, httpx.Request]])
    told: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    broken: dict[str, Callable[[httpx.Request], httpx.Response]] = field(
        default_factory=dict[str, Callable[[httpx.Request], httpx.Response]]
    )
    webhook: httpx.AsyncClient | None = None
    during_subscribe: Callable[[Subscribed], Any] | None = None

    def names(self) -> list[str]:
        return [name for name, _ in self.calls]

    async def answer(self, request: httpx.Request) -> httpx.Response:
        name = self._name(request)
        self.calls.append((name, request))
        if name in self.broken:
            return self.broken[name](request)
        return await cast(Any, getattr(self, f"_{name}"))(request)

    def _name(self, request: httpx.Request) -> str:
        origin = f"{request.url.scheme}://{request.url.host}:{request.url.port}"
        path = request.url.path
        if origin == ENTRA:
            return "keys"
        if origin == EHR:
            return "ehr_discovery" if "well-known" in path else "ehr_token" if path.endswith("/token") else "ehr_status"
        if path.endswith("/createOrGet"):
            return "create"
        if path.endswith("/getVirtualAppointmentJoinWebUrl"):
            return "link"
        if "/onlineMeetings/" in path:
            return {"PATCH": "lobby", "GET": "read"}[request.method]
        return {"POST": "subscribe", "GET": "list", "PATCH": "renew", "DELETE": "unsubscribe"}[request.method]

    async def _keys(self, _: httpx.Request) -> httpx.Response:
        jwk = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(signing_key().public_key()))
        return httpx.Response(200, json={"keys": [jwk | {"kid": "entra", "use": "sig", "alg": "RS256"}]})

    async def _create(self, request: httpx.Request) -> httpx.Response:
        organizer = request.url.path.split("/")[3]
        external = json.loads(request.content)["externalId"]
        known = (organizer, external) in self.meetings
        meeting = self.meetings.setdefault(
            (organizer, external),
            {
                "id": f"meeting-{len(self.meetings) + 1}",
                "joinWebUrl": GRAPH + JOIN_PATH.replace("meeting_1", f"meeting_{len(self.meetings) + 1}"),
                "lobbyBypassSettings": {"scope": "organization", "isDialInBypassEnabled": True},
            },
        )
        return httpx.Response(200 if known else 201, json=meeting)

    def _meeting(self, request: httpx.Request) -> dict[str, Any]:
        wanted = unquote(request.url.path.split("/")[5])
        return next(m for m in self.meetings.values() if m["id"] == wanted)

    async def _lobby(self, request: httpx.Request) -> httpx.Response:
        meeting = self._meeting(request)
        meeting.update(json.loads(request.content))
        return httpx.Response(200, json=meeting)

    async def _read(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=self._meeting(request))

    async def _link(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"value": self._meeting(request)["joinWebUrl"] + "&browser=true"})

    async def _subscribe(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        if any(s.body["resource"] == body["resource"] for s in self.subscriptions):
            return httpx.Response(409, json={"error": {"code": "Conflict"}})
        made = Subscribed(str(uuid.uuid4()), body)
        self.subscriptions.append(made)
        assert self.webhook is not None
        for url in (body["notificationUrl"], body["lifecycleNotificationUrl"]):
            token = "Validation: <b>token</b> +& ü"
            answer = await self.webhook.post(urlsplit(url).path, params={"validationToken": token})
            assert (answer.status_code, answer.text) == (200, token)
            assert answer.headers["content-type"].startswith("text/plain")
        if self.during_subscribe:
            await self.during_subscribe(made)
        return httpx.Response(201, json={**body, "id": made.id, "clientState": None})

    async def _list(self, _: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"value": [{**s.body, "id": s.id} for s in self.subscriptions]})

    async def _renew(self, request: httpx.Request) -> httpx.Response:
        if not any(s.id == request.url.path.split("/")[-1] for s in self.subscriptions):
            return httpx.Response(404, json={"error": {"code": "ResourceNotFound"}})
        return httpx.Response(200, json={})

    async def _unsubscribe(self, request: httpx.Request) -> httpx.Response:
        self.subscriptions = [s for s in self.subscriptions if s.id != request.url.path.split("/")[-1]]
        return httpx.Response(204)

    async def _ehr_discovery(self, request: httpx.Request) -> httpx.Response:
        root = str(request.url).partition("/api/")[0]
        return httpx.Response(
            200,
            json={
                "authorization_endpoint": f"{root}/oauth2/authorize",
                "token_endpoint": f"{root}/oauth2/token",
                "jwks_uri": f"{root}/oauth2/jwks",
            },
        )

    async def _ehr_token(self, _: httpx.Request) -> httpx.Response:
        return httpx.Response(
            200, json={"access_token": ACCESS_TOKEN, "token_type": "Bearer", "expires_in": 300}
        )

    async def _ehr_status(self, request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            self.told.append({k: v[0] for k, v in parse_qs(request.url.query.decode()).items()})
        else:
            self.told.append(json.loads(request.content))
        return httpx.Response(200, json={})


class _NoIdentity:
    """Nothing in these tests asks for a managed identity's token."""


class _Vault:
    async def secret(self, name: str) -> str | None:
        return backend_key() if name.endswith("-backend-key") else None


@dataclass
class Clinic:
    """Everything a test of visits needs."""

    services: Services
    worker: Services
    remotes: Remotes
    application: Starlette
    http: httpx.AsyncClient
    server: PostgresServer
    database: str

    async def provider(self, session_id: str = "csn-1", object_id: str = AMARA, **changes: Any) -> VisitSession:
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
        return await patient_arrives(
            self.services, PatientLaunch("lakeside", "lakeside-test", session_id, patient_id)
        )

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
        return await self.http.post(path or self.remotes.subscriptions[-1].path, json=body)

    async def happen(self, identifier: str, second: int, *people: dict[str, Any], kind: str = "rosterUpdated") -> None:
        answer = await self.notify(self.item(self.event(identifier, second, *people, kind=kind)))
        assert answer.status_code == 202, answer.status_code


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
async def clinic(server: PostgresServer) -> AsyncGenerator[Clinic]:
    """A fresh database and the application over it."""
    database = server.new_database()
    remotes = Remotes()
    http = open_clients(None, transport=httpx.MockTransport(remotes.answer))
    settings = settings_for(server, database)
    keys = geography_keys()
    vault = cast(Vault, _Vault())

    async def token(_: str) -> str:
        return "graph-token"

    graph = Graph(http, GRAPH, token)
    services = Services(
        settings=settings,
        configuration=_configuration(),
        database=_database(settings),
        http=http,
        vault=vault,
        keys=keys,
        seal=keys.seal,
        identity_tokens=cast(ManagedIdentity, _NoIdentity()),
        smart=SmartClient(http, vault),
        graph=graph,
        join_links=JoinLinks(graph),
        graph_keys=SigningKeys(settings, http),
        audit=Audit(),
    )
    of_worker = settings_for(server, database, WORKER)
    worker = replace(services, settings=of_worker, database=_database(of_worker))
    routes = [*runtime.visit.routes.routes(), *runtime.meeting.routes.routes()]
    application = create_application(services, all_routes=list(routes))
    await services.database.open()
    await worker.database.open()
    transport = httpx.ASGITransport(application)
    try:
        async with httpx.AsyncClient(transport=transport, base_url=f"https://{HOST}") as client:
            remotes.webhook = client
            yield Clinic(services, worker, remotes, application, client, server, database)
    finally:
        await services.database.close()
        await worker.database.close()
        await http.aclose()


def _database(settings: Settings) -> Database:
    async def parameters() -> dict[str, Any]:
        return connection_parameters(settings) | {"password": PASSWORD}

    return Database(parameters, size=10)


@cache
def _configuration() -> Configuration:
    stack = load("Pulumi.local.yaml").stack
    assert stack is not None
    return Configuration(ConfigurationDocument.of(stack, GeographyName.AMERICAS))
