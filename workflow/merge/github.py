"""GitHub's REST API (2022-11-28), the part that the gate needs: reading a pull request, and posting check runs.

Owns the calls and their translation into values. What GitHub answers beside it, and that it does not answer, is
`GitHubFailed`: the gate says nothing then, and a required check that is missing stops the merge.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import httpx

from workflow.errors import WorkflowError
from workflow.merge.pull_request import Authors, BranchRules, PullRequest, Review, User

HEADERS = {
    "accept": "application/vnd.github+json",
    "x-github-api-version": "2022-11-28",
    "user-agent": "teams-ehr-connector",
}
MOST_PAGES = 30
MOST_COMMITS = 250
"""GitHub lists no more commits of a pull request."""


class GitHubFailed(WorkflowError):
    """GitHub did not answer as it should."""


@dataclass(frozen=True)
class CheckRun:
    """A check that is complete. `external_id` says of which base revision."""

    name: str
    passes: bool
    title: str
    summary: str
    external_id: str

    def document(self, head: str) -> dict[str, Any]:
        return {
            "name": self.name,
            "head_sha": head,
            "status": "completed",
            "conclusion": "success" if self.passes else "failure",
            "external_id": self.external_id,
            "output": {"title": self.title, "summary": self.summary},
        }


class GitHub:
    """One repository, as the owner of a token sees it. `http` has the API's address as its base URL."""

    def __init__(self, http: httpx.Client, repository: str, token: str) -> None:
        self._http, self._path = http, f"/repos/{repository}"
        self._headers = {**HEADERS, "authorization": f"Bearer {token}"}

    def pull_request(self, number: int) -> PullRequest:
        """With its commits and reviews, and the rules of its base branch. Raises `GitHubFailed`."""
        found = self._get(f"/pulls/{number}")
        head, base = found["head"], found["base"]
        if found["state"] != "open":
            raise GitHubFailed(f"pull request {number} is not open")
        if found.get("commits", 0) > MOST_COMMITS:
            raise GitHubFailed(f"pull request {number} has more than {MOST_COMMITS} commits")
        return PullRequest(
            number=number,
            author=_user(found["user"]) or User("", "Bot"),
            base_branch=base["ref"],
            base=self._get(f"/branches/{base['ref']}")["commit"]["sha"],  # base["sha"] is that of the head's last push
            head=head["sha"],
            from_elsewhere=not head["repo"] or head["repo"]["full_name"] != base["repo"]["full_name"],
            authors={
                c["sha"]: Authors(_user(c["author"]), _user(c["committer"]))
                for c in self._list(f"/pulls/{number}/commits")
            },
            reviews=tuple(
                Review(user, r["state"], r["commit_id"])
                for r in self._list(f"/pulls/{number}/reviews")
                if (user := _user(r["user"])) is not None
            ),
            rules=_rules(list(self._list(f"/rules/branches/{base['ref']}"))),
        )

    def open_pulls(self) -> dict[int, str]:
        """The newest commits of all open pull requests of the default branch, by number. Raises `GitHubFailed`."""
        branch = self._get("")["default_branch"]
        return {p["number"]: p["head"]["sha"] for p in self._list("/pulls", state="open", base=branch)}

    def post(self, head: str, runs: Sequence[CheckRun]) -> None:
        """Raises `GitHubFailed`; what was posted stays."""
        for run in runs:
            self._call("POST", "/check-runs", json=run.document(head))

    # --- calls ---

    def _get(self, path: str) -> dict[str, Any]:
        return cast("dict[str, Any]", self._call("GET", path).json())

    def _list(self, path: str, **query: str) -> Iterator[dict[str, Any]]:
        for page in range(1, MOST_PAGES + 1):
            params = {**query, "per_page": 100, "page": page}
            found = cast("list[dict[str, Any]]", self._call("GET", path, params=params).json())
            yield from found
            if len(found) < 100:
                return
        raise GitHubFailed(f"{path} has more than {MOST_PAGES} pages")

    def _call(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        try:
            response = self._http.request(method, self._path + path, headers=self._headers, **arguments)
        except httpx.HTTPError as problem:
            raise GitHubFailed(f"GitHub does not answer {method} {path}: {type(problem).__name__}") from None
        if not response.is_success:
            failed = GitHubFailed(f"GitHub answered {response.status_code} to {method} {path}")
            failed.advice = "the token needs the permissions that README names, and the repository must exist"
            raise failed
        return response


def _user(document: Mapping[str, Any] | None) -> User | None:
    return User(document["login"], document["type"]) if document else None


def _rules(documents: Sequence[Mapping[str, Any]]) -> BranchRules:
    """Of all rulesets together: the strictest counts."""
    kinds = {d["type"] for d in documents}
    checks = [_parameters(d) for d in documents if d["type"] == "required_status_checks"]
    reviews = [_parameters(d) for d in documents if d["type"] == "pull_request"]
    return BranchRules(
        checks=frozenset(
            (c["context"], c.get("integration_id")) for p in checks for c in p.get("required_status_checks", ())
        ),
        strict=any(p.get("strict_required_status_checks_policy") for p in checks),
        approvals=max((p.get("required_approving_review_count", 0) for p in reviews), default=0),
        dismisses_stale=any(p.get("dismiss_stale_reviews_on_push") for p in reviews),
        last_push_approval=any(p.get("require_last_push_approval") for p in reviews),
        no_force="non_fast_forward" in kinds,
        no_deletion="deletion" in kinds,
    )


def _parameters(rule: Mapping[str, Any]) -> dict[str, Any]:
    return cast("dict[str, Any]", rule.get("parameters") or {})
