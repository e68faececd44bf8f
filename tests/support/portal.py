"""The portal in one process for tests: the real application over a real PostgreSQL, Entra and the EHRs emulated.

Owns the browser of a person who goes between the three, and the steps that they take: signing in, proving a URL,
deciding.
"""

import re
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import structlog
from starlette.applications import Starlette

from emulators.ehr.app import create_app as create_ehr
from emulators.ehr.ehr import EmulatedEhr
from emulators.entra.app import create_app as create_entra
from emulators.world import World, load_world
from runtime.bootstrap import Services
from runtime.configuration import Configuration
from runtime.portal.application import create_portal
from runtime.promotion.standing import Standing
from schemas.configuration_document import ConfigurationDocument
from schemas.promotion.approvals import Approvals
from schemas.promotion.envelope import StatementFile, Verified, verify
from schemas.promotion.statement import Approval
from schemas.stack_config import StackConfig
from schemas.vocabulary import GeographyName, RuntimeRole, Stage, StatementType
from tests.support.connector import FakeVault, Outside, clients, services_over, settings_for
from tests.support.launching import Place
from tests.support.microsoft import PORTAL_APPLICATION, PORTAL_PRINCIPAL
from tests.support.postgres import PORTAL
from tests.support.samples import load
from tests.support.statements import accepted, private_key, revocations, statement_file

HOST = "localhost:8444"
URL = f"https://{HOST}"
ANSEL = ("ansel.analyst@lakeside.example", "analyst-sample-password")
AVERY = ("avery.admin@lakeside.example", "admin-sample-password")
BEN = ("ben.carlisle@lakeside.example", "carlisle-sample-password")
ANSEL_OF_PRAIRIE = ("ansel.analyst@prairie.example", "analyst-sample-password")
AVERY_OF_PRAIRIE = ("avery.admin@prairie.example", "admin-sample-password")


class Clock:
    """Entra's clock, `behind` this machine's by seconds."""

    behind: float = 0

    def __call__(self) -> float:
        return time.time() - self.behind


@dataclass
class Portal:
    """The application and everything around it."""

    app: Starlette
    services: Services
    outside: Outside
    vault: FakeVault
    place: Place
    entra_clock: Clock

    def browser(self) -> "Person":
        return Person(self)

    async def signed_in(self, who: tuple[str, str] = ANSEL) -> "Person":
        person = self.browser()
        await person.sign_in(*who)
        return person

    async def redeployed(self, stack: StackConfig, approvals: Approvals | None = None) -> None:
        """The portal starts again with another configuration, over the same database."""
        document = document_of(stack, approvals)
        self.services = replace(self.services, configuration=Configuration(document), standing=Standing())
        self.app = create_portal(self.services)
        await self.services.standing.refresh(self.services)

    def rows(self, table: str) -> list[tuple[Any, ...]]:
        return self.place.postgres.dump(self.place.database)[table]

    def execute(self, statement: str) -> None:
        with self.place.postgres.administrator(self.place.database) as connection:
            connection.execute("SET search_path = connector")
            connection.execute(statement.encode())

    def approvals(self) -> list[tuple[Approval, str]]:
        """What was signed and recorded, verified: each with its subject's digest."""
        found: list[tuple[Approval, str]] = []
        for row in self.rows("statement"):
            verified = verify(StatementFile(row[0], row[4].encode()), self.services.trust)
            assert isinstance(verified, Verified), verified
            assert isinstance(verified.predicate, Approval)
            found.append((verified.predicate, verified.sha256))
        return found


