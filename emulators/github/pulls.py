"""Pull requests with their files, commits and reviews.

Owns that a pull request follows its head branch however that moved, and what a move does to reviews: where the base
branch's rules say so, an approval of an earlier commit is dismissed. Nobody reviews their own pull request; forks are
not emulated.
"""

from dataclasses import dataclass, field
from typing import Any

from starlette.responses import Response

from emulators.github import bodies, errors
from emulators.github.git import HEADS
from emulators.github.git_data import GitData, commit_document, login_of
from emulators.github.requests import Call, answer
from emulators.github.site import Account

MOST_COMMITS = 250


@dataclass
class Review:
    id: int
    author: Account
    state: str
    commit_id: str
    body: str
    submitted_at: str

    def document(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "user": self.author.document(),
            "state": self.state,
            "commit_id": self.commit_id,
            "body": self.body,
            "submitted_at": self.submitted_at,
        }


@dataclass
class Pull:
    number: int
    id: int
    author: Account
    title: str
    body: str | None
    head: str
    base: str
    draft: bool
    head_sha: str
    created_at: str
    state: str = "open"
    merged_at: str | None = None
    merge_commit_sha: str | None = None
    base_sha: str = ""
    last_pusher: str | None = None
    """Who moved the head last; None where it was pushed to the bare repository itself."""
    reviews: list[Review] = field(default_factory=list[Review])


