"""A provider begins from Hyperspace: the connector in the EHR's frame, Microsoft once and in a window of its own."""

import pytest
from playwright.sync_api import Browser, expect

from tests.support.browser_journeys import (
    DESKTOP,
    PHONE,
    Hospital,
    Hyperspace,
    open_window,
    overflow_px,
    sign_in_heading,
    sign_in_ticket,
    visit_heading,
)

NEW_TO_MICROSOFT = "U-PRAI-2"


def test_whoever_declines_the_link_can_sign_in_again_at_once(browser: Browser, hospital: Hospital) -> None:
    provider = hospital.provider(NEW_TO_MICROSOFT)
    visit = hospital.schedule(provider)
    with open_window(browser) as context:
        hyperspace = Hyperspace(context, hospital, provider)
        hyperspace.open()
        frame = hyperspace.begin(visit.csn)
        used = sign_in_ticket(frame).input_value()
        hyperspace.sign_in_once(frame)
        frame.get_by_role("button", name="No, do not link").click()
        expect(sign_in_ticket(frame)).not_to_have_value(used)
        hyperspace.sign_in_once(frame)


def test_a_provider_signs_in_once_and_is_never_asked_again(browser: Browser, hospital: Hospital) -> None:
    provider = hospital.provider(NEW_TO_MICROSOFT)
    account = hospital.account_of(provider)
    visit, next_visit = hospital.schedule(provider), hospital.schedule(provider)
    with open_window(browser) as context:
        hyperspace = Hyperspace(context, hospital, provider)
        hyperspace.open()
        frame = hyperspace.begin(visit.csn)
        expect(sign_in_heading(frame)).to_be_visible()

        hyperspace.sign_in_once(frame)
        for named in (provider.id, account.display_name, account.user_principal_name):
            expect(frame.get_by_text(named).first).to_be_visible()
        frame.get_by_role("button", name="Yes, link them").click()
        expect(visit_heading(frame)).to_be_visible()
        expect(frame.get_by_role("link", name="Open Teams")).to_be_visible()

        hyperspace.open()
        expect(visit_heading(hyperspace.begin(next_visit.csn))).to_be_visible()

    with open_window(browser) as another_workstation:
        hyperspace = Hyperspace(another_workstation, hospital, provider)
        hyperspace.open()
        expect(visit_heading(hyperspace.begin(visit.csn))).to_be_visible()


def test_every_cookie_in_the_frame_is_partitioned_by_the_ehrs_site(browser: Browser, hospital: Hospital) -> None:
    provider = hospital.provider("U-PRAI-1")
    visit = hospital.schedule(provider)
    with open_window(browser) as context:
        Hyperspace(context, hospital, provider).into_visit(visit.csn)
        held = [c for c in context.cookies() if c.get("domain") == "localhost" and "provider" in c.get("name", "")]
    assert held
    assert {(c.get("partitionKey"), c.get("httpOnly"), c.get("secure")) for c in held} == {
        (f"https://{hospital.ehr.organization}.example", True, True)
    }


def test_a_launch_without_an_appointment_is_explained_in_the_frame(browser: Browser, hospital: Hospital) -> None:
    with open_window(browser) as context:
        hyperspace = Hyperspace(context, hospital, hospital.provider("U-PRAI-1"))
        hyperspace.open()
        hyperspace.page.get_by_role("button", name="Launch from the toolbar").click()
        refusal = hyperspace.frame.get_by_role("alert")
        expect(refusal).to_be_visible()
        expect(refusal.get_by_text("give this code")).to_be_visible()


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_the_providers_page_fits_its_window(browser: Browser, hospital: Hospital, size: tuple[int, int]) -> None:
    provider = hospital.provider("U-PRAI-1")
    visit = hospital.schedule(provider)
    with open_window(browser, size) as context:
        hyperspace = Hyperspace(context, hospital, provider)
        frame = hyperspace.into_visit(visit.csn)
        assert overflow_px(hyperspace.page) == 0
        inner = frame.locator("html").evaluate("e => e.scrollWidth - e.clientWidth")
        assert inner == 0
