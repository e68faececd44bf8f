"""Rules of `approvals/`: statements are added and never changed; each new one counts by the base revision's keys.

A list of revocations is the one statement whose file is replaced, by a newer one.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from schemas.promotion.envelope import StatementFile, Verified, verify
from schemas.promotion.reasons import Code, Reason
from schemas.promotion.revocation import Held, accept
from schemas.promotion.statement import FOLDER, Revocations, is_statement_file
from schemas.promotion.trust import Trust
from workflow.merge.reasons import Finding, GateCode
from workflow.merge.revision import Changed, Revision

REVOCATIONS = f"{FOLDER}/revocations/"


def check_statements(
    changed: Iterable[Changed], base: Revision, head: Revision, trusts: Sequence[Trust], now: datetime
) -> Iterator[Finding]:
    """`trusts` are those of the base revision's stacks: a statement counts in one of them."""
    changed = list(changed)
    gone = {c.before.sha: c.path for c in changed if c.before is not None and c.after is None}
    for change in changed:
        if not is_statement_file(change.path) or (change.after is not None and not change.after.is_regular):
            continue
        if change.path.startswith(REVOCATIONS):
            yield from _of_list(change, base, head, trusts, now)
        elif change.before is not None:
            got = "nothing there" if change.after is None else "another one"
            yield Finding(GateCode.STATEMENT_CHANGED, "the statement that stands there", got, change.path)
        elif change.after is not None and change.after.sha not in gone:  # what moved is told where it was
            found = _verified(head, change.path, trusts)
            if isinstance(found, Reason):
                yield from _rejected(change.path, found)


def _of_list(
    change: Changed, base: Revision, head: Revision, trusts: Sequence[Trust], now: datetime
) -> Iterator[Finding]:
    if change.after is None:
        yield Finding(GateCode.REVOCATIONS_ROLLED_BACK, "the list of revocations", "none", change.path)
        return
    found = _verified(head, change.path, trusts)
    if isinstance(found, Reason):
        yield from _rejected(change.path, found)
        return
    before = _verified(base, change.path, trusts) if change.before is not None else None
    held = (
        Held(before.predicate) if isinstance(before, Verified) and isinstance(before.predicate, Revocations) else None
    )
    new = found.predicate
    if isinstance(new, Revocations):
        accepted = accept(found, held, new.geography, new.stage, now, expired=True)
        if isinstance(accepted, Reason):
            yield Finding(GateCode.REVOCATIONS_ROLLED_BACK, accepted.expected, accepted.got, change.path)


def _verified(revision: Revision, path: str, trusts: Sequence[Trust]) -> Verified | Reason:
    """The statement, or the first stack's reason why it does not count."""
    try:
        file = StatementFile(path, revision.read(path))
    except OSError as problem:
        return Reason(Code.STATEMENT_MALFORMED, "a file that can be read", problem.strerror or "another", path)
    results = [verify(file, trust) for trust in trusts]
    for result in results:
        if isinstance(result, Verified):
            return result
    return next(r.reason for r in results if not isinstance(r, Verified))


def _rejected(path: str, reason: Reason) -> Iterator[Finding]:
    yield Finding(GateCode.STATEMENT_REJECTED, reason.expected, f"{reason.got} [{reason.code}]", path)
