"""An approver in Chromium: both sign-ins, the decision, the records; on a desktop, on a phone, by keyboard alone."""

import re
import subprocess
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from emulators.world import User
from tests.support.accessibility import Accessibility
from tests.support.browser_journeys import DESKTOP, PHONE, open_window
from tests.support.portal_people import PortalPerson, account_of
from tests.support.processes import until
from tests.support.stack import TestStack

ORGANIZATION, CONNECTION, PRODUCTION = "prairie", "prairie-test", "prairie-production"


@pytest.fixture
def ansel(stack: TestStack) -> User:
    return account_of(stack, ORGANIZATION, "ansel.analyst")


@pytest.fixture(params=[DESKTOP, PHONE], ids=["desktop", "phone"])
def approver(
    request: pytest.FixtureRequest, browser: Browser, stack: TestStack, ansel: User, accessibility: Accessibility
) -> Iterator[PortalPerson]:
    with open_window(browser, request.param) as context:
        yield PortalPerson(context, stack, ansel, accessibility.journey(request.node.name))


def test_an_approver_approves_and_copies_the_records(approver: PortalPerson, stack: TestStack) -> None:
    page = approver.page
    approver.sign_in()
    approver.seen("organisations")
    page.get_by_role("link", name="Prairie Children's Hospital").click()
    expect(page.get_by_role("heading", name="FHIR base URLs")).to_be_visible()
    approver.seen("organisation")
    approver.open(CONNECTION)
    page.get_by_text("Configuration that the test stack has deployed").click()
    approver.seen("connection")
    approver.decide(CONNECTION, "Approve")
    stands = page.get_by_text("The approver approved this configuration.")
    expect(stands.or_(page.get_by_text("a whole visit has passed in test with it"))).to_be_visible()
    approver.seen("decided")
    until(lambda: published(stack) & {f"approvals/{ORGANIZATION}/{CONNECTION}/approval-000002-approve.json"}, "a push")
    page.get_by_role("link", name="Integration records").click()
    expect(page.get_by_text("sessionId=%CSN%&departmentId=%PERFDEPID;;; ; ;;NONE;%")).to_be_visible()
    approver.seen("records")
    page.get_by_role("link", name="Page to print").click()
    expect(page.get_by_role("heading", name=re.compile("Integration records: "))).to_be_visible()
    approver.seen("print")


def test_production_names_the_test_connection_that_stands_for_it(approver: PortalPerson) -> None:
    approver.sign_in()
    approver.decide(PRODUCTION, "Approve")
    facts = approver.page.get_by_text("Test connection that stands for it")
    expect(facts).to_be_visible()
    approver.seen("production")


def test_a_sign_in_that_the_ehr_denies_decides_nothing(approver: PortalPerson) -> None:
    approver.sign_in()
    approver.open(CONNECTION)
    approver.press("Prove and decide")
    approver.at_microsoft()
    approver.press("Sign in at 127.0.0.1")
    approver.press("Deny")
    expect(approver.page.get_by_role("heading", name="The EHR did not sign you in")).to_be_visible()
    approver.seen("denied")


def test_everything_is_reached_by_keyboard(
    browser: Browser, stack: TestStack, ansel: User, accessibility: Accessibility
) -> None:
    with open_window(browser) as context:
        approver = PortalPerson(context, stack, ansel, accessibility.journey("keyboard"))
        page = approver.page
        approver.sign_in()
        approver.tab_to("Prairie")
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="FHIR base URLs")).to_be_visible()
        approver.tab_to(CONNECTION)
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="How it stands")).to_be_visible()
        approver.tab_to("Prove and decide")
        page.keyboard.press("Enter")
        approver.at_microsoft()
        expect(page.get_by_role("heading", name="Now sign in to the EHR")).to_be_visible()
        approver.tab_to("Sign in at")
        page.keyboard.press("Enter")
        approver.press("Sign in and allow")
        expect(page.get_by_role("heading", name=f"Decide about {CONNECTION}")).to_be_visible()
        approver.tab_to("Approve…")
        page.keyboard.press("Enter")
        approver.tab_to("Yes, approve it")
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="How it stands")).to_be_visible()
        approver.tab_to("Sign out")
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="You are signed out of the portal")).to_be_visible()
        approver.seen("signed out")


def published(stack: TestStack) -> set[str]:
    """The statements on the branch from which production takes them."""
    repository = str(stack.state / "repository.git")
    command = ["git", "--git-dir", repository, "ls-tree", "-r", "--name-only", "connector/statements-americas"]
    return set(subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines())
