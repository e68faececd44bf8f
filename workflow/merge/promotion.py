"""Rules of what is promoted: approved by the base revision's rules, by itself, and written down as `promote` does.

A connection has at most one finding: what else is wrong with a promotion that relies on a change beside it says little.
"""

from collections.abc import Collection, Iterator, Sequence

from schemas.promotion.decide import Approved, Decision
from schemas.promotion.promoted import FILE, Promoted
from schemas.promotion.reasons import Code
from schemas.promotion.telling import reasons_of
from schemas.stack_config import EhrConnection, Organization
from workflow.merge.guarded import guarded_settings, relied_on
from workflow.merge.judging import Compared
from workflow.merge.reasons import Finding, GateCode

WRITTEN_BY_HAND = frozenset({Code.PROMOTED_ROLLED_BACK, Code.PROMOTED_DIFFERS})
MOST_NAMED = 5


def check_promotion(compared: Compared, guarded: Sequence[str]) -> Iterator[Finding]:
    """`guarded` are files and settings outside of the two stacks' configuration that change too."""
    base, head = compared.base, compared.head
    beside = [
        *guarded,
        *(f"{name} of {compared.name}" for name in guarded_settings(base.stack, head.stack)),
        *(f"{name} of the test stack" for name in guarded_settings(base.source, head.source)),
    ]
    if beside and any(compared.promoted()):
        yield Finding(GateCode.MIXED, "a promotion by itself", f"changes of {_named(beside)} too", compared.name)
        return
    for decision in compared.after.values():
        if finding := _of_connection(compared, decision):
            yield finding


def _of_connection(compared: Compared, decision: Decision) -> Finding | None:
    connection = decision.connection
    if compared.is_promoted(decision) and (changed := _relied_on_and_changed(compared, decision)):
        return Finding(GateCode.MIXED, "who decides about it as in the base revision", changed, connection)
    reasons = reasons_of(decision) if not isinstance(decision, Approved) else ()
    by_hand = [r for r in reasons if r.code in WRITTEN_BY_HAND]
    if by_hand and len(by_hand) == len(reasons):
        return Finding(GateCode.PROMOTED_EDITED, by_hand[0].expected, by_hand[0].got, connection)
    if compared.is_newly_refused(decision):
        told = "; ".join(f"{r.message} [{r.code}]" for r in reasons)
        return Finding(GateCode.NOT_APPROVED, "a connection that is approved", told, connection)
    before, entry = compared.before.get(connection), compared.head.approvals.promoted.of(connection)
    changed_here = before is None or before.sha256 != decision.sha256
    by_approval = decision.approval is not None  # who is served by broken glass alone is not promoted
    if changed_here and by_approval and (entry is None or entry.sha256 != decision.sha256):
        got = "an entry of another configuration" if entry else "no entry"
        return Finding(GateCode.NOT_PROMOTED, f"an entry of it in {FILE}", got, connection)
    return None


def _relied_on_and_changed(compared: Compared, decision: Decision) -> str | None:
    """In words, what decides about a promoted connection and is not as the base revision has it."""
    base, head, connection = compared.base, compared.head, decision.connection
    proposed = base.find(base.source, connection)
    if proposed is None:
        return "one that the base revision's test stack does not propose"
    ids = [connection]
    if decision.approval is not None and decision.approval.test_connection is not None:
        ids.append(decision.approval.test_connection.id)
    served, known = head.find(head.stack, connection), [proposed, base.find(base.stack, connection)]
    assert served is not None
    own = relied_on(served[0], [served[1]])
    for name, value in own.items():
        if all(value != relied_on(o, [c]).get(name) for o, c in filter(None, known)):
            return f"another {name} in production"
    for one in ids:
        before, after = base.find(base.source, one), head.find(head.source, one)
        if changed := _differing(before, after):
            return f"another {changed} in the test stack"
    return None


def _differing(
    before: tuple[Organization, EhrConnection] | None, after: tuple[Organization, EhrConnection] | None
) -> str | None:
    if before is None or after is None:
        return None  # the decision says so
    was, is_now = relied_on(before[0], [before[1]]), relied_on(after[0], [after[1]])
    return next((name for name in was if was[name] != is_now.get(name)), None)


def check_promoted_file(
    content: bytes | None, before: Promoted, after: Promoted, known: Collection[str]
) -> Iterator[Finding]:
    """`approvals/promoted.json` as `promote` writes it; `known` are the connections of all production stacks."""
    if (content or b"").decode("utf-8", "replace") != after.text() and (content or before.connections):
        yield Finding(GateCode.PROMOTED_EDITED, "the file as `connector promote` writes it", "another spelling", FILE)
    for connection, entry in before.connections.items():
        now = after.of(connection)
        if connection not in known and now != entry:
            got = "another one" if now else "none"
            yield Finding(GateCode.PROMOTED_EDITED, "the entry of a connection that is configured no more", got, FILE)
        elif now is not None and now.promoted_at < entry.promoted_at:
            expected = f"an entry from {entry.promoted_at} or later"
            yield Finding(GateCode.PROMOTED_EDITED, expected, f"one from {now.promoted_at}", connection)
    for connection in after.connections:
        if connection not in known and before.of(connection) is None:
            expected = "entries of connections that are configured"
            yield Finding(GateCode.PROMOTED_EDITED, expected, f"one of {connection}", FILE)


def _named(names: Sequence[str]) -> str:
    more = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
