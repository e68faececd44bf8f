"""From azure-native's inputs to the body that Resource Manager gets.

Owns one rule of the SDK: what stands in an object's own `properties` is an input of the object itself, at every depth
(`delegations[].serviceName` is `delegations[].properties.serviceName` in the body). The definitions say where it was.
"""

from collections.abc import Mapping
from typing import Any, cast

from emulators.azure.definitions.reading import READ_ONLY, REQUIRED, Body, Entry


def put_back(definition: Body, value: Mapping[str, Any]) -> dict[str, Any]:
    """The body of a PUT from one that is flat below its own `properties`."""
    return _object(definition, definition.entry, definition.entry["properties"], value)


def _value(definition: Body, entry: Entry, value: object) -> object:
    if entry["$type"] == "ArrayType" and isinstance(value, list):
        item = definition.at(entry["itemType"])
        return [_value(definition, item, v) for v in cast(list[object], value)]
    if not isinstance(value, Mapping):
        return value
    given = cast(Mapping[str, Any], value)
    if entry["$type"] == "DiscriminatedObjectType":
        chosen = entry["elements"].get(given.get(entry["discriminator"]))
        element: Mapping[str, Any] = definition.at(chosen)["properties"] if chosen else {}
        return _object(definition, entry, entry["baseProperties"] | element, given)
    return _object(definition, entry, entry["properties"], given) if entry["$type"] == "ObjectType" else given


def _object(definition: Body, entry: Entry, properties: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    inner: Mapping[str, Any] = properties.get("properties", {"flags": READ_ONLY})
    has_inner = not inner["flags"] & READ_ONLY
    body: dict[str, Any] = {}
    lifted: dict[str, Any] = {}
    for key, value in given.items():
        if value is None:
            continue
        if key not in properties and has_inner:
            lifted[key] = value
        else:
            body[key] = value
    if has_inner and (lifted or inner["flags"] & REQUIRED):
        body["properties"] = body.get("properties", {}) | lifted

    def kind(key: str) -> Entry | None:
        known = properties.get(key)
        if known is not None:
            return None if known["flags"] & READ_ONLY else definition.at(known["type"])
        return definition.at(entry["additionalProperties"]) if "additionalProperties" in entry else None

    kinds = {key: kind(key) for key in body}
    return {key: value if (k := kinds[key]) is None else _value(definition, k, value) for key, value in body.items()}
