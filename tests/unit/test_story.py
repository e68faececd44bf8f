"""The demo's story: what `pulumi` says of a refusal, by connection, and a step as one value."""

import ssl
from pathlib import Path

import pytest

from emulators.world import load_world
from schemas.promotion.decide import Refused
from schemas.promotion.reasons import Code, Reason
from schemas.promotion.telling import refusal
from tests.support.program import stack_of
from tests.support.promotion import accepted, make_project, put
from tests.support.samples import ROOT
from workflow.local import Local
from workflow.project import Project
from workflow.story import About, Step, Story, StoryFailed, refusals_in
from workflow.workspace import Workspace


def refused(name: str, *codes: Code) -> Refused:
    reasons = tuple(Reason(code, "an approval", "none") for code in codes)
    return Refused(name, f"{name}-production", "0" * 64, None, reasons)


def test_each_connection_has_its_own_reasons() -> None:
    decisions = [refused("lakeside", Code.APPROVAL_MISSING), refused("prairie", Code.REVOKED, Code.APPROVAL_MISSING)]
    said = refusal({d.connection: d for d in decisions}, decisions)
    indented = "\n".join(f"    {line}" for line in said.splitlines())
    assert refusals_in(f"error: Production is refused; nothing was changed.\n{indented}\nResources: 3\n") == {
        "lakeside-production": ["approval-missing"],
        "prairie-production": ["revoked", "approval-missing"],
    }


def test_a_step_about_several_connections_has_the_digest_of_each() -> None:
    step = Step("production-up", connections=[About("lakeside-production", "0" * 64, ["break-glass"])])
    (one,) = step.values()["connections"]
    assert one == {"connection": "lakeside-production", "sha256": "0" * 64, "reasons": ["break-glass"]}
    assert "connections" not in Step("edited").values()


@pytest.fixture
def story(tmp_path: Path) -> Story:
    """Everything is approved, and both stacks are as they are promoted."""
    root = make_project(tmp_path)
    put(root, accepted(root))
    workspace = Workspace(Project(root, root / ".local"), stack_of("local"))
    workspace.update()
    test, production = (Local(workspace.project, name, lambda _: None) for name in ("local", "local-prod"))
    certificates = ssl.create_default_context()
    world = load_world(ROOT / "emulators/world.yaml")

    def say(organization: str, connection: str, who: str, what: str) -> None:
        assert who == "promotion"
        assert "production" in what

    return Story(workspace, test, production, world, certificates, say)


def test_what_production_serves_is_told_with_every_digest(story: Story) -> None:
    story.production_up()
    (step,) = story.steps
    assert len(step.values()["connections"]) == 4
    assert all(len(one["sha256"]) == 64 and one["reasons"] == [] for one in step.values()["connections"])


def test_a_refusal_of_production_has_the_digest_of_each_connection(story: Story) -> None:
    story.production_up()
    served = {one.connection: one.sha256 for one in story.steps[0].connections}
    said = {"prairie-production": ["configuration-changed"], "rheinland-production": ["approval-missing"]}
    story.refused(said, {Code.CONFIGURATION_CHANGED})
    step = story.steps[1]
    assert step.reasons == ["approval-missing", "configuration-changed"]
    assert {one.connection: one.reasons for one in step.connections} == said
    assert {one.connection: one.sha256 for one in step.connections} == {c: served[c] for c in said}


def test_another_refusal_than_the_expected_ends_the_story(story: Story) -> None:
    with pytest.raises(StoryFailed, match="approval-missing"):
        story.refused({"prairie-production": ["revoked"]}, {Code.APPROVAL_MISSING})
