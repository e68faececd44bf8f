"""What every test may use: the browser, the Pulumi CLI; the table of rules and their tests.

Hypothesis keeps its examples below the virtual environment.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis.configuration import set_hypothesis_home_dir

from tests.support.browser import chromium
from tests.support.rule_table import pytest_collection_modifyitems, pytest_sessionfinish, pytest_terminal_summary
from tests.support.stack import MADE, running_stack
from tools.pulumi_cli import pulumi_cli

__all__ = [
    "pytest_collection_modifyitems",
    "pytest_sessionfinish",
    "pytest_terminal_summary",
    "running_stack",
]

ROOT = Path(__file__).parents[1]

set_hypothesis_home_dir(ROOT / ".venv" / "cache" / "hypothesis")


@pytest.fixture(scope="session")
def chromium_executable() -> Path:
    """Fails, never skips, where there is none."""
    return chromium()


@pytest.fixture(scope="session")
def pulumi_executable() -> Path:
    return pulumi_cli(print)


@pytest.fixture(autouse=True)
def _stacks_end_with_their_test() -> Iterator[None]:  # pyright: ignore[reportUnusedFunction]
    before = len(MADE)  # fixtures of a wider scope come first: their stacks stay
    yield
    for stack in MADE[before:]:
        stack.kill()
    del MADE[before:]
