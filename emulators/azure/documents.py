"""Reading JSON documents whose parts may be absent: a missing or null part is an empty one."""

from collections.abc import Mapping
from typing import Any, cast


def value_at(document: object, path: str) -> Any:
    """What is at a dotted path, None where any part of it is absent."""
    for key in path.split("."):
        if not isinstance(document, Mapping):
            return None
        document = cast(Mapping[str, Any], document).get(key)
    return document


def object_at(document: object, path: str) -> dict[str, Any]:
    """The object at a dotted path, empty where there is none."""
    value = value_at(document, path)
    return cast(dict[str, Any], value) if isinstance(value, dict) else {}


def list_at(document: object, path: str) -> list[Any]:
    """The list at a dotted path, empty where there is none."""
    value = value_at(document, path)
    return cast(list[Any], value) if isinstance(value, list) else []
