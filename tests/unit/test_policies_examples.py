"""Every policy has examples that people can read: what passes, and what fails with which words."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from pulumi_policy import Policy

from policies.pack import POLICIES
from tests.support.policy_examples import FOLDER, Example, examples, of_policy
from tests.support.samples import ROOT


@pytest.mark.parametrize("policy", POLICIES, ids=lambda p: p.name)
def test_a_policy_has_an_example_that_passes_and_one_that_fails(policy: Policy) -> None:
    assert [e.what for e in of_policy(policy, "passes")], f"expected one in policies/examples/{policy.name}.yaml"
    assert [e.what for e in of_policy(policy, "fails")], f"expected one in policies/examples/{policy.name}.yaml"


def test_every_file_of_examples_is_of_a_policy() -> None:
    assert {f.name for f in FOLDER.iterdir()} == {f"{p.name}.yaml" for p in POLICIES}


@pytest.mark.parametrize("example", examples("passes"), ids=lambda e: f"{e.policy.name}: {e.what}")
def test_an_example_passes(example: Example) -> None:
    assert example.violations == ()
    assert example.judged() == ()


@pytest.mark.parametrize(
    "example",
    [
        pytest.param(e, id=f"{e.policy.name}: {e.what}", marks=pytest.mark.rule(e.policy.name))
        for e in examples("fails")
    ],
)
def test_an_example_fails_with_the_words_that_it_shows(example: Example) -> None:
    assert example.violations
    assert example.judged() == example.violations


MADE_ELSEWHERE = {"approval.py"}
"""What it judges is signed on the day: `test_policies_approval.py` makes each of its cases."""


def test_every_violation_that_a_policy_can_report_is_shown_by_an_example() -> None:
    """A new check without an example that fails it fails here."""
    come_to = set[tuple[str, int]]()

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        if Path(frame.f_code.co_filename).parent.name != "policies":
            return None
        come_to.add((Path(frame.f_code.co_filename).name, frame.f_lineno))
        return trace

    before, shown = sys.gettrace(), examples("fails")
    sys.settrace(trace)
    try:
        for example in shown:
            example.judged()
    finally:
        sys.settrace(before)
    missing = [f"{name}:{first}" for name, first, last in reports() if not _any(come_to, name, first, last)]
    assert missing == [], "expected an example that fails in policies/examples/"


def reports() -> Iterator[tuple[str, int, int]]:
    """File, first and last line of each place where a policy reports words of its own."""
    for file in sorted((ROOT / "policies").glob("*.py")):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if not isinstance(node, ast.Yield) or file.name in MADE_ELSEWHERE:
                continue
            told = node.value.elts[-1] if isinstance(node.value, ast.Tuple) else node.value
            if isinstance(told, (ast.JoinedStr, ast.Constant)):
                yield file.name, node.lineno, node.end_lineno or node.lineno


def _any(lines: set[tuple[str, int]], name: str, first: int, last: int) -> bool:
    return any((name, line) in lines for line in range(first, last + 1))
