"""The program reads what `connector check` reads: bytes as they are, and nothing outside the project."""

import shutil
from pathlib import Path
from typing import Any

import pulumi
import pytest

from components.program import configured_stack
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
