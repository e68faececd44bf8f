"""`connector check`: every problem of every stack at once, as a table, as lines, or as JSON.

Owns how problems are shown. What is a problem is decided in `schemas/loading.py`. Needs neither Pulumi nor a network.
"""

import json
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from schemas.loading import Loaded
from schemas.problems import Problem, Severity
from workflow.project import Project


def check(project: Project, stacks: Sequence[str], *, as_json: bool, console: Console) -> bool:
    """Check the stacks (all, where none is named), print the outcome, answer whether none has an error."""
    found = {stack: project.load(stack) for stack in (stacks or project.stacks())}
    if as_json:
        console.print_json(json.dumps(_document(project, found)))
    elif console.is_terminal:
        _tables(found, console)
    else:
        _lines(found, console)
    return bool(found) and not any(loaded.errors for loaded in found.values())


def _document(project: Project, found: dict[str, Loaded]) -> dict[str, Any]:
    return {
        "stacks": [
            {
                "stack": stack,
                "file": project.stack_file(stack),
                "valid": loaded.stack is not None,
                "problems": [problem_values(p) for p in loaded.problems],
            }
            for stack, loaded in found.items()
        ]
    }


def problem_values(problem: Problem) -> dict[str, Any]:
    """A problem as JSON."""
    names = ("severity", "file", "line", "column", "path", "code", "expected", "got")
    return {name: getattr(problem, name) for name in names}


def _lines(found: dict[str, Loaded], console: Console) -> None:
    for loaded in found.values():
        for problem in loaded.problems:
            console.print(str(problem), soft_wrap=True, markup=False, highlight=False)
    for stack, loaded in found.items():
        console.print(_summary(stack, loaded), soft_wrap=True, markup=False, highlight=False)
    if not found:
        console.print("there is no Pulumi.<stack>.yaml here")


def _tables(found: dict[str, Loaded], console: Console) -> None:
    for stack, loaded in found.items():
        if loaded.problems:
            console.print(_table(stack, loaded.problems))
    for stack, loaded in found.items():
        console.print(_summary(stack, loaded), style="red" if loaded.errors else "green", markup=False)
    if not found:
        console.print("there is no Pulumi.<stack>.yaml here", style="red")


def _table(stack: str, problems: Sequence[Problem]) -> Table:
    table = Table("", "where", "value", "expected", "got", "rule", title=f"stack {stack}", title_justify="left")
    for p in problems:
        colour = "red" if p.severity is Severity.ERROR else "yellow"
        cells = (f"{p.file}:{p.line}:{p.column}", p.path, p.expected, p.got, p.code)
        table.add_row(f"[{colour}]{p.severity}[/]", *map(escape, cells))
    return table


def _summary(stack: str, loaded: Loaded) -> str:
    counts = f"{len(loaded.errors)} errors, {len(loaded.warnings)} warnings"
    if loaded.stack is None:
        return f"stack {stack}: {counts}"
    organizations, geographies = len(loaded.stack.organizations), len(loaded.stack.geographies)
    return f"stack {stack}: valid ({organizations} organisations in {geographies} geographies), {counts}"
