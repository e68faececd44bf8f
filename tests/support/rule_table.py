"""Which test is of which rule: the marker `rule`, the table at the end of a whole run, and rules that have no test.

A rule is the code of its reason or refusal, or the name of its policy. Rules of promotion, of configuration and of the
gate, the policies, and whatever the runtime refuses, must have a test each; others are listed where a test names them.
Owns the plugin. `tests/mutation` takes rules away and sees their unit tests fail, but for the runtime's refusals: those
stay, and a test of `tests/runtime` that is marked with one must have produced it (`refusals.py`).
"""

from collections.abc import Iterable
from functools import cache

import pytest

from tests.mutation.kinds import kind_of_each
from tests.support.refusals import refusals
from tests.support.workers import found

Table = dict[str, list[str]]
"""Node ids by code."""


def rules_of(item: pytest.Item) -> list[str]:
    """The codes that a test is marked with."""
    return [str(code) for mark in item.iter_markers("rule") for code in mark.args]


def table_of(items: Iterable[pytest.Item]) -> Table:
    table: Table = {}
    for item in items:
        for code in rules_of(item):
            table.setdefault(code, []).append(item.nodeid)
    return table


@cache
def must_have_tests() -> dict[str, str]:
    """The kind of each rule; asked at the end of a whole run only, which has imported the gate and the policies."""
    return kind_of_each() | {code: f"refusal: {part}" for code, part in refusals().items()}


def without_test(table: Table) -> list[str]:
    return [code for code in must_have_tests() if code not in table]


def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    """Runs last, so that the table has what is collected, not what is selected."""
    found(config, "rules").update(table_of(items))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A whole run fails where a rule has no test."""
    if (
        is_whole(session.config)
        and session.exitstatus == pytest.ExitCode.OK
        and without_test(found(session.config, "rules"))
    ):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if not is_whole(config):
        return
    table = found(config, "rules")
    terminalreporter.section("rule -> tests")
    for code in sorted(table):
        kind = must_have_tests().get(code, "other")
        terminalreporter.write_line(f"{code:<34} {kind:<18} {len(table[code]):>3}  {', '.join(_names(table[code]))}")
    for code in without_test(table):
        terminalreporter.write_line(f"{code:<34} {must_have_tests()[code]:<18}   0  NO TEST OF THIS RULE", red=True)


def is_whole(config: pytest.Config) -> bool:
    """Whether every test was asked for."""
    return config.args_source is pytest.Config.ArgsSource.TESTPATHS and not config.option.keyword


def _names(ids: Iterable[str]) -> list[str]:
    """Files, each with its tests' functions."""
    return sorted({i.partition("[")[0].rpartition("/")[2].replace(".py::", ": ") for i in ids})
