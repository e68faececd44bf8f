"""What no file of the tree may have: a path of somebody's machine, a registry's address; no module is long.

And what the runtime logs has only keys that its list lets through: the others would be dropped in silence.
"""

import ast
import re
import subprocess
from pathlib import Path

import pytest

from runtime.logs import ALLOWED

ROOT = Path(__file__).parents[2]
MAXIMUM_LINES = 500
FORBIDDEN = {
    "a path of somebody's machine": r"(?<![\w.*>}-])/(?:work|root|home|Users)/[\w.-]+",
    "a package registry's address": r"(?:pypi|pythonhosted|npmjs|proxy\.golang|crates|maven)\.(?:org|io|com)",
}


def files() -> list[Path]:
    """Tracked, or about to be: what git does not ignore."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def offences(pattern: str) -> list[str]:
    found: list[str] = []
    for path in files():
        if path == Path(__file__):
            continue
        text = path.read_text(encoding="utf-8", errors="ignore")
        found += [f"{path.relative_to(ROOT)}: {match[0]}" for match in re.finditer(pattern, text)]
    return found


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_file_names(what: str) -> None:
    assert offences(FORBIDDEN[what]) == []


def test_no_module_is_long() -> None:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in files() if path.suffix == ".py"}
    long = {str(path.relative_to(ROOT)): lines for path, lines in lengths.items() if lines > MAXIMUM_LINES}
    assert long == {}


def test_no_file_of_a_tool_is_left_in_the_tree() -> None:
    """Bytecode and caches go below .venv, whoever started the tool."""
    stray = {".hypothesis", ".pytest_cache", ".ruff_cache", ".import_linter_cache", "node_modules"}
    assert [path.name for path in ROOT.iterdir() if path.name in stray] == []


def logged() -> list[tuple[str, str]]:
    """Place and key of each `log.<level>(..., key=...)` of the runtime; `**` is no key that anybody can check."""
    found: list[tuple[str, str]] = []
    for path in (ROOT / "runtime").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            match node:
                case ast.Call(func=ast.Attribute(value=ast.Name("log")), keywords=keywords):
                    place = f"{path.relative_to(ROOT)}:{node.lineno}"
                    found += [(place, keyword.arg or "**") for keyword in keywords]
                case _:
                    pass
    return found


def test_what_the_runtime_logs_is_on_its_list_of_keys() -> None:
    assert len(logged()) > 50
    assert [(place, key) for place, key in logged() if key not in ALLOWED] == []
