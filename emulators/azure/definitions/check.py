"""The check of a PUT's body against Azure's definition of its type, at every depth.

Owns what each kind of entry means: required, unknown and read-only properties, enumerations, patterns, lengths, ranges,
unions and discriminated objects. A value that an enumeration does not name is refused, also where the enumeration may
grow (bicep-types writes that as a union with `string`): the services refuse what they do not know.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from emulators.azure.definitions.reading import READ_ONLY, REQUIRED, Body, Entry

SHOWN_CHARACTERS = 60


@dataclass(frozen=True)
class Violation:
    """One property that Azure would not take."""

    path: str
    expected: str
    got: str

    def __str__(self) -> str:
        return f"{self.path}: expected {self.expected}, got {self.got}"


@dataclass
class Checked:
    """What a check found; `properties` counts every property and list item that was looked at."""

    violations: list[Violation] = field(default_factory=list[Violation])
    properties: int = 0


def check(definition: Body, body: Mapping[str, Any]) -> Checked:
    """All violations of one body. Null is absent, as it is for Resource Manager."""
    checked = Checked()
    _Check(definition, checked).value(definition.entry, body, "")
    return checked


class _Check:
    def __init__(self, definition: Body, checked: Checked) -> None:
        self._body, self._checked = definition, checked

    def value(self, entry: Entry, value: object, path: str) -> None:
        match entry["$type"]:
            case "ObjectType":
                self._object(entry, entry["properties"], value, path)
            case "DiscriminatedObjectType":
                self._discriminated(entry, value, path)
            case "UnionType":
                self._union(entry, value, path)
            case "ArrayType":
                self._array(entry, value, path)
            case "StringType":
                self._string(entry, value, path)
            case "IntegerType":
                self._integer(entry, value, path)
            case "StringLiteralType":
                if value != entry["value"]:
                    self._refuse(path, f"'{entry['value']}'", value)
            case "BooleanType":
                if not isinstance(value, bool):
                    self._refuse(path, "a boolean", value)
            case "AnyType":
                pass
            case other:
                raise ValueError(f"a definition of the kind {other} is not known here")

    def _object(self, entry: Entry, properties: Mapping[str, Any], value: object, path: str) -> None:
        if not isinstance(value, Mapping):
            self._refuse(path, f"an object ({entry['name']})", value)
            return
        given = {k: v for k, v in cast(Mapping[str, Any], value).items() if v is not None}
        for key, item in given.items():
            self._checked.properties += 1
            here = f"{path}.{key}" if path else key
            known = properties.get(key)
            if known is not None and known["flags"] & READ_ONLY:
                self._refuse(here, "nothing, because it is read-only", item)
            elif known is not None:
                self.value(self._body.at(known["type"]), item, here)
            elif "additionalProperties" in entry:
                self.value(self._body.at(entry["additionalProperties"]), item, here)
            else:
                self._refuse(here, f"a property of {entry['name']} ({', '.join(sorted(properties))})", item)
        for key, known in properties.items():
            if known["flags"] & REQUIRED and not known["flags"] & READ_ONLY and key not in given:
                self._refuse(f"{path}.{key}" if path else key, f"what {entry['name']} requires", None)

    def _discriminated(self, entry: Entry, value: object, path: str) -> None:
        discriminator, elements = entry["discriminator"], entry["elements"]
        if not isinstance(value, Mapping):
            self._refuse(path, f"an object ({entry['name']})", value)
            return
        given = cast(Mapping[str, Any], value)
        chosen = given.get(discriminator)
        if chosen not in elements:
            self._refuse(f"{path}.{discriminator}", _one_of(list(elements)), chosen)
            return
        element = self._body.at(elements[chosen])
        self._object(element, entry["baseProperties"] | element["properties"], given, path)

    def _union(self, entry: Entry, value: object, path: str) -> None:
        elements = [self._body.at(e) for e in entry["elements"]]
        literals = [e["value"] for e in elements if e["$type"] == "StringLiteralType"]
        others = [e for e in elements if e["$type"] not in ("StringLiteralType", "StringType")]
        if others or not literals:
            raise ValueError(f"{path}: a union of other things than named strings is not known here")
        if value not in literals:
            self._refuse(path, _one_of(literals), value)

    def _array(self, entry: Entry, value: object, path: str) -> None:
        if isinstance(value, str) or not isinstance(value, Sequence):
            self._refuse(path, "a list", value)
            return
        items = cast(Sequence[object], value)
        self._length(entry, len(items), path, "items", items)
        for index, item in enumerate(items):
            self._checked.properties += 1
            self.value(self._body.at(entry["itemType"]), item, f"{path}[{index}]")

    def _string(self, entry: Entry, value: object, path: str) -> None:
        if not isinstance(value, str):
            self._refuse(path, "a string", value)
            return
        self._length(entry, len(value), path, "characters", value)
        pattern = entry.get("pattern")
        if pattern and not re.search(pattern, value):
            self._refuse(path, f"what matches {pattern}", value)

    def _integer(self, entry: Entry, value: object, path: str) -> None:
        decimal = re.sub(r"\[\d+]", "", path) in self._body.decimals
        if not isinstance(value, (int, float) if decimal else int) or isinstance(value, bool):
            self._refuse(path, "a number" if decimal else "a whole number", value)
        elif not entry.get("minValue", value) <= value <= entry.get("maxValue", value):
            self._refuse(path, _between(entry.get("minValue"), entry.get("maxValue"), ""), value)

    def _length(self, entry: Entry, length: int, path: str, of: str, value: object) -> None:
        if not entry.get("minLength", length) <= length <= entry.get("maxLength", length):
            self._refuse(path, _between(entry.get("minLength"), entry.get("maxLength"), f" {of}"), value)

    def _refuse(self, path: str, expected: str, got: object) -> None:
        self._checked.violations.append(Violation(path, expected, _shown(got)))


def _between(least: int | None, most: int | None, of: str) -> str:
    if least is None or most is None:
        return f"at most {most}{of}" if least is None else f"at least {least}{of}"
    return f"{least} to {most}{of}"


def _one_of(values: Sequence[str]) -> str:
    return f"one of {', '.join(sorted(values))}"


def _shown(value: object) -> str:
    """A value in a message, cut where it is long; objects and lists by their kind alone."""
    match value:
        case None:
            return "nothing"
        case str() | bool() | int() | float():
            text = json.dumps(value)
            return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}… ({len(text) - 2} characters)"
        case Mapping():
            return "an object"
        case _:
            return "a list"
