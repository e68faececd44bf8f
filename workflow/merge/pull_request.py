"""A pull request as values: who asked for it, its commits and reviews, and the rules of the branch that it changes."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class User:
    """A GitHub account; `type` is `User` for a person's."""

    login: str
    type: str = "User"

    @property
    def is_person(self) -> bool:
        return self.type == "User"


@dataclass(frozen=True)
class Authors:
    """Whose a commit is, by the accounts that GitHub finds for its addresses; None where it finds none."""

    author: User | None
    committer: User | None


@dataclass(frozen=True)
class Review:
    author: User
    state: str
    """APPROVED, CHANGES_REQUESTED, COMMENTED or DISMISSED."""
    commit: str


@dataclass(frozen=True)
class BranchRules:
    """What protects the base branch: of all active rulesets."""

    checks: frozenset[tuple[str, int | None]] = frozenset()
    """(name, id of the app that must give it)"""
    strict: bool = False
    approvals: int = 0
    dismisses_stale: bool = False
    last_push_approval: bool = False
    no_force: bool = False
    no_deletion: bool = False


@dataclass(frozen=True)
class PullRequest:
    """`base` and `head` are commits."""

    number: int
    author: User
    base_branch: str
    base: str
    head: str
    from_elsewhere: bool = False
    authors: Mapping[str, Authors] = field(default_factory=dict[str, Authors])
    """By commit."""
    reviews: tuple[Review, ...] = ()
    rules: BranchRules = BranchRules()
