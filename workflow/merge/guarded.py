"""What a promotion relies on, and so cannot change in one pull request with it: files and configuration, as data.

Owns the lists. A file that is neither configuration nor approvals nor documentation is code, policy, gate or anchors:
new files are guarded before anybody thinks of them.
"""

import re
from collections.abc import Iterable, Iterator
from typing import cast

from schemas.stack_config import PROJECT, EhrConnection, Organization, Person, StackConfig

STACK_FILES = r"Pulumi\.[A-Za-z0-9_-]+\.yaml"
FREE_FILES = tuple(
    map(re.compile, (STACK_FILES, r"organizations/.+\.yaml", r"approvals/.+", r"docs/.+\.md", r"README\.md"))
)
"""Files that may change together with a promotion; all others are guarded."""

GUARDED_OF_STACK = ("stage", "cloud", "image", "promotion")
"""Under `teams-ehr-connector:` of both stacks: whose keys count, who reviews, which image, which rules."""

GUARDED_OF_GEOGRAPHY = ("image", "paused")
"""Of each geography: which image it runs."""

GUARDED_OF_ORGANIZATION = ("tenant_id", "geography", "administrators", "one_person")
GUARDED_OF_CONNECTION = ("approver",)
"""Of the organisations and connections that are promoted: who decides about them."""


def guarded_files(paths: Iterable[str]) -> Iterator[str]:
    """Those that a promotion relies on."""
    return (p for p in paths if not any(free.fullmatch(p) for free in FREE_FILES))


def guarded_settings(before: StackConfig, after: StackConfig) -> Iterator[str]:
    """Of a stack, by the names of its file."""
    for name in GUARDED_OF_STACK:
        if getattr(before, name) != getattr(after, name):
            yield f"{PROJECT}:{name}"
    for geography in before.geographies.keys() | after.geographies.keys():
        configs = (before.geographies.get(geography), after.geographies.get(geography))
        for name in GUARDED_OF_GEOGRAPHY:
            was, is_ = (getattr(config, name, None) or None for config in configs)
            if was != is_:
                yield f"{PROJECT}:geographies.{geography}.{name}"


def engine_settings(document: object) -> dict[str, object]:
    """What a stack's file tells the engine and not us: providers' keys, secrets providers, environments."""
    values = _mapping(document)
    outside = {k: v for k, v in values.items() if k not in ("config", "encryptionsalt")}
    inside = {f"config.{k}": v for k, v in _mapping(values.get("config")).items() if not k.startswith(f"{PROJECT}:")}
    return outside | inside


def _mapping(value: object) -> dict[str, object]:
    return {str(k): v for k, v in cast("dict[object, object]", value).items()} if isinstance(value, dict) else {}


def relied_on(organization: Organization, connections: Iterable[EhrConnection]) -> dict[str, object]:
    """What a promotion relies on in an organisation, comparable. A display name decides nothing."""
    found: dict[str, object] = {name: _plain(getattr(organization, name)) for name in GUARDED_OF_ORGANIZATION}
    for connection in connections:
        for name in GUARDED_OF_CONNECTION:
            found[f"{connection.id}.{name}"] = _plain(getattr(connection, name))
    return found


def _plain(value: object) -> object:
    if isinstance(value, Person):
        return (value.tenant_id, value.object_id, value.github)
    if isinstance(value, tuple):
        return tuple(sorted(map(str, map(_plain, value))))  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    return value
