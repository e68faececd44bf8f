"""axe over the pages that people see in the journeys, with every rule of it, and the count of what was looked at.

Owns running axe-core in a page whose policy allows no foreign script (Playwright evaluates it beside the page), and
the line that the session prints at its end.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import axe_playwright_python  # pyright: ignore[reportMissingTypeStubs]
import pytest
from playwright.sync_api import Page

from tests.support.workers import Found, found

AXE = next(Path(axe_playwright_python.__file__).parent.rglob("axe.min.js"))


@dataclass
class Accessibility:
    """What was checked: pages by journey."""

    journeys: Found

    @classmethod
    def of(cls, config: pytest.Config) -> "Accessibility":
        """Of the whole session."""
        return cls(found(config, "axe"))

    def journey(self, name: str) -> "Journey":
        return Journey(self.journeys.setdefault(name, []))

    @property
    def summary(self) -> str:
        pages = sum(len(p) for p in self.journeys.values())
        return f"axe: {pages} pages of {len(self.journeys)} journeys, no violation, no rule disabled"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    seen = Accessibility.of(config)
    if seen.journeys:
        terminalreporter.write_line(seen.summary)


@dataclass
class Journey:
    """The pages of one person's way; each is checked as it is seen."""

    pages: list[str]

    def check(self, page: Page, name: str) -> None:
        """No violation of any rule, and nothing wider than the window."""
        page.evaluate(AXE.read_text("utf-8"))
        found = cast(dict[str, Any], page.evaluate("axe.run(document, {resultTypes: ['violations']})"))
        wrong = [f"{v['id']} ({v['impact']}): {v['nodes'][0]['html']}" for v in found["violations"]]
        assert not wrong, f"{name}: " + "; ".join(wrong)
        width = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert width <= 0, f"{name} is {width} px wider than its window"
        self.pages.append(name)
