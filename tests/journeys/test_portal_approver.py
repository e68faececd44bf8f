"""An approver in Chromium: both sign-ins, the decision, the records; on a desktop, on a phone, by keyboard alone."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from emulators.world import User
from schemas.vocabulary import GeographyName
from tests.support.accessibility import Accessibility, Journey
from tests.support.browser_journeys import DESKTOP, PHONE, open_window
from tests.support.stack import TestStack

ORGANIZATION, CONNECTION, PRODUCTION = "prairie", "prairie-test", "prairie-production"
TABS = 60


class Approver:
    """Somebody at the portal, who finds their way by what they read."""

    def __init__(self, context: BrowserContext, stack: TestStack, account: User, journey: Journey) -> None:
        geography = stack.config.geographies[GeographyName.AMERICAS]
        self.url, self.account, self.journey = f"https://{geography.portal_host}", account, journey
        self.page: Page = context.new_page()

    def seen(self, name: str) -> None:
        self.journey.check(self.page, name)

    def press(self, name: str) -> None:
        self.page.get_by_role("button", name=name).click()

    def sign_in(self) -> None:
        self.page.goto(self.url)
        self.seen("sign-in")
        self.press("Sign in with Microsoft")
        self.at_microsoft()
        expect(self.page.get_by_role("heading", name="Your organisations")).to_be_visible()

    def at_microsoft(self) -> None:
        self.page.get_by_role("button", name=self.account.user_principal_name).click()
        self.page.get_by_label("Password").fill(self.account.password)
        self.press("Sign in")

    def open(self, connection: str) -> None:
        self.page.goto(f"{self.url}/connections/{connection}")
        expect(self.page.get_by_role("heading", name=connection, level=1)).to_be_visible()

    def prove(self, connection: str) -> None:
        """Up to the page on which to decide."""
        self.open(connection)
        self.press("Prove and decide")
        self.at_microsoft()
        expect(self.page.get_by_role("heading", name="Now sign in to the EHR")).to_be_visible()
        self.seen("prove")
        self.press("Sign in at 127.0.0.1")
        self.press("Sign in and allow")
        expect(self.page.get_by_role("heading", name=f"Decide about {connection}")).to_be_visible()

    def decide(self, connection: str, word: str) -> None:
        self.prove(connection)
        self.seen("decide")
        self.press(f"{word}…")
        expect(self.page.get_by_role("heading", name=f"{word} {connection}?")).to_be_visible()
        self.seen("confirm")
        self.press(f"Yes, {word.lower()} it")
        expect(self.page.get_by_role("heading", name="How it stands")).to_be_visible()

    def tab_to(self, name: str) -> None:
        """By the Tab key alone, as somebody does who has no mouse."""
        for _ in range(TABS):
            self.page.keyboard.press("Tab")
            focused = self.page.evaluate("document.activeElement.textContent.trim()")
            if re.fullmatch(rf"{re.escape(name)}.*", str(focused), re.DOTALL):
                outline = self.page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
                assert outline != "none", f"the focus on {name} cannot be seen"
                return
        raise AssertionError(f"{TABS} presses of Tab do not reach {name}")


@pytest.fixture
def ansel(stack: TestStack) -> User:
    tenant = next(o.tenant_id for o in stack.config.organizations if o.id == ORGANIZATION)
    users = next(t.users for t in stack.world.entra.tenants if t.id == tenant)
    return next(u for u in users if u.user_principal_name.startswith("ansel.analyst@"))


@pytest.fixture(params=[DESKTOP, PHONE], ids=["desktop", "phone"])
def approver(
    request: pytest.FixtureRequest, browser: Browser, stack: TestStack, ansel: User, accessibility: Accessibility
) -> Iterator[Approver]:
    with open_window(browser, request.param) as context:
        yield Approver(context, stack, ansel, accessibility.journey(request.node.name))


def test_an_approver_approves_and_copies_the_records(approver: Approver) -> None:
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
    page.get_by_role("link", name="Integration records").click()
    expect(page.get_by_text("sessionId=%CSN%&departmentId=%PERFDEPID;;; ; ;;NONE;%")).to_be_visible()
    approver.seen("records")
    page.get_by_role("link", name="Page to print").click()
    expect(page.get_by_role("heading", name=re.compile("Integration records: "))).to_be_visible()
    approver.seen("print")


def test_production_names_the_test_connection_that_stands_for_it(approver: Approver) -> None:
    approver.sign_in()
    approver.decide(PRODUCTION, "Approve")
    facts = approver.page.get_by_text("Test connection that stands for it")
    expect(facts).to_be_visible()
    approver.seen("production")


def test_a_sign_in_that_the_ehr_denies_decides_nothing(approver: Approver) -> None:
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
        approver = Approver(context, stack, ansel, accessibility.journey("keyboard"))
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
