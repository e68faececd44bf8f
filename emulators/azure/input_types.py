"""The shape of each emitted type's inputs, as pulumi-azure-native's own input classes declare them.

Owns `input_types.json`, generated from the SDK (importing it costs seconds in every provider process), and the check
of a property bag against it: unknown properties, missing ones and values of another kind are refused. A test
regenerates the file and compares. `python -m emulators.azure.input_types` writes it.
"""

import importlib
import inspect
import json
import typing
from collections.abc import Iterator, Mapping
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any

from emulators.azure.bags import UNKNOWN

FILE = Path(__file__).with_name("input_types.json")


def check(token: str, inputs: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Each (property path, reason) for which Resource Manager would not take this plain (unwrapped) bag."""
    tables = _tables()
    yield from _check_object(tables["objects"], tables["inputs"][token], inputs, "")


def properties_of(token: str) -> dict[str, Any]:
    """The input properties of a type: name to kind."""
    tables = _tables()
    return tables["objects"][tables["inputs"][token]]["properties"]


def _check_object(objects: Any, name: str, value: Any, path: str) -> Iterator[tuple[str, str]]:
    if not isinstance(value, Mapping):
        yield path, f"expected an object ({name}), got {_kind(value)}"
        return
    definition = objects[name]
    given = typing.cast(Mapping[str, Any], value)
    for key, item in given.items():
        here = f"{path}.{key}" if path else key
        kind = definition["properties"].get(key)
        if kind is None:
            yield here, f"unknown property: {name} has no '{key}'"
        elif item is not None:
            yield from _check_kind(objects, kind, item, here)
    for key in definition["required"]:
        if given.get(key) is None:
            yield (f"{path}.{key}" if path else key), f"missing required property '{key}' of {name}"


def _check_kind(objects: Any, kind: Any, value: Any, path: str) -> Iterator[tuple[str, str]]:
    if value == UNKNOWN or kind == "any":
        return
    if isinstance(kind, str):
        python = {"string": str, "number": (int, float), "boolean": bool}[kind]
        if not isinstance(value, python) or (kind == "number" and isinstance(value, bool)):
            yield path, f"expected a {kind}, got {_kind(value)}"
    elif "object" in kind:
        yield from _check_object(objects, kind["object"], value, path)
    elif "enum" in kind:
        if value not in kind["enum"]:
            yield path, f"expected one of {', '.join(kind['enum'])}, got {_kind(value)}"
    elif "array" in kind:
        if not isinstance(value, list):
            yield path, f"expected a list, got {_kind(value)}"
            return
        for index, item in enumerate(typing.cast(list[Any], value)):
            yield from _check_kind(objects, kind["array"], item, f"{path}[{index}]")
    elif "map" in kind:
        if not isinstance(value, Mapping):
            yield path, f"expected a map, got {_kind(value)}"
            return
        for key, item in typing.cast(Mapping[str, Any], value).items():
            yield from _check_kind(objects, kind["map"], item, f"{path}.{key}")


def _kind(value: object) -> str:
    names: dict[type, str] = {
        str: "a string",
        bool: "a boolean",
        float: "a number",
        int: "a number",
        list: "a list",
        dict: "an object",
    }
    return names.get(type(value), "nothing")


@cache
def _tables() -> Any:
    return json.loads(FILE.read_text())


# --- generating the file from the SDK ---------------------------------------------------------------------------


def generate(tokens: typing.Iterable[str]) -> dict[str, Any]:
    """What `input_types.json` must hold for these type tokens."""
    objects: dict[str, Any] = {}
    inputs: dict[str, str] = {}
    for token in sorted(tokens):
        _, module, name = token.split(":")
        sdk: Any = importlib.import_module(f"pulumi_azure_native.{module}")
        resource = importlib.import_module(getattr(sdk, name).__module__)
        # "InitArgs" where an input type of the same name exists (SDK naming rule for clashes).
        cls = getattr(resource, f"{name}InitArgs", None) or getattr(resource, f"{name}Args")
        inputs[token] = _describe(cls, objects)
    return {"inputs": inputs, "objects": {name: objects[name] for name in sorted(objects)}}


def _describe(cls: Any, objects: dict[str, Any]) -> str:
    """Add one input class and those that it names; returns its name."""
    import pulumi._types as sdk_types  # pyright: ignore[reportMissingTypeStubs]

    module = cls.__module__.split(".")[1]
    name = f"{module}.{cls.__name__}"
    if name in objects:
        return name
    entry: dict[str, Any] = {"properties": {}, "required": []}
    objects[name] = entry
    namespace = vars(importlib.import_module(cls.__module__)) | vars(importlib.import_module("pulumi"))
    wire: dict[str, str] = sdk_types.input_type_py_to_pulumi_names(cls)
    for python, parameter in inspect.signature(cls.__init__).parameters.items():
        if python == "__self__":
            continue
        hint = parameter.annotation
        if isinstance(hint, str):
            hint = eval(hint, namespace)  # noqa: S307 - annotations of the pinned SDK
        entry["properties"][wire[python]] = _kind_of(hint, namespace, objects)
        if parameter.default is inspect.Parameter.empty:
            entry["required"].append(wire[python])
    entry["properties"] = dict(sorted(entry["properties"].items()))
    entry["required"].sort()
    return name


def _kind_of(hint: Any, namespace: dict[str, Any], objects: dict[str, Any]) -> Any:
    if isinstance(hint, typing.ForwardRef):
        hint = hint.__forward_arg__
    if isinstance(hint, str):
        hint = eval(hint, namespace) if "[" not in hint or not hint.startswith("Output") else None  # noqa: S307
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Union:
        kinds: list[Any] = [
            k for k in (_kind_of(a, namespace, objects) for a in arguments if not _wrapper(a)) if k is not None
        ]
        distinct = [k for i, k in enumerate(kinds) if k not in kinds[:i]]
        if "string" in distinct:  # an open enumeration: its members or any other string
            distinct = [k for k in distinct if k == "string" or "enum" not in k]
        return distinct[0] if len(distinct) == 1 else "any"
    if origin is not None and arguments:
        element = _kind_of(arguments[-1], namespace, objects)
        return {"map": element} if len(arguments) == 2 else {"array": element}
    if hint in (str, bool, int, float):
        return {str: "string", bool: "boolean", int: "number", float: "number"}[hint]
    if isinstance(hint, type) and issubclass(hint, Enum):
        return {"enum": sorted(str(member.value) for member in hint)}
    if hint is Any:
        return "any"
    if isinstance(hint, type) and getattr(hint, "_pulumi_input_type", False):
        return {"object": _describe(hint, objects)}
    return None


def _wrapper(hint: Any) -> bool:
    """Awaitables and Outputs around the same value, and None."""
    text = hint.__forward_arg__ if isinstance(hint, typing.ForwardRef) else str(hint)
    return (
        hint is type(None)
        or text.startswith(("Output[", "typing.Awaitable", "collections.abc.Awaitable"))
        or ("pulumi.output.Output" in text.split("[")[0])
    )


def main() -> None:
    from emulators.azure.arm import TYPES

    FILE.write_text(json.dumps(generate(TYPES), indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
