"""A stack of a project, decided: from its files, now.

Owns finding which stacks have a connection, and turning what cannot be read into a refusal for a person.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from schemas.promotion.decide import Decision, Decisions, Known, Refused, decide, stops
from schemas.promotion.promoted import PromotedInvalid
from schemas.promotion.reading import SourceInvalid, known_of_project
from schemas.promotion.trust import AnchorsInvalid
from schemas.stack_config import EhrConnection, Organization, StackConfig
from workflow.errors import WorkflowError
from workflow.project import Project


class Undecidable(WorkflowError):
    """What the decision rests on cannot be read."""


class UnknownConnection(WorkflowError):
    def __init__(self, connection: str, stacks: Sequence[str]) -> None:
        super().__init__(f"no stack has a connection {connection!r}")
        self.advice = f"looked at: {', '.join(stacks) or 'no stack'}; `connector check` names what is wrong with others"


@dataclass(frozen=True)
class Judged:
    """A stack with the decision for each connection of its stage."""

    name: str
    stack: StackConfig
    known: Known
    decisions: Decisions

    @property
    def stops(self) -> tuple[Refused, ...]:
        return stops(self.decisions, self.stack.stage)


def judged(project: Project, name: str, now: datetime | None = None) -> Judged:
    """Raises `UnknownStack`, `StackInvalid`, `Undecidable`."""
    stack = project.valid(name)
    return judged_stack(project, name, stack, now)


def judged_stack(project: Project, name: str, stack: StackConfig, now: datetime | None = None) -> Judged:
    """Of a stack that has been read."""
    try:
        known = known_of_project(stack, project.files, project.image_of(stack), now or datetime.now(UTC))
    except (SourceInvalid, PromotedInvalid, AnchorsInvalid, OSError) as problem:
        raise Undecidable(f"promotion of stack {name} cannot be decided: {problem}") from None
    return Judged(name, stack, known, decide(known))


@dataclass(frozen=True)
class Place:
    """A connection in a stack; `decision` is None where the stack only proposes it."""

    judged: Judged
    organization: Organization
    connection: EhrConnection
    decision: Decision | None


def places_of(project: Project, connection_id: str, now: datetime | None = None) -> list[Place]:
    """Where a connection stands: those that decide it last. Raises `UnknownConnection`."""
    found: list[Place] = []
    valid = [(name, loaded.stack) for name in project.stacks() if (loaded := project.load(name)).stack is not None]
    for name, stack in valid:
        for organization in stack.organizations:
            for connection in organization.connections:
                if connection.id == connection_id:
                    judged_ = judged_stack(project, name, stack, now)
                    decision = judged_.decisions.get(connection_id)
                    found.append(Place(judged_, organization, connection, decision))
    if not found:
        raise UnknownConnection(connection_id, [name for name, _ in valid])
    return sorted(found, key=lambda p: p.decision is not None)


def as_proposed(project: Project, connection_id: str, now: datetime | None = None) -> tuple[Place, Decision]:
    """A connection as the approver sees it, with the decision by all that is known: a production connection as the test
    stack proposes it, by production's own lists where there is a production stack. Raises `UnknownConnection`.
    """
    places = places_of(project, connection_id, now)
    place, known = places[0], places[-1].judged.known
    organization = place.organization
    own = tuple(c for c in organization.connections if c.stage is place.connection.stage)
    alone = organization.model_copy(update={"connections": own})
    hosts = {**place.judged.known.hosts, **known.hosts}
    proposals = place.judged.stack.organizations if known.proposals is None else known.proposals
    known = replace(known, organizations=(alone,), hosts=hosts, proposals=proposals)
    return place, decide(known)[connection_id]
