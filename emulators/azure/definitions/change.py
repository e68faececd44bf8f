"""What becomes of a PUT over a resource that is there: refused, or what it cannot change stays as it was.

Pure functions over two bodies. What replaces a resource is decided before, at the plan (`differences.py`).
"""

from collections.abc import Mapping
from typing import Any

from emulators.azure.definitions.reading import paths, supplement
from emulators.azure.documents import object_at, value_at


def not_changeable(arm_type: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """The body paths of which Azure refuses this change."""
    found: list[str] = []
    for entry in supplement()["refused"].get(arm_type, []):
        was, wanted = value_at(before, entry["path"]), value_at(now, entry["path"])
        if was != wanted and entry.get("from", was) == was:
            found.append(entry["path"])
    return found


def with_frozen(arm_type: str, before: Mapping[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """The new body with what Azure ignores changes of as it was."""
    for path in paths("frozen", arm_type):
        now = _as_before(now, before, path)
    return now


def _as_before(now: dict[str, Any], before: Mapping[str, Any], path: str) -> dict[str, Any]:
    head, _, rest = path.partition(".")
    if rest:
        return now | {head: _as_before(object_at(now, head), object_at(before, head), rest)}
    kept = {key: value for key, value in now.items() if key != head}
    return kept | ({head: before[head]} if head in before else {})
