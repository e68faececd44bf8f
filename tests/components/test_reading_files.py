"""The program reads what `connector check` reads: bytes as they are, and nothing outside the project."""

import shutil
from pathlib import Path
from typing import Any

import pulumi
import pytest

from components.program import configured_stack
from components.project_files import files_of
from tests.support.samples import ROOT, engine_values

NORTHWIND = "organizations/test/northwind.yaml"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    shutil.copy(ROOT / "Pulumi.test.yaml", tmp_path)
    shutil.copytree(ROOT / "organizations", tmp_path / "organizations")
    return tmp_path


def test_a_valid_project_is_read(project: Path) -> None:
    stack = configured_stack(engine_values("Pulumi.test.yaml"), "test", project)
    assert [o.id for o in stack.organizations] == ["lamna", "northwind"]


def test_a_link_that_leads_out_of_the_project_is_not_followed(project: Path, tmp_path_factory: Any) -> None:
    outside = tmp_path_factory.mktemp("outside") / "northwind.yaml"
    (project / NORTHWIND).rename(outside)
    (project / NORTHWIND).symlink_to(outside)
    with pytest.raises(pulumi.RunError, match="leads out of the project"):
        configured_stack(engine_values("Pulumi.test.yaml"), "test", project)


def test_a_link_that_leads_to_itself_is_a_problem_and_no_crash(project: Path) -> None:
    (project / NORTHWIND).unlink()
    (project / NORTHWIND).symlink_to("northwind.yaml")
    with pytest.raises(pulumi.RunError, match="a link that leads to itself"):
        configured_stack(engine_values("Pulumi.test.yaml"), "test", project)


def test_line_ends_that_check_refuses_are_refused(project: Path) -> None:
    """Reading as text would turn a carriage return into a line feed before anything looks at it."""
    path = project / NORTHWIND
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r"))
    with pytest.raises(pulumi.RunError, match=r"U\+000D"):
        configured_stack(engine_values("Pulumi.test.yaml"), "test", project)


def test_a_folder_of_the_code_may_be_linked_and_nothing_in_it_leads_elsewhere(
    project: Path, tmp_path_factory: Any
) -> None:
    """A workspace links the code; a file of it that leads elsewhere is refused like any other."""
    code = tmp_path_factory.mktemp("code")
    (code / "anchors.json").write_text("{}", "utf-8")
    (project / "schemas").symlink_to(code)
    files = files_of(project)
    assert files.read("schemas/anchors.json") == b"{}"
    (code / "leak.yaml").symlink_to(project / NORTHWIND)
    with pytest.raises(PermissionError, match="leads out of the project"):
        files.read("schemas/leak.yaml")


def test_an_organisation_is_not_read_through_a_link_among_the_code(project: Path, tmp_path_factory: Any) -> None:
    outside = tmp_path_factory.mktemp("outside") / "credentials.yaml"
    outside.write_text("id: a-secret\n", "utf-8")
    (project / "schemas").mkdir()
    (project / "schemas" / "leak.yaml").symlink_to(outside)
    config = engine_values("Pulumi.test.yaml")
    config["teams-ehr-connector:organizations"] = '["schemas/leak.yaml"]'
    with pytest.raises(pulumi.RunError, match="leads out of the project") as refused:
        configured_stack(config, "test", project)
    assert "a-secret" not in str(refused.value)
    with pytest.raises(PermissionError, match="leads out of the project"):
        files_of(project).read("schemas/../Pulumi.test.yaml")
