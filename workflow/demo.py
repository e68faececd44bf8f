"""`connector demo`: the whole product on this machine, from nothing approved to a revocation, and down again.

Owns the plan of visits (which organisation, whose, who comes first: a function of the seed) and the one JSON document.
The story of the approval is in `story.py`, driving one visit in `visit.py`. It runs in a workspace of its own in the
state folder, with a repository of its own: the user's files and branches stay as they are.
"""

import asyncio
import random
import shutil
import ssl
import time
from collections import defaultdict
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import httpx

from emulators import tls
from emulators.world import Ehr, World, load_world
from schemas.stack_config import Organization, StackConfig
from schemas.vocabulary import Cloud
from workflow import session
from workflow.browser import Browser
from workflow.ehr_log import EhrLog
from workflow.engine import Report
from workflow.errors import NotReady, WorkflowError
from workflow.local import Local, launch_urls
from workflow.people import Patient, Provider
from workflow.project import Project
from workflow.story import Refusals, Step, Story, refusal_of
from workflow.visit import Plan, Record, drive, judge
from workflow.workspace import Workspace

READY_SECONDS = 60.0
Say = Callable[[str, str, str, str], None]
"""Writes a line of the timeline: organisation, visit, who, what."""


def demo(
    project: Project, stack: str, *, appointments: int | None, seed: int, report: Report, say: Say
) -> dict[str, Any]:
    """The story on a test stack and the production stack that is promoted from it. Answers the document.

    Raises `StoryFailed` where a step did not show what it must, `VisitFailed` where a visit was not whole.
    """
    began = time.monotonic()
    with session.one_interrupt(), session.exclusive(project.state, f"demo {stack}"):
        target = production_of(project, stack)
        config, _ = project.emulated(stack)
        with temporary_workspace(project, config) as workspace:
            test, production = (Local(workspace.project, name, report) for name in (stack, target))
            told = Telling(project, test, production, appointments, seed, say)
            try:
                refused = _up_beside_a_refusal(test, production)
                resources = test.engine.resource_counts()
                records, steps = asyncio.run(told.told(workspace, refused))
            finally:
                _both(production.down, test.down)
    seconds = {**test.seconds, **{f"production_{k}": v for k, v in production.seconds.items()}}
    seconds["total"] = round(time.monotonic() - began, 2)
    judge(records)
    return document(test.config, records, resources, steps, seconds)


def _up_beside_a_refusal(test: Local, production: Local) -> Refusals:
    """Bring test up; meanwhile ask for production, of which nothing is approved. Why it is refused."""
    for local in (production, test):
        local.prepare()  # one after the other: whoever recovers beside an engine at work forgets nothing
    refused: list[Refusals] = []
    _both(test.up, lambda: refused.append(refusal_of(production)))
    return refused[0]


def _both(first: Callable[[], None], second: Callable[[], None]) -> None:
    """Both to their end, at once: an engine keeps one core busy. Raises what the first raised, else the second."""
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(second)
        first()
    other.result()


def production_of(project: Project, stack: str) -> str:
    """The emulated production stack that is promoted from a test stack. Raises WorkflowError."""
    for name in project.stacks():
        config = project.load(name).stack
        if config is not None and config.promotion.source == stack and config.cloud is Cloud.EMULATED:
            return name
    problem = WorkflowError(f"no emulated production stack is promoted from stack {stack}")
    problem.advice = "the story needs a test stack and a production stack that names it in promotion.source"
    raise problem


@contextmanager
def temporary_workspace(project: Project, config: StackConfig) -> Generator[Workspace]:
    """A repository and a workspace made anew from the project's files, gone when the block ends."""
    folders = (project.state / "repository.git", project.state / "workspace")
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
    try:
        workspace = Workspace(project, config)
        workspace.update()
        yield workspace
    finally:
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)


