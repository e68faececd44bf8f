"""Both revisions of a production stack with its test stack, decided: by the base revision's keys, anchors and rules.

Owns what is taken from where: who signs, which rehearsals are asked for and where the test stack is are the base
revision's; what is configured, stated and promoted is each revision's own.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

from schemas.promotion.approvals import Approvals, known_of_stack
from schemas.promotion.decide import Decision, Decisions, Refused, decide
from schemas.promotion.promoted import Promoted, PromotedInvalid
from schemas.promotion.reading import approvals_below
from schemas.promotion.trust import Trust, TrustAnchors
from schemas.stack_config import EhrConnection, Organization, StackConfig
from schemas.vocabulary import Cloud, Stage
from workflow.merge.revision import Revision

ImageOf = Callable[[StackConfig], str | None]
AnchorsOf = Callable[[Cloud], TrustAnchors]
"""Of the base revision, whose code runs."""


@dataclass(frozen=True)
class Side:
    """A production stack as a revision has it, and the test stack from which it is promoted."""

    stack: StackConfig
    source: StackConfig
    approvals: Approvals

    def find(self, stack: StackConfig, connection: str) -> tuple[Organization, EhrConnection] | None:
        """A connection of one of the two."""
        for organization in stack.organizations:
            for found in organization.connections:
                if found.id == connection:
                    return organization, found
        return None


WithPublished = Callable[[Side, Trust], Approvals]
"""What stands below `approvals/` of a side, with what was published beside it and counts by these keys."""


@dataclass(frozen=True)
class Compared:
    """One production stack at both revisions."""

    name: str
    base: Side
    head: Side
    before: Decisions
    after: Decisions
    published: Decisions
    """As `after`, by what was published beside the pull request too."""

    def is_promoted(self, decision: Decision) -> bool:
        """Whether the pull request changes what is served, or what is said to be promoted, of a connection."""
        before, promoted = self.before.get(decision.connection), self.head.approvals.promoted
        moved = promoted.of(decision.connection) != self.base.approvals.promoted.of(decision.connection)
        return before is None or before.sha256 != decision.sha256 or moved

    def promoted(self) -> Iterator[Decision]:
        return (d for d in self.after.values() if self.is_promoted(d))

    def is_newly_refused(self, decision: Decision) -> bool:
        """A refusal that stood before, of something else, is not this pull request's."""
        stood = isinstance(self.before.get(decision.connection), Refused)
        return isinstance(decision, Refused) and (not stood or self.is_promoted(decision))


def side(revision: Revision, stack: str, source: str | None = None) -> Side | str:
    """One revision's, or in words why it cannot be read. `source` is the test stack's name, else the stack's own."""
    production = revision.stack(stack).stack
    if production is None or production.stage is not Stage.PRODUCTION:
        return f"no valid production stack {stack}"
    test = revision.stack(source or str(production.promotion.source)).stack
    if test is None or test.stage is not Stage.TEST:
        return f"no valid test stack {source or production.promotion.source}"
    try:
        return Side(production, test, approvals_below(revision.as_files))
    except (PromotedInvalid, OSError) as problem:
        return str(problem)


def trusts(base: Side, anchors_of: AnchorsOf) -> tuple[Trust, Trust]:
    """Whose signatures count in the base revision's production stack, and in its test stack."""
    production, test = (
        Trust(stack.promotion.trusted_keys, anchors_of(stack.cloud)) for stack in (base.stack, base.source)
    )
    return production, test


def compared(
    name: str, base: Side, head: Side, anchors_of: AnchorsOf, image_of: ImageOf, now: datetime, published: WithPublished
) -> Compared:
    anchors = anchors_of(base.stack.cloud)

    def decided(side: Side, approvals: Approvals, at_base: Promoted | None) -> Decisions:
        stack = side.stack.model_copy(update={"promotion": base.stack.promotion, "cloud": base.stack.cloud})
        known = known_of_stack(
            stack, approvals, anchors, image_of(side.stack), now, source=side.source, at_base=at_base
        )
        return decide(known)

    before, after = decided(base, base.approvals, None), decided(head, head.approvals, base.approvals.promoted)
    more = published(head, trusts(base, anchors_of)[0])
    against = after if more == head.approvals else decided(head, more, base.approvals.promoted)
    return Compared(name, base, head, before, after, against)
