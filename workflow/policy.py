"""`connector policy STATE`: the policy pack over an exported state, without Pulumi, Azure or a network.

Owns how violations are shown, each with the controls of the frameworks that its policy serves. What is judged is
`policies/state.py`.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from policies.frameworks import frameworks
from policies.pack import POLICIES
from policies.state import State, StateInvalid, Violation, judge, read_state
from workflow.errors import WorkflowError
from workflow.project import Project

WIDE = 200
"""Columns where nobody looks at a terminal."""


class StateRefused(WorkflowError):
    def __init__(self, file: Path, reason: str) -> None:
        super().__init__(f"{file}: {reason}")
        self.advice = "write it with: pulumi stack export --stack STACK --file FILE"


def policy(project: Project, file: Path, *, stack: str | None, as_json: bool, console: Console) -> bool:
    """Judge the state, print the violations, answer whether there is none. Raises `StateRefused`, `UnknownStack`."""
    try:
        state = read_state(file.read_bytes())
    except (StateInvalid, OSError) as problem:
        raise StateRefused(file, getattr(problem, "strerror", None) or str(problem)) from None
    if stack not in (None, state.stack):
        raise StateRefused(file, f"expected the state of stack {stack}, got that of {state.stack}")
    project.stack_file(state.stack)
    found = judge(state.resources, project.root)
    if as_json:
        console.print_json(json.dumps(_document(state, found)))
    else:
        _show(state, found, console)
    return not found


def _document(state: State, found: Sequence[Violation]) -> dict[str, object]:
    return {
        "stack": state.stack,
        "resources": len(state.resources),
        "policies": len(POLICIES),
        "violations": [
            {"urn": v.urn, "policy": v.policy, "violation": v.message, "controls": frameworks().controls_of(v.policy)}
            for v in found
        ],
    }


def _show(state: State, found: Sequence[Violation], console: Console) -> None:
    if not console.is_terminal:
        console.width = WIDE
    if found:
        table = Table(title=f"violations of stack {state.stack}", title_justify="left", show_lines=True)
        for column in ("resource", "policy", "violation", "serves"):
            table.add_column(column, overflow="fold")
        for violation in found:
            cells = (violation.urn, violation.policy, violation.message, _controls(violation.policy))
            table.add_row(*map(escape, cells))
        console.print(table)
    counts = f"{len(state.resources)} resources, {len(POLICIES)} policies, {len(found)} violations"
    console.print(f"stack {state.stack}: {counts}", style="red" if found else "green", markup=False, highlight=False)


def _controls(policy: str) -> str:
    return "\n".join(f"{name} {', '.join(ids)}" for name, ids in frameworks().controls_of(policy).items())
