"""The README says what is true: every command, option, folder and address in it exists, and none is left out."""

import re
import subprocess
from pathlib import Path

import pytest
import typer.main
from typer.core import TyperGroup

from emulators.world import load_world
from schemas.loading import load_stack
from workflow.cli import app

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
HOUSEHOLD = {"set-up", "browser", "help"}
"""Targets that others call on the way; `help` speaks for itself."""


def make_targets() -> set[str]:
    declared = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert declared
    return set(declared[1].split())


def connector() -> TyperGroup:
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    return group


def test_every_make_target_is_in_the_readme_and_every_one_there_exists() -> None:
    assert set(re.findall(r"`?make (?:PYTHON=\S+ )?([a-z-]+)", README)) == make_targets() - HOUSEHOLD


@pytest.mark.parametrize("target", sorted(make_targets()))
def test_make_knows_how_to_make(target: str) -> None:
    subprocess.run(["make", "--dry-run", target], cwd=ROOT, check=True, capture_output=True)


def test_every_command_of_connector_is_in_the_readme_and_every_one_there_exists() -> None:
    assert set(re.findall(r"`connector ([a-z]+(?:-[a-z]+)*)", README)) == set(connector().commands)


def test_every_option_of_the_demonstration_is_in_the_readme() -> None:
    options = {name for p in connector().commands["demo"].params for name in p.opts if name.startswith("--")}
    assert {name for name in options if name not in README} == set()


def test_every_top_level_folder_is_in_the_layout() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    folders = {name.split("/")[0] for name in listed.splitlines() if "/" in name} - {".ci", "requirements", "docs"}
    assert {name for name in folders if f"| `{name}/`" not in README} == set()


def test_every_address_in_the_readme_is_one_of_the_local_stack() -> None:
    world = load_world(ROOT / "emulators" / "world.yaml")
    loaded = load_stack("Pulumi.local.yaml", lambda name: (ROOT / name).read_text(encoding="utf-8"))
    assert loaded.stack is not None
    known = {world.entra.url, world.graph.url, *(ehr.url for ehr in world.ehrs)}
    for geography in loaded.stack.geographies.values():
        known |= {f"https://{host}" for host in (geography.public_hosts.test, geography.portal_host)}
    ports = {url.rsplit(":", 1)[1] for url in known}
    assert set(re.findall(r":(84\d\d)\b", README)) == ports - {"8472", "8473"}


def test_the_decisions_are_numbered_without_a_gap() -> None:
    names = sorted(path.name for path in (ROOT / "docs" / "decisions").glob("*.md"))
    assert [int(name[:4]) for name in names] == list(range(1, len(names) + 1))
