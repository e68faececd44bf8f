"""`connector check --promotion`: for every connection whether it may be served, and every reason why not.

Owns how decisions are shown: a table for a terminal, lines for a log, one JSON document for a program.
"""

import json
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from schemas.problems import Problem
from schemas.promotion.decide import Approved, Decision, Refused, stops
from schemas.promotion.telling import advice, reasons_of, told, word
from schemas.vocabulary import Stage
from workflow.check import problem_values
from workflow.project import Project
from workflow.promotion.judging import Judged, judged_stack

COLOURS = {"approved": "green", "withdrawn": "yellow", "refused": "red"}


def check(project: Project, names: Sequence[str], *, as_json: bool, console: Console) -> bool:
    """Decide the stacks (all, where none is named), print the outcome, answer whether no update would stop."""
    found: list[Judged] = []
    invalid: dict[str, tuple[Problem, ...]] = {}
    for name in names or project.stacks():
        loaded = project.load(name)
        if loaded.stack is None:
            invalid[name] = loaded.errors
        else:
            found.append(judged_stack(project, name, loaded.stack))
    if as_json:
        console.print_json(json.dumps(_document(project, found, invalid)))
    else:
        for problem in (p for problems in invalid.values() for p in problems):
            console.print(str(problem), soft_wrap=True, markup=False, highlight=False)
        for judged in found:
            _shown(judged, console)
    return bool(found) and not invalid and not any(j.stops for j in found)


def _document(project: Project, found: list[Judged], invalid: dict[str, tuple[Problem, ...]]) -> dict[str, Any]:
    decided: list[dict[str, Any]] = [
        {
            "stack": j.name,
            "file": project.stack_file(j.name),
            "valid": True,
            "problems": [],
            "promotion": {
                "stage": str(j.stack.stage),
                "images": {str(name): j.known.image_in(name) for name in j.stack.geographies},
                "stops": bool(j.stops),
                "decisions": [decision_values(d, j.stack.stage) for d in j.decisions.values()],
            },
        }
        for j in found
    ]
    refused: list[dict[str, Any]] = [
        {
            "stack": name,
            "file": project.stack_file(name),
            "valid": False,
            "problems": [problem_values(p) for p in problems],
            "promotion": None,
        }
        for name, problems in invalid.items()
    ]
    return {"stacks": [*decided, *refused]}


def decision_values(decision: Decision, stage: Stage) -> dict[str, Any]:
    """A decision as JSON."""
    approval = decision.approval
    return {
        "organization": decision.organization,
        "connection": decision.connection,
        "sha256": decision.sha256,
        "decision": word(decision),
        "stops": bool(stops({decision.connection: decision}, stage)),
        "approval": approval.model_dump(mode="json", by_alias=True, exclude_none=True) if approval else None,
        "reasons": [
            {"code": str(r.code), "expected": r.expected, "got": r.got, "file": r.file, "advice": r.advice}
            for r in reasons_of(decision)
        ],
    }


def _shown(judged: Judged, console: Console) -> None:
    decisions = list(judged.decisions.values())
    if console.is_terminal:
        console.print(_table(judged, decisions))
    else:
        for line in told(decisions):
            console.print(line, soft_wrap=True, markup=False, highlight=False)
    for line in advice(d for d in decisions if reasons_of(d)):
        console.print(line, soft_wrap=True, markup=False, highlight=False)
    style = "red" if judged.stops else "green"
    console.print(_summary(judged), style=style, soft_wrap=True, markup=False, highlight=False)


def _table(judged: Judged, decisions: Sequence[Decision]) -> Table:
    title = f"stack {judged.name} ({judged.stack.stage})"
    table = Table("connection", "", "why", title=title, title_justify="left", show_lines=True)
    for decision in decisions:
        verdict = word(decision)
        why = "\n".join(map(str, reasons_of(decision))) or _by(decision)
        name = f"{decision.connection}\n[dim]{decision.organization}[/]"
        table.add_row(name, f"[{COLOURS[verdict]}]{verdict}[/]", escape(why))
    return table


def _by(decision: Decision) -> str:
    approval = decision.approval
    if approval is None:
        return ""
    return f"approved {approval.issued} by {approval.approver.object_id}, until {approval.expires}"


def _summary(judged: Judged) -> str:
    decisions = judged.decisions.values()
    approved = sum(isinstance(d, Approved) for d in decisions)
    counts = f"{approved} of {len(judged.decisions)} connections approved"
    refused = sum(isinstance(d, Refused) for d in decisions)
    if judged.stops:
        return f"stack {judged.name}: {counts}; an update would stop"
    idle = f"; {refused} take no launches" if refused else ""
    return f"stack {judged.name}: {counts}{idle}; an update would not stop"
