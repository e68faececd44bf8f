"""The gate against the emulated GitHub: what it reads there, what it posts, and what the branch's rules make of it."""

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from dulwich.refs import Ref
from dulwich.repo import Repo
from hypothesis import given
from hypothesis import strategies as st

from emulators.github.site import Rules
from schemas.promotion.envelope import StatementFile
from schemas.promotion.reasons import Code
from schemas.promotion.statement import Revoked, Verdict, at
from schemas.vocabulary import GeographyName, Stage
from tests.support.github_site import FULL_NAME, Api, GitHub
from tests.support.pull_requests import CONNECTION, Scene, accepted_scene, approved
from tests.support.samples import ROOT
from tests.support.statements import NOW, private_key, revocations, statement_file
from workflow.merge import report as reports
from workflow.merge.app_token import app_token
from workflow.merge.fetching import FetchFailed
from workflow.merge.github import GitHubFailed
from workflow.merge.markdown import block, code, plain
from workflow.merge.reasons import GateCode
from workflow.merge.run import ReportInvalid, Run, post_report, post_reports, write_reports
from workflow.project import Project


@dataclass
class World:
    """The accepted pull request at GitHub: opened by robin, approved by quinn and by the approver."""

    github: GitHub
    people: dict[str, Api]
    gate: Api
    other: Api
    reading: str
    run: Run
    reports: Path

    def check(self) -> tuple[bool, list[str]]:
        """As the workflow does: of every open pull request."""
        said: list[str] = []
        shutil.rmtree(self.reports, ignore_errors=True)
        write_reports(self.run.check_all(preview=False, say=said.append), self.reports)
        return self.found["passes"], said

    def post(self) -> list[str]:
        said: list[str] = []
        post_reports(self.github.client, FULL_NAME, _token(self.gate), self.reports, said.append)
        return said

    @property
    def report(self) -> Path:
        return self.reports / "1.json"

    def approve(self) -> None:
        for login in ("quinn", "pat-approver"):
            self.people[login].made("POST", "pulls/1/reviews", {"event": "APPROVE"})

    @property
    def found(self) -> dict[str, Any]:
        return json.loads(self.report.read_text())

    def runs(self) -> dict[str, dict[str, Any]]:
        sha = self.github.head("promote")
        found = self.people["robin"].made("GET", f"commits/{sha}/check-runs")["check_runs"]
        return {run["name"]: run for run in found}


def _token(api: Api) -> str:
    return api.authorization.partition(" ")[2]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return opened(tmp_path, accepted_scene())


def opened(folder: Path, scene: Scene) -> World:
    github = GitHub(folder / "repository.git", NOW.timestamp())
    base = github.push("main", scene.base)
    gone = {path: None for path in scene.base if path not in scene.head}
    github.push("promote", {**{p: c for p, c in scene.head.items() if scene.base.get(p) != c}, **gone})
    people = {login: github.add_person(login) for login in ("robin", "quinn", "pat-approver")}
    gate = github.add_app("gate", {"checks": "write", "pull_requests": "read", "contents": "read"})
    other = github.add_app("other", {"checks": "write", "pull_requests": "write", "statuses": "write"})
    github.repository.rules["main"] = Rules(required_status_checks=(("connector/gate", gate.app.id),))
    people["robin"].made("POST", "pulls", {"title": "Promote", "head": "promote", "base": "main"})
    checkout = folder / "checkout"
    for name in ("schemas", "runtime", "requirements"):
        (checkout / name).parent.mkdir(exist_ok=True)
        (checkout / name).symlink_to(ROOT / name)
    repo = Repo.init(str(checkout))
    repo.refs[Ref(b"refs/heads/main")] = github.git.refs[Ref(b"refs/heads/main")]
    repo.refs.set_symbolic_ref(Ref(b"HEAD"), Ref(b"refs/heads/main"))
    assert repo.head().decode() == base
    api = github.as_installation(gate)
    reading = _token(github.as_installation(gate, permissions={"pull_requests": "read", "contents": "read"}))
    project = Project(checkout, checkout / ".local")
    run = Run(
        project,
        github.client,
        FULL_NAME,
        reading,
        gate.app.id,
        ["local-prod"],
        str(github.folder),
        lambda: NOW,
    )
    return World(github, people, api, github.as_installation(other), reading, run, folder / "reports")


