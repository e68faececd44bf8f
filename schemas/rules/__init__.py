"""Rules between the values of a stack: one function each, with a code, in one table.

Owns what no single value can get wrong alone. Rules are pure and see models only; a part that is missing or invalid
is `UNKNOWN`, about which every comparison answers no. So a rule states what is wrong by `==`, `!=` and `lacks`, and
reports at the path of a single value.
"""

from collections.abc import Iterator
from dataclasses import replace

from schemas.rules import clients, clouds, connections, geographies, organizations, promotion
from schemas.rules.rule import RULES, Rule, Violation
from schemas.stack_config import StackConfig

__all__ = ["RULES", "Rule", "Violation", "violations"]

FAMILIES = (geographies, organizations, connections, clients, clouds, promotion)
"""The modules whose rules are in the table."""


def violations(stack: StackConfig) -> Iterator[Violation]:
    """Everything that the rules find in a stack, which may be salvaged from an invalid one."""
    for r in RULES.values():
        for violation in r.check(stack):
            yield replace(violation, code=r.code, severity=r.severity)
