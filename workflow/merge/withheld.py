"""What was published and takes an approval away: refusals of the portals, and newer lists of revocations.

It decides whether a pull request brings it or not, and whether it is merged or not. Owns on which branches it is, and
that what counts there never gives an approval: approvals and rehearsals come with the pull request alone.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime

from schemas.promotion.approvals import Approvals, held_in, revocations_file
from schemas.promotion.decide import Approved
from schemas.promotion.envelope import StatementFile, Verified, verify
from schemas.promotion.revocation import Held, accept
from schemas.promotion.statement import FOLDER, Approval, Verdict
from schemas.promotion.telling import reasons_of
from schemas.promotion.trust import Trust
from schemas.stack_config import StackConfig
from workflow.merge.judging import Compared
from workflow.merge.promotion import WRITTEN_BY_HAND
from workflow.merge.reasons import Finding, GateCode
from workflow.merge.revision import Revision

BRANCHES = ("connector/statements-", "connector/revocations-")
"""How the names of the branches begin on which portals and `connector revoke` publish."""


def taking_away(
    published: Iterable[Revision], approvals: Approvals, stack: StackConfig, trust: Trust, now: datetime
) -> tuple[StatementFile, ...]:
    """Of the branches' newest commits: each refusal that `approvals` lacks, and each list newer than the one there."""
    revisions = list(published)
    here = {s.path for s in approvals.statements}
    refusals = {f.path: f for f in _refusals(revisions, stack, trust) if f.path not in here}
    return (*refusals.values(), *_newer_lists(revisions, approvals, stack, trust, now))


def with_files(approvals: Approvals, files: Iterable[StatementFile]) -> Approvals:
    """A file takes the place of the one at its path."""
    by_path = {s.path: s for s in (*approvals.statements, *files)}
    return replace(approvals, statements=tuple(by_path[path] for path in sorted(by_path)))


def check_withheld(one: Compared) -> Iterator[Finding]:
    """What the pull request promotes is approved by what was published, too."""
    for decision in one.promoted():
        against = one.published.get(decision.connection)
        if isinstance(decision, Approved) and against is not None and not isinstance(against, Approved):
            reasons = [r for r in reasons_of(against) if r.code not in WRITTEN_BY_HAND]
            told = "; ".join(f"{r.message} [{r.code}]" for r in reasons)
            expected = "a connection that nothing published speaks against"
            yield Finding(GateCode.NOT_APPROVED, expected, told, decision.connection)


def _refusals(revisions: Iterable[Revision], stack: StackConfig, trust: Trust) -> Iterator[StatementFile]:
    folders = tuple(f"{FOLDER}/{o.id}/" for o in stack.organizations)
    for revision in revisions:
        for path in revision.below(FOLDER):
            if path.startswith(folders) and path.endswith(f"-{Verdict.REFUSE}.json"):
                found = _verified(revision, path, trust)
                if found is not None and isinstance(found[1].predicate, Approval):
                    yield found[0]


def _newer_lists(
    revisions: Iterable[Revision], approvals: Approvals, stack: StackConfig, trust: Trust, now: datetime
) -> Iterator[StatementFile]:
    here, _ = held_in(approvals.statements, trust, stack.stage, stack.geographies, now)
    for geography in stack.geographies:
        held, newest = here.get(geography), None
        for revision in revisions:
            found = _verified(revision, revocations_file(geography, stack.stage), trust)
            list_ = accept(found[1], held, geography, stack.stage, now, expired=True) if found else None
            if found and isinstance(list_, Held) and list_ != held:
                held, newest = list_, found[0]
        if newest is not None:
            yield newest


def _verified(revision: Revision, path: str, trust: Trust) -> tuple[StatementFile, Verified] | None:
    """A file that counts, as it is and as what it says."""
    try:
        file = StatementFile(path, revision.read(path))
    except OSError:  # not there, a link, or too large: no statement
        return None
    found = verify(file, trust)
    return (file, found) if isinstance(found, Verified) else None
