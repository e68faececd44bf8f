"""The story of an approval, driven and judged: from nothing approved to a revocation during a visit.

Owns the order of the steps on two stacks, test and production, and what each must show; the record of each is what was
seen from outside: pages, the repository, what `pulumi` said. Visits are driven by `visit.py`, the portal's people by
`portal_people.py`.
"""

import asyncio
import re
import ssl
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from emulators.world import Ehr, World
from schemas.promotion.digest import connection_digest
from schemas.promotion.reasons import Code
from schemas.promotion.telling import reasons_of
from schemas.stack_config import EhrConnection, Organization, StackConfig
from schemas.vocabulary import Stage
from workflow.browser import PageUnexpected
from workflow.errors import EngineFailed, WorkflowError
from workflow.local import Local
from workflow.people import Provider
from workflow.portal_people import Administrator, Approver
from workflow.promotion.judging import judged
from workflow.promotion.promote import promote
from workflow.promotion.remote import published, repository_of
from workflow.promotion.revoke import revoke
from workflow.workspace import Workspace

Say = Callable[[str, str, str, str], None]
"""Writes a line of the timeline: organisation, connection or visit, who, what."""

NOT_APPROVED, WITHDRAWN = "connection-not-approved", "connection-withdrawn"
EDIT = {"integrationRecordIds.provider": "5199"}
REHEARSED_SECONDS = 60.0
REVOKED_SECONDS = 90.0
_CODE = re.compile(r"\[([a-z-]+)\]")
_REFUSED = re.compile(r"(\S+) \(\S+\): refused")

Refusals = dict[str, list[str]]
"""The codes by which connections are refused, by their ids."""


class StoryFailed(WorkflowError):
    """A step did not show what it must."""


@dataclass(frozen=True)
class About:
    """One of several connections that a step is about."""

    connection: str
    sha256: str
    reasons: list[str]

    def values(self) -> dict[str, Any]:
        return {"connection": self.connection, "sha256": self.sha256, "reasons": self.reasons}


@dataclass
class Step:
    """One step as it was seen: of what, with which digest, and the reasons that were given.

    One that is about several connections has these of each, and all reasons together.
    """

    step: str
    organization: str | None = None
    connection: str | None = None
    sha256: str | None = None
    reasons: list[str] = field(default_factory=list[str])
    connections: list[About] = field(default_factory=list[About])
    detail: dict[str, Any] = field(default_factory=dict[str, Any])

    def values(self) -> dict[str, Any]:
        values = {"step": self.step, "organization": self.organization, "connection": self.connection}
        known = {k: v for k, v in {**values, "sha256": self.sha256}.items() if v is not None}
        each = {"connections": [about.values() for about in self.connections]} if self.connections else {}
        return {**known, "reasons": self.reasons, **each, **self.detail}


