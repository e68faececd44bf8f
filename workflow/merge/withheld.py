"""Rule of what a pull request keeps back: a refusal that a portal published decides, whether it is brought or not.

The branches on which portals publish are read beside the two revisions. What counts there takes an approval away and
never gives one: approvals and rehearsals come with the pull request alone.
"""

from collections.abc import Iterable, Iterator

from schemas.promotion.decide import Approved, Decision
from schemas.promotion.envelope import StatementFile, Verified, verify
from schemas.promotion.statement import FOLDER, Approval, Verdict
from schemas.promotion.trust import Trust
from workflow.merge.judging import Compared
from workflow.merge.reasons import Finding, GateCode
from workflow.merge.revision import Revision

BRANCHES = "connector/statements-"


def check_withheld(one: Compared, published: Iterable[Revision], trust: Trust) -> Iterator[Finding]:
    """`published` are the newest commits of the portals' branches."""
    revisions = list(published)
    for decision in one.promoted():
        if not isinstance(decision, Approved):
            continue
        latest = max(_approvals(decision, revisions, trust), key=_weight, default=None)
        serial = decision.approval.serial if decision.approval else 0
        if latest is not None and latest.decision is Verdict.REFUSE and latest.serial >= serial:
            got = f"serial {serial}, where a refusal with serial {latest.serial} is published"
            yield Finding(GateCode.NOT_APPROVED, "the last decision of its approver", got, decision.connection)


def _approvals(decision: Decision, revisions: Iterable[Revision], trust: Trust) -> Iterator[Approval]:
    for revision in revisions:
        for path in revision.below(f"{FOLDER}/{decision.organization}/{decision.connection}"):
            try:
                found = verify(StatementFile(path, revision.read(path)), trust)
            except OSError:  # a link, or a file that is too large: no statement
                continue
            if isinstance(found, Verified) and isinstance(found.predicate, Approval):
                yield found.predicate


def _weight(approval: Approval) -> tuple[int, bool]:
    return approval.serial, approval.decision is Verdict.REFUSE