@dataclass
class Telling:
    """One telling of the story: the visits in test are its rehearsals, the last one is in production."""

    project: Project
    test: Local
    production: Local
    appointments: int | None
    seed: int
    say: Say

    async def told(self, workspace: Workspace, refused: Refusals) -> tuple[list[Record], list[Step]]:
        """The records of all visits, and what each step showed; `refused` is why production was, when it was asked."""
        world, certificates = load_world(), tls.client_context(self.project.state)
        story = Story(workspace, self.test, self.production, world, certificates, self.say)
        await _until_ready(self.test.config, certificates)
        here = organizations_of(self.test.config, world)
        first, other = here[0], here[1 % len(here)]
        with self.test.phase("approval"):
            await story.nothing_approved(first, refused)
            await story.edit(first)
            await story.approve(here)
        with self.test.phase("visits"):
            records = await visits(self.project, self.test.config, world, self.appointments, self.seed, self.say)
            seen = {r.plan.organization for r in records}
            rehearsed = [o for o in here if o.id in seen]
            await story.rehearsed(rehearsed)
        with self.test.phase("promotion"):
            await story.promote(rehearsed)
        with self.test.phase("revocation"):
            records.append(await self._in_production(story, first, other))
            story.visit_ended(first)
        return records, story.steps

    async def _in_production(self, story: Story, first: Organization, other: Organization) -> Record:
        config, ehr = self.production.config, story.ehrs[first.id]
        await _until_ready(config, story.certificates)
        visit = ehr.appointments[0]
        plan = _planned(config, first, ehr, visit.csn, patient_first=False)
        user = next(u for u in ehr.users if u.id == visit.provider)
        provider = Provider(ehr, config.stage, user, story.world.entra, story.certificates)
        try:
            return await drive(
                plan,
                provider,
                Patient(ehr, config.stage, visit.patient, story.certificates),
                EhrLog(self.project.state, first.id),
                lambda who, what: self.say(first.id, visit.csn, who, what),
                lambda: story.during_the_visit(first, other),
            )
        finally:
            await provider.browser.close()


def document(
    config: StackConfig,
    records: Sequence[Record],
    resources: dict[str, int],
    steps: Sequence[Step],
    seconds: dict[str, float],
) -> dict[str, Any]:
    """What `--output json` prints."""
    return {
        "organizations": [
            {
                "id": organization.id,
                "geography": str(organization.geography),
                "location": config.geographies[organization.geography].location,
                "launch_urls": launch_urls(config, organization.id),
                "visits": [_visit(r) for r in records if r.plan.organization == organization.id],
            }
            for organization in config.organizations
        ],
        "promotion": [step.values() for step in steps],
        "resources": resources,
        "seconds": seconds,
    }


def _visit(record: Record) -> dict[str, Any]:
    return {
        "connection": record.plan.connection,
        "csn": record.plan.csn,
        "launches": record.launches,
        "meeting": record.meeting,
        "presence": record.presence,
        "write_backs": [asdict(w) for w in record.write_backs],
    }


# --- visits ---------------------------------------------------------------------------------------------------------


async def visits(
    project: Project, config: StackConfig, world: World, appointments: int | None, seed: int, say: Say
) -> list[Record]:
    """Drive all visits; those of one provider one after another, those of different providers at once."""
    certificates = tls.client_context(project.state)
    ehrs = {ehr.organization: ehr for ehr in world.ehrs}
    here = organizations_of(config, world)
    logs = {o.id: EhrLog(project.state, o.id) for o in here}
    planned = await _plan(config, here, ehrs, appointments, random.Random(seed), certificates)
    lanes: dict[tuple[str, str], list[tuple[Plan, str]]] = defaultdict(list)
    for plan, user, patient in planned:
        lanes[plan.organization, user].append((plan, patient))

    async def lane(organization: str, user_id: str) -> list[Record]:
        ehr = ehrs[organization]
        user = next(u for u in ehr.users if u.id == user_id)
        provider = Provider(ehr, config.stage, user, world.entra, certificates)
        try:
            return [
                await drive(
                    plan,
                    provider,
                    Patient(ehr, config.stage, patient, certificates),
                    logs[organization],
                    lambda who, what, p=plan: say(p.organization, p.csn, who, what),
                )
                for plan, patient in lanes[organization, user_id]
            ]
        finally:
            await provider.browser.close()

    done = await asyncio.gather(*(lane(*key) for key in lanes))
    return sorted((r for records in done for r in records), key=lambda r: (r.plan.organization, r.plan.csn))


