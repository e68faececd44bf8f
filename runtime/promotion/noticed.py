"""What the audit keeps of decisions: each change, and each emergency, once, by the geography's worker.

The other roles decide the same from the same; their rows would say it again.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from runtime.audit import Action, AuditRow
from schemas.promotion.decide import Approved, Decision, Decisions, Refused, Withdrawn
from schemas.promotion.reasons import Code
from schemas.vocabulary import RuntimeRole

if TYPE_CHECKING:
    from runtime.bootstrap import Services


async def record_changes(services: "Services", before: Decisions, after: Decisions) -> None:
    """Rows for what changed since the last decision of this process. Raises `DatabaseUnavailable`."""
    if services.settings.role is not RuntimeRole.WORKER:
        return
    rows = [*_changed(before, after), *_broken(before, after)]
    if rows:
        async with services.database.transaction() as connection:
            for row in rows:
                await services.audit.record(connection, row)


def word_of(decision: Decision) -> str:
    """The standing as a code: `approved`, or the first reason why not."""
    reasons = decision.reasons if isinstance(decision, Refused | Withdrawn) else ()
    return reasons[0].code.value if reasons else type(decision).__name__.lower()


def _changed(before: Decisions, after: Decisions) -> Iterator[AuditRow]:
    for name, decision in after.items():
        if name in before and word_of(before[name]) != word_of(decision):
            yield AuditRow(Action.DECISION_CHANGED, decision.organization, name, detail=word_of(decision))


def _broken(before: Decisions, after: Decisions) -> Iterator[AuditRow]:
    for name, decision in after.items():
        if _glass(decision) and not _glass(before.get(name)):
            yield AuditRow(Action.BREAK_GLASS_IN_FORCE, decision.organization, name)


def _glass(decision: Decision | None) -> bool:
    return isinstance(decision, Approved) and any(w.code is Code.BREAK_GLASS for w in decision.warnings)
