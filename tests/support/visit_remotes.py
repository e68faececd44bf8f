"""Graph, Entra's keys and an EHR as one mock transport that a test can break, call by call.

Owns their answers, what they were asked and told, and the key that signs validation tokens.
"""

import json
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import httpx
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

GRAPH, ENTRA, EHR = "https://127.0.0.1:8462", "https://127.0.0.1:8461", "https://127.0.0.1:8471"
JOIN_PATH = "/l/meetup-join/19%3ameeting_1%40thread.v2/0?context=%7b%22Tid%22%3a%22t%22%7d"
ACCESS_TOKEN = "an-access-token"


@cache
def signing_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def public_jwk() -> dict[str, Any]:
    return RSAAlgorithm.to_jwk(signing_key().public_key(), as_dict=True)


@dataclass
class Subscribed:
    """A subscription as Graph keeps it."""

    id: str
    body: dict[str, Any]

    @property
    def path(self) -> str:
        return urlsplit(str(self.body["notificationUrl"])).path

    @property
    def lifecycle_path(self) -> str:
        return urlsplit(str(self.body["lifecycleNotificationUrl"])).path


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
    during_subscribe: Callable[[Subscribed], Awaitable[None]] | None = None

    def names(self) -> list[str]:
        return [name for name, _ in self.calls]

    async def answer(self, request: httpx.Request) -> httpx.Response:
        name = self._name(request)
        self.calls.append((name, request))
        if name in self.broken:
            return self.broken[name](request)
        return await getattr(self, f"_{name}")(request)

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
        return httpx.Response(200, json={"keys": [public_jwk() | {"kid": "entra", "use": "sig", "alg": "RS256"}]})

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
            token = "Validation: Testing client application reachability +% ü"
            answer = await self.webhook.post(urlsplit(str(url)).path, params={"validationToken": token})
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
        return httpx.Response(200, json={"access_token": ACCESS_TOKEN, "token_type": "Bearer", "expires_in": 300})

    async def _ehr_status(self, request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            self.told.append({k: v[0] for k, v in parse_qs(request.url.query.decode()).items()})
        else:
            self.told.append(json.loads(request.content))
        return httpx.Response(200, json={})
