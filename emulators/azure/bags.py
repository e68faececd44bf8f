"""Property bags on Pulumi's wire: protobuf structs with unknowns and secret wrappers, to and from plain values.

Owns the signatures of Pulumi's resource model (sdk/go/common/resource, "special" signatures). Protobuf numbers are
doubles; whole ones become ints here. Assets and resource references are refused: no emitted type takes them.
"""

from collections.abc import Iterator, Mapping
from typing import Any, cast

from google.protobuf import json_format, struct_pb2

UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
SIGNATURE = "4dabf18193072939515e22adb298388d"
SECRET = "1b47061264138c4ac30d75fd1eb44270"
OUTPUT = "d0e6a833031e9bbcd3f4e8bde6ca49a4"

Path = tuple[str | int, ...]


class UnsupportedValue(Exception):
    """A value of a kind that no emitted type takes, such as an asset."""


def from_wire(bag: struct_pb2.Struct) -> tuple[dict[str, Any], frozenset[Path]]:
    """Plain values with `UNKNOWN` strings in place, and the paths that were wrapped as secret."""
    secrets: set[Path] = set()
    plain = _unwrap(json_format.MessageToDict(bag), (), secrets)
    return cast(dict[str, Any], plain), frozenset(secrets)


def to_wire(value: Mapping[str, Any], secrets: frozenset[Path] = frozenset()) -> struct_pb2.Struct:
    """The reverse: paths of `secrets` that still exist are wrapped again."""
    bag = struct_pb2.Struct()
    json_format.ParseDict(cast(dict[str, Any], _wrap(dict(value), (), secrets)), bag)
    return bag


def leaves(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every scalar of a plain value with its path."""
    if isinstance(value, dict):
        for key, item in cast(dict[str, Any], value).items():
            yield from leaves(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(cast(list[Any], value)):
            yield from leaves(item, (*path, index))
    else:
        yield path, value


def _unwrap(value: Any, path: Path, secrets: set[Path]) -> Any:
    if isinstance(value, dict):
        bag = cast(dict[str, Any], value)
        signature = bag.get(SIGNATURE)
        if signature == SECRET:
            secrets.add(path)
            return _unwrap(bag.get("value"), path, secrets)
        if signature == OUTPUT:
            if bag.get("secret"):
                secrets.add(path)
            return _unwrap(bag["value"], path, secrets) if "value" in bag else UNKNOWN
        if signature is not None:
            raise UnsupportedValue(f"{'.'.join(map(str, path))}: assets and resource references are not emulated")
        return {key: _unwrap(item, (*path, key), secrets) for key, item in bag.items()}
    if isinstance(value, list):
        return [_unwrap(item, (*path, i), secrets) for i, item in enumerate(cast(list[Any], value))]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _wrap(value: Any, path: Path, secrets: frozenset[Path]) -> Any:
    if isinstance(value, dict):
        plain: Any = {key: _wrap(item, (*path, key), secrets) for key, item in cast(dict[str, Any], value).items()}
    elif isinstance(value, list):
        plain = [_wrap(item, (*path, i), secrets) for i, item in enumerate(cast(list[Any], value))]
    else:
        plain = value
    return {SIGNATURE: SECRET, "value": plain} if path in secrets else plain
