"""Puts a guard before each place where a rule speaks, as the code is imported: the product has no switch for it.

A place is where a reason or finding of a rule comes to be. A guard notes that a test came there, and lets it pass
unless that rule is the one that is away. It is asked last, after the rule's own condition: up to there the code does
the same with the rule and without it. `kinds.py` names the places; `__main__.py` runs the tests.
"""

import ast
import importlib.abc
import importlib.machinery
import sys
import types
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

NAME = "__stands__"
"""What a guard is called by in the code that is guarded."""


class Rules:
    """Which rule is away, if any, and which were come to."""

    def __init__(self) -> None:
        self.away = ""
        self._notes: list[set[str]] = []

    def stands(self, code: object) -> bool:
        self.note({str(code)})
        return str(code) != self.away

    def note(self, codes: Iterable[str]) -> None:
        for notes in self._notes:
            notes.update(codes)

    @contextmanager
    def noted(self) -> Generator[set[str]]:
        """What is come to meanwhile."""
        notes = set[str]()
        self._notes.append(notes)
        try:
            yield notes
        finally:
            self._notes = [n for n in self._notes if n is not notes]  # sets may be equal


RULES = Rules()
"""Of this process."""


class NoBranch(Exception):
    """A reason is made where no branch leads, so that it cannot be left out."""


def guarded(source: str | bytes, makers: frozenset[str], file: str = "<source>") -> ast.Module:
    """The source with a guard at each call of a maker, whose first argument is the code.

    The innermost branch that leads to the call is taken only while the rule stands: of an `if` its condition is asked
    and then the guard, so that the next `elif` has its turn; `else`, `except`, `case`, a loop's body and a generator's
    body are left empty; a comprehension yields nothing.
    Raises `NoBranch`.
    """
    tree = _Guarding(makers, file).visit(ast.parse(source, file))
    return ast.fix_missing_locations(tree)


