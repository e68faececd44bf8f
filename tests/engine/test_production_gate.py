# pyright: reportUnknownMemberType=false
"""Production on the real engine: a preview warns, an update is refused, then accepted; then a revocation."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.support.samples import ROOT
from tests.support.stack import TestStack
from workflow.project import Project
from workflow.workspace import ensure_repository

STACKS = ("local", "local-prod")
GATE = "decisions = decided(stack, approvals, source, project)\n"


@pytest.fixture
def stack(tmp_path: Path, pulumi_executable: Path) -> Iterator[TestStack]:
    """Both stages with one geography and one organisation, and nothing approved."""
    made = TestStack.make(tmp_path, "local-prod", approved=False)
    for name in STACKS:
        only_emea(made.root / f"Pulumi.{name}.yaml")
    try:
        yield made
    finally:
        made.connector("down")
        assert made.until_no_processes() == []


def only_emea(file: Path) -> None:
    yaml = YAML()
    document: Any = yaml.load(file)
    config = document["config"]
    for other in ("americas", "apac"):
        del config["teams-ehr-connector:geographies"][other]
    promotion = config["teams-ehr-connector:promotion"]
    promotion["trustedKeys"] = [k for k in promotion["trustedKeys"] if k["geography"] == "emea"]
    organizations = config["teams-ehr-connector:organizations"]
    config["teams-ehr-connector:organizations"] = [o for o in organizations if not isinstance(o, str)][1:]
    with file.open("w", encoding="utf-8") as out:
        yaml.dump(document, out)


def without_the_check(stack: TestStack) -> None:
    """The program as somebody might change it: it creates everything, whatever is decided."""
    program = (ROOT / "__main__.py").read_text("utf-8")
    assert GATE in program
    (stack.root / "__main__.py").unlink()
    (stack.root / "__main__.py").write_text(program.replace(GATE, "decisions = {}\n"), "utf-8")


def with_the_check(stack: TestStack) -> None:
    (stack.root / "__main__.py").unlink()
    (stack.root / "__main__.py").symlink_to(ROOT / "__main__.py")


def test_production_is_refused_until_everything_is_approved_and_then_revoked(stack: TestStack) -> None:
    exports = stack.exports()

    warned = stack.pulumi("preview", "--non-interactive", exports=exports)
    assert warned.returncode == 0, warned.stdout + warned.stderr
    assert "`pulumi up` would be refused" in warned.stdout
    assert "expected an approval of rheinland-production, got none [approval-missing]" in warned.stdout

    unchecked = ("--skip-preview", "--skip-config-validation")
    refused = stack.pulumi("up", "--yes", *unchecked, "--non-interactive", exports=exports)
    assert refused.returncode != 0
    assert "Production is refused; nothing was changed in Azure." in refused.stdout
    assert "exit code" not in refused.stdout
    assert "rheinland-production (rheinland): refused" in refused.stdout
    assert "the approver approves it in the portal of the test stack" in refused.stdout
    assert stack.arm() == {}

    without_the_check(stack)
    advised = stack.pulumi("preview", "--non-interactive", exports=exports)
    assert advised.returncode == 0, advised.stdout + advised.stderr
    assert "approved-configuration" in advised.stdout
    stopped = stack.pulumi("up", "--yes", *unchecked, "--non-interactive", exports=exports)
    assert stopped.returncode != 0
    assert "[mandatory]" in stopped.stdout
    assert "expected an approval of rheinland-production, got none [approval-missing]" in stopped.stdout
    types = {arm["type"] for arm in stack.arm().values()}
    assert "Microsoft.App/containerApps" not in types

    with_the_check(stack)
    stack.approve()
    accepted = stack.pulumi("up", "--yes", "--skip-preview", "--non-interactive", exports=exports)
    assert accepted.returncode == 0, accepted.stdout + accepted.stderr
    outputs = json.loads(stack.pulumi("stack", "output", "--json", exports=exports).stdout)
    assert outputs["emea"]["approved_connections"] == 1
    (records,) = outputs["emea"]["integration_records"]
    assert records["connection"] == "rheinland-production"

    project = Project(stack.root, stack.state)
    ensure_repository(project, project.valid("local"))
    revoked = stack.connector("revoke", "rheinland-production", "--reason", "a leaked key", "--output", "json")
    assert revoked.returncode == 0, revoked.stdout + revoked.stderr
    assert json.loads(revoked.stdout)["branch"] == "connector/revocations-production-emea-2"
    (list_,) = json.loads(revoked.stdout)["lists"]
    assert (list_["published"], list_["list"]["version"]) == (True, 2)
    explained = json.loads(stack.connector("explain", "rheinland-production", "--output", "json").stdout)["stacks"][-1]
    assert (explained["channel"]["version"], explained["channel"]["newer"]) == (2, True), "published, and not merged"
    assert [r["code"] for r in explained["decision"]["reasons"]] == ["revoked"]
    renewed = json.loads(stack.connector("revoke", "--renew", "--stack", "local-prod", "--output", "json").stdout)[
        "lists"
    ][0]
    assert renewed["list"]["version"] == 3, "the list in the channel is newer than the one in the project"
    assert [r["connection"] for r in renewed["list"]["revoked"]] == ["rheinland-production"]
