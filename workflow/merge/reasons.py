"""Every reason for which a pull request is not merged: one code a rule, in words, with what to do.

Why a connection is not approved has codes of its own (`schemas/promotion/reasons.py`); they stand in `got`.
"""

from dataclasses import dataclass
from enum import StrEnum


class GateCode(StrEnum):
    """One for each rule of the gate."""

    # the revisions
    HEAD_ELSEWHERE = "head-elsewhere"
    BASE_MOVED = "base-moved"
    HEAD_BEHIND = "head-behind"
    BASE_INVALID = "base-invalid"
    NOT_JUDGED = "not-judged"
    # files
    PATH_UNCLEAR = "path-unclear"
    CONFIGURATION_INVALID = "configuration-invalid"
    PREVIEW_FAILED = "preview-failed"
    # approvals/
    STATEMENT_CHANGED = "statement-changed"
    STATEMENT_REJECTED = "statement-rejected"
    REVOCATIONS_ROLLED_BACK = "revocations-rolled-back"
    # what is promoted
    MIXED = "mixed"
    NOT_APPROVED = "not-approved"
    NOT_PROMOTED = "not-promoted"
    PROMOTED_EDITED = "promoted-edited"
    # people
    REQUESTER_UNPROVEN = "requester-unproven"
    REQUESTER_UNKNOWN = "requester-unknown"
    NO_REVIEWERS = "no-reviewers"
    REVIEW_MISSING = "review-missing"
    REVIEW_STALE = "review-stale"
    REVIEW_BY_REQUESTER = "review-by-requester"
    CHANGES_REQUESTED = "changes-requested"
    APPROVER_REVIEW_MISSING = "approver-review-missing"
    # the base branch
    PROTECTION_WEAK = "protection-weak"


@dataclass(frozen=True)
class Finding:
    """`expected` and `got` complete the sentence "expected ..., got ..."; `where` is a file, a connection or nobody.

    What somebody chose stands in `where`, `expected` and `got` as it came: whoever shows it makes it harmless.
    """

    code: GateCode
    expected: str
    got: str
    where: str = ""

    @property
    def message(self) -> str:
        return f"expected {self.expected}, got {self.got}"

    @property
    def advice(self) -> str:
        return ADVICE[self.code]


_REVIEW = "a platform engineer of promotion.reviewers who did not ask for the change approves its newest commit"

ADVICE: dict[GateCode, str] = {
    GateCode.HEAD_ELSEWHERE: "push the branch to this repository: a fork's pull requests are not merged",
    GateCode.BASE_MOVED: "run the check again: the base branch moved while it ran",
    GateCode.HEAD_BEHIND: "merge the base branch into this one, or make the change anew on top of it",
    GateCode.NOT_JUDGED: "the gate judges it again within the hour; a new commit or review makes it do so at once",
    GateCode.BASE_INVALID: "an administrator of the repository repairs the base branch",
    GateCode.PATH_UNCLEAR: "use plain files with paths of letters, digits, dots, hyphens and underscores, each once",
    GateCode.CONFIGURATION_INVALID: "`connector check` shows the same problems, with line and column",
    GateCode.PREVIEW_FAILED: "`pulumi preview` shows the same; the message says what stopped it",
    GateCode.STATEMENT_CHANGED: "statements are added and never changed: bring the file back as it was",
    GateCode.STATEMENT_REJECTED: "remove the file, and take the statement anew with `connector promote`",
    GateCode.REVOCATIONS_ROLLED_BACK: "bring back the newer list; `connector revoke` makes the next one",
    GateCode.MIXED: "make two pull requests: first what the promotion relies on, then the promotion",
    GateCode.NOT_APPROVED: "`connector explain` says what is missing; `connector promote` brings it",
    GateCode.NOT_PROMOTED: "production is changed by `connector promote`, which writes approvals/promoted.json too",
    GateCode.PROMOTED_EDITED: "take the changes of approvals/promoted.json back: `connector promote` writes it",
    GateCode.REQUESTER_UNPROVEN: "propose the change in the portal again",
    GateCode.REQUESTER_UNKNOWN: "commit with an address that GitHub knows, or propose the change in the portal",
    GateCode.NO_REVIEWERS: "name platform engineers in promotion.reviewers, in a pull request of its own",
    GateCode.REVIEW_MISSING: _REVIEW,
    GateCode.REVIEW_STALE: _REVIEW,
    GateCode.REVIEW_BY_REQUESTER: _REVIEW,
    GateCode.CHANGES_REQUESTED: "do what the reviewer asks for; they review again",
    GateCode.APPROVER_REVIEW_MISSING: "the approver, whose GitHub account is configured, approves the newest commit",
    GateCode.PROTECTION_WEAK: "an administrator of the repository sets the branch's rules as README says",
}
