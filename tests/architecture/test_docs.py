"""The documents say what is true: every command, option, folder, link and address in them exists.

What of them a person must find is in the README, and nothing is left out there.
"""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
import typer.main
from typer.core import TyperGroup

from emulators.world import load_world
from schemas.loading import load_stack
from workflow.cli import app

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
SPAN = re.compile(r"^ *```\w*\n(.*?)^ *```$|`([^`\n]+)`", re.DOTALL | re.MULTILINE)
"""A fenced block, or a line's code (CommonMark 0.31.2, 4.5 and 6.1)."""
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


# --- every page -------------------------------------------------------------------------------------------------------


def commands_in(page: Path) -> Iterator[list[str]]:
    """The words after each `connector` in what the page shows as code, up to the end of the command."""
    for block, inline in SPAN.findall(page.read_text(encoding="utf-8")):
        code = (block or inline).replace("\\\n", " ")
        for found in re.findall(r"(?:^|[ /(])connector ([a-z][^\n;|&#)]*)", code, re.MULTILINE):
            yield re.sub(r"[\[\]\"']|(?<=\w)…", " ", found).split()


def parse(words: list[str]) -> None:
    """By the command line's own parser: raises where it knows no such command or option, or a value is missing."""
    command, context = connector(), typer.Context(connector())
    while isinstance(command, TyperGroup) and words:
        found = command.get_command(context, words[0])
        assert found is not None, f"no command {words[0]}"
        command, words = found, words[1:]
        context = typer.Context(command, parent=context)
    if not isinstance(command, TyperGroup):
        command.make_parser(context).parse_args(words)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_command_that_a_page_shows_is_one_that_can_be_given(page: Path) -> None:
    for words in commands_in(page):
        parse(list(words))
    code = "\n".join(block or inline for block, inline in SPAN.findall(page.read_text(encoding="utf-8")))
    assert set(re.findall(r"^make (?:\w+=\S+ )*([a-z-]+)", code, re.MULTILINE)) <= make_targets()


def test_commands_are_found_in_blocks_and_lines() -> None:
    assert ["trust", "list", "test"] in list(commands_in(ROOT / "docs" / "first-deployment.md"))
    assert ["audit", "verify", "FILE", "--stack", "STACK"] in list(commands_in(ROOT / "docs" / "restore.md"))


@pytest.mark.parametrize("words", [["promot"], ["trust", "remove"], ["promote", "--now"], ["policy", "--stack"]])
def test_what_cannot_be_given_is_found(words: list[str]) -> None:
    with pytest.raises(Exception, match=r"(?i)no |option|requires"):
        parse(words)


def headings(page: Path) -> set[str]:
    """As GitHub names them in a link: lower case, hyphens for spaces, without punctuation."""
    lines = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", line.lower()).replace(" ", "-") for line in lines}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in headings(target), link
