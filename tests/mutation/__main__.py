"""`make mutate`: takes each rule away in turn; its tests must fail, and no other unit test of theirs.

Prints a table: rule, how many tests of it failed, and what was wrong. Every rule has a process of its own, forked once
the libraries are imported; the rules' own modules are imported in it, without that one.
"""

import argparse
import importlib
import json
import os
import re
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LIBRARIES = (
    "cryptography.hazmat.primitives.asymmetric.ec", "hypothesis", "jsonschema", "pydantic", "rfc8785", "ruamel.yaml",
    "securesystemslib.dsse", "securesystemslib.signer",
)  # fmt: skip

OPTIONS = ("-q", "--tb=no", "--no-header", "-W", "ignore", "-o", "cache_dir=.venv/cache/mutation")

PROMOTION = ("test_promotion_*.py",)
CONFIGURATION = ("test_rules_*.py",)
"""The unit tests of the rules."""

ABOVE = ("components", "emulators", "policies", "runtime", "workflow")
"""Tests of what is built on the rules run whole programs and flows, and the independent verifier another
program: their time is not spent; here those of the rules themselves are run."""


@dataclass(frozen=True)
class Run:
    """The unit tests without a rule: which tests are of it, and which failed."""

    listed: frozenset[str]
    failed: frozenset[str]
    places: int

    @property
    def survived(self) -> frozenset[str]:
        return self.listed - self.failed

    @property
    def strangers(self) -> frozenset[str]:
        return self.failed - self.listed

    @property
    def verdict(self) -> str:
        if not self.places:
            return "not found in the code"
        if not self.listed:
            return "no test of it"
        problems = [
            *(f"passes without it: {test}" for test in sorted(self.survived)[:3]),
            *(f"fails, and is not of it: {test}" for test in sorted(self.strangers)[:3]),
        ]
        return "; ".join(problems)


class Seen:
    """A pytest plugin: which tests carry a rule's mark, and which failed."""

    def __init__(self, code: str) -> None:
        self.code = code
        self.listed: set[str] = set()
        self.failed: set[str] = set()

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        from tests.support.rule_table import rules_of

        self.listed = {item.nodeid for item in session.items if self.code in rules_of(item)}

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.failed.add(f"{report.nodeid} (collecting)")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed.add(report.nodeid)


def rules() -> dict[str, str]:
    """The promotion rules' codes, with the names of their members; configuration rules' codes with nothing."""
    answer = _in_a_process(_all_rules)
    return {str(code): str(name) for code, name in json.loads(answer).items()}


def _all_rules() -> object:
    from schemas.promotion.reasons import Code
    from schemas.rules import RULES

    return {**{str(code): code.name for code in Code}, **dict.fromkeys(RULES, "")}


def tests_named(*patterns: str) -> list[str]:
    """The files of unit tests, but for those of what is built on the rules."""
    files = (f for p in patterns for f in sorted((ROOT / "tests" / "unit").glob(p)))
    above = re.compile(rf"^(?:from|import) (?:{'|'.join(ABOVE)})\b|import independent", re.MULTILINE)
    return [str(f.relative_to(ROOT)) for f in files if not above.search(f.read_text("utf-8"))]


def run_without(code: str, name: str) -> Run:
    """The unit tests without a rule; without none where `code` is empty."""
    files = tests_named(*(PROMOTION if name or not code else ()), *(() if name else CONFIGURATION))
    answer = json.loads(_in_a_process(lambda: _tested(code, name, files)))
    return Run(frozenset(answer["listed"]), frozenset(answer["failed"]), answer["places"])


def _tested(code: str, name: str, files: list[str]) -> object:
    from tests.mutation import without

    hook = without.take_promotion_rule_away(name) if name else None
    if code and not name:
        without.take_configuration_rule_away(code)
    seen = Seen(code)
    ended = pytest.main([*OPTIONS, *files], plugins=[seen])
    if ended not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED) and not seen.failed:
        raise RuntimeError(f"pytest ended with {ended}")
    places = hook.places if hook else 1
    return {"listed": sorted(seen.listed), "failed": sorted(seen.failed), "places": places}


def _in_a_process(work: Callable[[], object]) -> str:
    """What `work` returns, as JSON, from a fork of this process; nothing that it prints is shown."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(read)
            quiet = os.open(os.devnull, os.O_WRONLY)
            os.dup2(quiet, 1)
            os.dup2(quiet, 2)
            answer = json.dumps(work()).encode()
            with os.fdopen(write, "wb") as out:
                out.write(answer)
            status = 0
        finally:
            os._exit(status)
    os.close(write)
    with os.fdopen(read, "rb") as source:
        answer = source.read()
    _, status = os.waitpid(child, 0)
    if status or not answer:
        raise RuntimeError("a process of the tests ended without an answer")
    return answer.decode()


def main() -> int:
    parser = argparse.ArgumentParser(prog="make mutate", description=__doc__)
    parser.add_argument("rules", nargs="*", help="codes; every rule where none is named")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    asked = parser.parse_args()
    os.chdir(ROOT)
    for library in LIBRARIES:
        importlib.import_module(library)
    started = time.monotonic()
    untouched = run_without("", "")
    if untouched.failed:
        print("With every rule in place these fail:", *sorted(untouched.failed), sep="\n  ")
        return 1
    known = rules()
    chosen = {code: known[code] for code in asked.rules or known}
    wrong = 0
    with ThreadPoolExecutor(asked.processes) as pool:
        for code, run in zip(chosen, pool.map(run_without, chosen.keys(), chosen.values()), strict=True):
            wrong += bool(run.verdict)
            killed = f"{len(run.listed & run.failed)}/{len(run.listed)}"
            print(f"{code:<34} {killed:>7}  {run.verdict or 'its tests fail, no other'}", flush=True)
    print(f"{len(chosen)} rules taken away, {wrong} wrong, {time.monotonic() - started:.0f} s")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
