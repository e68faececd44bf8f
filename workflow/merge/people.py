"""Rules of people: who asked for a change, and that somebody else reviewed it.

A requester is whom the portal's signed trailer names, else a commit's author; and whoever opened the pull request, who
stands for what `connector promote` committed for them.
A platform engineer who is none of them approves the newest commit, and so does the approver of what is promoted where
their GitHub account is configured. GitHub takes names in any case for one account: so one counts as written in the
configuration only, and is a requester in whatever case.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from runtime.portal.repository.objects import AUTHOR
from schemas.promotion.requester import ChangeRequest, Unproven, requester_of
from schemas.promotion.trust import Trust
from schemas.promotion_config import Reviewer
from schemas.stack_config import Person, StackConfig
from workflow.merge.judging import Compared
from workflow.merge.pull_request import PullRequest, Review, User
from workflow.merge.reasons import Finding, GateCode
from workflow.merge.revision import Revision, changes

GITHUB_ITSELF = "web-flow"
"""The committer of what somebody did on GitHub's pages; the author is the person."""

Account = tuple[str, str]
"""Tenant and object id."""


@dataclass(frozen=True)
class Requesters:
    """Logins in lower case, and accounts."""

    logins: frozenset[str]
    accounts: frozenset[Account]

    def includes(self, reviewer: Reviewer) -> bool:
        return reviewer.github.casefold() in self.logins or (reviewer.tenant_id, reviewer.object_id) in self.accounts


def requesters(
    pull: PullRequest, commits: Iterable[Revision], trust: Trust, logins: Mapping[Account, str]
) -> tuple[Requesters, list[Finding]]:
    """Everybody who asked for a part of the pull request; `logins` are the accounts that the configuration names."""
    found: set[str] = {pull.author.login} if pull.author.is_person else set()
    accounts: set[Account] = set()
    problems: list[Finding] = []
    for commit in commits:
        asked = _asked(commit, trust)
        if isinstance(asked, Unproven):
            problems.append(Finding(GateCode.REQUESTER_UNPROVEN, asked.expected, asked.got, commit.commit[:12]))
            continue
        people = _people(pull, commit.commit)
        found |= {p.login for p in people if p is not None and p.is_person}
        if asked is not None:
            accounts.add((asked.requester.tenant_id, asked.requester.object_id))
        elif commit.author == AUTHOR and pull.author.is_person:
            continue  # `connector promote`, run by whoever opened the pull request
        elif any(p is None or not p.is_person for p in people) or not people:
            expected = "a commit by a person, or with the portal's trailer"
            problems.append(Finding(GateCode.REQUESTER_UNKNOWN, expected, "nobody who is known", commit.commit[:12]))
    found |= {login for account, login in logins.items() if account in accounts}
    return Requesters(frozenset(login.casefold() for login in found), frozenset(accounts)), problems


def _people(pull: PullRequest, commit: str) -> list[User | None]:
    authors = pull.authors.get(commit)
    if authors is None:
        return []
    both = [authors.author, authors.committer]
    return [p for p in both if p is None or p.login != GITHUB_ITSELF]


def _asked(commit: Revision, trust: Trust) -> ChangeRequest | Unproven | None:
    parents = commit.parents
    files: dict[str, bytes | None] = {}
    if len(parents) == 1:
        for change in changes(Revision(commit.store, parents[0]), commit):
            regular = change.after is None or change.after.is_regular
            files[change.path] = commit.content(change.path) if regular else b""
    return requester_of(commit.message, parents[0] if len(parents) == 1 else "", files, trust)


def logins_of(stacks: Iterable[StackConfig]) -> dict[Account, str]:
    """The GitHub accounts of everybody whom the configuration names."""
    found: dict[Account, str] = {}
    for stack in stacks:
        people: list[Person] = []
        for organization in stack.organizations:
            people += [*organization.administrators, *(c.approver for c in organization.connections)]
        found |= {(p.tenant_id, p.object_id): p.github for p in people if p.github is not None}
        found |= {(r.tenant_id, r.object_id): r.github for r in stack.promotion.reviewers}
    return found


def check_reviews(pull: PullRequest, reviewers: Sequence[Reviewer], asking: Requesters) -> Iterator[Finding]:
    """That a platform engineer who did not ask approves the newest commit, and none asks for changes."""
    if not reviewers:
        yield Finding(GateCode.NO_REVIEWERS, "reviewers in the base revision's configuration", "none")
        return
    latest = _latest(pull.reviews)
    of = {r.github: latest[r.github] for r in reviewers if r.github in latest}
    if against := [login for login, review in of.items() if review.state == "CHANGES_REQUESTED"]:
        yield Finding(GateCode.CHANGES_REQUESTED, "no platform engineer against it", f"changes asked by {against[0]}")
        return
    approved = [r for r in reviewers if r.github in of and _counts(of[r.github], pull)]
    others = [r for r in approved if not asking.includes(r)]
    if others:
        return
    expected = "the approval of a platform engineer who did not ask for the change"
    if approved:
        yield Finding(GateCode.REVIEW_BY_REQUESTER, expected, f"that of {approved[0].github}, who asked for it")
    elif stale := [login for login, review in of.items() if review.commit != pull.head]:
        yield Finding(GateCode.REVIEW_STALE, expected, f"that of {stale[0]} for an earlier commit")
    else:
        yield Finding(GateCode.REVIEW_MISSING, expected, "none")


def check_approvers(pull: PullRequest, compared: Compared) -> Iterator[Finding]:
    """That the approver of what is promoted approves here too, where their account is configured."""
    latest = _latest(pull.reviews)
    for decision in compared.promoted():
        place = compared.head.find(compared.head.stack, decision.connection)
        login = place[1].approver.github if place else None
        if login is None:
            continue
        review = latest.get(login)
        if review is None or not _counts(review, pull):
            got = "none" if review is None else "one of an earlier commit, or of another verdict"
            expected = f"the approver's approval of the newest commit, by {login}"
            yield Finding(GateCode.APPROVER_REVIEW_MISSING, expected, got, decision.connection)


def _latest(reviews: Iterable[Review]) -> dict[str, Review]:
    """The last verdict of each person. A comment is none."""
    return {r.author.login: r for r in reviews if r.author.is_person and r.state != "COMMENTED"}


def _counts(review: Review, pull: PullRequest) -> bool:
    return review.state == "APPROVED" and review.commit == pull.head