def organizations_of(config: StackConfig, world: World) -> list[Organization]:
    """Those with an EHR in the emulated world and a connection of the stage. Raises WorkflowError where none has."""
    ehrs = {ehr.organization for ehr in world.ehrs}
    here = [o for o in config.organizations if o.id in ehrs and launch_urls(config, o.id)]
    if not here:
        raise WorkflowError(
            f"no organisation of this stack has an EHR in the emulated world and a {config.stage} connection"
        )
    return here


async def _plan(
    config: StackConfig,
    here: Sequence[Organization],
    ehrs: dict[str, Ehr],
    appointments: int | None,
    chosen: random.Random,
    certificates: ssl.SSLContext,
) -> list[tuple[Plan, str, str]]:
    """Visits with their provider and patient: the sample's first of each organisation, or random new ones."""
    planned: list[tuple[Plan, str, str]] = []
    order = chosen.sample(list(here), len(here)) if appointments is not None else list(here)
    browser = Browser(certificates)
    try:
        for n in range(len(here) if appointments is None else appointments):
            organization = order[n % len(order)]
            ehr = ehrs[organization.id]
            if appointments is None:
                visit = ehr.appointments[0]
                csn, user, patient = visit.csn, visit.provider, visit.patient
            else:
                csn, user, patient = await _book(ehr, config, n, chosen, browser)
            patient_first = chosen.random() < 0.5
            planned.append((_planned(config, organization, ehr, csn, patient_first), user, patient))
    finally:
        await browser.close()
    return planned


def _planned(config: StackConfig, organization: Organization, ehr: Ehr, csn: str, patient_first: bool) -> Plan:
    connection = next(c for c in organization.connections if c.stage is config.stage)
    instance = next(e.instance for e in ehr.environments if e.stage is config.stage)
    return Plan(organization.id, connection.id, instance, csn, patient_first)


async def _book(
    ehr: Ehr, config: StackConfig, number: int, chosen: random.Random, browser: Browser
) -> tuple[str, str, str]:
    """A new appointment of a new patient, as Hyperspace schedules it."""
    user = chosen.choice(ehr.users)
    fields = {
        "environment": str(config.stage),
        "provider": user.id,
        "patient_name": f"{chosen.choice(_GIVEN)} {chosen.choice(_FAMILY)}",
        "birth_date": f"{chosen.randint(1935, 2020)}-{chosen.randint(1, 12):02}-{chosen.randint(1, 28):02}",
        "time": f"{chosen.randint(8, 17):02}:{chosen.choice((0, 15, 30, 45)):02}",
        "department": chosen.choice(("", "10501", "10502", "10503")),
    }
    (booked,) = (await browser.act(f"{ehr.url}/hyperspace/appointments", fields))["appointments"]
    return booked["csn"], user.id, booked["patient"]


_GIVEN = (
    "Ada",
    "Bruno",
    "Chiara",
    "Dev",
    "Elif",
    "Farah",
    "Goro",
    "Hana",
    "Idris",
    "Jana",
    "Kofi",
    "Lea",
    "Milo",
    "Noor",
)
_FAMILY = (
    "Abara",
    "Berg",
    "Castillo",
    "Dahl",
    "Ekström",
    "Ferrari",
    "Gupta",
    "Hughes",
    "Ito",
    "Jansen",
    "Kaya",
    "Lopez",
)


async def _until_ready(config: StackConfig, certificates: ssl.SSLContext) -> None:
    """Every geography's readiness, from outside."""
    async with httpx.AsyncClient(verify=certificates, trust_env=False, timeout=10) as http:
        for geography in config.geographies.values():
            url = f"https://{geography.public_hosts.of(config.stage)}/readyz"
            deadline = time.monotonic() + READY_SECONDS
            while True:
                try:
                    if (await http.get(url)).status_code == 200:
                        break
                except httpx.HTTPError:
                    pass
                if time.monotonic() > deadline:
                    raise NotReady(f"an answer of {url}", READY_SECONDS, "see supervisor/logs in the state folder")
                await asyncio.sleep(0.2)
