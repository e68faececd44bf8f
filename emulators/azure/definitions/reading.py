"""Definitions as values: the body type of a resource, its entries by reference, and the two committed files.

The form is that of bicep-types (`types.json`): entries refer to one another by index (`#/17`), a property's `flags` is
a bit set. Both files are read at the first write, not at the start of a provider.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, cast

TYPES_FILE = Path(__file__).with_name("types.json")
SUPPLEMENT_FILE = Path(__file__).with_name("supplement.json")
REQUIRED, READ_ONLY = 1, 2
"""Bits of a property's `flags` (bicep-types, ObjectTypePropertyFlags)."""

Entry = Mapping[str, Any]


class NoDefinition(Exception):
    """A type or API version that the definitions lack; `python -m emulators.azure.definitions.extract` adds it."""


@dataclass(frozen=True)
class Body:
    """The body of one resource type: its entry, and the entries of the file that it refers to."""

    entries: Mapping[str, Entry]
    entry: Entry
    decimals: frozenset[str] = frozenset()
    """Paths of numbers that need not be whole: bicep-types knows whole ones only."""

    def at(self, reference: Mapping[str, str]) -> Entry:
        """What a `{"$ref": "#/17"}` means."""
        return self.entries[reference["$ref"].removeprefix("#/")]

    @property
    def properties(self) -> Mapping[str, Any]:
        """What stands in the body itself: `location`, `tags`, `properties`, ..."""
        return cast(Mapping[str, Any], self.entry["properties"])

    def has(self, name: str) -> bool:
        """Whether an input of this name stands beside `properties`."""
        return name in self.properties


@dataclass(frozen=True)
class Definitions:
    """A set of definitions: `{"bodies": {type@version: {"file", "body"}}, "files": {file: {index: entry}}}`."""

    document: Mapping[str, Any]

    def body(self, arm_type: str, api_version: str) -> Body:
        found = self.document["bodies"].get(key_of(arm_type, api_version))
        if found is None:
            raise NoDefinition(f"no definition of {arm_type} in its version {api_version}")
        entries = self.document["files"][found["file"]]
        return Body(entries, entries[found["body"].removeprefix("#/")], frozenset(paths("decimals", arm_type)))


def key_of(arm_type: str, api_version: str) -> str:
    """Resource Manager compares types without case."""
    return f"{arm_type.lower()}@{api_version}"


@cache
def committed() -> Definitions:
    """The extract that the emulated cloud validates with."""
    return Definitions(json.loads(TYPES_FILE.read_text()))


@cache
def supplement() -> Mapping[str, Mapping[str, list[Mapping[str, Any]]]]:
    """What the definitions do not say: kind of fact -> ARM type -> entries {"path", "source"}.

    `createOnly`: azure-native replaces the resource. `refused`: Azure refuses a change that azure-native sends (with
    "from": of that value alone). `frozen`: Azure ignores a change without a word. `nothing`: only name, place and
    location are fixed. `decimals`: numbers that need not be whole.
    """
    return json.loads(SUPPLEMENT_FILE.read_text())


def paths(what: Literal["createOnly", "frozen", "decimals"], arm_type: str) -> tuple[str, ...]:
    """The body paths of a type that a kind of fact is about."""
    return tuple(entry["path"] for entry in supplement()[what].get(arm_type, []))
