"""Which image each registry must have before an update."""

import subprocess
import sys

from schemas.vocabulary import GeographyName
from tests.support.program import run, stack_of
from tests.support.samples import ROOT
from workflow.images import wanted
from workflow.project import Project

PROJECT = Project(ROOT, ROOT / ".local")
OTHER = "sha256:" + 64 * "b"


def told(stack: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "workflow.images", stack]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_it_is_the_registry_of_the_program_with_the_image_of_its_geography() -> None:
    stack = stack_of("prod")
    geographies = dict(stack.geographies)
    geographies[GeographyName.EMEA] = geographies[GeographyName.EMEA].model_copy(update={"image": OTHER})
    stack = stack.model_copy(update={"geographies": geographies})
    registries = run(stack).of("azure-native:containerregistry:Registry")
    names = {r.name.removesuffix("-registry"): r.inputs["registryName"] for r in registries}
    assert list(wanted(PROJECT, stack)) == [
        f"{g.subscription_id}/{names[str(n)]} {OTHER if n is GeographyName.EMEA else stack.image}"
        for n, g in geographies.items()
    ]


def test_a_paused_geography_wants_none_nor_does_one_without_an_image() -> None:
    stack = stack_of("prod")
    assert list(wanted(PROJECT, stack.model_copy(update={"image": "none"}))) == []
    paused = {n: g.model_copy(update={"paused": True, "image": OTHER}) for n, g in stack.geographies.items()}
    assert list(wanted(PROJECT, stack.model_copy(update={"geographies": paused}))) == []


def test_the_command_prints_a_line_for_each_geography_and_fails_without_a_valid_stack() -> None:
    done = told("prod")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == list(wanted(PROJECT, stack_of("prod")))
    missing = told("nowhere")
    assert (missing.returncode, missing.stdout) == (1, "")
    assert "nowhere" in missing.stderr
