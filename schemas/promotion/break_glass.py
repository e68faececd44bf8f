"""What a break-glass statement waives: for hours, for one connection as it is now, the reasons that it names.

Never a refusal, a revocation, a signature or a key.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from schemas.promotion.decision import Decision
from schemas.promotion.ledger import Filed
from schemas.promotion.reasons import Code, Reason
from schemas.promotion.statement import BreakGlass, Verdict
from schemas.stack_config import Organization
from schemas.vocabulary import Stage

WAIVABLE = frozenset(
    {
        Code.APPROVAL_MISSING,
        Code.APPROVAL_URL,
        Code.CONFIGURATION_CHANGED,
        Code.APPROVAL_EXPIRED,
        Code.TEST_CONNECTION_CHANGED,
        Code.TEST_CONNECTION_DIFFERS,
        Code.NOT_PROPOSED,
        Code.COPY_DIFFERS,
        Code.ORGANIZATION_INCOMPLETE,
        Code.REHEARSAL_MISSING,
        Code.REHEARSAL_DIGEST,
        Code.REHEARSAL_IMAGE,
        Code.REHEARSAL_EXPIRED,
    }
)


@dataclass(frozen=True)
class Glass:
    """The statements in force for a connection."""

    broken: tuple[Filed[BreakGlass], ...] = ()

    @classmethod
    def of(
        cls,
        found: Iterable[Filed[BreakGlass]],
        organization: Organization,
        stage: Stage,
        decision: Decision,
        now: datetime,
    ) -> "Glass":
        """A refusal by the approver is stronger than any glass, also once the configuration has changed."""
        if decision.approval is not None and decision.approval.decision is Verdict.REFUSE:
            return cls()
        return cls(
            tuple(
                g
                for g in found
                if g.predicate.organization == organization.id
                and g.predicate.geography is organization.geography
                and g.predicate.stage is stage
                and g.sha256 == decision.sha256
                and g.predicate.begun(now)
                and not g.predicate.ended(now)
            )
        )

    def waives(self, code: Code) -> bool:
        return code in WAIVABLE and any(code in g.predicate.waives for g in self.broken)

    def without_waived(self, reasons: Sequence[Reason]) -> tuple[list[Reason], list[Reason]]:
        """The reasons that are left, and the warnings that stand for the others."""
        waived = [r for r in reasons if self.waives(r.code)]
        if not waived:
            return list(reasons), []
        loud = [
            Reason(
                Code.BREAK_GLASS,
                "no emergency",
                f"the glass broken until {g.predicate.expires}: {g.predicate.reason}",
                g.path,
            )
            for g in self.broken
            if any(r.code in g.predicate.waives for r in waived)
        ]
        return [r for r in reasons if r not in waived], [*loud, *waived]