class _Guarding(ast.NodeTransformer):
    def __init__(self, makers: frozenset[str], file: str) -> None:
        self.makers, self.file = makers, file

    def visit_If(self, node: ast.If) -> ast.AST:
        self.generic_visit(node)
        if codes := self._made(node.body):
            node.test = _all(node.test, *_asked(codes))
        node.orelse = self._left_empty(node.orelse)
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        return self.generic_visit(node)

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> ast.AST:
        return self._body(node)

    def visit_match_case(self, node: ast.match_case) -> ast.AST:
        return self._body(node)

    def visit_For(self, node: ast.For) -> ast.AST:
        return self._body(node)

    def visit_While(self, node: ast.While) -> ast.AST:
        return self._body(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        self.generic_visit(node)
        if made := self._made(node.body):
            if not any(isinstance(n, (ast.Yield, ast.YieldFrom)) for s in node.body for n in _within(s, (ast.Lambda,))):
                where = f"{self.file}, line {made[0].lineno}"
                raise NoBranch(f"{where}: expected a reason to be made in a branch, got one made in every case")
            node.body = self._left_empty(node.body)
        return node

    def visit_ListComp(self, node: ast.ListComp) -> ast.AST:
        return self._comprehension(node)

    def visit_GeneratorExp(self, node: ast.GeneratorExp) -> ast.AST:
        return self._comprehension(node)

    def visit_SetComp(self, node: ast.SetComp) -> ast.AST:
        return self._comprehension(node)

    def _body(self, node: Any) -> Any:
        self.generic_visit(node)
        node.body = self._left_empty(node.body)
        return node

    def _comprehension(self, node: ast.ListComp | ast.GeneratorExp | ast.SetComp) -> ast.AST:
        self.generic_visit(node)
        if codes := self._codes(node.elt):
            node.generators[-1].ifs += _asked(codes)
        return node

    def _left_empty(self, body: list[ast.stmt]) -> list[ast.stmt]:
        codes = self._made(body)
        return [ast.If(_all(*_asked(codes)), body, [])] if codes else body

    def _made(self, body: Sequence[ast.stmt]) -> list[ast.expr]:
        """The codes of what is made here, and not in a branch further in."""
        return [code for statement in body for code in self._codes(statement)]

    def _codes(self, node: ast.AST) -> list[ast.expr]:
        calls = (n for n in _within(node, _BRANCHES) if isinstance(n, ast.Call))
        return [c.args[0] for c in calls if isinstance(c.func, ast.Name) and c.func.id in self.makers]


_BRANCHES = (
    ast.If, ast.ExceptHandler, ast.match_case, ast.For, ast.While, ast.ListComp, ast.GeneratorExp, ast.SetComp,
    ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef,
)  # fmt: skip


def _within(node: ast.AST, outside: tuple[type[ast.AST], ...]) -> Iterator[ast.AST]:
    """A node and what is below it, but for what is below nodes of some types."""
    if not isinstance(node, outside):
        yield node
        for child in ast.iter_child_nodes(node):
            yield from _within(child, outside)


def _asked(codes: Sequence[ast.expr]) -> list[ast.expr]:
    return [ast.Call(ast.Name(NAME, ast.Load()), [code], []) for code in codes]


def _all(*conditions: ast.expr) -> ast.expr:
    return conditions[0] if len(conditions) == 1 else ast.BoolOp(ast.And(), list(conditions))


class _Loader(importlib.machinery.SourceFileLoader):
    """Imports a module with guards, whatever is compiled of it already."""

    def __init__(self, fullname: str, path: str, makers: frozenset[str]) -> None:
        super().__init__(fullname, path)
        self.makers = makers

    def get_code(self, fullname: str) -> types.CodeType:
        return compile(guarded(self.get_data(self.path), self.makers, self.path), self.path, "exec")

    def exec_module(self, module: types.ModuleType) -> None:
        module.__dict__[NAME] = RULES.stands
        super().exec_module(module)


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self, packages: dict[str, frozenset[str]]) -> None:
        self.packages = packages

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        makers = self.packages.get(fullname.rpartition(".")[0])
        found = importlib.machinery.PathFinder.find_spec(fullname, path) if makers else None
        if makers and found is not None and isinstance(found.loader, importlib.machinery.SourceFileLoader):
            found.loader = _Loader(fullname, found.loader.path, makers)
        return found


def guard_code(packages: dict[str, frozenset[str]]) -> None:
    """Everything that is imported from these packages from now on; by package, the names of its makers."""
    early = [m for m in sys.modules if m.rpartition(".")[0] in packages]
    assert not early, f"imported without guards already: {', '.join(early)}"
    sys.meta_path.insert(0, _Finder(packages))


def guard_configuration() -> None:
    """The table of rules between values: a finding of a rule that is away is not given on."""
    from schemas.rules import RULES as TABLE
    from schemas.rules import Rule, Violation
    from schemas.stack_config import StackConfig

    def of(rule: Rule) -> Rule:
        def check(stack: StackConfig) -> Iterator[Violation]:
            return (v for v in rule.check(stack) if RULES.stands(rule.code))

        return replace(rule, check=check)

    TABLE.update({code: of(rule) for code, rule in TABLE.items()})


def guard_policies() -> None:
    """Every policy that is made from now on: a violation of one that is away is not reported."""
    import pulumi_policy

    for policy in (pulumi_policy.ResourceValidationPolicy, pulumi_policy.StackValidationPolicy):
        _guard_policies_of(policy)


def _guard_policies_of(policy: Any) -> None:
    made = policy.__init__

    def init(self: Any, name: str, description: str, validate: Any, *more: Any, **named: Any) -> None:
        def guarded_validate(args: Any, report: Any) -> Any:
            def heard(violation: str, urn: str | None = None) -> None:
                if RULES.stands(name):
                    report(violation, urn)

            return validate(args, heard)

        made(self, name, description, guarded_validate, *more, **named)

    policy.__init__ = init
