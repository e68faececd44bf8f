"""Rules of the base branch itself: without them a check that fails would stop nobody."""

from collections.abc import Iterator

from workflow.merge.pull_request import BranchRules
from workflow.merge.reasons import Finding, GateCode

CHECK = "connector/gate"
"""The one check that the base branch must require, from the gate's own app."""


def check_protection(rules: BranchRules, app: int, branch: str) -> Iterator[Finding]:
    """That the branch requires this app's check, a review of the newest commit by another person, and no way round."""
    if lacking := list(_lacking(rules, app)):
        expected = f"a branch {branch} that requires the gate"
        yield Finding(GateCode.PROTECTION_WEAK, expected, f"one without {', '.join(lacking)}", branch)


def _lacking(rules: BranchRules, app: int) -> Iterator[str]:
    if (CHECK, app) not in rules.checks:
        yield f"the required check {CHECK} by the app {app}"
    if not rules.strict:
        yield "up-to-date branches"
    if rules.approvals < 1:
        yield "a required review"
    if not rules.dismisses_stale:
        yield "dismissal of stale reviews"
    if not rules.last_push_approval:
        yield "approval of the last push by another person"
    if not rules.no_force:
        yield "refusal of force pushes"
    if not rules.no_deletion:
        yield "refusal of deletion"
