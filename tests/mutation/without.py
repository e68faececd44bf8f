"""Takes one rule out of the code as it is imported: the check is never made. The product has no switch for it.

A rule of promotion is each place where a `Reason` of its code is made: the branch that leads there is never taken. A
rule of configuration is a function in a table: it finds nothing. Owns the change and the import hook; `__main__.py`
runs the tests over it.
"""

import ast
import importlib.abc
import importlib.machinery
import sys
import types
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Never

PACKAGE = "schemas.promotion"
WORDS = {f"{PACKAGE}.reasons", f"{PACKAGE}.telling"}
"""Modules that speak of rules and have none."""


def without(source: str, code: str) -> tuple[str, int]:
    """The source with no way to the rule's reason, and how many places that took."""
    tree = ast.parse(source)
    places = _Away(code)
    return ast.unparse(places.visit(tree)), places.count


class _Away(ast.NodeTransformer):
    """`code` is the name of a member of `Code`."""

    def __init__(self, code: str) -> None:
        self.code, self.count = code, 0

    def visit_If(self, node: ast.If) -> ast.AST:
        if self._makes(node.body):
            self.count += 1
            node.test = ast.Constant(value=False)
        elif node.orelse and not _is_elif(node) and self._makes(node.orelse):
            self.count += 1
            node.orelse = [ast.Pass()]
        return self.generic_visit(node)

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> ast.AST:
        if self._makes(node.body):
            self.count += 1
            node.body = [ast.Pass()]
        return self.generic_visit(node)

    def visit_ListComp(self, node: ast.ListComp) -> ast.AST:
        if self._is_reason(node.elt):
            self.count += 1
            return ast.List(elts=[], ctx=ast.Load())
        return self.generic_visit(node)

    def visit_Dict(self, node: ast.Dict) -> ast.AST:
        """A table of what is compared, by code."""
        kept = [(k, v) for k, v in zip(node.keys, node.values, strict=True) if k is None or not self._is_code(k)]
        self.count += len(node.keys) - len(kept)
        node.keys, node.values = [k for k, _ in kept], [v for _, v in kept]
        return self.generic_visit(node)

    def _makes(self, body: Sequence[ast.stmt]) -> bool:
        """Whether a reason of the code is made here, and not in a branch further in."""
        return any(self._is_reason(n) for statement in body for n in _outside_of_branches(statement))

    def _is_reason(self, node: ast.AST) -> bool:
        match node:
            case ast.Call(func=ast.Name(id="Reason"), args=[first, *_]):
                return self._is_code(first)
            case _:
                return False

    def _is_code(self, node: ast.AST) -> bool:
        match node:
            case ast.Attribute(value=ast.Name(id="Code"), attr=name):
                return name == self.code
            case _:
                return False


def _is_elif(node: ast.If) -> bool:
    return len(node.orelse) == 1 and isinstance(node.orelse[0], ast.If)


def _outside_of_branches(node: ast.AST) -> Sequence[ast.AST]:
    if isinstance(node, (ast.If, ast.Try, ast.ListComp)):
        return []
    found: list[ast.AST] = [node]
    for child in ast.iter_child_nodes(node):
        found += _outside_of_branches(child)
    return found


class Hook(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports the package's modules without a rule; counts the places."""

    def __init__(self, code: str) -> None:
        self.code, self.places = code, 0

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if not fullname.startswith(f"{PACKAGE}.") or fullname in WORDS:
            return None
        found = importlib.machinery.PathFinder.find_spec(fullname, path)
        if found is None or found.origin is None or not found.origin.endswith(".py"):
            return found
        found.loader = self
        return found

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> None:
        return None

    def exec_module(self, module: types.ModuleType) -> None:
        file = module.__spec__.origin if module.__spec__ else None
        assert file is not None
        source, count = without(Path(file).read_text("utf-8"), self.code)
        self.places += count
        exec(compile(source, file, "exec"), module.__dict__)  # noqa: S102 - our own source, less one rule


def take_promotion_rule_away(code: str) -> Hook:
    """From all that is imported from now on. `code` is the name of a member of `Code`."""
    assert not any(m.startswith(f"{PACKAGE}.") for m in sys.modules), "the rules were imported already"
    hook = Hook(code)
    sys.meta_path.insert(0, hook)
    return hook


def take_configuration_rule_away(code: str) -> None:
    """From the table of rules between values."""
    from schemas.rules import RULES

    RULES[code] = replace(RULES[code], check=_finds_nothing)


def _finds_nothing(_: object) -> Iterator[Never]:
    yield from ()