@dataclass
class Person:
    """Somebody with a browser: cookies by origin; a form is sent from the page that showed it."""

    portal: Portal
    jars: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])
    visited: list[str] = field(default_factory=list[str])

    async def get(self, url: str, **headers: str) -> httpx.Response:
        return await self.send("GET", url, headers=headers)

    async def post(self, url: str, data: Mapping[str, str], **headers: str) -> httpx.Response:
        """A form of a page of the same origin, unless headers say otherwise."""
        own = {"origin": _origin(url), "sec_fetch_site": "same-origin", **headers}
        return await self.send("POST", url, headers=own, data=data)

    async def send(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, data: Mapping[str, str] | None = None
    ) -> httpx.Response:
        full = url if url.startswith("https://") else URL + url
        self.visited.append(full)
        origin = _origin(full)
        jar = self.jars.setdefault(origin, {})
        sent = {k.replace("_", "-"): v for k, v in (headers or {}).items() if v}
        if jar:
            sent["cookie"] = "; ".join(f"{k}={v}" for k, v in jar.items())
        app: Any = self.portal.app if origin == URL else self.portal.outside.applications[origin]
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app, raise_app_exceptions=False)) as http:
            response = await http.request(method, full, headers=sent, data=dict(data) if data else None)
        for header in response.headers.get_list("set-cookie"):
            pair, *attributes = header.split("; ")
            if origin == URL:
                assert set(attributes) >= {"Path=/", "Secure", "HttpOnly", "SameSite=Lax"}, header
                assert pair.startswith("__Host-"), header
                assert "Partitioned" not in attributes, header
            name, _, value = pair.partition("=")
            if any(a.lower() == "max-age=0" for a in attributes):
                jar.pop(name, None)
            else:
                jar[name] = value
        return response

    async def follow(self, response: httpx.Response) -> httpx.Response:
        """The page at the end of redirects, wherever they lead."""
        base = self.visited[-1]
        while response.status_code in (302, 303):
            location = response.headers["location"]
            base = location if location.startswith("https://") else _origin(base) + location
            response = await self.get(base)
        return response

    @property
    def cookie(self) -> dict[str, str]:
        return self.jars.setdefault(URL, {})

    # --- Microsoft ---

    async def sign_in(self, login: str, password: str, next_path: str = "/") -> httpx.Response:
        page = await self.get(f"/sign-in?next={next_path}")
        to_entra = await self.post("/sign-in", {"next": hidden(page, "next")})
        return await self.follow(await self.at_entra(to_entra.headers["location"], login, password))

    async def at_entra(self, url: str, login: str, password: str) -> httpx.Response:
        """Sign in with the password; the answer leads back to the portal."""
        page = await self.get(url)
        parts = urlsplit(url)
        form = {"flow": hidden(page, "flow"), "login": login, "passwd": password}
        answer = await self.post(f"{parts.scheme}://{parts.netloc}/{parts.path.split('/')[1]}/login", form)
        assert answer.status_code == 302, answer.text
        return answer

    # --- the proof ---

    async def begin_proof(self, connection: str) -> httpx.Response:
        """Press "Prove and decide": the redirect to Entra."""
        page = await self.get(f"/connections/{connection}")
        return await self.post(f"/connections/{connection}/prove", {"token": hidden(page, "token", -1)})

    async def sign_in_anew(self, connection: str, who: tuple[str, str] = ANSEL) -> httpx.Response:
        """Up to the page that shows the EHR's host, or to why it is not shown."""
        to_entra = await self.begin_proof(connection)
        assert to_entra.status_code == 303, to_entra.text
        return await self.follow(await self.at_entra(to_entra.headers["location"], *who))

    async def to_ehr(self, connection: str, page: httpx.Response) -> httpx.Response:
        """Press "Sign in at ...": the redirect to the EHR."""
        form = {"token": hidden(page, "token", -1), "endpoint": hidden(page, "endpoint")}
        return await self.post(f"/connections/{connection}/prove/ehr", form)

    async def at_ehr(self, url: str) -> httpx.Response:
        """Sign in at the EHR as its first user; the answer leads back to the portal."""
        page = await self.get(url)
        assert page.status_code == 200, page.text
        action = unescape(re.findall(r'<form[^>]* action="([^"]+)"', page.text)[-1])
        users = re.findall(r'<option value="([^"]+)"', page.text)
        form = {"request": hidden(page, "request"), "user": users[0], "decision": "allow"}
        answer = await self.post(_origin(url) + action, form)
        assert answer.status_code == 302, answer.text
        return answer

    async def prove(self, connection: str, who: tuple[str, str] = ANSEL) -> httpx.Response:
        """Both sign-ins: the page on which to decide, or why there is none."""
        to_ehr = await self.to_ehr(connection, await self.sign_in_anew(connection, who))
        assert to_ehr.status_code == 303, to_ehr.text
        return await self.follow(await self.at_ehr(to_ehr.headers["location"]))

    # --- the decision ---

    async def press(self, connection: str, page: httpx.Response, decision: str = "approve") -> httpx.Response:
        form = {"token": hidden(page, "token", -1), "shown": hidden(page, "shown"), "decision": decision}
        return await self.post(f"/connections/{connection}/decide", form)

    async def confirm(self, connection: str, page: httpx.Response, decision: str = "approve") -> httpx.Response:
        form = {"token": hidden(page, "token", -1), "shown": hidden(page, "shown"), "decision": decision}
        return await self.post(f"/connections/{connection}/decide/confirm", form)

    async def decide(self, connection: str, decision: str = "approve") -> httpx.Response:
        """The whole way, from the connection's page to the recorded decision."""
        asked = await self.press(connection, await self.prove(connection), decision)
        assert asked.status_code == 200, asked.text
        return await self.confirm(connection, asked, decision)


