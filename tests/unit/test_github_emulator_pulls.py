"""The emulated GitHub's pull requests, reviews and checks: whose they are, and what keeps a merge back."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from emulators.github.site import Environment, Rules
from tests.support.github_site import Api, GitHub


@dataclass
class World:
    """One pull request by `robin`, with a rule that the app `gate` gives the check `connector/gate`."""

    github: GitHub
    robin: Api
    quinn: Api
    gate: Api
    other: Api
    app: int

    @property
    def sha(self) -> str:
        return self.github.head("edit")

    def check(self, by: Api, conclusion: str = "success") -> int:
        body = {"name": "connector/gate", "head_sha": self.sha, "conclusion": conclusion}
        return by.made("POST", "check-runs", body)["id"]

    def approve(self, by: Api) -> int:
        return by.made("POST", "pulls/1/reviews", {"event": "APPROVE"})["id"]


@pytest.fixture
def world(tmp_path: Path) -> World:
    github = GitHub(tmp_path / "repository.git")
    github.push("main", {"a.txt": b"one\n", "b.txt": b"two\n"})
    robin, quinn = github.add_person("robin"), github.add_person("quinn")
    gate = github.add_app("gate", {"checks": "write", "pull_requests": "read", "contents": "read"})
    other = github.add_app("other", {"checks": "write", "statuses": "write", "contents": "write"})
    github.repository.rules["main"] = Rules(required_status_checks=(("connector/gate", gate.app.id),))
    github.push("edit", {"a.txt": b"changed\n"})
    robin.made("POST", "pulls", {"title": "Edit", "head": "edit", "base": "main"})
    return World(github, robin, quinn, github.as_installation(gate), github.as_installation(other), gate.app.id)


def refusal(world: World) -> str:
    status, message = world.quinn.refused("PUT", "pulls/1/merge", {})
    assert status == 405
    return message


def test_a_reviewed_and_checked_pull_request_is_merged(world: World) -> None:
    world.check(world.gate)
    world.approve(world.quinn)
    sha = world.quinn.made("PUT", "pulls/1/merge", {"sha": world.sha})["sha"]
    assert world.github.head() == sha
    assert world.robin("GET", "pulls/1/merge").status_code == 204
    assert world.robin.made("GET", "pulls/1")["state"] == "closed"


def test_without_the_check_nothing_is_merged(world: World) -> None:
    world.approve(world.quinn)
    assert 'check "connector/gate" is expected' in refusal(world)


def test_another_apps_check_of_that_name_does_not_count(world: World) -> None:
    world.check(world.other)
    world.other.made("POST", f"statuses/{world.sha}", {"state": "success", "context": "connector/gate"})
    world.approve(world.quinn)
    assert 'check "connector/gate" is expected' in refusal(world)


def test_a_check_that_failed_keeps_the_merge_back_until_it_passes(world: World) -> None:
    run = world.check(world.gate, "failure")
    world.approve(world.quinn)
    assert 'check "connector/gate" is expected' in refusal(world)
    world.gate.made("PATCH", f"check-runs/{run}", {"conclusion": "success"})
    world.quinn.made("PUT", "pulls/1/merge", {})


def test_a_check_of_an_earlier_commit_does_not_count(world: World) -> None:
    world.check(world.gate)
    world.github.push("edit", {"a.txt": b"more\n"})
    world.approve(world.quinn)
    assert 'check "connector/gate" is expected' in refusal(world)


def test_only_its_app_changes_a_check_run(world: World) -> None:
    run = world.check(world.gate)
    assert world.other.refused("PATCH", f"check-runs/{run}", {"conclusion": "success"})[0] == 403


def test_people_make_no_check_runs(world: World) -> None:
    body = {"name": "connector/gate", "head_sha": world.sha, "conclusion": "success"}
    assert world.robin.refused("POST", "check-runs", body)[0] == 403


def test_nobody_approves_the_own_pull_request(world: World) -> None:
    status, message = world.robin.refused("POST", "pulls/1/reviews", {"event": "APPROVE"})
    assert status == 422
    assert "Can not approve your own pull request" in message


def test_an_approval_of_an_earlier_commit_is_dismissed_by_a_push(world: World) -> None:
    world.approve(world.quinn)
    world.github.push("edit", {"a.txt": b"more\n"})
    world.check(world.gate)
    assert "approving review is required" in refusal(world)
    assert [r["state"] for r in world.robin.made("GET", "pulls/1/reviews")] == ["DISMISSED"]


def test_who_pushed_last_does_not_approve_alone(world: World) -> None:
    tree = world.quinn.made("GET", f"git/commits/{world.sha}")["tree"]["sha"]
    body = {"message": "More", "tree": tree, "parents": [world.sha]}
    sha = world.quinn.made("POST", "git/commits", body)["sha"]
    world.quinn.made("PATCH", "git/refs/heads/edit", {"sha": sha})
    world.check(world.gate)
    world.approve(world.quinn)
    assert "someone other than the last pusher" in refusal(world)


def test_who_may_only_read_approves_in_vain(world: World) -> None:
    world.check(world.gate)
    world.approve(world.github.add_person("reader", "read"))
    assert "approving review is required" in refusal(world)


def test_requested_changes_keep_the_merge_back(world: World) -> None:
    world.check(world.gate)
    world.approve(world.quinn)
    third = world.github.add_person("sam")
    third.made("POST", "pulls/1/reviews", {"event": "REQUEST_CHANGES", "body": "no"})
    assert "Changes have been requested" in refusal(world)


def test_a_branch_behind_its_base_is_not_merged(world: World) -> None:
    world.check(world.gate)
    world.approve(world.quinn)
    world.github.push("main", {"b.txt": b"newer\n"})
    assert "not up to date" in refusal(world)


def test_a_head_that_moved_meanwhile_is_not_merged(world: World) -> None:
    status, message = world.quinn.refused("PUT", "pulls/1/merge", {"sha": world.github.head()})
    assert (status, message) == (409, "Head branch was modified. Review and try the merge again.")


def test_branches_that_conflict_are_not_merged(world: World) -> None:
    world.github.repository.rules.clear()
    world.github.push("main", {"a.txt": b"otherwise\n"})
    assert world.robin.made("GET", "pulls/1")["mergeable"] is False
    assert refusal(world) == "Pull Request is not mergeable"


def test_a_protected_branch_is_not_written_to(world: World) -> None:
    status, message = world.other.refused("PATCH", "git/refs/heads/main", {"sha": world.sha})
    assert status == 422
    assert "Changes must be made through a pull request" in message
    assert world.other.refused("DELETE", "git/refs/heads/main")[0] == 422


def test_files_and_commits_are_those_since_the_branch_left(world: World) -> None:
    world.github.push("edit", {"c.txt": b"two\n", "b.txt": None}, author="quinn")
    world.github.push("main", {"d.txt": b"later\n"})
    files = {f["filename"]: f["status"] for f in world.robin.made("GET", "pulls/1/files")}
    assert files == {"a.txt": "modified", "c.txt": "renamed"}
    commits = world.robin.made("GET", "pulls/1/commits")
    assert [c["author"]["login"] for c in commits] == ["robin", "quinn"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"title": "x", "head": "none", "base": "main"}, 422),
        ({"title": "x", "head": "edit", "base": "none"}, 422),
        ({"title": "x", "head": "edit", "base": "main"}, 422),
        ({"title": "x", "head": "stranger:edit", "base": "main"}, 422),
        ({"title": "x", "head": "main", "base": "main"}, 422),
        ({"title": "", "head": "edit", "base": "main"}, 422),
        ({"title": "x", "head": "edit", "base": "main", "reviewers": []}, 422),
    ],
)
def test_a_pull_request_that_cannot_be_is_refused(world: World, body: dict[str, str], status: int) -> None:
    assert world.robin.refused("POST", "pulls", body)[0] == status


def test_apps_change_their_own_comments_only(world: World) -> None:
    comment = world.robin.made("POST", "issues/1/comments", {"body": "hello"})["id"]
    assert world.quinn.refused("PATCH", f"issues/comments/{comment}", {"body": "approved"})[0] == 403
    assert world.other.refused("POST", "issues/1/comments", {"body": "x"})[0] == 403


def test_rules_and_environments_are_read_by_who_may(world: World) -> None:
    rules = {r["type"]: r.get("parameters", {}) for r in world.gate.made("GET", "rules/branches/main")}
    assert set(rules) == {"deletion", "non_fast_forward", "pull_request", "required_status_checks"}
    check = rules["required_status_checks"]["required_status_checks"]
    assert check == [{"context": "connector/gate", "integration_id": world.app}]
    assert world.gate.refused("GET", "environments/production")[0] == 403


def test_a_deployment_comes_from_the_environments_branches(world: World) -> None:
    environments = world.github.repository.environments
    environments["production"] = Environment("production", ("main",))
    assert world.robin.made("GET", "environments/production")["deployment_branch_policy"]["custom_branch_policies"]
    policies = world.robin.made("GET", "environments/production/deployment-branch-policies")
    assert [p["name"] for p in policies["branch_policies"]] == ["main"]
    assert world.robin.refused("POST", "deployments", {"ref": "edit", "environment": "production"})[0] == 422
    world.robin.made("POST", "deployments", {"ref": "main", "environment": "production"})
    assert len(world.robin.made("GET", "deployments?environment=production")) == 1


MERGES: list[tuple[str, Callable[[World], object]]] = [
    ("a draft", lambda w: w.robin.made("POST", "pulls", {"title": "D", "head": "e2", "base": "main", "draft": True})),
    ("a closed one", lambda w: _closed(w)),
]


def _closed(world: World) -> None:
    world.robin.made("POST", "pulls", {"title": "C", "head": "e2", "base": "main"})
    world.robin.made("PATCH", "pulls/2", {"state": "closed"})


@pytest.mark.parametrize(("make"), [m for _, m in MERGES], ids=[n for n, _ in MERGES])
def test_only_open_pull_requests_are_merged(world: World, make: Callable[[World], object]) -> None:
    world.github.push("e2", {"e.txt": b"e\n"})
    make(world)
    assert world.quinn.refused("PUT", "pulls/2/merge", {}) == (405, "Pull Request is not mergeable")
