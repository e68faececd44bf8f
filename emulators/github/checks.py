"""Check runs and commit statuses of a commit; comments of a pull request.

Owns that a check run is an app's: only the app that made it changes it, people make none. Several apps may give checks
of one name; who reads them by name alone is deceived.
"""

from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from emulators.github import bodies, errors
from emulators.github.pulls import Pulls
from emulators.github.requests import Call, answer
from emulators.github.site import Account, App


@dataclass
class CheckRun:
    id: int
    app: App
    name: str
    head_sha: str
    status: str = "queued"
    conclusion: str | None = None
    external_id: str | None = None
    output: bodies.Output | None = None

    def document(self) -> dict[str, Any]:
        output = self.output
        return {
            "id": self.id,
            "app": self.app.document(),
            "name": self.name,
            "head_sha": self.head_sha,
            "status": self.status,
            "conclusion": self.conclusion,
            "external_id": self.external_id,
            "output": {
                "title": output.title if output else None,
                "summary": output.summary if output else None,
                "text": output.text if output else None,
            },
        }


@dataclass(frozen=True)
class Status:
    id: int
    author: Account
    context: str
    state: str
    description: str | None


@dataclass
class Comment:
    id: int
    author: Account
    pull: int
    body: str

    def document(self) -> dict[str, Any]:
        return {"id": self.id, "user": self.author.document(), "body": self.body}


class Checks:
    """The operations; check runs and statuses by commit."""

    def __init__(self, pulls: Pulls) -> None:
        self._pulls = pulls
        self.runs: dict[int, CheckRun] = {}
        self.statuses: dict[str, list[Status]] = {}
        self._comments: dict[int, Comment] = {}

    # --- check runs ---

    def latest(self, sha: str) -> list[CheckRun]:
        """The newest check run of each app and name."""
        found = {(run.app.id, run.name): run for run in self.runs.values() if run.head_sha == sha}
        return list(found.values())

    def create_run(self, call: Call) -> Response:
        call.require("checks", "write")
        if call.caller.app is None:
            raise errors.GitHubError(403, "You must authenticate via a GitHub App.")
        body = call.body(bodies.NewCheckRun)
        call.git.commit(body.head_sha)
        run = CheckRun(call.hub.site.next_id(), call.caller.app, body.name, body.head_sha)
        _set(run, body)
        self.runs[run.id] = run
        return answer(run.document(), 201)

    def change_run(self, call: Call) -> Response:
        call.require("checks", "write")
        run = self._run(call)
        if run.app is not call.caller.app:
            raise errors.GitHubError(403, "Invalid app_id `the check run` - check run can only be modified by its app.")
        body = call.body(bodies.ChangedCheckRun)
        run.name = body.name or run.name
        _set(run, body)
        return answer(run.document())

    def run(self, call: Call) -> Response:
        call.require("checks", "read")
        return answer(self._run(call).document())

    def _run(self, call: Call) -> CheckRun:
        found = self.runs.get(call.number("run"))
        if found is None:
            raise errors.not_found()
        return found

    def runs_of(self, call: Call) -> Response:
        call.require("checks", "read")
        known = ("check_name", "app_id", "status", "filter")
        query = call.query("per_page", "page", *known)
        sha = call.git.resolve(call.path("sha"))
        if sha is None:
            raise errors.invalid(f"No commit found for SHA: {call.path('sha')}")
        every = [r for r in self.runs.values() if r.head_sha == sha]
        runs = every if query.get("filter") == "all" else self.latest(sha)
        found = [
            run.document()
            for run in runs
            if query.get("check_name", run.name) == run.name
            and query.get("app_id", str(run.app.id)) == str(run.app.id)
            and query.get("status", run.status) == run.status
        ]
        cut, headers = call.cut(found, *known)
        response = answer({"total_count": len(found), "check_runs": cut})
        response.headers.update(headers)
        return response

    # --- statuses ---

    def create_status(self, call: Call) -> Response:
        call.require("statuses", "write")
        body, sha = call.body(bodies.NewStatus), call.path("sha")
        call.git.commit(sha)
        status = Status(call.hub.site.next_id(), call.caller.account, body.context, body.state, body.description)
        self.statuses.setdefault(sha, []).append(status)
        return answer(_status_document(status), 201)

    def status_of(self, call: Call) -> Response:
        """The combined status: the newest of each context."""
        call.require("statuses", "read")
        sha = call.git.resolve(call.path("sha"))
        if sha is None:
            raise errors.not_found()
        newest = {status.context: status for status in self.statuses.get(sha, ())}
        states = {status.state for status in newest.values()}
        combined = "failure" if states & {"error", "failure"} else "success" if states == {"success"} else "pending"
        documents = [_status_document(s) for s in newest.values()]
        return answer({"state": combined, "sha": sha, "total_count": len(documents), "statuses": documents})

    # --- comments ---

    def comments(self, call: Call) -> Response:
        call.require("pull_requests", "read")
        number = self._pulls.pull(call).number
        return call.page([c.document() for c in self._comments.values() if c.pull == number])

    def create_comment(self, call: Call) -> Response:
        call.require("pull_requests", "write" if call.caller.app else "read")
        pull, body = self._pulls.pull(call), call.body(bodies.Comment)
        comment = Comment(call.hub.site.next_id(), call.caller.account, pull.number, body.body)
        self._comments[comment.id] = comment
        return answer(comment.document(), 201)

    def change_comment(self, call: Call) -> Response:
        call.require("pull_requests", "write")
        comment = self._comments.get(call.number("comment"))
        if comment is None:
            raise errors.not_found()
        if comment.author.id != call.caller.account.id:
            raise errors.forbidden("integration")
        comment.body = call.body(bodies.Comment).body
        return answer(comment.document())


def _set(run: CheckRun, body: bodies.NewCheckRun | bodies.ChangedCheckRun) -> None:
    if body.status == "completed" and body.conclusion is None:
        raise errors.invalid("Invalid request.\n\nNo subschema in 'anyOf' matched: conclusion is missing.")
    if body.conclusion is not None and body.status not in (None, "completed"):
        raise errors.invalid("Invalid request.\n\nA conclusion needs the status completed.")
    run.status = "completed" if body.conclusion else body.status or run.status
    run.conclusion = body.conclusion or (run.conclusion if run.status == "completed" else None)
    run.external_id = body.external_id if body.external_id is not None else run.external_id
    run.output = body.output or run.output


def _status_document(status: Status) -> dict[str, Any]:
    return {
        "id": status.id,
        "creator": status.author.document(),
        "context": status.context,
        "state": status.state,
        "description": status.description,
    }
