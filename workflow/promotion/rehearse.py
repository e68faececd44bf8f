"""`connector rehearse ORG...`: whole visits on emulated EHRs, until their rehearsals are signed and published.

Owns which visits, and waiting for the statements on the portals' branches. Elsewhere the test runtime signs a rehearsal
when people make a visit; no command pretends to be them.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from emulators.world import load_world
from schemas.promotion.digest import connection_digest
from schemas.promotion.envelope import StatementFile, Verified, verify
from schemas.promotion.reading import anchors_of
from schemas.promotion.statement import FOLDER, Rehearsal
from schemas.promotion.trust import Trust
from schemas.stack_config import StackConfig
from schemas.vocabulary import Stage
from workflow.demo import Say, visits
from workflow.errors import NotReady, WorkflowError
from workflow.project import Project
from workflow.promotion.remote import published, repository_of
from workflow.visit import judge

PUBLISHED_SECONDS = 90.0
LOOK_SECONDS = 1.0


class NothingToRehearse(WorkflowError):
    """No organisation that was named has a test connection and an emulated EHR."""


@dataclass(frozen=True)
class Rehearsed:
    """A rehearsal of an organisation's test connection, where it was published."""

    organization: str
    connection: str
    file: str


async def rehearse(project: Project, name: str, organizations: Sequence[str], say: Say) -> list[Rehearsed]:
    """Raises `NotEmulated`, `NothingToRehearse`, `VisitFailed`, `NotReady`."""
    stack, _ = project.emulated(name)
    if stack.stage is not Stage.TEST:
        raise NothingToRehearse(f"stack {name} is production: rehearsals are made in test")
    wanted = _wanted(stack, organizations)
    began = time.time()
    only = stack.model_copy(update={"organizations": tuple(o for o in stack.organizations if o.id in wanted)})
    judge(await visits(project, only, load_world(), len(wanted), int(began), say))
    return await until_published(project, name, stack, wanted)


def _wanted(stack: StackConfig, organizations: Sequence[str]) -> dict[str, str]:
    """Organisations with the test connection whose visit is driven: the first, as everywhere."""
    ehrs = {ehr.organization for ehr in load_world().ehrs}
    tests = {
        o.id: next(c.id for c in o.connections if c.stage is Stage.TEST)
        for o in stack.organizations
        if o.id in ehrs and any(c.stage is Stage.TEST for c in o.connections)
    }
    unknown = [o for o in organizations if o not in tests]
    if unknown or not tests:
        problem = NothingToRehearse(f"no test connection on an emulated EHR: {', '.join(unknown) or 'any'}")
        problem.advice = f"organisations that have one: {', '.join(tests) or 'none'}"
        raise problem
    return {o: tests[o] for o in organizations or tests}


async def until_published(
    project: Project, name: str, stack: StackConfig, wanted: dict[str, str], seconds: float = PUBLISHED_SECONDS
) -> list[Rehearsed]:
    """Wait for a rehearsal of each with the image that runs. Raises `NotReady`."""
    repository = repository_of(project, name, stack)
    trust = Trust(stack.promotion.trusted_keys, anchors_of(stack.cloud, project.files))
    image = project.image_of(stack)
    images = {o.id: stack.image_in(o.geography, image) for o in stack.organizations}
    digests = {connection: _digest(stack, connection) for connection in wanted.values()}
    deadline = time.monotonic() + seconds
    while True:
        files = await published(repository, stack.geographies)
        found = {o: path for o, c in wanted.items() if (path := _rehearsal(files, trust, images[o], o, c, digests[c]))}
        if len(found) == len(wanted):
            return [Rehearsed(o, wanted[o], path) for o, path in found.items()]
        if time.monotonic() > deadline:
            left = ", ".join(sorted(set(wanted) - set(found)))
            advice = "the portal publishes what the worker signed: see the logs of both in the state folder"
            raise NotReady(f"a published rehearsal of {left}", seconds, advice)
        await asyncio.sleep(LOOK_SECONDS)


def _rehearsal(
    files: dict[str, bytes], trust: Trust, image: str | None, organization: str, connection: str, sha256: str
) -> str | None:
    """The newest one of the connection as it is now, with this image, or with the one that a paused geography keeps."""
    prefix = f"{FOLDER}/{organization}/{connection}/rehearsal-"
    for path in sorted((p for p in files if p.startswith(prefix)), reverse=True):
        match verify(StatementFile(path, files[path]), trust):
            case Verified(predicate=Rehearsal(image=found), sha256=digest) if (found, digest) == (
                image or found,
                sha256,
            ):
                return path
            case _:
                continue
    return None


def _digest(stack: StackConfig, connection_id: str) -> str:
    organization, connection = next((o, c) for o in stack.organizations for c in o.connections if c.id == connection_id)
    host = stack.geographies[organization.geography].public_hosts.of(connection.stage)
    return connection_digest(organization, connection, host)
