"""The sample stacks as text that tests change: every scalar with its place, and a stack loaded from changed files."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# (ruamel.yaml and jsonschema are typed in parts.)

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode

from schemas.loading import Loaded, load_stack

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Scalar:
    """A scalar of a sample file: `text[start:end]`; line and column count from 1."""

    path: tuple[str | int, ...]
    start: int
    end: int
    line: int
    column: int

    @property
    def place(self) -> tuple[int, int]:
        return self.line, self.column


def stack_files() -> list[str]:
    return sorted(f.name for f in ROOT.glob("Pulumi.?*.yaml"))


def organization_files() -> list[str]:
    return sorted(str(f.relative_to(ROOT)) for f in ROOT.glob("organizations/**/*.yaml"))


def stack_of(file: str) -> str:
    """The stack file that reads an organisation's file."""
    return file if file.startswith("Pulumi.") else f"Pulumi.{file.split('/')[1]}.yaml"


@cache
def text(file: str) -> str:
    return (ROOT / file).read_text("utf-8")


@cache
def scalars(file: str) -> tuple[Scalar, ...]:
    """Every scalar value under the project's own keys."""
    root = YAML().compose(text(file))
    found = tuple(_scalars(root, ()))
    if not file.startswith("Pulumi."):
        return found
    return tuple(s for s in found if s.path[0] == "config" and str(s.path[1]).startswith("teams-ehr-connector:"))


def _scalars(node: object, path: tuple[str | int, ...]) -> Iterator[Scalar]:
    if isinstance(node, MappingNode):
        for key, value in node.value:
            yield from _scalars(value, (*path, key.value))
    elif isinstance(node, SequenceNode):
        for index, value in enumerate(node.value):
            yield from _scalars(value, (*path, index))
    elif isinstance(node, ScalarNode):
        start, end = node.start_mark, node.end_mark
        yield Scalar(path, start.index, end.index, start.line + 1, start.column + 1)


def changed(file: str, changes: Mapping[Scalar, str]) -> str:
    """The file with other text in place of some scalars; no change adds or takes away a line."""
    result = text(file)
    for scalar in sorted(changes, key=lambda s: s.start, reverse=True):
        result = result[: scalar.start] + changes[scalar] + result[scalar.end :]
    return result


def reader(changes: Mapping[str, str]) -> Callable[[str], str]:
    """Reads the sample files, but for those whose text is given."""

    def read(name: str) -> str:
        if name in changes:
            return changes[name]
        if not (ROOT / name).is_file():
            raise FileNotFoundError(2, "No such file or directory")
        return text(name)

    return read


def load(stack_file: str, changes: Mapping[str, str] | None = None) -> Loaded:
    return load_stack(stack_file, reader(changes or {}))


def engine_values(file: str) -> dict[str, str]:
    """PULUMI_CONFIG as the engine makes it: strings as they are, everything else as JSON."""
    config: dict[str, Any] = YAML(typ="safe").load(text(file))["config"]
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in config.items()}


def replaced(file: str, *pairs: tuple[str, str]) -> dict[str, str]:
    """The file with each first text, which must be there, replaced by the second, once."""
    result = text(file)
    for old, new in pairs:
        assert old in result, f"{old!r} is not in {file}"
        result = result.replace(old, new, 1)
    return {file: result}
