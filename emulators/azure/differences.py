"""What changed between two input bags, and what of it replaces a resource; and what a refresh found.

Owns pure functions over plain values: `changes` for Diff, `refreshed` for Read.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

from emulators.azure.arm import Row
from emulators.azure.bags import UNKNOWN
from emulators.azure.definitions import reading


@dataclass(frozen=True)
class Change:
    """One difference. `path` is Pulumi's property path."""

    path: str
    kind: Literal["add", "delete", "update"]
    replaces: bool


def changes(row: Row, before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    """Differences in inputs. Path inputs, location and create-only properties replace."""
    create_only = reading.paths("createOnly", row.arm_type)
    found: list[Change] = []
    for path, kind in _compare(cast(Any, _normal(before)), cast(Any, _normal(after)), ""):
        plain = re.sub(r"\[[^]]*\]", "", path)
        within = f"{row.body_path(plain)}."
        replaces = (
            plain in row.path_inputs
            or (row.located and plain == "location")
            or any(within.startswith(f"{p}.") or f"{p}.".startswith(within) for p in create_only)
        )
        found.append(Change(path, kind, replaces))
    return found


def same_place(row: Row, before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Whether both would have one ARM id, so that the old one must go before the new one comes."""
    return all(str(before.get(i)).lower() == str(after.get(i)).lower() for i in row.path_inputs)


def refreshed(row: Row, inputs: Mapping[str, Any], current: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs that would give what the cloud has now: only keys that were given, with the values of `current`.

    Path inputs and write-only properties stay as they were. `properties` may be given as one and answered one by one.
    """
    kept = set(row.path_inputs)
    found: dict[str, Any] = {}
    for key, value in inputs.items():
        if key in kept or key in row.write_only or value is None:
            found[key] = value
        elif key in current or key == "properties":
            found[key] = _project(value, current.get(key, current), tuple(row.write_only), key)
    return found


def _project(before: Any, now: Any, write_only: tuple[str, ...], path: str) -> Any:
    if isinstance(before, dict) and isinstance(now, dict):
        old, new = cast(dict[str, Any], before), cast(dict[str, Any], now)
        result: dict[str, Any] = {}
        for key, value in old.items():
            here = f"{path}.{key}"
            if here in write_only or here.removeprefix("properties.") in write_only:
                result[key] = value
            elif key in new:
                result[key] = _project(value, new[key], write_only, here)
        if path == "tags":  # a map of the user's: what others added is drift too
            result |= {key: value for key, value in new.items() if key not in old}
        return result
    if isinstance(before, list) and isinstance(now, dict) and path.endswith("userAssignedIdentities"):
        old_ids, ids = cast(list[str], before), list(cast(dict[str, Any], now))
        return old_ids if {i.lower() for i in old_ids} == {i.lower() for i in ids} else ids
    if isinstance(before, list) and isinstance(now, list):
        old_items, items = cast(list[Any], before), cast(list[Any], now)
        if len(old_items) == len(items):
            return [_project(o, n, write_only, path) for o, n in zip(old_items, items, strict=True)]
    return cast(Any, now)


def _normal(value: object) -> object:
    """Absent and null are one."""
    if isinstance(value, Mapping):
        return {k: cast(Any, _normal(v)) for k, v in cast(Mapping[str, Any], value).items() if v is not None}
    if isinstance(value, list):
        return [cast(Any, _normal(v)) for v in cast(list[Any], value)]
    return value


def _compare(before: Any, after: Any, path: str) -> Iterator[tuple[str, Literal["add", "delete", "update"]]]:
    if isinstance(before, dict) and isinstance(after, dict):
        old, new = cast(dict[str, Any], before), cast(dict[str, Any], after)
        for key in sorted(old.keys() | new.keys()):
            here = f"{path}.{key}" if path else (key if "." not in key else f'["{key}"]')
            if path and ("." in key or "[" in key):
                here = f'{path}["{key}"]'
            if key not in old:
                yield here, "add"
            elif key not in new:
                yield here, "delete"
            else:
                yield from _compare(old[key], new[key], here)
    elif isinstance(before, list) and isinstance(after, list):
        old_items, items = cast(list[Any], before), cast(list[Any], after)
        for index in range(max(len(old_items), len(items))):
            if index >= len(old_items):
                yield f"{path}[{index}]", "add"
            elif index >= len(items):
                yield f"{path}[{index}]", "delete"
            else:
                yield from _compare(old_items[index], items[index], f"{path}[{index}]")
    elif before != after or after == UNKNOWN:
        yield path, "update"