@dataclass
class Story:
    """The two stacks of a workspace, the people, and what was seen so far."""

    workspace: Workspace
    test: Local
    production: Local
    world: World
    certificates: ssl.SSLContext
    say: Say
    steps: list[Step] = field(default_factory=list[Step])

    @property
    def ehrs(self) -> dict[str, Ehr]:
        return {ehr.organization: ehr for ehr in self.world.ehrs}

    # --- test -------------------------------------------------------------------------------------------------------

    async def nothing_approved(self, organization: Organization, production: Refusals) -> None:
        """A launch, and an update of production (for these reasons), both refused."""
        connection = self._connection(organization, Stage.TEST)
        async with self._provider(organization, Stage.TEST, 0) as provider:
            code = await refused_launch(provider, self.ehrs[organization.id].appointments[0].csn)
        self._expect(code == NOT_APPROVED, f"a launch at {connection.id} answers {NOT_APPROVED}, got {code}")
        self._tell(
            Step("launch-refused", organization.id, connection.id, self._digest(organization, connection), [code])
        )
        self.refused(production, {Code.APPROVAL_MISSING})

    def refused(self, said: Refusals, expected: set[Code], organization: str | None = None) -> None:
        """An update of production stopped, for at least these reasons."""
        codes = {code for reasons in said.values() for code in reasons}
        self._expect(expected <= codes, f"production refuses for {sorted(expected)}, got {sorted(codes)}")
        about = [About(connection, sha256, said[connection]) for connection, sha256 in self._in_production(said)]
        self._tell(Step("production-refused", organization, reasons=sorted(codes), connections=about))

    def _in_production(self, wanted: Iterable[str]) -> list[tuple[str, str]]:
        """Connections with their digests, as production's files have them now."""
        stack = self.workspace.project.valid(self.production.stack)
        pairs = [(o, c) for o in stack.organizations for c in o.connections if c.id in set(wanted)]
        return [(c.id, self._digest(o, c)) for o, c in pairs]

    async def edit(self, organization: Organization) -> None:
        """The administrator changes the proposed production connection; it is merged and deployed in test."""
        person = organization.administrators[0]
        connection = self._connection(organization, Stage.PRODUCTION)
        before = self._digest(organization, connection)
        administrator = Administrator(self._portal(organization), person, self.world.entra, self.certificates)
        try:
            await administrator.sign_in()
            branch = await administrator.propose(organization.id, connection.id, EDIT)
        finally:
            await administrator.browser.close()
        await asyncio.to_thread(self.merge, branch)
        self.test.reload()
        await asyncio.to_thread(self.test.engine.up)
        organization = self._organization(organization.id)
        after = self._digest(organization, self._connection(organization, Stage.PRODUCTION))
        self._expect(after != before, f"the edit changes the digest of {connection.id}")
        self._tell(Step("edited", organization.id, connection.id, after, detail={"branch": branch, "before": before}))

    async def approve(self, organizations: Sequence[Organization]) -> None:
        """Each approver decides about each URL of their organisation, and takes away the records."""
        await asyncio.gather(*(self._approve(self._organization(o.id)) for o in organizations))

    async def _approve(self, organization: Organization) -> None:
        ehr, host = self.ehrs[organization.id], self._portal(organization)
        for connection in sorted(organization.connections, key=lambda c: c.stage is Stage.PRODUCTION):
            approver = Approver(host, connection.approver, self.world.entra, self.certificates)
            try:
                await approver.sign_in()
                await approver.decide(connection.id, ehr, "approve")
                records = await approver.records(connection.id)
            finally:
                await approver.browser.close()
            sha256 = self._digest(organization, connection)
            self._tell(Step("approved", organization.id, connection.id, sha256, detail={"records": len(records)}))

    async def rehearsed(self, organizations: Sequence[Organization]) -> None:
        """The visits that were made are on their way into the repository as rehearsals."""
        repository = repository_of(self.workspace.project, self.test.stack, self.test.config)
        wanted = {o.id: self._connection(o, Stage.TEST) for o in organizations}
        deadline = time.monotonic() + REHEARSED_SECONDS
        while True:
            paths = list(await published(repository, self.test.config.geographies))
            missing = [o for o, c in wanted.items() if not any(f"/{o}/{c.id}/rehearsal-" in p for p in paths)]
            if not missing:
                break
            self._expect(time.monotonic() < deadline, f"rehearsals of {', '.join(missing)} are published")
            await asyncio.sleep(0.5)
        for organization in organizations:
            connection = wanted[organization.id]
            sha256 = self._digest(self._organization(organization.id), connection)
            self._tell(Step("rehearsed", organization.id, connection.id, sha256))

    # --- production -------------------------------------------------------------------------------------------------

    async def promote(self, organizations: Sequence[Organization]) -> None:
        """On a branch, which is merged as a reviewer would; then production comes up."""
        ids = [o.id for o in organizations]
        found = await promote(self.workspace.project, ids, source=self.test.stack, target=self.production.stack)
        await asyncio.to_thread(self.merge, found.branch)
        for decision in found.decisions.values():
            self._tell(
                Step(
                    "promoted",
                    decision.organization,
                    decision.connection,
                    decision.sha256,
                    detail={"branch": found.branch, "commit": found.commit},
                )
            )
        self.production.reload()
        await asyncio.to_thread(self.production.up)
        self.production_up()

    def production_up(self) -> None:
        """What production serves now, and what it is warned of."""
        decisions = judged(self.workspace.project, self.production.stack).decisions
        about = [About(d.connection, d.sha256, [str(r.code) for r in reasons_of(d)]) for d in decisions.values()]
        codes = {code for one in about for code in one.reasons}
        self._tell(Step("production-up", reasons=sorted(codes), connections=about))

    async def during_the_visit(self, organization: Organization, other: Organization) -> None:
        """While a production visit goes on: another's edit is refused; a revocation stops new launches."""
        await asyncio.to_thread(self._edit_by_hand, other)
        said = await asyncio.to_thread(refusal_of, self.production)
        self.refused(said, {Code.CONFIGURATION_CHANGED}, other.id)
        await asyncio.to_thread(self.workspace.update)
        connection = self._connection(organization, Stage.PRODUCTION, self.production.config)
        revoked = await revoke(
            self.workspace.project, [connection.id], reason="A rehearsed emergency", stack=self.production.stack
        )
        sha256, version = self._digest(organization, connection), revoked.lists[0].revocations.version
        self._tell(
            Step("revoked", organization.id, connection.id, sha256, [str(Code.REVOKED)], detail={"version": version})
        )
        await self._until_withdrawn(organization, connection)

    async def _until_withdrawn(self, organization: Organization, connection: EhrConnection) -> None:
        csn = self.ehrs[organization.id].appointments[-1].csn
        deadline = time.monotonic() + REVOKED_SECONDS
        async with self._provider(organization, Stage.PRODUCTION, -1) as provider:
            while (code := await refused_launch(provider, csn)) != WITHDRAWN:
                self._expect(time.monotonic() < deadline, f"new launches answer {WITHDRAWN}, got {code or 'a visit'}")
                await asyncio.sleep(1)
        sha256 = self._digest(organization, connection)
        self._tell(Step("launch-refused", organization.id, connection.id, sha256, [code]))

    def visit_ended(self, organization: Organization) -> None:
        """The visit that was under way when its connection was revoked."""
        connection = self._connection(organization, Stage.PRODUCTION, self.production.config)
        self._tell(Step("visit-ended", organization.id, connection.id, self._digest(organization, connection)))

    # --- shared -----------------------------------------------------------------------------------------------------

    def merge(self, branch: str) -> None:
        """As a reviewer does, and into the working copy."""
        self.workspace.merge(branch)
        self.workspace.update()

    def _edit_by_hand(self, organization: Organization) -> None:
        """A character of an organisation's production connection, in the file of the production stack."""
        url = self._connection(organization, Stage.PRODUCTION, self.production.config).integration_record_ids.provider
        root = self.workspace.project.root
        files = [root / f"Pulumi.{self.production.stack}.yaml", *root.glob(f"organizations/{self.production.stack}/*")]
        old, new = f'provider: "{url}"', f'provider: "{url}9"'
        (file,) = [f for f in files if old in f.read_text("utf-8")]
        file.write_text(file.read_text("utf-8").replace(old, new), "utf-8")

    @asynccontextmanager
    async def _provider(self, organization: Organization, stage: Stage, which: int) -> AsyncGenerator[Provider]:
        ehr = self.ehrs[organization.id]
        provider = Provider(ehr, stage, ehr.users[which], self.world.entra, self.certificates)
        try:
            yield provider
        finally:
            await provider.browser.close()

    def _organization(self, organization_id: str) -> Organization:
        return next(o for o in self.test.config.organizations if o.id == organization_id)

    def _connection(self, organization: Organization, stage: Stage, config: StackConfig | None = None) -> EhrConnection:
        owner = next(o for o in (config or self.test.config).organizations if o.id == organization.id)
        return next(c for c in owner.connections if c.stage is stage)

    def _digest(self, organization: Organization, connection: EhrConnection) -> str:
        hosts = self.test.config.geographies[organization.geography].public_hosts
        return connection_digest(organization, connection, hosts.of(connection.stage))

    def _portal(self, organization: Organization) -> str:
        host = self.test.config.geographies[organization.geography].portal_host
        if host is None:
            raise StoryFailed(f"{organization.geography} of stack {self.test.stack} has no portal")
        return host

    def _tell(self, step: Step) -> None:
        self.steps.append(step)
        about = [f"digest {step.sha256[:12]}"] if step.sha256 else []
        about += [f"{one.connection} {one.sha256[:12]}" for one in step.connections]
        about += [", ".join(step.reasons)] if step.reasons else []
        what = f"{step.step}{': ' if about else ''}{'; '.join(about)}"
        self.say(step.organization or "all", step.connection or "", "promotion", what)

    def _expect(self, holds: bool, what: str) -> None:
        if not holds:
            raise StoryFailed(f"expected that {what}")


def refusal_of(production: Local) -> Refusals:
    """Why `pulumi up` of production stops, before it changes anything. Raises `StoryFailed`."""
    try:
        production.engine.up()
    except EngineFailed as stopped:
        return refusals_in(stopped.advice)
    raise StoryFailed("an update of production went through that must not")


def refusals_in(said: str) -> Refusals:
    """From what `pulumi` says: a line for each connection, then one for each of its reasons."""
    found: Refusals = {}
    reasons: list[str] = []
    for line in said.partition("Production is refused")[2].splitlines():
        if refused := _REFUSED.fullmatch(line.strip()):
            reasons = found.setdefault(refused[1], [])
        elif line.strip().startswith("- "):
            reasons += [code for code in _CODE.findall(line) if code in set(Code) and code not in reasons]
    return found


async def refused_launch(provider: Provider, csn: str) -> str:
    """The code with which a launch is refused; empty where it begins a visit or asks for the sign-in."""
    try:
        await provider.press(csn)
    except PageUnexpected as refused:
        return refused.code
    return ""
