"""Whether a pull request may be merged, by the rules of its base branch, and merging it.

Owns what GitHub enforces: required checks by the app that they name, up-to-date branches, approving reviews by people
who may write, of the newest push, none of whom made it. Bypassing is not emulated: nobody may.
"""

from collections.abc import Iterator

from starlette.responses import Response

from emulators.github import bodies, errors
from emulators.github.checks import Checks
from emulators.github.git import HEADS
from emulators.github.git_data import email_of
from emulators.github.pulls import Pull, Pulls
from emulators.github.requests import Call, answer
from emulators.github.site import LEVELS, Rules

PASSED = frozenset({"success", "neutral", "skipped"})


class Merging:
    """PUT .../merge."""

    def __init__(self, pulls: Pulls, checks: Checks) -> None:
        self._pulls, self._checks = pulls, checks

    def merged(self, call: Call) -> Response:
        """GET .../merge: 204 where it is merged, 404 where not."""
        call.require("pull_requests", "read")
        if self._pulls.pull(call).merged_at is None:
            raise errors.not_found()
        return Response(status_code=204)

    def merge(self, call: Call) -> Response:
        call.require("contents", "write")
        pull, body, git = self._pulls.pull(call), call.body(bodies.Merge), call.git
        if pull.state != "open" or pull.draft:
            raise errors.GitHubError(405, "Pull Request is not mergeable")
        if body.sha is not None and body.sha != pull.head_sha:
            raise errors.GitHubError(409, "Head branch was modified. Review and try the merge again.")
        rules = call.repository.rules.get(pull.base)
        if rules is not None and (problems := list(self._problems(call, pull, rules))):
            raise errors.GitHubError(405, "Repository rule violations found\n\n" + "\n".join(problems))
        tip = self._pulls.tip(call, pull)
        tree = git.merged_tree(tip, pull.head_sha)
        if tree is None:
            raise errors.GitHubError(405, "Pull Request is not mergeable")
        login = call.caller.account.login
        person = (login, email_of(login), int(call.hub.clock()))
        parents = [tip, pull.head_sha] if body.merge_method == "merge" else [tip]
        title = body.commit_title or f"Merge pull request #{pull.number} from {call.repository.owner}/{pull.head}"
        sha = git.write_commit(f"{title}\n\n{body.commit_message or pull.title}\n", tree, parents, person, person)
        if not git.move_ref(f"{HEADS}{pull.base}", tip, sha):
            raise errors.GitHubError(409, "Base branch was modified. Review and try the merge again.")
        pull.state, pull.merged_at, pull.merge_commit_sha = "closed", call.hub.now(), sha
        return answer({"sha": sha, "merged": True, "message": "Pull Request successfully merged"})

    def _problems(self, call: Call, pull: Pull, rules: Rules) -> Iterator[str]:
        for context, app in rules.required_status_checks:
            if not self._passed(pull.head_sha, context, app):
                yield f'Required status check "{context}" is expected.'
        behind = not call.git.is_fast_forward(self._pulls.tip(call, pull), pull.head_sha)
        if rules.required_status_checks and rules.strict_required_status_checks_policy and behind:
            yield "Required branch is not up to date with the base branch."
        yield from self._of_reviews(call, pull, rules)

    def _passed(self, sha: str, context: str, app: int | None) -> bool:
        runs = [r for r in self._checks.latest(sha) if r.name == context and app in (None, r.app.id)]
        by_status = [s for s in self._checks.statuses.get(sha, ()) if s.context == context][-1:] if app is None else []
        found = [r.conclusion in PASSED for r in runs] + [s.state == "success" for s in by_status]
        return bool(found) and all(found)

    def _of_reviews(self, call: Call, pull: Pull, rules: Rules) -> Iterator[str]:
        newest = {r.author.id: r for r in pull.reviews if r.state != "COMMENTED"}
        may_write = {login for login, level in call.repository.roles.items() if LEVELS[level] >= LEVELS["write"]}
        counting = [r for r in newest.values() if r.author.login in may_write]
        if any(r.state == "CHANGES_REQUESTED" for r in counting):
            yield "Changes have been requested by a reviewer."
        approvals = [r for r in counting if r.state == "APPROVED"]
        if len(approvals) < rules.required_approving_review_count:
            yield f"At least {rules.required_approving_review_count} approving review is required by reviewers."
        elif rules.require_last_push_approval and not any(
            r.commit_id == pull.head_sha and r.author.login != pull.last_pusher for r in approvals
        ):
            yield "New changes require approval from someone other than the last pusher."
