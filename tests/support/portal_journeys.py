"""Somebody at the portal in Chromium, who finds their way by what they read, with a mouse or by keyboard alone."""

import re

from playwright.sync_api import BrowserContext, Page, expect

from emulators.world import User
from schemas.vocabulary import GeographyName
from tests.support.accessibility import Journey
from tests.support.stack import TestStack

TABS = 80


class PortalVisitor:
    """A person with a Microsoft account; every page that `seen` names is checked by axe and for its width."""

    def __init__(self, context: BrowserContext, stack: TestStack, account: User, journey: Journey) -> None:
        geography = stack.config.geographies[GeographyName.AMERICAS]
        self.url, self.account, self.journey = f"https://{geography.portal_host}", account, journey
        self.page: Page = context.new_page()

    def seen(self, name: str) -> None:
        self.journey.check(self.page, name)

    def press(self, name: str) -> None:
        self.page.get_by_role("button", name=name, exact=True).last.click()

    def sign_in(self) -> None:
        self.page.goto(self.url)
        self.press("Sign in with Microsoft")
        self.page.get_by_role("button", name=self.account.user_principal_name).click()
        self.page.get_by_label("Password").fill(self.account.password)
        self.press("Sign in")
        expect(self.page.get_by_role("heading", name="Your organisations")).to_be_visible()

    def tab_to(self, name: str) -> None:
        """By the Tab key alone: the control with this text or label; its focus has to be seen."""
        for _ in range(TABS):
            self.page.keyboard.press("Tab")
            focused = self.page.evaluate(
                "(e => (e.labels?.length ? e.labels[0].textContent : e.textContent).trim())(document.activeElement)"
            )
            if re.match(re.escape(name), str(focused)):
                outline = self.page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
                assert outline != "none", f"the focus on {name} cannot be seen"
                return
        raise AssertionError(f"{TABS} presses of Tab do not reach {name}")

    def type_into(self, name: str, text: str) -> None:
        """Reach a field by Tab, and type over what it holds."""
        self.tab_to(name)
        self.page.keyboard.press("Control+a")
        self.page.keyboard.type(text)
