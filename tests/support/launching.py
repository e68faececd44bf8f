"""Launches for tests: a connector over one database copy, with SMART servers, Entra and a Graph that says no.

Owns the steps a person's browser takes: from the EHR to us, to the EHR, back; to Entra and back.
"""

import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
from starlette.applications import Starlette

from emulators.entra.app import create_app as create_entra
from emulators.world import World, load_world
from runtime.bootstrap import Services
from runtime.web import create_application
from schemas.promotion.approvals import Approvals
from schemas.stack_config import Organization
from tests.support.connector import (
    ENTRA_URL,
    GRAPH_URL,
    PUBLIC_URL,
    Browser,
    FakeVault,
    Handler,
    Outside,
    clients,
    document,
    handler,
    location_of,
    services_over,
    settings_for,
)
from tests.support.microsoft import ManagedIdentity, flow_of
from tests.support.postgres import PASSWORD, PostgresServer
from tests.support.smart_server import ORIGIN, SmartServer, organization
from tests.support.storage import FakeStorage


@dataclass
class Connector:
    """The application and everything around it."""

    app: Starlette
    services: Services
    outside: Outside
    vault: FakeVault
    storage: FakeStorage
    ehr: SmartServer
    postgres: PostgresServer
    database: str

    def browser(self) -> Browser:
        return Browser(self.app)

    def rows(self, table: str) -> list[tuple[Any, ...]]:
        return self.postgres.dump(self.database)[table]

    # --- the steps of a launch ---

    async def start(
        self, browser: Browser, party: str = "provider", connection: str = "lakeside-test", **query: str | None
    ) -> httpx.Response:
        """GET our launch URL as the EHR's page does; a value of None leaves the parameter out."""
        served = self.services.configuration.connection(connection)
        given: dict[str, str | None] = {"iss": served.connection.fhir_base_url if served else "", "launch": "launch-1"}
        values = {k: v for k, v in {**given, **query}.items() if v is not None}
        return await browser.get(f"/launch/{party}/{connection}?{urlencode(values)}")

    async def launch(
        self,
        browser: Browser,
        party: str = "provider",
        connection: str = "lakeside-test",
        launch: str = "launch-1",
        ehr: SmartServer | None = None,
        **answer: str | None,
    ) -> httpx.Response:
        """A whole launch; `answer` changes what the EHR's redirect brings back."""
        to_ehr = await self.start(browser, party, connection, launch=launch)
        _, asked = location_of(to_ehr)
        back: dict[str, str | None] = {**(ehr or self.ehr).authorize(asked), **answer}
        return await self.back(browser, party, connection, back)

    async def back(
        self, browser: Browser, party: str, connection: str, answer: dict[str, str | None] | dict[str, str]
    ) -> httpx.Response:
        query = urlencode({k: v for k, v in answer.items() if v is not None})
        return await browser.get(f"/launch/{party}/{connection}/callback?{query}")

    # --- the steps of a first sign-in ---

    async def ticket(self, browser: Browser) -> str:
        """What the waiting page's button carries."""
        page = await browser.get("/identity/wait")
        assert page.status_code == 200, page.text
        return hidden(page, "ticket")

    async def to_entra(self, window: Browser, ticket: str, **headers: str) -> httpx.Response:
        return await window.post("/identity/sign-in", {"ticket": ticket}, **headers)

    async def at_entra(self, to_entra: httpx.Response, login: str, password: str) -> str:
        """Sign in at the Entra emulator: the address to which it sends the browser back."""
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app=self.outside.applications[ENTRA_URL])  # type: ignore[arg-type]
        ) as http:
            page = await http.get(to_entra.headers["location"])
            tenant = to_entra.headers["location"].removeprefix(ENTRA_URL).split("/")[1]
            form = {"flow": flow_of(page), "login": login, "passwd": password}
            answer = await http.post(f"{ENTRA_URL}/{tenant}/login", data=form)
        assert answer.status_code == 302, answer.text
        return answer.headers["location"].removeprefix(PUBLIC_URL)

    async def sign_in(self, browser: Browser, login: str, password: str) -> tuple[Browser, httpx.Response]:
        """Launching window, ticket, Entra, callback: the sign-in window and what it shows after the redirect."""
        window = browser.window(PUBLIC_URL)
        to_entra = await self.to_entra(window, await self.ticket(browser))
        callback = await window.get(await self.at_entra(to_entra, login, password))
        return window, callback

    async def confirm(self, browser: Browser, decision: str = "link") -> httpx.Response:
        """Answer the launching window's question about both accounts."""
        confirmation = await self.confirmation(browser)
        return await browser.post("/identity/link", {"confirmation": confirmation, "decision": decision})

    async def confirmation(self, browser: Browser) -> str:
        page = await browser.get("/identity/wait")
        assert page.status_code == 200, page.text
        return hidden(page, "confirmation")

    async def link(self, browser: Browser, login: str, password: str) -> httpx.Response:
        """A whole first sign-in: what the launching window gets at the end."""
        await self.sign_in(browser, login, password)
        return await self.confirm(browser)


@cache
def _world() -> World:
    return load_world()


def forwarded_to(http: httpx.Client) -> Handler:
    """An origin whose application is a real server."""

    def forward(request: httpx.Request) -> httpx.Response:
        headers = [(k, v) for k, v in request.headers.items() if k != "host"]
        answer = http.request(request.method, request.url, headers=headers, content=request.content)
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)

    return handler(forward)


def hidden(page: httpx.Response, name: str) -> str:
    found = re.search(rf'name="{name}" value="([^"]+)"', page.text)
    assert found, page.text
    return found[1]


@dataclass(frozen=True)
class Place:
    """What is made once for a module: a database, and Entra's keys and managed identities."""

    postgres: PostgresServer
    database: str
    state: Path
    identity: ManagedIdentity

    @classmethod
    def on(cls, postgres: PostgresServer, state: Path) -> "Place":
        return cls(postgres, postgres.new_database(), state, ManagedIdentity(state))


@asynccontextmanager
async def running_connector(
    place: "Place",
    *organizations: Organization,
    servers: dict[str, SmartServer] | None = None,
    vault: FakeVault | None = None,
    approvals: Approvals | None = None,
    kept: FakeStorage | None = None,
) -> AsyncGenerator[Connector]:
    """The application over an empty database, with the Entra emulator and one misbehaving SMART server.

    Every connection is approved, unless `approvals` say otherwise. With `kept`, a storage account, what is in the
    database stays too.
    """
    postgres, database = place.postgres, place.database
    if kept is None:
        postgres.empty(database)
    outside, vault, ehr, storage = Outside(), vault or FakeVault(), SmartServer(), kept or FakeStorage(PASSWORD)
    outside.applications |= {ORIGIN: ehr, **(servers or {})}
    outside.applications[ENTRA_URL] = create_entra(_world(), place.state)
    outside.applications[GRAPH_URL] = handler(lambda _: httpx.Response(403, json={"error": {"code": "Forbidden"}}))
    settings = settings_for(postgres, database)
    http = clients(outside, vault, place.identity.token, storage)
    configuration = document(*(organizations or (organization(),)), approvals=approvals)
    services = services_over(settings, http, vault, configuration)
    await services.database.open()
    await services.standing.refresh(services)
    try:
        yield Connector(create_application(services), services, outside, vault, storage, ehr, postgres, database)
    finally:
        await services.database.close()
        await http.aclose()
