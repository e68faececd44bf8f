"""The houses keep apart; the rules are in pyproject.toml, and each catches what it forbids."""

import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HOUSES = ("components", "emulators", "policies", "runtime", "schemas", "tools", "workflow")


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [Path(sysconfig.get_path("scripts"), "lint-imports"), "--no-cache", "--no-logo"]
    return subprocess.run(command, cwd=folder, env={}, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A tree with the same rules and one empty module a house."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for house in HOUSES:
        (tmp_path / house).mkdir()
        (tmp_path / house / "__init__.py").touch()
    return tmp_path


def test_the_houses_keep_their_rules() -> None:
    result = lint(ROOT)
    assert result.returncode == 0, result.stdout


def test_an_empty_tree_keeps_the_rules(copy: Path) -> None:
    assert lint(copy).returncode == 0


@pytest.mark.parametrize(
    ("importer", "imported"),
    [
        ("schemas", "components"),
        ("schemas", "tools"),
        ("schemas", "subprocess"),
        ("components", "policies"),
        ("components", "workflow"),
        ("policies", "runtime"),
        ("runtime", "emulators"),
        ("runtime", "components"),
        ("runtime", "pulumi"),
        ("runtime", "workflow"),
        ("emulators", "runtime"),
        ("emulators", "tools"),
        ("tools", "schemas"),
        ("tools", "workflow"),
    ],
)
def test_an_import_that_the_rules_forbid_is_found(copy: Path, importer: str, imported: str) -> None:
    (copy / importer / "broken.py").write_text(f"import {imported}\n")
    result = lint(copy)
    assert result.returncode != 0
    assert f"{importer}.broken -> {imported}" in result.stdout


@pytest.mark.parametrize("house", [house for house in HOUSES if house not in {"tools", "schemas"}])
def test_the_schemas_are_for_everybody_else(copy: Path, house: str) -> None:
    (copy / house / "fine.py").write_text("import schemas\n")
    assert lint(copy).returncode == 0