def test_an_accepted_pull_request_is_checked_posted_and_merged(world: World) -> None:
    world.approve()
    passes, said = world.check()
    assert passes, said
    assert said[0] == f"{CONNECTION} (lakeside, stack local-prod): approved"
    assert world.post() == ["connector/gate: success", f"approval/{CONNECTION}: success"]
    base = world.github.head()
    assert {run["external_id"] for run in world.runs().values()} == {base}
    world.people["quinn"].made("PUT", "pulls/1/merge", {})
    assert world.github.head() != base


def test_until_the_gate_has_posted_nothing_is_merged(world: World) -> None:
    world.approve()
    world.check()
    assert world.people["quinn"].refused("PUT", "pulls/1/merge", {})[0] == 405


def test_what_others_say_of_the_gates_check_counts_for_nothing(world: World) -> None:
    """A check of its name by another app, a status, comments."""
    world.approve()
    head = world.github.head("promote")
    world.other.made("POST", "check-runs", {"name": "connector/gate", "head_sha": head, "conclusion": "success"})
    world.other.made("POST", f"statuses/{head}", {"state": "success", "context": "connector/gate"})
    world.other.made("POST", "issues/1/comments", {"body": "connector/gate: success, approved"})
    assert world.people["quinn"].refused("PUT", "pulls/1/merge", {})[0] == 405


@pytest.mark.rule(GateCode.REVIEW_MISSING)
def test_a_comment_is_no_review(world: World) -> None:
    world.people["pat-approver"].made("POST", "pulls/1/reviews", {"event": "APPROVE"})
    world.people["quinn"].made("POST", "issues/1/comments", {"body": "APPROVED"})
    world.other.made("POST", "pulls/1/reviews", {"event": "APPROVE"})
    assert world.check()[0] is False
    assert [f["code"] for f in world.found["findings"]] == ["review-missing"]


@pytest.mark.rule(GateCode.REVIEW_STALE, GateCode.APPROVER_REVIEW_MISSING)
def test_a_push_after_the_check_makes_it_anothers(world: World) -> None:
    world.approve()
    world.check()
    world.post()
    world.github.push("promote", {"docs/note.md": b"more\n"})
    assert world.people["quinn"].refused("PUT", "pulls/1/merge", {})[0] == 405
    assert world.check()[0] is False
    assert {f["code"] for f in world.found["findings"]} == {"review-stale", "approver-review-missing"}


@pytest.mark.rule(GateCode.BASE_MOVED)
def test_a_base_that_moved_is_checked_again(world: World) -> None:
    world.approve()
    world.github.push("main", {"docs/note.md": b"more\n"})
    assert world.check()[0] is False
    assert [f["code"] for f in world.found["findings"]] == ["base-moved"]


@pytest.mark.rule(GateCode.NOT_APPROVED, Code.CONFIGURATION_CHANGED)
def test_a_refusal_fails_both_checks(tmp_path: Path) -> None:
    scene = accepted_scene().text("Pulumi.local-prod.yaml", ('provider: "5101"', 'provider: "6101"'))
    world = opened(tmp_path, scene)
    world.approve()
    assert world.check()[0] is False
    assert world.post() == ["connector/gate: failure", f"approval/{CONNECTION}: failure"]
    assert "not&#45;approved" in world.runs()["connector/gate"]["output"]["summary"]
    assert "configuration&#45;changed" in world.runs()[f"approval/{CONNECTION}"]["output"]["summary"]


REFUSED = pytest.mark.rule(GateCode.NOT_APPROVED, Code.APPROVAL_REFUSED)


@pytest.mark.parametrize(
    ("serial", "decision", "passes"),
    [
        pytest.param(3, Verdict.REFUSE, False, marks=REFUSED),
        pytest.param(2, Verdict.REFUSE, False, marks=REFUSED),
        (1, Verdict.REFUSE, True),
        (3, Verdict.APPROVE, True),
    ],
)
def test_a_refusal_that_the_portal_published_is_not_kept_back(
    world: World, serial: int, decision: Verdict, passes: bool
) -> None:
    """Who makes a pull request by hand brings the approval and leaves the refusal that came after it."""
    said = approved(accepted_scene().head, CONNECTION, serial, decision=decision)
    world.github.push("connector/statements-americas", {said.path: said.content})
    world.approve()
    assert world.check()[0] is passes
    found = [(f["code"], f["where"]) for f in world.found["findings"]]
    assert found == ([] if passes else [("not-approved", CONNECTION)])
    assert [f for f in world.found["findings"] if "[approval-refused]" not in f["got"]] == []


