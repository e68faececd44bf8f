"""What `connector promote` proposes passes the gate as it is, and not with one byte more."""

import asyncio
from pathlib import Path

import pytest

from tests.support.github_site import GitHub
from tests.support.pull_requests import APP, NEW, PAT, PRODUCTION_FILE, QUINN, ROBIN, RULES, accepted_scene
from tests.support.samples import ROOT
from tests.support.statements import IMAGE, NOW, emulated_anchors
from workflow.merge.gate import Gate, Outcome
from workflow.merge.pull_request import Authors, PullRequest, Review
from workflow.merge.reasons import GateCode
from workflow.merge.revision import Revision
from workflow.project import Project
from workflow.promotion.promote import Promotion, promote


@pytest.fixture
def proposed(tmp_path: Path) -> tuple[GitHub, Promotion]:
    """A remote whose test stack proposes a change that is approved; `promote` has made its branch."""
    scene = accepted_scene()
    root = tmp_path / "project"
    for path, content in scene.base.items():
        assert isinstance(content, bytes)
        if path.endswith((".yaml", ".json")) and not path.startswith("schemas/"):
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(content)
    (root / "schemas").symlink_to(ROOT / "schemas")
    (root / ".local").mkdir()
    github = GitHub(root / ".local" / "repository.git", NOW.timestamp())
    github.push("main", scene.base)
    github.push("connector/statements-americas", {NEW: scene.head[NEW]})
    made = asyncio.run(promote(Project(root, root / ".local"), ["lakeside"], target="local-prod", now=NOW))
    return github, made


def judged(github: GitHub, branch: str) -> Outcome:
    base, head = github.head(), github.head(branch)
    commits: dict[str, Authors] = {head: Authors(None, None)}
    reviews = (Review(QUINN, "APPROVED", head), Review(PAT, "APPROVED", head))
    pull = PullRequest(1, ROBIN, "main", base, head, False, commits, reviews, RULES)
    gate = Gate(["local-prod"], lambda _: emulated_anchors(), lambda _: IMAGE, APP)
    store = github.git.object_store
    return gate.judge(pull, Revision(store, base), Revision(store, head), NOW)


def test_what_promote_proposes_passes(proposed: tuple[GitHub, Promotion]) -> None:
    github, made = proposed
    outcome = judged(github, made.branch)
    assert outcome.findings == ()
    assert [d.connection for _, d in outcome.promoted()] == ["lakeside-production"]


@pytest.mark.rule(GateCode.NOT_APPROVED)
def test_an_edit_on_top_of_it_does_not(proposed: tuple[GitHub, Promotion]) -> None:
    github, made = proposed
    content = made.changes[PRODUCTION_FILE].replace(b"lakeside-prd-patient", b"lakeside-prd-other")
    github.push(made.branch, {PRODUCTION_FILE: content})
    codes = {str(f.code) for f in judged(github, made.branch).findings}
    assert "not-approved" in codes
