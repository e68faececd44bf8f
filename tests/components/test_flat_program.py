"""What the bench declares flat is what the components emit: the same resources, waiting for the same ones."""

import runpy
from collections.abc import Iterable
from typing import Any

import pytest

from tests.bench.components import flat_source
from tests.bench.declared import flat_program
from tests.support.program import Emitted, registered, sample, stack_of
from tests.support.samples import ROOT


@pytest.fixture(scope="module")
def flat(tmp_path_factory: pytest.TempPathFactory) -> list[Emitted]:
    """What the flat program registers."""
    file = tmp_path_factory.mktemp("flat") / "flat.py"
    file.write_text(flat_program(sample("prod").resources), "utf-8")
    return registered(lambda: runpy.run_path(str(file)), stack_of("prod"))


def declared(resources: Iterable[Emitted]) -> dict[str, tuple[str, Any, bool, bool]]:
    return {r.name: (r.type, r.inputs, r.protect, r.retain_on_delete) for r in resources if r.custom}


def waits(resources: Iterable[Emitted]) -> dict[str, set[str]]:
    names = {r.urn: r.name for r in resources if r.custom}
    return {r.name: {names[urn] for urn in r.depends_on if urn in names} for r in resources if r.custom}


def test_the_flat_program_registers_the_same_resources_with_the_same_inputs(flat: list[Emitted]) -> None:
    assert declared(flat) == declared(sample("prod").resources)


def test_each_resource_of_the_flat_program_waits_for_those_that_it_waits_for_among_our_components(
    flat: list[Emitted],
) -> None:
    assert waits(flat) == waits(sample("prod").resources)


def test_the_flat_program_has_no_component(flat: list[Emitted]) -> None:
    assert [r.name for r in flat if not r.custom] == []


def test_up_to_its_declarations_the_flat_program_is_the_program() -> None:
    program = (ROOT / "__main__.py").read_text("utf-8")
    made = flat_source(program, "flat")
    assert made.endswith("\ngeographies(stack, packed, project)\nflat")
    assert program.startswith(made.removesuffix("geographies(stack, packed, project)\nflat"))
