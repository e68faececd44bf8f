"""Runs tests that are collected once, file by file in forks: with every rule, and without each that they come to.

Owns the processes and what is kept of a test: which rules it came to, and whether it failed. Nothing that a test
prints is shown.
"""

import contextvars
import gc
import json
import os
import signal
import tempfile
import time
import traceback
from collections.abc import Callable, Collection, Generator, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from _pytest.runner import runtestprotocol

from tests.mutation.guards import RULES
from tests.mutation.memory import Fixtures, forget_statements
from tests.support.rule_table import rules_of

OPTIONS = (
    "-o", "addopts=", "--import-mode=importlib", "--strict-markers", "-q", "-s", "--tb=no", "-W", "ignore",
    "-o", "cache_dir=.venv/cache/mutation", "--hypothesis-profile=mutation",
)  # fmt: skip
EXAMPLES = hypothesis.settings(
    database=None,
    derandomize=True,
    deadline=None,
    max_examples=10,
    phases=(hypothesis.Phase.explicit, hypothesis.Phase.generate),
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
"""The same each time, so that a test comes to the same rules with a rule and without it; none is kept, for a test that
fails without a rule must leave no trace. Few, and not made smaller: whether one fails is all that is asked."""
MOST_SECONDS = 600
"""For one test: without a rule it may wait for what never comes."""


@dataclass
class Seen:
    """Of one test, by its node id: the rules that it is marked with, those that it came to, and whether it failed."""

    test: str
    marked: list[str]
    reached: list[str] = field(default_factory=list[str])
    failed: bool = False


@dataclass
class OfFile:
    """A file's tests with every rule; and by rule that they came to, those that failed without it."""

    file: str
    seen: list[Seen]
    failed: dict[str, list[str]]
    seconds: float

    def __str__(self) -> str:
        return f"{self.file}, {len(self.seen)} tests, each of {len(self.failed)} rules away, {self.seconds:.0f} s"


class Collected:
    """A pytest plugin: gives the collected tests to `work`, and runs none itself."""

    def __init__(self, work: Callable[["Collected"], object]) -> None:
        self.work = work
        self.files: dict[Path, list[pytest.Item]] = {}
        self.broken: list[str] = []
        """Files that could not be collected, or what went wrong with them."""
        self.reached = frozenset[str]()
        """Rules that were come to while the tests were collected."""
        self.answer: object = None
        self.context = contextvars.copy_context()
        """What libraries hold in it while tests are collected: a thread's own would be empty."""
        self.fixtures = Fixtures()

    def pytest_configure(self, config: pytest.Config) -> None:
        config.pluginmanager.register(self.fixtures)

    @pytest.hookimpl(wrapper=True)
    def pytest_collection(self) -> Generator[None, object, object]:
        with RULES.noted() as reached:
            answer = yield
        self.reached = frozenset(reached)
        return answer

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.broken.append(report.nodeid)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        for item in session.items:
            self.files.setdefault(item.path, []).append(item)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        if not self.broken:
            self.context = contextvars.copy_context()
            gc.freeze()  # so that forks share what is collected
            try:
                self.answer = self.work(self)
            except Exception:  # noqa: BLE001 - pytest would print it and go on
                self.broken.append(traceback.format_exc())
        return True

    def of_file(self, file: Path, codes: Collection[str]) -> OfFile:
        """A file's tests with every rule, and without each of `codes` that they come to; in a process of its own.

        From that one a process is forked for each rule, so that what was computed before need not be again.
        """
        items, started = self.files[file], time.monotonic()

        def work() -> object:
            seen = self._run(items)
            failed: dict[str, list[str]] = {}
            for code in sorted({code for one in seen for code in one.reached if code in codes}):
                came = [item for item, one in zip(items, seen, strict=True) if code in one.reached]
                failed[code] = in_a_process(partial(self._failed_without, code, came))
            return {"seen": [asdict(one) for one in seen], "failed": failed}

        found = in_a_process(partial(self.context.copy().run, work))
        seen = [Seen(**one) for one in found["seen"]]
        return OfFile(file.name, seen, found["failed"], time.monotonic() - started)

    def _failed_without(self, code: str, items: Sequence[pytest.Item]) -> list[str]:
        RULES.away = code
        return [one.test for one in self._run(items) if one.failed]

    def _run(self, items: Sequence[pytest.Item]) -> list[Seen]:
        signal.signal(signal.SIGALRM, _too_long)
        found: list[Seen] = []
        for item, following in zip(items, [*items[1:], None], strict=True):
            forget_statements()
            signal.alarm(MOST_SECONDS)
            with RULES.noted() as reached:
                reports = runtestprotocol(item, log=False, nextitem=following)
                self.fixtures.note(item)
            signal.alarm(0)
            found.append(Seen(item.nodeid, rules_of(item), sorted(reached), any(r.failed for r in reports)))
        return found


def collect(paths: Sequence[str], work: Callable[[Collected], object]) -> Any:
    """What `work` makes of the collected tests, as JSON has it; in a process of its own.

    Raises RuntimeError where tests cannot be collected, or `work` fails.
    """

    def collected() -> object:
        hypothesis.settings.register_profile("mutation", EXAMPLES)
        plugin = Collected(work)
        with tempfile.TemporaryDirectory(prefix="connector-mutation-") as folder:
            os.environ["PYTEST_DEBUG_TEMPROOT"] = folder  # each process has its own below it
            ended = pytest.main([*OPTIONS, *paths], plugins=[plugin])
        return {"ended": int(ended), "broken": plugin.broken, "answer": plugin.answer}

    found = in_a_process(collected)
    if found["broken"] or found["answer"] is None:
        raise RuntimeError("\n".join([f"pytest ended with {found['ended']}", *found["broken"]]))
    return found["answer"]


def _too_long(*_: object) -> None:
    raise TimeoutError(f"expected a test to end within {MOST_SECONDS} s")


def in_a_process(work: Callable[[], Any]) -> Any:
    """What `work` returns, as JSON has it, from a fork of this process; nothing that it prints is shown.

    Raises RuntimeError, with what was raised there, where it does not return.
    """
    with tempfile.NamedTemporaryFile(prefix="connector-mutation-") as answer:
        child = os.fork()
        if child == 0:
            status = 1
            try:
                quiet = os.open(os.devnull, os.O_RDWR)
                for descriptor in range(3):
                    os.dup2(quiet, descriptor)
                Path(answer.name).write_text(json.dumps(work()), "utf-8")
                status = 0
            except BaseException:  # noqa: BLE001 - told by who waits for this process
                Path(answer.name).write_text(traceback.format_exc(), "utf-8")
            finally:
                os._exit(status)
        _, status = os.waitpid(child, 0)
        said = Path(answer.name).read_text("utf-8")
        if status:
            raise RuntimeError(f"a process of the tests ended with {os.waitstatus_to_exitcode(status)}: {said}")
        return json.loads(said)
