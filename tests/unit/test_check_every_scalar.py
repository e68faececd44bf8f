"""Every scalar of every sample file, given as another YAML type or empty, is reported where it stands."""

import random
from itertools import cycle

import pytest

from tests.support.samples import (
    Scalar,
    changed,
    load,
    organization_files,
    scalars,
    stack_files,
    stack_of,
)

FILES = [*stack_files(), *organization_files()]

OTHER_TYPES = {
    "integer": "12",
    "octal or decimal": "0001002",
    "float": "1.10",
    "exponent": "12e3",
    "hexadecimal": "0x1F",
    "boolean": "true",
    "boolean of YAML 1.1": "yes",
    "null": "~",
    "nothing": "",
    "date": "2024-01-01",
    "timestamp": "2024-01-01T10:00:00Z",
    "base 60": "1:30",
    "list": "[a]",
    "mapping": "{a: b}",
    "alias": "*other",
    "anchor": "&here text",
    "tag": "!!str text",
    "empty string": '""',
    "blank": '"  "',
}


def unreported(file: str, changes: dict[Scalar, str]) -> list[str]:
    """The changes that no error is reported for at their place (a value that is not there has only its line)."""
    loaded = load(stack_of(file), {file: changed(file, changes)})
    assert loaded.stack is None
    places = {(p.line, p.column) for p in loaded.errors if p.file == file}
    lines = {line for line, _ in places}
    return [f"{t!r} at {s.path}" for s, t in changes.items() if (s.place not in places if t else s.line not in lines)]


def test_there_are_sample_files_with_scalars() -> None:
    assert len(FILES) >= 8
    assert all(len(scalars(file)) > 20 for file in FILES)


@pytest.mark.parametrize("file", FILES)
def test_a_single_value_of_another_type_is_reported_at_its_node(file: str) -> None:
    kinds = cycle(OTHER_TYPES)
    missed = [m for s in scalars(file) for m in unreported(file, {s: OTHER_TYPES[next(kinds)]})]
    assert missed == []


@pytest.mark.parametrize("kind", OTHER_TYPES)
@pytest.mark.parametrize("file", FILES)
def test_all_values_of_another_type_are_reported_at_their_nodes_at_once(file: str, kind: str) -> None:
    changes = dict.fromkeys(scalars(file), OTHER_TYPES[kind])
    # A change moves no other one: each scalar of the samples stands on a line of its own.
    assert unreported(file, changes) == []


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("file", FILES)
def test_fifty_wrong_values_of_mixed_types_are_all_reported(file: str, seed: int) -> None:
    chosen = random.Random(f"{file} {seed}")
    some = chosen.sample(scalars(file), min(50, len(scalars(file))))
    changes = {scalar: chosen.choice(list(OTHER_TYPES.values())) for scalar in some}
    assert unreported(file, changes) == []
