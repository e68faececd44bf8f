"""What an alert's query makes of log lines: the part of the Kusto Query Language that `LogAlert.query` writes."""

import json
import re
from collections.abc import Iterable
from typing import Any

from components.alert_rules import LogAlert

QUERY = re.compile(
    r"ContainerAppConsoleLogs\n\| extend entry = parse_json\(Log\)\n"
    r"\| where tostring\(entry\.event\) in \((?P<events>[^)]*)\)\n"
    r"\| summarize value = (?P<measure>count\(\)|max\(tolong\(entry\.(?P<field>\w+)\)\))(?: by (?P<by>\w+))?"
)


def fires(alert: LogAlert, lines: Iterable[str], **columns: str) -> bool:
    """Whether it would, over these lines of a window; `columns` are those of the table, the same for each line."""
    parsed = QUERY.fullmatch(alert.query)
    assert parsed, alert.query
    events = set(json.loads(f"[{parsed['events']}]"))
    assert parsed["by"] is None or parsed["by"] in columns
    entries = [entry for entry in map(_entry, lines) if entry.get("event") in events]
    if parsed["field"] is None:
        return len(entries) > alert.above
    values = [entry[parsed["field"]] for entry in entries]
    assert all(isinstance(value, int) for value in values), values
    return max(values, default=alert.above) > alert.above


def fields(alert: LogAlert) -> set[str]:
    """The fields of a line that its query reads, but for the event."""
    return set(re.findall(r"entry\.(\w+)", alert.query)) - {"event"}


def _entry(line: str) -> dict[str, Any]:
    try:
        return json.loads(line)
    except ValueError:
        return {}
