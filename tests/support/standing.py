"""The deciding part of a runtime for tests: the sample's Americas, in either stage, with a clock that a test sets.

Owns the services over one database, a storage account and a document made of given approvals; no requests.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from runtime.bootstrap import Services
from runtime.promotion.standing import Standing, why_not_served
from runtime.serving import Serving, credential_of, may_serve
from schemas.configuration_document import ConfigurationDocument
from schemas.promotion.approvals import Approvals
from schemas.promotion.envelope import StatementFile
from schemas.promotion.statement import Revoked, Verdict, at
from schemas.stack_config import EhrConnection, Organization, StackConfig
from schemas.vocabulary import ClientRole, GeographyName, RuntimeRole, Stage
from tests.support.connector import FakeVault, Outside, clients, services_over, settings_for
from tests.support.launching import Place
from tests.support.postgres import PASSWORD
from tests.support.samples import load
from tests.support.statements import (
    NOW,
    accepted,
    approval,
    digest_of,
    private_key,
    promoted,
    revocations,
    statement_file,
)
from tests.support.storage import FakeStorage

AMERICAS = GeographyName.AMERICAS
CONNECTION = {Stage.TEST: "lakeside-test", Stage.PRODUCTION: "lakeside-production"}


def sample(stage: Stage) -> StackConfig:
    stack = load("Pulumi.local.yaml" if stage is Stage.TEST else "Pulumi.local-prod.yaml").stack
    assert stack is not None
    return stack


@dataclass
class Clock:
    now: datetime = NOW

    def __call__(self) -> datetime:
        return self.now

    def passes(self, **time: float) -> None:
        self.now += timedelta(**time)


@dataclass
class Deciding:
    """A worker (or another role) that decides; `connection` is Lakeside's of its stage."""

    services: Services
    storage: FakeStorage
    vault: FakeVault
    clock: Clock
    stage: Stage
    place: Place = field(repr=False)

    @property
    def connection(self) -> str:
        return CONNECTION[self.stage]

    async def refresh(self) -> None:
        await self.services.standing.refresh(self.services)

    async def serving(self) -> Serving:
        served = self.services.configuration.connection(self.connection)
        assert served is not None
        return await may_serve(self.services, served, ClientRole.PROVIDER)

    async def answer(self) -> tuple[str, str]:
        """How a launch is refused, by code and reason; empty where it is not."""
        refusals = (await self.serving()).refusals
        return (refusals[0].code, refusals[0].reason) if refusals else ("", "")

    def codes(self) -> list[str]:
        return [r.code.value for r in why_not_served(self.services.standing.decision(self.connection))]

    @property
    def version(self) -> int | None:
        held = self.services.standing.held
        return held.revocations.version if held else None

    def list_of(
        self, version: int, *revoked: str, geography: GeographyName = AMERICAS, **changes: Any
    ) -> StatementFile:
        """A list of revocations, signed by the key of its geography and this stage."""
        entries = tuple(Revoked(connection=c, reason="lost device", at=at(self.clock.now)) for c in revoked)
        given = {"version": version, "revoked": entries, "issued": at(self.clock.now), **changes}
        list_ = revocations(geography, self.stage, self.clock.now, **given)
        return statement_file(private_key(self.stage, geography, "revocation-signing"), list_)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with self.place.postgres.administrator(self.place.database) as connection:
            return connection.execute(query.encode()).fetchall()

    def execute(self, query: str, *parameters: object) -> None:
        with self.place.postgres.administrator(self.place.database) as connection:
            connection.execute(query.encode(), parameters)

    def restarted(self, approvals: Approvals | None = None) -> "Deciding":
        """Another process on the same database, with another document where approvals are given."""
        services = replace(self.services, standing=Standing())
        if approvals is not None:
            document = ConfigurationDocument.of(sample(self.stage), AMERICAS, approvals)
            services = replace(services, configuration=services.configuration.__class__(document))
        return replace(self, services=services)


@asynccontextmanager
async def deciding(
    place: Place, stage: Stage, approvals: Approvals, role: RuntimeRole = RuntimeRole.WORKER, **handover: Any
) -> AsyncGenerator[Deciding]:
    """Not decided yet. The storage account is empty; the database too."""
    place.postgres.empty(place.database)
    stack, clock, storage = sample(stage), Clock(), FakeStorage(PASSWORD)
    document = ConfigurationDocument.of(stack, AMERICAS, approvals)
    vault = FakeVault(stage=stage)
    for connection in (c for o in stack.served_in(AMERICAS) for c in o.connections):
        vault.secrets[credential_of(connection, ClientRole.PROVIDER) or ""] = "present"
    public_host = stack.geographies[AMERICAS].public_hosts.of(stage)
    settings = settings_for(
        place.postgres,
        place.database,
        f"connector_{role}",
        role=role,
        stage=stage,
        public_host=public_host,
        **handover,
    )
    http = clients(Outside(), vault, storage=storage)
    services = replace(services_over(settings, http, vault, document), clock=clock)
    await services.database.open()
    try:
        yield Deciding(services, storage, vault, clock, stage, place)
    finally:
        await services.database.close()
        await http.aclose()


def without(approvals: Approvals, *parts: str) -> Approvals:
    """But for the files whose path has one of these in it."""
    kept = tuple(s for s in approvals.statements if not any(p in s.path for p in parts))
    return replace(approvals, statements=kept)


def everything(*, served: bool = False) -> Approvals:
    """Of both stages; `served`: and promoted in production."""
    given = accepted(sample(Stage.TEST))
    return replace(given, promoted=promoted(sample(Stage.TEST))) if served else given


def lakeside(connection_id: str = "lakeside-test") -> tuple[Organization, EhrConnection]:
    organization = next(o for o in sample(Stage.TEST).organizations if o.id == "lakeside")
    return organization, next(c for c in organization.connections if c.id == connection_id)


def approved_file(serial: int, decision: Verdict = Verdict.APPROVE, **changes: Any) -> StatementFile:
    """An approval (or refusal) of lakeside-test, by the portal."""
    organization, connection = lakeside()
    given = approval(organization, connection, serial=serial, decision=decision, **changes)
    key = private_key(Stage.TEST, AMERICAS, "portal-signing")
    return statement_file(key, given, digest_of(sample(Stage.TEST), organization, connection))


def events(logs: list[Any], event: str) -> list[str]:
    """The codes of an event's lines."""
    return [str(line.get("code", "")) for line in logs if line["event"] == event]
