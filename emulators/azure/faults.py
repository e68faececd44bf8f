"""Faults on request and the record of every call: what drills and tests of failing clouds use.

Owns `azure/faults.json` (written by whoever wants the fault: a list of rules, each used up as often as its `times`)
and `azure/calls.jsonl` (0600, one line a call, without property values).

A rule: {"operation": "create|read|update|delete", "type": "azure-native:...", "match": "part of the id",
"fault": "conflict|throttled|policy|partial", "times": 1}; what is left out matches everything.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from emulators.azure.errors import AzureError
from emulators.azure.store import locked
from emulators.state import JsonLines, now_text, write_private

FAULTS: dict[str, Callable[[str], AzureError]] = {
    "conflict": lambda arm_id: AzureError(409, "Conflict", f"another operation on {arm_id} is in progress"),
    "throttled": lambda arm_id: AzureError(429, "TooManyRequests", "the rate limit was exceeded; try again later"),
    "policy": lambda arm_id: AzureError(403, "RequestDisallowedByPolicy", f"{arm_id} was disallowed by policy"),
    "partial": lambda arm_id: AzureError(500, "InternalServerError", f"the creation of {arm_id} stopped half-way"),
}


def take_fault(state: Path, operation: str, token: str, arm_id: str) -> str | None:
    """The kind of the first rule that matches, once used up by one."""
    file = state / "azure" / "faults.json"
    if not file.exists():
        return None
    with locked(state / "azure" / "faults.lock"):
        rules = cast(list[dict[str, Any]], json.loads(file.read_bytes()))
        for rule in rules:
            matches = (
                rule.get("operation", operation) == operation
                and rule.get("type", token) == token
                and rule.get("match", "").lower() in arm_id.lower()
            )
            if matches and rule.get("times", 1) > 0:
                rule["times"] = rule.get("times", 1) - 1
                write_private(file, json.dumps(rules, indent=1).encode())
                return cast(str, rule["fault"])
    return None


class CallRecord:
    """`azure/calls.jsonl` of one provider process."""

    def __init__(self, state: Path) -> None:
        self._lines = JsonLines(state / "azure" / "calls.jsonl")

    def write(self, call: str, **fields: Any) -> None:
        self._lines.write({"time": now_text(), "call": call} | {k: v for k, v in fields.items() if v is not None})
