"""A launch as nothing but its calls, by a bare Starlette handler.

`python -m tests.bench.bare PORT ORIGIN CONNECTION`, by `launches.py`.

Runs in the environment of an application's replica, with its HTTP client, database pool, credentials and event loop,
and makes the calls that a returning provider's launch makes, one after the other. Of what a launch is it does what one
cannot be without: it keeps the state and its verifier for the one answer, and finds whose account it is, by one
statement each. It checks, seals and records nothing, and shows nothing: no nonce, signature, lobby read back, visit,
audit, session or page of a visit.
"""

import asyncio
import base64
import hashlib
import secrets
import sys
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode

import httpx
import jwt
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from runtime.bootstrap import Services, build
from runtime.ehr.client_authentication import Credentials, credentials_for
from runtime.ehr.discovery import Endpoints
from runtime.http import open_clients
from runtime.identity.links import linked_account
from runtime.launch.arrival import ehr_user_hash
from runtime.launch.flow import SCOPE
from runtime.meeting.app_tokens import AppTokens
from runtime.meeting.graph import LOBBY_SCOPE, call_events_resource
from runtime.meeting.prepare import SUBJECT, SUBSCRIPTION_LIFETIME
from runtime.settings import load
from schemas.stack_config import EhrConnection

LOBBY = {"lobbyBypassSettings": {"scope": LOBBY_SCOPE, "isDialInBypassEnabled": False}}
PAGE = "<!doctype html><html lang=en><title>Visit</title><h1>Visit</h1>"


@dataclass
class Bare:
    """`origin` is where it is reached."""

    services: Services
    connection: EhrConnection
    endpoints: Endpoints
    credentials: Credentials
    tenant: str
    origin: str
    graph_token: str
    links_refused: bool = False
    """Graph gives this app no link of the browser kind; the application remembers that, too."""

    @property
    def path(self) -> str:
        return f"/launch/provider/{self.connection.id}"

    @property
    def client(self) -> httpx.AsyncClient:
        return self.services.http.client

    async def launch(self, request: Request) -> Response:
        state, verifier = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
        async with self.services.database.connection() as database:
            await database.execute(
                "INSERT INTO connector.launch (state_hash, sealed, expires_at) VALUES (%s, %s, now() + '10 min')",
                (_hash(state), verifier.encode()),
            )
        parameters = {
            "response_type": "code",
            "client_id": self.connection.clients.provider.client_id,
            "redirect_uri": f"{self.origin}{self.path}/callback",
            "scope": SCOPE,
            "state": state,
            "nonce": secrets.token_urlsafe(32),
            "aud": self.connection.fhir_base_url,
            "launch": request.query_params["launch"],
            "code_challenge": base64.urlsafe_b64encode(_hash(verifier)).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
        }
        return RedirectResponse(f"{self.endpoints.authorization}?{urlencode(parameters)}", 302)

    async def callback(self, request: Request) -> Response:
        async with self.services.database.connection() as database:
            cursor = await database.execute(
                "DELETE FROM connector.launch WHERE state_hash = %s RETURNING sealed",
                (_hash(request.query_params["state"]),),
            )
            (verifier,) = await cursor.fetchone() or (b"",)
        form = {
            "grant_type": "authorization_code",
            "code": request.query_params["code"],
            "redirect_uri": f"{self.origin}{self.path}/callback",
            "code_verifier": bytes(verifier).decode(),
        }
        headers = {"accept": "application/json", **self.credentials.headers}
        answer = await self.client.post(self.endpoints.token, data=form | self.credentials.form, headers=headers)
        answer.raise_for_status()
        claims = jwt.decode(answer.json()["id_token"], options={"verify_signature": False})
        user = ehr_user_hash(self.services.keys.user_hash_hmac, self.connection.id, claims["iss"], claims["sub"])
        async with self.services.database.connection() as database:
            account = await linked_account(database, user)
        assert account is not None, "the provider was linked before"
        await self._meet(account.object_id)
        return RedirectResponse("/visit/provider", 303)

    async def _meet(self, organizer: str) -> None:
        meetings = f"/v1.0/users/{organizer}/onlineMeetings"
        made = await self._graph(
            "POST", f"{meetings}/createOrGet", {"externalId": uuid.uuid4().hex * 2, "subject": SUBJECT}
        )
        meeting = f"{meetings}/{quote(made['id'], safe='')}"
        await self._graph("PATCH", meeting, LOBBY)
        await self._graph("GET", meeting)
        if not self.links_refused:
            try:
                await self._graph("GET", f"{meeting}/getVirtualAppointmentJoinWebUrl")
            except httpx.HTTPStatusError:
                self.links_refused = True
        await self._graph("POST", "/beta/subscriptions", self._subscription(made["joinWebUrl"]))

    def _subscription(self, join_web_url: str) -> dict[str, Any]:
        certificate = self.services.keys.notification
        url = f"{self.origin}/graph/{secrets.token_urlsafe(32)}"
        expires = datetime.now(UTC) + SUBSCRIPTION_LIFETIME - timedelta(minutes=1)
        return {
            "changeType": "updated",
            "resource": call_events_resource(join_web_url),
            "notificationUrl": url,
            "lifecycleNotificationUrl": url,
            "expirationDateTime": expires.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "clientState": secrets.token_urlsafe(32),
            "includeResourceData": True,
            "encryptionCertificate": base64.b64encode(certificate.certificate_der).decode(),
            "encryptionCertificateId": certificate.id,
        }

    async def _graph(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        headers = {"authorization": f"Bearer {self.graph_token}", "prefer": "include-unknown-enum-members"}
        answer = await self.client.request(method, self.services.settings.graph_url + path, json=body, headers=headers)
        answer.raise_for_status()
        return answer.json() if answer.content else {}


async def validate(request: Request) -> Response:
    """Graph asks whether the address of a subscription is ours."""
    return PlainTextResponse(request.query_params["validationToken"])


async def visit(_: Request) -> Response:
    return HTMLResponse(PAGE)


async def prepared(connection_id: str, origin: str) -> Bare:
    """What the application, too, has before a launch: endpoints, credentials, a token for Graph."""
    settings = load()
    http = open_clients(settings.handover.ca_bundle)
    services = await build(settings, http)
    await services.database.open()
    served = services.configuration.connection(connection_id)
    assert served is not None, f"no connection {connection_id} in this geography"
    client = served.connection.clients.provider
    endpoints = await services.smart.endpoints(served.connection)
    tenant = served.organization.tenant_id
    return Bare(
        services=services,
        connection=served.connection,
        endpoints=endpoints,
        credentials=await credentials_for(services.vault, client.client_id, client.authentication, endpoints.token, 0),
        tenant=tenant,
        origin=origin,
        graph_token=await AppTokens(settings, services.identity_tokens, http)(tenant),
    )


def _hash(value: str) -> bytes:
    return hashlib.sha256(value.encode()).digest()


async def main(port: int, origin: str, connection_id: str) -> None:
    bare = await prepared(connection_id, origin)
    routes = [
        Route(bare.path, bare.launch),
        Route(f"{bare.path}/callback", bare.callback),
        Route("/visit/provider", visit),
        Route("/graph/{path}", validate, methods=["POST"]),
    ]
    config = uvicorn.Config(
        Starlette(routes=routes),
        host="127.0.0.1",
        port=port,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
    )
    await uvicorn.Server(config).serve()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), *sys.argv[2:]))
