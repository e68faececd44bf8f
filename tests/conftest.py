"""What every test may use: the browser, the Pulumi CLI; the table of rules and their tests.

Hypothesis keeps its examples below the virtual environment, and asks no example to be fast: the machine may be busy.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.configuration import set_hypothesis_home_dir

from schemas.promotion import envelope
from schemas.promotion.envelope import StatementFile
from schemas.promotion.trust import Trust
from tests.support.browser import chromium
from tests.support.stack import MADE
from tools.pulumi_cli import pulumi_cli

pytest_plugins = ["tests.support.workers", "tests.support.rule_table", "tests.support.accessibility"]

ROOT = Path(__file__).parents[1]

set_hypothesis_home_dir(ROOT / ".venv" / "cache" / "hypothesis")
settings.register_profile("any-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any-machine")


@pytest.fixture(scope="session")
def chromium_executable() -> Path:
    """Fails, never skips, where there is none."""
    return chromium()


@pytest.fixture(scope="session")
def pulumi_executable() -> Path:
    return pulumi_cli(print)


@pytest.fixture
def verified(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths of the statements that this process verified, in their order."""
    found: list[str] = []
    verify = envelope.verify

    def noted(file: StatementFile, trust: Trust) -> envelope.Verified | envelope.Rejected:
        found.append(file.path)
        return verify(file, trust)

    monkeypatch.setattr(envelope, "verify", noted)
    return found


@pytest.fixture(autouse=True)
def _stacks_end_with_their_test() -> Iterator[None]:  # pyright: ignore[reportUnusedFunction]
    before = len(MADE)  # fixtures of a wider scope come first: their stacks stay
    yield
    for stack in MADE[before:]:
        stack.kill()
    del MADE[before:]
