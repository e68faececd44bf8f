"""Writes `docs/alerts.md` from the alerts: `python -m workflow.alerts_page`, after a change of them."""

import re
from textwrap import fill

from components.alert_rules import LOG_ALERTS, METRIC_ALERTS, LogAlert, MetricAlert
from workflow.project import SOURCE

SEVERITIES = ("critical", "error", "warning", "informational")
WIDTH = 118

HEAD = """# Alerts: what each means, and what to do

For whoever is woken. Every geography has these, over its own log workspace (`log-<geography>-<stage>`) and its own
resources; they go to the geography's `alertEmail`, which `pulumi stack output` shows as `alerts_go_to`. A mail names
the alert as `<alert>-<geography>-<stage>`. It is fired until its condition is over, and mails once more then.

Nothing here holds data of patients: pseudonyms, codes and names of connections only. To see what happened, open the
workspace's *Logs* and put the alert's query there, without its last line.

This page is written from `components/alert_rules.py` by `python -m workflow.alerts_page`.
"""


def page() -> str:
    rows = [f"| [{a.name}](#{a.name}) | {a.severity} {SEVERITIES[a.severity]} | {_watched(a)} |" for a in _alerts()]
    table = "\n".join(["| alert | severity | fires when |", "|---|---|---|", *rows])
    return "\n".join([HEAD, table, "", *(section(alert) for alert in _alerts())])


def section(alert: LogAlert | MetricAlert) -> str:
    """One alert as a person reads it."""
    parts = [f"## {alert.name}", fill(alert.means, WIDTH), _filled(f"**What to do.** {alert.to_do}")]
    if isinstance(alert, LogAlert):
        parts.append(f"```kusto\n{alert.query}\n```")
    return "\n\n".join(parts) + "\n"


def _alerts() -> list[LogAlert | MetricAlert]:
    return sorted([*LOG_ALERTS, *METRIC_ALERTS], key=lambda alert: alert.severity)


def _watched(alert: LogAlert | MetricAlert) -> str:
    within = f"within {_duration(alert.window)}, looked at every {_duration(alert.every)}"
    if isinstance(alert, MetricAlert):
        than = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", alert.operator).lower()
        return f"`{alert.metric}` of the {alert.of} is {than} {alert.threshold} ({alert.aggregation.lower()} {within})"
    events = ", ".join(f"`{event}`" for event in alert.events)
    return f"{events}: `{alert.measure}`{' of one replica' if alert.by else ''} above {alert.above} {within}"


def _duration(text: str) -> str:
    unit = {"M": "min", "H": "h"}[text[-1]]
    return f"{text[2:-1]} {unit}"


def _filled(text: str) -> str:
    """Lines of a paragraph; what is code is not broken."""
    spaced = re.sub(r"`[^`]*`", lambda code: code[0].replace(" ", "\0"), text)
    return fill(spaced, WIDTH, break_long_words=False, break_on_hyphens=False).replace("\0", " ")


def main() -> None:
    (SOURCE / "docs" / "alerts.md").write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
