"""Every way in which the runtime says no, read from its source; and a response that is one of them.

A test that is marked with a refusal's code has to produce it: `code_of` keeps what was produced.
"""

import ast
import importlib
from collections.abc import Iterable, Sequence
from functools import cache
from html import unescape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

if TYPE_CHECKING:
    from runtime.errors import Refusal

ROOT = Path(__file__).parents[2]
PRODUCED: set[str] = set()
"""Codes that the test under way has seen."""


@cache
def refusals() -> dict[str, str]:
    """The code of each `Refusal(...)` in the runtime, and the part of the runtime that it is of."""
    return {code: kind for file in _files() for code, kind in _in(file)}


def code_of(response: httpx.Response) -> str:
    """The code of a refusal, whose page has its status and says what is the matter and what to do."""
    code = response.headers.get("x-connector-code")
    assert code, response.text
    said = unescape(response.text)
    assert response.headers["content-type"].startswith("text/html"), response.headers
    assert f"<code>{code}</code>" in said, said
    for refusal in _constants()[code]:
        if (refusal.title in said, refusal.advice in said, refusal.status) == (True, True, response.status_code):
            PRODUCED.add(code)
            return code
    raise AssertionError(f"{response.status_code}, and not as the constant says: {said}")


def by_code(rows: Iterable[Sequence[object]]) -> list[Any]:
    """Rows of a parametrised test, whose last value is the code: each is of that rule."""
    return [pytest.param(*row, marks=pytest.mark.rule(row[-1])) for row in rows]


def _files() -> list[Path]:
    return [f for f in sorted((ROOT / "runtime").rglob("*.py")) if "Refusal(" in f.read_text("utf-8")]


def _in(file: Path) -> list[tuple[str, str]]:
    _, *folders = file.relative_to(ROOT).parts
    return [(_code(call, file), folders[0] if len(folders) > 1 else "runtime") for call in _calls(file)]


def _calls(file: Path) -> list[ast.Call]:
    nodes = ast.walk(ast.parse(file.read_text("utf-8")))
    return [n for n in nodes if isinstance(n, ast.Call) and isinstance(n.func, ast.Name) and n.func.id == "Refusal"]


def _code(call: ast.Call, file: Path) -> str:
    match call.args:
        case [ast.Constant(value=str(code)), *_]:
            return code
        case _:
            raise AssertionError(f"{file}, line {call.lineno}: expected a refusal with its code as the first argument")


@cache
def _constants() -> "dict[str, list[Refusal]]":
    """By code; one refusal may have other words for somebody else."""
    from runtime.errors import Refusal

    found: dict[str, list[Refusal]] = {}
    for file in _files():
        module = importlib.import_module(".".join(file.relative_to(ROOT).with_suffix("").parts))
        for value in vars(module).values():
            if isinstance(value, Refusal):
                found.setdefault(value.code, []).append(value)
    return found
