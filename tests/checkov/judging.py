"""What Checkov found, with what we except: each exception has its reason, and one that matches nothing is refused."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

EXCEPTIONS = Path(__file__).parent / "exceptions.json"


@dataclass(frozen=True)
class Checked:
    """One check of one resource; `resource` as Checkov names it: type, a dot, and the whole name."""

    check: str
    says: str
    resource: str
    passed: bool


@dataclass(frozen=True)
class Exception_:
    """`resources` is a pattern as the shell has them."""

    check: str
    resources: str
    reason: str

    def covers(self, checked: Checked) -> bool:
        return checked.check == self.check and fnmatchcase(checked.resource, self.resources)


class NotChecked(Exception):
    """Checkov did not look at everything: what it says of the rest is worth nothing."""


def exceptions(text: str) -> list[Exception_]:
    return [Exception_(**entry) for entry in json.loads(text)]


def read_report(report: Mapping[str, Any], resources: int) -> list[Checked]:
    """Checkov's JSON as values. Raises `NotChecked`."""
    summary = report.get("summary", {})
    if summary.get("parsing_errors") != 0 or summary.get("resource_count") != resources:
        raise NotChecked(f"expected {resources} resources and no parsing error, got {json.dumps(summary)}")
    results = report["results"]
    found = [
        Checked(r["check_id"], r["check_name"], r["resource"], passed)
        for kind, passed in (("passed_checks", True), ("failed_checks", False))
        for r in results[kind]
    ]
    if results["skipped_checks"] or not any(c.passed for c in found):
        raise NotChecked("expected checks that pass, and none that is skipped by other means than our exceptions")
    return found


@dataclass(frozen=True)
class Judged:
    """`refused` has a line each; empty means that all is well."""

    table: str
    refused: list[str]


def judged(found: Sequence[Checked], excepted: Sequence[Exception_]) -> Judged:
    """A failed check without exception is refused, and so is an exception without failed check or without reason."""
    failed = [c for c in found if not c.passed]
    bare = [c for c in failed if not any(e.covers(c) for e in excepted)]
    refused = [f"{c.resource}: {c.check}: {c.says}" for c in bare]
    for e in excepted:
        if not any(e.covers(c) for c in failed):
            refused.append(f"the exception of {e.check} for {e.resources} matches nothing any more: take it away")
        if not e.reason.strip():
            refused.append(f"the exception of {e.check} for {e.resources} has no reason")
    return Judged(_table(found, bare, excepted), refused)


def _table(found: Sequence[Checked], bare: Sequence[Checked], excepted: Sequence[Exception_]) -> str:
    says = {c.check: c.says for c in found}
    passed = Counter(c.check for c in found if c.passed)
    failed = Counter(c.check for c in bare)
    skipped = Counter(c.check for c in found if not c.passed) - failed
    lines = [f"{'check':<16} {'passed':>6} {'failed':>6} {'excepted':>8}  what it asks"]
    for check in sorted(says):
        lines.append(f"{check:<16} {passed[check]:>6} {failed[check]:>6} {skipped[check]:>8}  {says[check]}")
    lines.append(f"{len(says)} checks{passed.total():>14} {failed.total():>6} {skipped.total():>8}")
    lines += [f"excepted: {e.check} for {e.resources}: {e.reason}" for e in excepted]
    return "\n".join(lines)