def revoking(version: int, *connections: str) -> StatementFile:
    """Production's list of the Americas."""
    revoked = tuple(Revoked(connection=c, reason="a leaked key", at=at(NOW)) for c in connections)
    return statement_file(
        private_key(Stage.PRODUCTION, GeographyName.AMERICAS, "revocation-signing"),
        revocations(GeographyName.AMERICAS, Stage.PRODUCTION, NOW, version=version, revoked=revoked),
    )


@pytest.mark.parametrize(
    ("lists", "passes"),
    [
        pytest.param([revoking(2, CONNECTION)], False, marks=pytest.mark.rule(GateCode.NOT_APPROVED, Code.REVOKED)),
        ([revoking(2, "prairie-production")], True),
        ([revoking(2, CONNECTION), revoking(3)], True),
        pytest.param([revoking(3), revoking(2, CONNECTION)], True, marks=pytest.mark.rule(Code.REVOCATIONS_OLDER)),
    ],
)
def test_the_newest_list_of_revocations_that_is_published_decides(
    world: World, lists: list[StatementFile], passes: bool
) -> None:
    for number, file in enumerate(lists):
        world.github.push(f"connector/revocations-production-{number}", {file.path: file.content})
    world.approve()
    assert world.check()[0] is passes
    assert [f for f in world.found["findings"] if "[revoked]" not in f["got"]] == []


@pytest.mark.rule(GateCode.NOT_APPROVED)
@pytest.mark.parametrize("what", ["refusal", pytest.param("revocation", marks=pytest.mark.rule(Code.REVOKED))])
def test_a_pass_is_taken_back_by_what_is_published_after_it(world: World, what: str) -> None:
    """Nothing of the pull request changed: the gate judges every open one again when something is published."""
    world.approve()
    assert world.check()[0] is True
    world.post()
    refusal = approved(accepted_scene().head, CONNECTION, 3, decision=Verdict.REFUSE)
    branch, file = {
        "refusal": ("connector/statements-americas", refusal),
        "revocation": ("connector/revocations-production-americas-2", revoking(2, CONNECTION)),
    }[what]
    world.github.push(branch, {file.path: file.content})
    assert world.check()[0] is False
    assert world.post() == ["connector/gate: failure", f"approval/{CONNECTION}: failure"]
    assert world.people["quinn"].refused("PUT", "pulls/1/merge", {})[0] == 405


