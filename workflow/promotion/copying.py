"""An organisation's production connections, copied from the test stack's files into the production stack's.

Owns where an organisation stands (in the stack's list, or in a file that the list names) and the copy itself, field by
field: comments, order and quotes of the production stack's files stay (`schemas/yaml_edit.py`). What decides about
people or place (tenant, geography, administrators, onePerson) is copied with a new organisation only: a change of it
needs a pull request of its own.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, cast

from schemas.problems import Path
from schemas.stack_config import PROJECT
from schemas.strict_yaml import read_yaml
from schemas.vocabulary import Stage
from schemas.yaml_edit import EditImpossible, document, with_value
from workflow.errors import WorkflowError

KEY = f"{PROJECT}:organizations"
OF_PEOPLE = ("geography", "tenantId", "administrators", "onePerson")
SCHEMA = "# yaml-language-server: $schema=../../schemas/json/organization.schema.json"


class NotCopied(WorkflowError):
    """The production stack's files cannot take the copy."""


@dataclass(frozen=True)
class Standing:
    """Where an organisation stands: `file` and the path of its mapping in it."""

    file: str
    path: Path
    values: Mapping[str, Any]
    index: int


def copied(content: Mapping[str, bytes], source: str, target: str, organization: str) -> dict[str, bytes]:
    """The changed files of the production stack `target`. Raises `NotCopied`."""
    there = standing(content, source, organization)
    if there is None:
        raise NotCopied(f"Pulumi.{source}.yaml has no organisation {organization}")
    proposed = [c for c in there.values.get("connections", ()) if c.get("stage") == Stage.PRODUCTION]
    if not proposed:
        problem = NotCopied(f"{organization} proposes no production connection in Pulumi.{source}.yaml")
        problem.advice = "the administrator proposes one in the portal of the test stack"
        raise problem
    here = standing(content, target, organization)
    try:
        if here is None:
            return _added(content, target, there, {**there.values, "connections": proposed})
        return _changed(content, here, there, proposed)
    except EditImpossible as problem:
        raise NotCopied(f"{organization} cannot be copied into the files of {target}: {problem}") from None


def _changed(content: Mapping[str, bytes], here: Standing, there: Standing, proposed: list[Any]) -> dict[str, bytes]:
    differing = [name for name in OF_PEOPLE if here.values.get(name) != there.values.get(name)]
    if differing:
        problem = NotCopied(f"{there.values['id']}: {', '.join(differing)} differ between {there.file} and {here.file}")
        problem.advice = "change that in a pull request of its own; a promotion copies connections alone"
        raise problem
    text = content[here.file].decode()
    for name, wanted in (("name", there.values["name"]), ("connections", proposed)):
        if here.values.get(name) != wanted:
            text = with_value(text, (*here.path, name), wanted, _concerns(here.file))
    return {here.file: text.encode()} if text.encode() != content[here.file] else {}


def _added(content: Mapping[str, bytes], target: str, there: Standing, wanted: dict[str, Any]) -> dict[str, bytes]:
    """A new organisation: in the list, or in a file of its own, as it stands in the test stack."""
    stack_file = f"Pulumi.{target}.yaml"
    count = len(_entries(content, target))
    entry: Any = wanted
    changes: dict[str, bytes] = {}
    if not there.file.startswith("Pulumi."):
        entry = f"organizations/{target}/{PurePosixPath(there.file).name}"
        if entry in content:
            raise NotCopied(f"{entry} is there already, and Pulumi.{target}.yaml does not list it")
        changes[entry] = document(wanted, SCHEMA).encode()
    text = content[stack_file].decode()
    changes[stack_file] = with_value(text, ("config", KEY, count), entry, _concerns(stack_file)).encode()
    return changes


def standing(content: Mapping[str, bytes], stack: str, organization: str) -> Standing | None:
    """Where an organisation stands in a stack's files."""
    stack_file = f"Pulumi.{stack}.yaml"
    for index, entry in enumerate(_entries(content, stack)):
        if isinstance(entry, str):
            file, path = str(PurePosixPath(entry)), ()
            values = read_yaml(content[file].decode()).value if file in content else None
        else:
            file, path, values = stack_file, ("config", KEY, index), entry
        if isinstance(values, dict) and cast("dict[str, Any]", values).get("id") == organization:
            return Standing(file, path, cast("dict[str, Any]", values), index)
    return None


def _entries(content: Mapping[str, bytes], stack: str) -> list[Any]:
    stack_file = f"Pulumi.{stack}.yaml"
    value = read_yaml(content[stack_file].decode(), _concerns(stack_file)).value
    return cast("list[Any]", value["config"].get(KEY) or [])


def _concerns(file: str) -> Callable[[Path], bool]:
    """Of a stack's file our own keys alone concern us."""
    if not file.startswith("Pulumi."):
        return lambda _: True
    return lambda path: len(path) < 2 or (path[0] == "config" and str(path[1]).startswith(f"{PROJECT}:"))
