"""The kinds of rules, one entry each: their codes, and how a guard comes before the places where they speak.

What the runtime refuses is none of them: no unit test is of a refusal, and what shows that a test in `tests/runtime` is
of one is that the test produced it (`tests/support/refusals.py`).
"""

import importlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache

from tests.mutation.guards import guard_code, guard_configuration, guard_policies


@dataclass(frozen=True)
class Kind:
    """Rules that are made alike. `codes` imports what they are of, so it is asked after the guards stand.

    `made` are the calls that make a reason, by package: the first argument is the rule's code. `guard` is for rules
    that stand in a table.
    """

    name: str
    codes: Callable[[], Iterable[str]]
    made: Mapping[str, str] = field(default_factory=dict[str, str])
    guard: Callable[[], None] | None = None


def _members(module: str, name: str) -> Callable[[], Iterable[str]]:
    """The codes of an enumeration, or the keys of a table."""
    return lambda: [str(code) for code in getattr(importlib.import_module(module), name)]


def _policies() -> Iterable[str]:
    return [policy.name for policy in importlib.import_module("policies.pack").POLICIES]


KINDS = (
    Kind(
        "promotion",
        _members("schemas.promotion.reasons", "Code"),
        made={"schemas.promotion": "Reason", "workflow.merge": "Reason"},
    ),
    Kind("configuration", _members("schemas.rules", "RULES"), guard=guard_configuration),
    Kind("gate", _members("workflow.merge.reasons", "GateCode"), made={"workflow.merge": "Finding"}),
    Kind("policy", _policies, guard=guard_policies),
)


def guard_all() -> None:
    """Before anything of the product is imported."""
    makers: dict[str, frozenset[str]] = {}
    for kind in KINDS:
        for package, maker in kind.made.items():
            makers[package] = makers.get(package, frozenset()) | {maker}
    guard_code(makers)
    for kind in KINDS:
        if kind.guard is not None:
            kind.guard()


@cache
def kind_of_each() -> dict[str, str]:
    """The kind of rule by its code. Raises ValueError where two rules have one code."""
    found: dict[str, str] = {}
    for kind in KINDS:
        for code in kind.codes():
            if code in found:
                raise ValueError(f"expected one rule with the code {code}, got one of {found[code]} and {kind.name}")
            found[code] = kind.name
    return found
