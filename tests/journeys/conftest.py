"""The browser of the journeys, and the hospital whose people take them.

Nobody else signs in as prairie's providers, because a Microsoft account is asked for only once.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, sync_playwright

from emulators.world import World
from tests.support.accessibility import Accessibility
from tests.support.browser_journeys import Hospital, browser_on

ORGANIZATION = "prairie"


@pytest.fixture(scope="module")
def browser(chromium_executable: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Closed with its module: while Playwright is open its event loop runs, and nobody else can start one."""
    hosts = ["ehr.*.example"]
    with (
        sync_playwright() as playwright,
        browser_on(playwright, chromium_executable, tmp_path_factory.mktemp("browser"), hosts) as running,
    ):
        yield running


@pytest.fixture(scope="session")
def hospital(stack: Any) -> Hospital:
    """Of the running stack, which names its emulated `world` and its `state` folder."""
    world: World = stack.world
    found = Hospital.of(world, ORGANIZATION, Path(stack.state))
    assert (urlsplit(found.origin).hostname or "").startswith("ehr.")
    return found


@pytest.fixture(scope="session")
def accessibility(request: pytest.FixtureRequest) -> Iterator[Accessibility]:
    """Counts the pages that axe looked at; the numbers are printed when the session ends."""
    counted = Accessibility()
    yield counted
    capture: Any = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        print(f"\n{counted.summary}")
