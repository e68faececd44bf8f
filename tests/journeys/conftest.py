"""The running stack of the journeys, their browser, and the hospital whose people take them.

Nobody else signs in as prairie's providers, because a Microsoft account is asked for only once.
"""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.support.accessibility import Accessibility
from tests.support.browser_journeys import Hospital, browser_on
from tests.support.canaries import plant
from tests.support.stack import Running, TestStack, one_person

ORGANIZATION = "prairie"


@pytest.fixture(scope="package")
def stack(tmp_path_factory: pytest.TempPathFactory, pulumi_executable: Path) -> Iterator[TestStack]:
    """The sample's test stage, up: one for all journeys, and gone before other tests go on."""
    own = TestStack.make(tmp_path_factory.mktemp("stack"), approved=False)
    plant(own.root / "world.yaml")
    one_person(own.root / "organizations" / "local" / "southern-cross.yaml")
    own.approve()
    running = Running(own)
    try:
        running.until_up()
        yield own
    finally:
        code = running.end()
        assert code == 0, "\n".join(running.lines[-60:])


@pytest.fixture(scope="module")
def browser(chromium_executable: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Closed with its module: while Playwright is open its event loop runs, and nobody else can start one."""
    hosts = ["ehr.*.example"]
    with (
        sync_playwright() as playwright,
        browser_on(playwright, chromium_executable, tmp_path_factory.mktemp("browser"), hosts) as running,
    ):
        yield running


@pytest.fixture(scope="package")
def hospital(stack: TestStack) -> Hospital:
    found = Hospital.of(stack.world, ORGANIZATION, stack.state)
    assert (urlsplit(found.origin).hostname or "").startswith("ehr.")
    return found


@pytest.fixture(scope="session")
def accessibility(request: pytest.FixtureRequest) -> Accessibility:
    """Counts the pages that axe looked at, for the session's end."""
    return Accessibility.of(request.config)
