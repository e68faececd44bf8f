"""What a rule is, the table that it enters, and the walks over a stack that rules share."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from schemas.problems import Path, Severity, shown
from schemas.stack_config import EhrConnection, Geography, Organization, StackConfig
from schemas.vocabulary import GeographyName


@dataclass(frozen=True)
class Violation:
    """What a rule found: `expected` and `got` complete the sentence "expected ..., got ..."."""

    path: Path
    expected: str
    got: str
    code: str = ""
    severity: Severity = Severity.ERROR


Check = Callable[[StackConfig], Iterator[Violation]]


@dataclass(frozen=True)
class Rule:
    code: str
    check: Check
    severity: Severity


RULES: dict[str, Rule] = {}


def rule(code: str, severity: Severity = Severity.ERROR) -> Callable[[Check], Check]:
    def register(check: Check) -> Check:
        RULES[code] = Rule(code, check, severity)
        return check

    return register


def geographies_of(stack: StackConfig) -> Iterator[tuple[Path, GeographyName, Geography]]:
    for name, geography in stack.geographies.items():
        yield ("geographies", str(name)), name, geography


def organizations_of(stack: StackConfig) -> Iterator[tuple[Path, Organization]]:
    for index, organization in enumerate(stack.organizations):
        yield ("organizations", index), organization


def connections_of(stack: StackConfig) -> Iterator[tuple[Path, Organization, EhrConnection]]:
    for path, organization in organizations_of(stack):
        for index, connection in enumerate(organization.connections):
            yield (*path, "connections", index), organization, connection


def repeated(values: Iterator[tuple[Path, Any]], what: str) -> Iterator[Violation]:
    """Each value after its first use."""
    first: dict[Any, Path] = {}
    for path, value in values:
        if value in first:
            yield Violation(path, f"{what} that is used once in the stack", f"{shown(str(value))} again")
        first.setdefault(value, path)


def enum_text(value: Any) -> str:
    return shown(str(value))
