"""Alerts name events and fields that the runtime logs, and each says what it means and what to do."""

import ast
import json
import re
from collections.abc import Iterator

import pytest

from components.alert_rules import LOG_ALERTS, METRIC_ALERTS, LogAlert, MetricAlert
from runtime.logs import ALLOWED
from tests.support.alerting import fields, fires
from tests.support.samples import ROOT
from workflow.alerts_page import page, section

ALERTS = [*LOG_ALERTS, *METRIC_ALERTS]
LEVELS = {"debug", "info", "warning", "error", "critical"}


def logged() -> Iterator[tuple[str, set[str]]]:
    """Event and fields of each line that the runtime's source writes."""
    for path in (ROOT / "runtime").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            match node:
                case ast.Call(
                    func=ast.Attribute(value=ast.Name("log"), attr=level), args=[ast.Constant(event)], keywords=given
                ) if level in LEVELS:
                    yield str(event), {k.arg for k in given if k.arg}
                case _:
                    continue


@pytest.mark.parametrize("alert", LOG_ALERTS, ids=lambda alert: alert.name)
def test_every_event_and_field_of_a_query_is_logged_by_the_runtime(alert: LogAlert) -> None:
    lines = list(logged())
    for event in alert.events:
        given = [fields for name, fields in lines if name == event]
        assert given, f"nothing logs {event}"
        assert all(fields(alert) <= found for found in given), event
    assert fields(alert) <= ALLOWED


def test_a_query_counts_what_it_names_and_nothing_else() -> None:
    late = next(a for a in LOG_ALERTS if a.name == "write-backs-late")
    line = json.dumps({"event": "write-back-waits", "seconds": 901})
    assert fires(late, ["no JSON", line])
    assert not fires(late, [line.replace("901", "900")])
    assert not fires(late, [line.replace("waits", "stands")])
    assert not fires(late, [])
    dead = next(a for a in LOG_ALERTS if a.name == "write-backs-dead")
    assert fires(dead, ['{"event": "write-back-dead"}'])
    assert not fires(dead, [])


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_each_alert_says_what_it_means_and_what_to_do(alert: LogAlert | MetricAlert) -> None:
    assert re.fullmatch(r"[a-z]+(-[a-z]+)+", alert.name)
    assert 0 <= alert.severity <= 3
    assert min(len(alert.means), len(alert.to_do)) > 60
    assert section(alert) in (ROOT / "docs" / "alerts.md").read_text("utf-8")


def test_the_page_is_written_from_the_alerts() -> None:
    assert (ROOT / "docs" / "alerts.md").read_text("utf-8") == page()


def test_names_are_used_once() -> None:
    assert len({alert.name for alert in ALERTS}) == len(ALERTS)