def hidden(page: httpx.Response, name: str, which: int = 0) -> str:
    """A hidden field's value; pages begin with the form that signs out, so the own form's token is the last."""
    found = re.findall(rf'name="{name}" value="([^"]*)"', page.text)
    assert found, page.text
    return unescape(found[which])


def query_of(response: httpx.Response) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(response.headers["location"]).query))


@cache
def sample() -> StackConfig:
    stack = load("Pulumi.local.yaml").stack
    assert stack is not None
    return stack


def changed(stack: StackConfig, connection_id: str, **changes: Any) -> StackConfig:
    """The stack with values of one connection replaced."""
    organizations = tuple(
        o.model_copy(
            update={
                "connections": tuple(
                    c.model_copy(update=changes) if c.id == connection_id else c for c in o.connections
                )
            }
        )
        for o in stack.organizations
    )
    return stack.model_copy(update={"organizations": organizations})


def with_organization(stack: StackConfig, organization_id: str, **changes: Any) -> StackConfig:
    organizations = tuple(o.model_copy(update=changes) if o.id == organization_id else o for o in stack.organizations)
    return stack.model_copy(update={"organizations": organizations})


def without_portal_keys(stack: StackConfig) -> StackConfig:
    """The stack as if the keys that sign approvals were not made yet."""
    keys = tuple(k for k in stack.promotion.trusted_keys if StatementType.APPROVAL not in k.statement_types)
    return stack.model_copy(update={"promotion": stack.promotion.model_copy(update={"trusted_keys": keys})})


def nothing_approved() -> Approvals:
    """Lists of revocations alone, so that whatever is approved is in force."""
    now = datetime.now(UTC)
    key = private_key(Stage.TEST, GeographyName.AMERICAS, "revocation-signing")
    return Approvals((statement_file(key, revocations(GeographyName.AMERICAS, Stage.TEST, now)),))


def everything_approved(stack: StackConfig) -> Approvals:
    return accepted(stack, datetime.now(UTC))


def document_of(stack: StackConfig, approvals: Approvals | None = None) -> ConfigurationDocument:
    return ConfigurationDocument.of(
        stack, GeographyName.AMERICAS, nothing_approved() if approvals is None else approvals
    )


@asynccontextmanager
async def running_portal(
    place: Place,
    stack: StackConfig | None = None,
    *,
    approvals: Approvals | None = None,
    world: World | None = None,
    state: Path | None = None,
) -> AsyncGenerator[Portal]:
    """The portal of the sample test stack's americas over an empty database."""
    place.postgres.empty(place.database)
    world, outside, vault, entra_clock = world or _world(), Outside(), FakeVault(), Clock()
    folder = state or place.state
    outside.applications[world.entra.url] = create_entra(world, folder, clock=entra_clock)
    for ehr in (e for e in world.ehrs if e.organization in ("lakeside", "prairie")):
        outside.applications[ehr.url] = create_ehr(EmulatedEhr(ehr, folder, time.time, structlog.get_logger()))
    settings = settings_for(
        place.postgres,
        place.database,
        PORTAL,
        role=RuntimeRole.PORTAL,
        public_host=HOST,
        application_id=PORTAL_APPLICATION,
    )
    http = clients(outside, vault, lambda: place.identity.token(sub=PORTAL_PRINCIPAL, oid=PORTAL_PRINCIPAL))
    services = services_over(settings, http, vault, document_of(stack or sample(), approvals))
    await services.database.open()
    await services.standing.refresh(services)
    try:
        yield Portal(create_portal(services), services, outside, vault, place, entra_clock)
    finally:
        await services.database.close()
        await http.aclose()


@cache
def _world() -> World:
    return load_world()


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}" if parts.netloc else URL
