"""What was published since the merge, for an update: refusals and newer lists of revocations, as files of the checkout.

The program, the policy pack and `connector check --promotion` then decide by them as if they were merged: who is served
unchanged is withdrawn, whoever is new is refused. Nothing that gives an approval is brought.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

from schemas.promotion.promoted import PromotedInvalid
from schemas.promotion.reading import anchors_of, approvals_below
from schemas.promotion.trust import AnchorsInvalid, Trust
from workflow.errors import WorkflowError
from workflow.merge.fetching import checked_out, fetched
from workflow.merge.revision import Revision
from workflow.merge.withheld import BRANCHES, taking_away
from workflow.project import Project


def bring(project: Project, remote: str, token: str, stacks: Sequence[str], now: datetime | None = None) -> list[str]:
    """The paths of what was written. Raises `FetchFailed`, and what keeps a stack from being read."""
    moment = now or datetime.now(UTC)
    paths: list[str] = []
    with fetched(remote, token, (checked_out(project.root),), BRANCHES) as (store, branches):
        published = [Revision(store, commit) for commit in branches]
        for name in stacks:
            stack = project.valid(name)
            try:
                trust = Trust(stack.promotion.trusted_keys, anchors_of(stack.cloud, project.files))
                approvals = approvals_below(project.files)
            except (AnchorsInvalid, PromotedInvalid, OSError) as problem:
                raise WorkflowError(f"approvals of stack {name} cannot be read: {problem}") from None
            for file in taking_away(published, approvals, stack, trust, moment):
                place = project.root / file.path
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(file.content)
                paths.append(file.path)
    return paths
