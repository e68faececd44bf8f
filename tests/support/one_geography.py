# pyright: reportUnknownMemberType=false
"""Editing a stack's file as people do, and leaving one geography in it."""

from collections.abc import Callable
from typing import Any

from ruamel.yaml import YAML

from tests.support.stack import TestStack


def edit(stack: TestStack, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the values under the project's own keys of the stack's file."""
    file = stack.root / "Pulumi.local.yaml"
    yaml = YAML()
    document: Any = yaml.load(file)
    change(document["config"])
    with file.open("w", encoding="utf-8") as out:
        yaml.dump(document, out)


def keep_only(stack: TestStack, geography: str) -> None:
    """A third of the resources and processes, for what is not about several geographies."""
    edit(stack, lambda config: _keep_only(config, geography))


def _keep_only(config: dict[str, Any], geography: str) -> None:
    geographies = config["teams-ehr-connector:geographies"]
    for other in set(geographies) - {geography}:
        del geographies[other]
    promotion = config["teams-ehr-connector:promotion"]
    promotion["trustedKeys"] = [k for k in promotion["trustedKeys"] if k["geography"] == geography]
    # Lakeside stands in the list, Prairie in a file; the other two are at home elsewhere.
    organizations = config["teams-ehr-connector:organizations"]
    config["teams-ehr-connector:organizations"] = organizations[:2]
