"""Drift: one property of each emitted type, changed in the emulated cloud's store as somebody in the portal would.

Owns the choice by a seed, of what was given and is in the store, at any depth, and what a refresh found of it.
`DRIFT_SEED` repeats one. The resources are those of the program's own stack, so a new type needs nothing here.
"""

import os
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from emulators.azure.arm import TYPES
from emulators.azure.bags import Path, leaves
from emulators.azure.store import Contents

SEED_VARIABLE = "DRIFT_SEED"


@dataclass(frozen=True)
class Resource:
    """A resource of the stack: its token, ARM id and inputs."""

    token: str
    arm_id: str
    inputs: Mapping[str, Any]


@dataclass(frozen=True)
class Drift:
    """A property of a resource that has another value now; `path` is the input's, `body_path` the store's."""

    resource: Resource
    path: Path
    body_path: Path
    now: Any


def of_deployment(exported: Mapping[str, Any]) -> list[Resource]:
    """What `pulumi stack export` names of the emulated cloud."""
    state = exported["deployment"]["resources"]
    return [Resource(r["type"], r["id"], r["inputs"]) for r in state if r["type"] in TYPES]


def difference(before: Iterable[Resource], after: Iterable[Resource]) -> dict[tuple[str, Path], Any]:
    """What inputs are now where they are not as before: (ARM id, path) to value."""
    was, is_ = _every(before), _every(after)
    return {key: is_.get(key) for key in was.keys() | is_.keys() if was.get(key) != is_.get(key)}


def _every(resources: Iterable[Resource]) -> dict[tuple[str, Path], Any]:
    return {(r.arm_id, path): value for r in resources for path, value in leaves(dict(r.inputs))}


def seed() -> int:
    """The one that is asked for, else a new one."""
    return int(os.environ.get(SEED_VARIABLE) or random.randrange(10**6))


def chosen(contents: Contents, resources: Iterable[Resource], number: int) -> list[Drift]:
    """One property of one resource of each type, the same ones for the same seed."""
    choice = random.Random(number)
    by_type: dict[str, list[Drift]] = {}
    for resource in sorted(resources, key=lambda r: r.arm_id):
        by_type.setdefault(resource.token, []).extend(possible(contents, resource))
    return [choice.choice(possible) for _, possible in sorted(by_type.items()) if possible]


def put(contents: Contents, drifts: Iterable[Drift]) -> None:
    """Change the store."""
    for drift in drifts:
        *way, last = drift.body_path
        place: Any = contents.get(drift.resource.arm_id)
        for step in way:
            place = place[step]
        place[last] = drift.now


def possible(contents: Contents, resource: Resource) -> list[Drift]:
    """Every property that was given and is in the store."""
    row, arm = TYPES[resource.token], contents.get(resource.arm_id)
    found: list[Drift] = []
    for path, value in leaves(dict(resource.inputs)):
        if path[0] in row.path_inputs:
            continue
        body_path = (*row.body_path(str(path[0])).split("."), *path[1:])
        if value is not None and _at(arm, body_path) == value:
            found.append(Drift(resource, path, body_path, _other(value)))
    return found


def _at(document: Any, path: Path) -> Any:
    """What is at a path, None where there is nothing."""
    for step in path:
        try:
            document = document[step]
        except (KeyError, IndexError, TypeError):
            return None
    return document


def _other(value: Any) -> Any:
    match value:
        case bool():
            return not value
        case int() | float():
            return value + 1
        case _:
            return f"{value}-drifted"
