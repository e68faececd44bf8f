"""What an update would do, without an engine: two runs of the program, compared as engine and provider compare them.

Owns the engine's rules of a plan: resources match by URN; the provider (the emulated one's own `changes`) says what
differs and what of it replaces; what is made from the output of a replaced resource is unknown, so it may replace in
turn; what is ignored keeps its value; what is protected is neither replaced nor deleted; and what Azure would answer
409 to. Leaves out aliases, which only a change of the program has. `tests/engine/test_plan_agrees.py` holds it against
the engine.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from emulators.azure.arm import TYPES
from emulators.azure.bags import UNKNOWN, from_wire, to_wire
from emulators.azure.definitions.change import not_changeable
from emulators.azure.differences import Change, changes
from emulators.azure.documents import value_at
from tests.support.program import Emitted, Program
from tests.support.state_types import KEPT

PROVIDER = "pulumi:providers:azure-native"


class Operation(StrEnum):
    CREATE = "create"
    UPDATE = "update"
    REPLACE = "replace"
    DELETE = "delete"
    LET_GO = "let go"
    """Out of Pulumi's state, and still there."""


@dataclass(frozen=True)
class Step:
    """What happens to one resource; `refusal` is why it does not: the engine's reason, or Azure's."""

    operation: Operation
    resource: Emitted
    changed: tuple[Change, ...] = ()
    refusal: str | None = None

    @property
    def replacing(self) -> list[str]:
        return [change.path for change in self.changed if change.replaces]

    @property
    def lost(self) -> bool:
        """Whether state would go, or the place that it stands in."""
        return self.resource.type in KEPT and self.operation in (Operation.REPLACE, Operation.DELETE)

    def __str__(self) -> str:
        why = f" ({', '.join(self.replacing)})" if self.replacing else ""
        refused = f": refused, {self.refusal}" if self.refusal else ""
        return f"{self.operation} {self.resource.type.removeprefix('azure-native:')} {self.resource.name}{why}{refused}"


def plan(before: Program, after: Program) -> list[Step]:
    """The steps of an update, what stays the same left out; deletions last, as the engine has them."""
    old = {r.urn: r for r in before.resources if r.custom}
    new = {r.urn: r for r in after.resources if r.custom}
    replaced: set[str] = set()
    steps: list[Step] = []
    for urn, resource in new.items():
        step = _step(old[urn], resource, replaced) if urn in old else Step(Operation.CREATE, resource)
        if step and step.operation is Operation.REPLACE:
            replaced.add(urn)
        steps += [step] if step else []
    gone = [resource for urn, resource in reversed(old.items()) if urn not in new]
    return steps + [_gone(resource) for resource in gone]


def _step(before: Emitted, after: Emitted, replaced: set[str]) -> Step | None:
    unknown = {key: UNKNOWN for key, urns in after.made_from.items() if key in after.inputs and urns & replaced}
    moved = after.provider.rpartition("::")[0] in replaced
    inputs = _with_what_is_ignored(before, after)
    if before.inputs == inputs and not unknown and not moved:
        return None
    was, now = _plain(before.inputs), _plain(inputs) | unknown
    if after.type == PROVIDER:
        found = [Change(k, "update", k == "subscriptionId") for k in sorted(was | now) if was.get(k) != now.get(k)]
    else:
        found = changes(TYPES[after.type], was, now)
    if moved or any(change.replaces for change in found):
        refusal = "it is protected" if before.protect else None
        return Step(Operation.REPLACE, after, tuple(found), refusal)
    return Step(Operation.UPDATE, after, tuple(found), _refused_by_azure(after, was, now)) if found else None


def _with_what_is_ignored(before: Emitted, after: Emitted) -> dict[str, Any]:
    """The new inputs with the old ones' values wherever changes are to be ignored."""
    inputs = after.inputs
    for path in after.ignore_changes:
        value = value_at(before.inputs, path)
        assert value is not None, f"{after.name}: {path}, whose changes are ignored, has no value"
        inputs = with_value(inputs, path.split("."), value)
    return inputs


def _gone(resource: Emitted) -> Step:
    operation = Operation.LET_GO if resource.retain_on_delete else Operation.DELETE
    return Step(operation, resource, refusal="it is protected" if resource.protect else None)


def _refused_by_azure(resource: Emitted, was: dict[str, Any], now: dict[str, Any]) -> str | None:
    if resource.type == PROVIDER or now.get("properties") == UNKNOWN:
        return None  # what is not known yet cannot be judged
    row = TYPES[resource.type]
    paths = not_changeable(row.arm_type, row.to_arm("/plan", was), row.to_arm("/plan", now))
    return f"Azure changes no {', '.join(paths)}" if paths else None


def _plain(inputs: dict[str, Any]) -> dict[str, Any]:
    """As they are on the wire: whole numbers are whole."""
    return from_wire(to_wire(inputs))[0]


def lost(steps: Iterable[Step]) -> list[str]:
    """What an update must never have: a line for each piece of state that would go, and for what would be refused."""
    return [str(step) for step in steps if step.lost or step.refusal]


def summary(steps: Iterable[Step]) -> dict[str, set[str]]:
    """Operation to the types that it happens to."""
    found: dict[str, set[str]] = {}
    for step in steps:
        found.setdefault(str(step.operation), set()).add(step.resource.type.removeprefix("azure-native:"))
    return found


def edited(
    program: Program, which: Callable[[Emitted], bool], edit: Callable[[dict[str, Any]], dict[str, Any]]
) -> Program:
    """The program with the inputs of some of its resources changed, as a change of a component would."""
    resources = [replace(r, inputs=edit(r.inputs)) if which(r) else r for r in program.resources]
    assert resources != program.resources, "nothing was changed"
    return Program(resources)


def with_value(inputs: dict[str, Any], path: Sequence[str | int], value: Any) -> dict[str, Any]:
    """A copy of inputs that has another value at a path."""
    return _with(inputs, path, value)


def _with(document: Any, path: Sequence[str | int], value: Any) -> Any:
    if not path:
        return value
    head, *rest = path
    if isinstance(head, int):
        return [_with(item, rest, value) if i == head else item for i, item in enumerate(document)]
    return document | {head: _with(document.get(head, {}), rest, value)}
