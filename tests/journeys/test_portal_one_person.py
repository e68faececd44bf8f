"""One person is administrator and approver: they sign in to the EHR all the same; page and statement say it is one."""

import re

from playwright.sync_api import Browser, expect

from schemas.vocabulary import GeographyName
from tests.support.accessibility import Accessibility
from tests.support.browser_journeys import PHONE, open_window
from tests.support.portal_people import PortalPerson, account_of
from tests.support.stack import TestStack

CONNECTION = "southern-cross-test"


def test_one_person_administers_and_approves(browser: Browser, stack: TestStack, accessibility: Accessibility) -> None:
    with open_window(browser, PHONE) as context:
        account = account_of(stack, "southern-cross", "avery.admin")
        avery = PortalPerson(context, stack, account, accessibility.journey("one person"), GeographyName.APAC)
        page = avery.page
        avery.sign_in()
        expect(page.get_by_text("You are administrator and approver here.")).to_be_visible()
        page.get_by_role("link", name="Southern Cross Health").click()
        page.get_by_role("link", name="Edit connections").click()
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        avery.seen("edit")
        avery.prove(CONNECTION)
        expect(page.get_by_text("You are approver and administrator in one person.")).to_be_visible()
        avery.seen("decide")
        avery.press("Approve…")
        expect(page.get_by_text("The statement says that approver and administrator are one person.")).to_be_visible()
        avery.seen("confirm")
        avery.press("Yes, approve it")
        history = page.get_by_role("row", name=re.compile("Approved"))
        expect(history.first).to_contain_text("approver and administrator in one person")
        avery.seen("decided")