class Pulls:
    """The operations; `of(call)` are a repository's pull requests."""

    def __init__(self, data: GitData) -> None:
        self._data = data
        self._pulls: dict[int, dict[int, Pull]] = {}

    def of(self, call: Call) -> dict[int, Pull]:
        return self._pulls.setdefault(call.repository.id, {})

    def pull(self, call: Call) -> Pull:
        """The pull request of the path, as its head branch is now. Raises 404."""
        found = self.of(call).get(call.number("number"))
        if found is None:
            raise errors.not_found()
        self.follow(call, found)
        return found

    def follow(self, call: Call, pull: Pull) -> None:
        if pull.state != "open":
            return
        sha = call.git.ref(f"{HEADS}{pull.head}")
        if sha is None or sha == pull.head_sha:
            return
        rules = call.repository.rules.get(pull.base)
        pushed, login = self._data.pushers.get((call.repository.id, f"{HEADS}{pull.head}"), ("", ""))
        pull.head_sha, pull.last_pusher = sha, login if pushed == sha else None
        pull.base_sha = self.tip(call, pull)
        call.git.move_ref(f"refs/pull/{pull.number}/head", None, sha)
        if rules is not None and rules.dismiss_stale_reviews_on_push:
            for review in pull.reviews:
                if review.state == "APPROVED" and review.commit_id != sha:
                    review.state = "DISMISSED"

    def tip(self, call: Call, pull: Pull) -> str:
        """The base branch's newest commit. `base_sha` is that of the last push to the head, as GitHub shows it."""
        return call.git.ref(f"{HEADS}{pull.base}") or pull.base_sha

    # --- pull requests ---

    def create(self, call: Call) -> Response:
        call.require("pull_requests", "write")
        body, git = call.body(bodies.NewPull), call.git
        owner, _, branch = body.head.rpartition(":")
        if owner and owner.lower() != call.repository.owner.lower():
            raise errors.validation_failed("PullRequest", "head", "invalid", "forks are not emulated")
        head, base = git.ref(f"{HEADS}{branch}"), git.ref(f"{HEADS}{body.base}")
        if head is None or base is None:
            raise errors.validation_failed("PullRequest", "head" if head is None else "base")
        pulls = self.of(call)
        if any(p.state == "open" and (p.head, p.base) == (branch, body.base) for p in pulls.values()):
            message = f"A pull request already exists for {call.repository.owner}:{branch}."
            raise errors.validation_failed("PullRequest", "head", "custom", message)
        if not git.between(base, head):
            message = f"No commits between {body.base} and {branch}"
            raise errors.validation_failed("PullRequest", "head", "custom", message)
        number = max(pulls, default=0) + 1
        author = call.caller.account
        pushed, login = self._data.pushers.get((call.repository.id, f"{HEADS}{branch}"), ("", ""))
        pull = pulls[number] = Pull(
            number,
            call.hub.site.next_id(),
            author,
            body.title,
            body.body,
            branch,
            body.base,
            body.draft,
            head,
            call.hub.now(),
            base_sha=base,
            last_pusher=login if pushed == head else None,
        )
        git.create_ref(f"refs/pull/{number}/head", head)
        return answer(self.document(call, pull), 201)

    def list(self, call: Call) -> Response:
        call.require("pull_requests", "read")
        query = call.query("per_page", "page", "state", "head", "base")
        found: list[Pull] = []
        for pull in reversed(self.of(call).values()):
            self.follow(call, pull)
            if query.get("state", "open") not in ("all", pull.state):
                continue
            if "head" in query and query["head"] != f"{call.repository.owner}:{pull.head}":
                continue
            if query.get("base", pull.base) == pull.base:
                found.append(pull)
        return call.page([self.document(call, p) for p in found], "state", "head", "base")

    def get(self, call: Call) -> Response:
        call.require("pull_requests", "read")
        return answer(self.document(call, self.pull(call), detailed=True))

    def change(self, call: Call) -> Response:
        call.require("pull_requests", "write")
        pull, body = self.pull(call), call.body(bodies.ChangedPull)
        if pull.merged_at is not None and body.state == "open":
            raise errors.validation_failed("PullRequest", "state", "custom", "Cannot reopen a merged pull request")
        pull.title = body.title or pull.title
        pull.body = body.body if body.body is not None else pull.body
        pull.state = body.state or pull.state
        return answer(self.document(call, pull, detailed=True))

    def document(self, call: Call, pull: Pull, *, detailed: bool = False) -> dict[str, Any]:
        repository = {
            "id": call.repository.id,
            "full_name": call.repository.full_name,
            "default_branch": call.repository.default_branch,
            "private": True,
        }
        owner = call.repository.owner
        document: dict[str, Any] = {
            "id": pull.id,
            "number": pull.number,
            "state": pull.state,
            "draft": pull.draft,
            "title": pull.title,
            "body": pull.body,
            "user": pull.author.document(),
            "html_url": f"https://github.test/{call.repository.full_name}/pull/{pull.number}",
            "head": {"label": f"{owner}:{pull.head}", "ref": pull.head, "sha": pull.head_sha, "repo": repository},
            "base": {"label": f"{owner}:{pull.base}", "ref": pull.base, "sha": pull.base_sha, "repo": repository},
            "created_at": pull.created_at,
            "merged_at": pull.merged_at,
            "merge_commit_sha": pull.merge_commit_sha,
        }
        if detailed:
            commits = self.commits_of(call, pull)
            document |= {
                "merged": pull.merged_at is not None,
                "mergeable": pull.state == "open"
                and call.git.merged_tree(self.tip(call, pull), pull.head_sha) is not None,
                "commits": len(commits),
                "changed_files": len(self._changes(call, pull)),
            }
        return document

    def commits_of(self, call: Call, pull: Pull) -> "list[str]":
        return call.git.between(self.tip(call, pull), pull.head_sha)

    def _changes(self, call: Call, pull: Pull) -> "list[Any]":
        common = call.git.merge_base(self.tip(call, pull), pull.head_sha)
        return call.git.changes(common, pull.head_sha) if common else []

    def files(self, call: Call) -> Response:
        call.require("pull_requests", "read")
        found = [
            {"sha": c.sha, "filename": c.path, "status": c.status}
            | ({"previous_filename": c.previous} if c.previous else {})
            for c in self._changes(call, self.pull(call))
        ]
        return call.page(found)

    def commits(self, call: Call) -> Response:
        call.require("pull_requests", "read")
        found: list[dict[str, Any]] = []
        for sha in self.commits_of(call, self.pull(call))[:MOST_COMMITS]:
            git_document = commit_document(call, sha)
            people = {role: _account_of(call, git_document[role]["email"]) for role in ("author", "committer")}
            found.append({"sha": sha, "commit": git_document, "parents": git_document["parents"], **people})
        return call.page(found)

    # --- reviews ---

    def reviews(self, call: Call) -> Response:
        call.require("pull_requests", "read")
        return call.page([r.document() for r in self.pull(call).reviews])

    def review(self, call: Call) -> Response:
        call.require("pull_requests", "write" if call.caller.app else "read")
        pull, body = self.pull(call), call.body(bodies.NewReview)
        author = call.caller.account
        if pull.state != "open":
            raise errors.invalid("Unprocessable Entity: the pull request is closed")
        if author.id == pull.author.id and body.event != "COMMENT":
            what = "approve" if body.event == "APPROVE" else "request changes on"
            raise errors.invalid(f"Unprocessable Entity: Can not {what} your own pull request")
        if body.event != "APPROVE" and not body.body:
            raise errors.invalid("Unprocessable Entity: body is missing")
        commit = body.commit_id or pull.head_sha
        if commit not in self.commits_of(call, pull):
            raise errors.invalid("Unprocessable Entity: commit_id is not part of the pull request")
        state = {"APPROVE": "APPROVED", "REQUEST_CHANGES": "CHANGES_REQUESTED", "COMMENT": "COMMENTED"}[body.event]
        review = Review(call.hub.site.next_id(), author, state, commit, body.body or "", call.hub.now())
        pull.reviews.append(review)
        return answer(review.document())

    def dismiss(self, call: Call) -> Response:
        call.require("pull_requests", "write")
        call.body(bodies.Dismissal)
        review = next((r for r in self.pull(call).reviews if r.id == call.number("review")), None)
        if review is None:
            raise errors.not_found()
        if review.state not in ("APPROVED", "CHANGES_REQUESTED"):
            raise errors.invalid("Unprocessable Entity: Can not dismiss a commented pull request review")
        review.state = "DISMISSED"
        return answer(review.document())


def _account_of(call: Call, email: str) -> dict[str, Any] | None:
    login = login_of(call, email)
    if login is None:
        return None
    bots = {a.bot.login: a.bot for a in call.hub.site.apps.values()}
    return (bots.get(login) or call.hub.site.accounts[login.lower()]).document()
