"""`connector promote`: what is approved and rehearsed goes to production on a branch; anything else changes nothing."""

import json
from pathlib import Path

import pytest

from schemas.promotion.approvals import Approvals
from schemas.promotion.promoted import FILE, read_promoted
from schemas.promotion.reasons import Code
from schemas.vocabulary import Stage
from tests.support.command import connector
from tests.support.program import stack_of
from tests.support.promotion import accepted, make_project, put
from tests.support.samples import replaced
from workflow.project import Project
from workflow.promotion.copying import NotCopied
from workflow.promotion.promote import ChooseStacks, NotPromotable
from workflow.workspace import Workspace

LIVE = "organizations/local-prod/prairie.yaml"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return make_project(tmp_path)


def workspace(project: Path) -> Workspace:
    """The repository of the project as it is now."""
    found = Workspace(Project(project, project / ".local"), stack_of("local"))
    found.update()
    return found


def approved(project: Path) -> Path:
    put(project, accepted(project))
    return project


def without_production(project: Path, organization: str) -> None:
    """The production stack before an organisation came."""
    file = project / "Pulumi.local-prod.yaml"
    text = file.read_text("utf-8")
    begin = text.index(f"    - id: {organization}\n")
    end = text.index("    - organizations/", begin)
    file.write_text(text[:begin] + text[end:], "utf-8")


def test_a_promotion_is_a_branch_that_makes_production_accept(project: Path) -> None:
    space = workspace(approved(project))
    done = connector(project, "promote", "lakeside")
    assert done.exit_code == 0, done.exception
    (branch,) = [b for b in space.branches() if b.startswith("promote/lakeside-")]
    assert branch in done.output
    space.merge(branch)
    space.update()
    promoted = read_promoted((space.project.root / FILE).read_bytes())
    assert set(promoted.connections) == {"lakeside-production"}
    assert connector(space.project.root, "check", "--promotion", "local-prod").exit_code == 0


def test_an_organisation_that_is_new_in_production_is_copied_field_by_field(project: Path) -> None:
    without_production(approved(project), "lakeside")
    space = workspace(project)
    connector(project, "promote", "lakeside")
    space.merge(space.branches()[-1])
    space.update()
    stack = space.project.valid("local-prod")
    (copied,) = [o for o in stack.organizations if o.id == "lakeside"]
    (proposed,) = [o for o in stack_of("local").organizations if o.id == "lakeside"]
    assert copied.connections == tuple(c for c in proposed.connections if c.stage is Stage.PRODUCTION)
    assert "# The production stage on this machine" in (space.project.root / "Pulumi.local-prod.yaml").read_text()


def test_an_edit_is_copied_and_comments_stay(project: Path) -> None:
    old = 'provider: "5201"'
    for file, text in (
        *replaced("organizations/local/prairie.yaml", (old, 'provider: "5299"')).items(),
        *replaced(LIVE, ("    ehr: epic\n", "    ehr: epic  # since 2024\n")).items(),
    ):
        (project / file).write_text(text, "utf-8")
    put(project, accepted(project, test=Project(project, project / ".local").valid("local")))
    space = workspace(project)
    shown = connector(project, "promote", "prairie", "--dry-run").output
    assert '-      provider: "5201"\n+      provider: "5299"' in shown
    assert [b for b in space.branches() if b.startswith("promote/")] == []
    connector(project, "promote", "prairie")
    space.merge(space.branches()[-1])
    space.update()
    text = (space.project.root / LIVE).read_text("utf-8")
    assert "# since 2024" in text
    assert 'provider: "5299"' in text


def test_statements_are_taken_from_the_portals_branches(project: Path) -> None:
    """Nothing of it is on the configured branch but the list of revocations, which operators publish."""
    found = accepted(project)
    put(project, Approvals(tuple(s for s in found.statements if "/revocations/" in s.path)))
    space = workspace(project)
    for geography in ("americas", "emea"):
        names = {"americas": ("lakeside", "prairie"), "emea": ("rheinland",)}[geography]
        folders = tuple(f"approvals/{n}/" for n in names)
        space.commit(
            f"connector/statements-{geography}",
            {s.path: s.content for s in found.statements if s.path.startswith(folders)},
        )
    refused = connector(project, "promote", "southern-cross")
    assert isinstance(refused.exception, NotPromotable)
    assert connector(project, "promote", "lakeside", "rheinland").exit_code == 0
    space.merge(next(b for b in space.branches() if b.startswith("promote/2-organisations-")))
    space.update()
    approvals = space.project.root / "approvals"
    assert (approvals / "lakeside/lakeside-production/approval-000001-approve.json").exists()
    assert not (approvals / "prairie").exists()


@pytest.mark.rule(Code.APPROVAL_MISSING)
def test_what_is_not_approved_changes_nothing_and_every_reason_is_told(project: Path) -> None:
    space = workspace(project)
    refused = connector(project, "promote", "lakeside")
    assert isinstance(refused.exception, NotPromotable)
    assert "lakeside-production (lakeside): refused" in refused.exception.advice
    assert "[approval-missing]" in refused.exception.advice
    assert space.branches() == ["main"]


def test_all_that_are_promotable_go_and_the_others_are_told(project: Path) -> None:
    found = accepted(project)
    put(project, Approvals(tuple(s for s in found.statements if "/prairie" not in s.path)))
    space = workspace(project)
    done = connector(project, "promote", "--to", "local-prod")
    assert done.exit_code == 0, done.exception
    assert "prairie-production (prairie): refused" in done.output
    assert any(b.startswith("promote/3-organisations-") for b in space.branches())


def test_the_same_promotion_twice_is_one_branch(project: Path) -> None:
    space = workspace(approved(project))
    connector(project, "promote", "lakeside")
    again = connector(project, "promote", "lakeside")
    assert again.exit_code == 0, again.exception
    assert "proposed already" in again.output
    assert len([b for b in space.branches() if b.startswith("promote/")]) == 1


def test_what_is_promoted_already_leaves_nothing_to_do(project: Path) -> None:
    space = workspace(approved(project))
    connector(project, "promote", "lakeside")
    space.merge(space.branches()[-1])
    assert "nothing to promote" in connector(project, "promote", "lakeside").output


def test_what_decides_about_people_is_no_part_of_a_promotion(project: Path) -> None:
    (project / LIVE).write_text(
        replaced(LIVE, ("displayName: Avery Admin", "displayName: Somebody Else"))[LIVE], "utf-8"
    )
    workspace(approved(project))
    refused = connector(project, "promote", "prairie")
    assert isinstance(refused.exception, NotCopied)
    assert "administrators differ" in str(refused.exception)
    assert "a pull request of its own" in refused.exception.advice


def test_stacks_that_could_both_be_meant_are_asked_for(project: Path) -> None:
    refused = connector(project, "promote")
    assert isinstance(refused.exception, ChooseStacks)
    assert "--to local-prod --to prod" in refused.exception.advice.replace(" or ", " ")


def test_a_promotion_as_one_document(project: Path) -> None:
    workspace(approved(project))
    found = json.loads(connector(project, "promote", "lakeside", "--output", "json").output)
    assert (found["from"], found["to"], found["organizations"]) == ("local", "local-prod", ["lakeside"])
    assert found["decisions"][0]["decision"] == "approved"
    assert FILE in found["files"]
