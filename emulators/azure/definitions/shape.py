"""From azure-native's inputs to the body that Resource Manager gets.

Owns two rules of the SDK. What stands in an object's own `properties` is an input of the object itself, at every depth
(`delegations[].serviceName` is `delegations[].properties.serviceName` in the body): the definitions say where it was.
And an input may have another name than its property (`odataType` is `odata.type`): a row of `arm.py` says which.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from emulators.azure.definitions.reading import READ_ONLY, REQUIRED, Body, Entry


def put_back(definition: Body, value: Mapping[str, Any], spelled: Mapping[str, str]) -> dict[str, Any]:
    """The body of a PUT from one that is flat below its own `properties`; `spelled` is input name to property name."""
    return _Shape(definition, spelled).of_object(definition.entry, definition.entry["properties"], value)


@dataclass(frozen=True)
class _Shape:
    definition: Body
    spelled: Mapping[str, str]

    def of_value(self, entry: Entry, value: object) -> object:
        if entry["$type"] == "ArrayType" and isinstance(value, list):
            item = self.definition.at(entry["itemType"])
            return [self.of_value(item, v) for v in cast(list[object], value)]
        if not isinstance(value, Mapping):
            return value
        given = cast(Mapping[str, Any], value)
        if entry["$type"] == "DiscriminatedObjectType":
            discriminator = entry["discriminator"]
            chosen = [v for k, v in given.items() if discriminator in (k, self.spelled.get(k))]
            element = entry["elements"].get(chosen[0]) if chosen else None
            more: Mapping[str, Any] = self.definition.at(element)["properties"] if element else {}
            return self.of_object(entry, entry["baseProperties"] | more, given)
        return self.of_object(entry, entry["properties"], given) if entry["$type"] == "ObjectType" else given

    def of_object(self, entry: Entry, properties: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
        inner: Mapping[str, Any] = properties.get("properties", {"flags": READ_ONLY})
        has_inner = not inner["flags"] & READ_ONLY
        body: dict[str, Any] = {}
        lifted: dict[str, Any] = {}
        for key, value in given.items():
            if value is None:
                continue
            name = key if key in properties else self.spelled.get(key, key)
            (lifted if has_inner and name not in properties else body)[name] = value
        if has_inner and (lifted or inner["flags"] & REQUIRED):
            body["properties"] = body.get("properties", {}) | lifted
        return {key: self._at(entry, properties, key, value) for key, value in body.items()}

    def _at(self, entry: Entry, properties: Mapping[str, Any], key: str, value: object) -> object:
        known = properties.get(key)
        if known is not None:
            return value if known["flags"] & READ_ONLY else self.of_value(self.definition.at(known["type"]), value)
        if "additionalProperties" in entry:
            return self.of_value(self.definition.at(entry["additionalProperties"]), value)
        return value
