"""An edit: which connection becomes what, the files that this changes, and the change as people read it."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# (Values of YAML are of any type until the models have seen them.)

import difflib
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

from runtime.errors import Refusal
from runtime.portal import refusals
from runtime.portal.configuration_view import Change, flat, label_of
from runtime.portal.edits.source import ORGANIZATIONS, Source
from schemas.loading import is_ours
from schemas.promotion.canonical import canonical
from schemas.yaml_edit import EditImpossible, document, with_value, without_value


class Verb(StrEnum):
    ADD = "add"
    EDIT = "edit"
    REMOVE = "remove"
    ADD_ORGANIZATION = "add-organization"


_ID = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
Kind = Literal["same", "gone", "new", "place"]


@dataclass(frozen=True)
class Edit:
    """A connection as it shall be; `value` is None where it shall go. `organization` is the new one that it is of."""

    verb: Verb
    connection_id: str
    value: Mapping[str, Any] | None
    organization: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Edited:
    """The files that an edit changes, and the organisation as it would be."""

    edit: Edit
    files: Mapping[str, str]
    organization: Mapping[str, Any]
    changes: Sequence[Change]

    @property
    def is_nothing(self) -> bool:
        return not self.files

    def digest(self, revision: str) -> str:
        """What the form carries, so that nothing but what was shown is proposed."""
        shown = {"base": revision, "files": dict(self.files), "connection": self.edit.connection_id}
        return hashlib.sha256(b"teams-ehr-connector/edit/1\0" + canonical(shown)).hexdigest()


def edited(source: Source, edit: Edit) -> Edited | Refusal:
    """The edit on top of a source; nothing is checked but that the file can say it."""
    if edit.organization is not None:
        return _with_organization(source, edit, edit.organization)
    connections = source.connections
    before = source.connection(edit.connection_id)
    if edit.verb is not Verb.ADD and before is None:
        return refusals.EDIT_NOT_THERE
    if edit.verb is Verb.REMOVE and len(connections) == 1:
        return refusals.EDIT_LAST
    at = len(connections) if edit.verb is Verb.ADD else source.position(edit.connection_id)
    path = (*source.path, "connections", at)
    concerns = is_ours if source.own_file is None else _everything
    try:
        if edit.value is None:
            text = without_value(source.text, path, concerns)
        else:
            text = with_value(source.text, path, dict(edit.value), concerns)
    except EditImpossible as e:
        return refusals.EDIT_IMPOSSIBLE.because("-".join(str(e).split()[:4]).lower())
    after = [*connections[:at], *([edit.value] if edit.value is not None else []), *connections[at + 1 :]]
    files = {} if text == source.text else {source.file: text}
    return Edited(edit, files, {**source.organization, "connections": after}, changes_of(before, edit.value))


def _with_organization(source: Source, edit: Edit, organization: Mapping[str, Any]) -> Edited | Refusal:
    """A new organisation in a file of its own, which the stack's file names last."""
    made = {**organization, "connections": [edit.value]}
    folder = source.stack_file.removeprefix("Pulumi.").removesuffix(".yaml")
    file = f"organizations/{folder}/{organization.get('id', '')}.yaml"
    changes = [Change("Organisation", "(not set)", str(organization.get("name", ""))), *changes_of(None, edit.value)]
    if not _ID.fullmatch(str(organization.get("id", ""))):
        return Edited(edit, {}, made, changes)  # the check says why
    heading = "# yaml-language-server: $schema=../../schemas/json/organization.schema.json"
    try:
        stack = with_value(source.stack_text, (*ORGANIZATIONS, len(source.entries)), file, is_ours)
        return Edited(edit, {file: document(made, heading), source.stack_file: stack}, made, changes)
    except EditImpossible:
        return refusals.EDIT_IMPOSSIBLE


def changes_of(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> list[Change]:
    """What differs, value by value."""
    old, new = flat(before or {}), flat(after or {})
    return [
        Change(label_of(path), old.get(path, "(not set)"), new.get(path, "(not set)"))
        for path in dict.fromkeys((*new, *old))
        if old.get(path) != new.get(path)
    ]


@dataclass(frozen=True)
class Line:
    """A line of a file before and after; `place` says where the next ones stand."""

    kind: Kind
    text: str


def diff(source: Source, made: Edited) -> list[tuple[str, list[Line]]]:
    """Each changed file, line by line, with three lines around a change."""
    kinds: dict[str, Kind] = {" ": "same", "-": "gone", "+": "new", "@": "place"}
    texts = {source.stack_file: source.stack_text, **({source.own_file: source.text} if source.own_file else {})}
    found: list[tuple[str, list[Line]]] = []
    for name, text in made.files.items():
        lines = difflib.unified_diff(texts.get(name, "").splitlines(), text.splitlines(), lineterm="", n=3)
        found.append((name, [_line(kinds[x[0]], x) for n, x in enumerate(lines) if n > 1]))
    return found


def _line(kind: Kind, text: str) -> Line:
    if kind == "place":
        at = text.split("+", 1)[1].split(" ", 1)[0].split(",", 1)[0]
        return Line(kind, f"line {at}")
    return Line(kind, text[1:])


def _everything(_: object) -> bool:
    return True