@pytest.mark.rule(GateCode.NOT_JUDGED)
def test_a_pass_of_what_cannot_be_judged_any_more_is_taken_back(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.approve()
    world.check()
    world.post()
    monkeypatch.setattr("workflow.merge.github.MOST_COMMITS", 0)
    assert world.check()[0] is False
    assert [(f["code"], f["got"]) for f in world.found["findings"]] == [
        ("not-judged", "pull request 1 has more than 0 commits")
    ]
    assert world.post() == ["connector/gate: failure"]
    assert world.people["quinn"].refused("PUT", "pulls/1/merge", {})[0] == 405


@pytest.mark.rule(GateCode.REVIEW_MISSING)
def test_every_open_pull_request_of_the_default_branch_is_judged_and_no_other(world: World) -> None:
    robin = world.people["robin"]
    for number, base in ((2, "main"), (3, "promote"), (4, "main")):
        world.github.push(f"change-{number}", {"docs/note.md": b"%d\n" % number}, start=world.github.head(base))
        robin.made("POST", "pulls", {"title": "A change", "head": f"change-{number}", "base": base})
    robin.made("PATCH", "pulls/4", {"state": "closed"})
    world.approve()
    world.check()
    assert sorted(path.name for path in world.reports.iterdir()) == ["1.json", "2.json"]
    found = json.loads((world.reports / "2.json").read_text())
    assert (found["passes"], {f["code"] for f in found["findings"]}) == (False, {"review-missing"})


@pytest.mark.rule(Code.STATEMENT_MALFORMED)
def test_a_refusal_that_nobody_signed_keeps_nothing_back(world: World) -> None:
    said = approved(accepted_scene().head, CONNECTION, 3, decision=Verdict.REFUSE)
    forged = said.content.replace(b'"sig":"', b'"sig":"AA')
    world.github.push("connector/statements-americas", {said.path: forged})
    world.approve()
    assert world.check()[0] is True


@pytest.mark.rule(GateCode.PATH_UNCLEAR)
def test_what_somebody_chose_is_harmless_in_checks_and_logs(tmp_path: Path) -> None:
    evil = "docs/\x1b[2J\u202e[x](https:evil) @org|`x`<img src=x>.md"
    world = opened(tmp_path, accepted_scene().edit({evil: b"x"}))
    world.approve()
    passes, said = world.check()
    assert passes is False
    assert not [line for line in said if re.search(r"[\x00-\x1f\u202e]", line)]
    world.post()
    summary = world.runs()["connector/gate"]["output"]["summary"]
    assert "\x1b" not in summary
    assert not re.search(r"@org|<img|\]\(|`", summary)
    assert "path&#45;unclear" in summary


def test_without_access_nothing_is_said(world: World) -> None:
    run = replace(world.run, token="ghs_none")
    with pytest.raises(GitHubFailed, match="401"):
        run.check_all(preview=False, say=print)


def test_a_repository_without_the_objects_is_told(world: World, tmp_path: Path) -> None:
    Repo.init_bare(str(tmp_path / "empty.git"), mkdir=True)
    with pytest.raises(FetchFailed):
        replace(world.run, remote=str(tmp_path / "empty.git")).check(1, preview=False, say=print)


def test_a_token_that_reads_cannot_post(world: World) -> None:
    world.approve()
    world.check()
    with pytest.raises(GitHubFailed, match="403"):
        post_report(world.github.client, FULL_NAME, world.reading, world.report, print)


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"head": 1}'])
def test_a_report_that_is_none_is_not_posted(world: World, content: str) -> None:
    world.reports.mkdir()
    world.report.write_text(content)
    with pytest.raises(ReportInvalid):
        world.post()


SHOWN: list[Callable[[str], str]] = [code, lambda text: block(text, 1000)]


@given(st.text(max_size=300), st.sampled_from(SHOWN))
def test_a_value_in_markdown_is_letters_digits_and_entities(text: str, shown: Callable[[str], str]) -> None:
    inside = re.sub(r"</?(?:code|pre)>", "", shown(text))
    assert all(c.isalnum() or c in " &#;\n" for c in inside)
    assert not re.search(r"&(?!#[0-9]+;)", inside)
    assert shown(text).count("<") == 2


@given(st.text(max_size=300))
def test_a_value_in_a_log_is_one_line_without_control_characters(text: str) -> None:
    assert plain(text).isprintable()


def test_a_summary_is_no_longer_than_github_takes(world: World) -> None:
    world.approve()
    world.check()
    found = world.found
    found["findings"] = [{"code": "mixed", "where": "x" * 5000, "expected": "<" * 5000, "got": "y"}] * 500
    assert all(len(run.summary) <= 65535 for run in reports.check_runs(found))


def test_the_gates_token_may_post_and_nothing_else_and_is_given_back(world: World) -> None:
    github = world.github
    installation = next(i for i in github.site.installations.values() if i.app.slug == "gate")
    key = github.keys[installation.app.id].private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    arguments = (installation.app.id, installation.id, key.decode(), FULL_NAME, {"checks": "write"}, github.now)
    world.approve()
    world.check()
    with app_token(github.client, *arguments) as token:
        post_report(github.client, FULL_NAME, token, world.report, print)
        assert Api(github.client, f"Bearer {token}").refused("GET", "pulls/1")[0] == 403
    assert Api(github.client, f"Bearer {token}").refused("GET", "")[0] == 401
    assert world.runs()["connector/gate"]["conclusion"] == "success"


def test_a_key_that_is_none_is_told(world: World) -> None:
    with (
        pytest.raises(GitHubFailed, match="no RSA private key"),
        app_token(world.github.client, 1, 1, "none", FULL_NAME, {}),
    ):
        pass
