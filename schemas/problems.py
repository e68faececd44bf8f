"""What is wrong with a configuration, and where: the values that `connector check` and `pulumi up` show.

Owns how a problem is located, worded and ordered, and how a value is shown: escaped, shortened, never a secret.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

Path = tuple[str | int, ...]
"""Where a value is in the configuration: `("organizations", 0, "connections", 1, "fhirBaseUrl")`."""

LONGEST_SHOWN = 60


class Severity(StrEnum):
    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True)
class Problem:
    """One thing that was expected and did not come. Lines and columns count from 1."""

    file: str
    line: int
    column: int
    path: str
    code: str
    expected: str
    got: str
    severity: Severity = Severity.ERROR

    @property
    def message(self) -> str:
        return f"expected {self.expected}, got {self.got}"

    def __str__(self) -> str:
        where = f"{self.path}: " if self.path else ""
        return f"{self.file}:{self.line}:{self.column}: {self.severity}: {where}{self.message} [{self.code}]"


def in_order(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """By file, line and column, each problem once."""
    unique = dict.fromkeys(problems)
    return tuple(sorted(unique, key=lambda p: (p.file, p.line, p.column, p.severity, p.path, p.code, p.expected)))


def path_text(path: Path) -> str:
    """`organizations[0].connections[1].fhirBaseUrl`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += ("." if text else "") + _printable(part)
    return text


def shown(value: str) -> str:
    """A value in quotes: control characters escaped, shortened; user info and query of a URL are never shown."""
    value = re.sub(r"://[^/\s]*@", "://***@", value)
    value = re.sub(r"[?#].*", lambda m: m.group()[0] + "***", value, flags=re.DOTALL) if "://" in value else value
    return f'"{bare(value)}"'


def bare(value: str) -> str:
    """A value as `shown`, without quotes: what is no string to every reader."""
    text = _printable(value)
    return text if len(text) <= LONGEST_SHOWN else text[: LONGEST_SHOWN - 1] + "…"


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() and c not in '"\\' else c.encode("unicode_escape").decode() for c in text)
