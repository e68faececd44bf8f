"""An administrator in Chromium: looks at a URL, edits, adds and removes, and proposes; phone width; keyboard alone."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from emulators.world import User
from schemas.loading import load_stack
from tests.support.accessibility import Accessibility
from tests.support.bare_repository import BareRepository
from tests.support.browser_journeys import DESKTOP, PHONE, open_window
from tests.support.portal_people import PortalPerson, account_of
from tests.support.stack import TestStack

ORGANIZATION, CONNECTION = "prairie", "prairie-test"
FILE = "organizations/local/prairie.yaml"


@pytest.fixture
def avery(stack: TestStack) -> User:
    return account_of(stack, ORGANIZATION, "avery.admin")


@pytest.fixture
def repository(stack: TestStack) -> BareRepository:
    """The bare repository in the stack's state folder, to which the portal proposes."""
    return BareRepository(Path(stack.state) / "repository.git")


@pytest.fixture(params=[DESKTOP, PHONE], ids=["desktop", "phone"])
def administrator(
    request: pytest.FixtureRequest, browser: Browser, stack: TestStack, avery: User, accessibility: Accessibility
) -> Iterator[PortalPerson]:
    with open_window(browser, request.param) as context:
        yield PortalPerson(context, stack, avery, accessibility.journey(request.node.name))


def edits(repository: BareRepository) -> set[str]:
    return {b for b in repository.branches() if b.startswith(f"connector/edit-{ORGANIZATION}-")}


def to_the_form(administrator: PortalPerson) -> None:
    page = administrator.page
    administrator.sign_in()
    page.get_by_role("link", name="Prairie Children's Hospital").click()
    page.get_by_role("link", name="Edit connections").click()
    expect(page.get_by_role("heading", name="Edit Prairie Children's Hospital")).to_be_visible()
    administrator.seen("connections")
    page.get_by_role("link", name=f"Edit {CONNECTION}").click()
    expect(page.get_by_role("heading", name=f"Edit {CONNECTION}")).to_be_visible()


def test_an_edit_is_checked_as_one_types_shown_and_proposed(
    administrator: PortalPerson, repository: BareRepository
) -> None:
    page, before = administrator.page, edits(repository)
    to_the_form(administrator)
    expect(page.get_by_text("A FHIR server answers here, with a SMART configuration.")).to_be_visible()
    administrator.seen("form")
    record = page.get_by_label("Provider record")
    record.fill("77 1")
    problem = page.locator('[id="problem-integrationRecordIds.provider"]')
    expect(problem).to_contain_text("without spaces")
    expect(record).to_have_attribute("aria-invalid", "true")
    administrator.seen("problem")
    record.fill("771")
    expect(problem).to_be_hidden()
    administrator.press("Review the change")
    expect(page.get_by_role("heading", name=f"Change {CONNECTION}")).to_be_visible()
    expect(page.get_by_text("This withdraws the approval of prairie-test")).to_be_visible()
    administrator.seen("review")
    assert edits(repository) == before
    administrator.press("Propose this change")
    expect(page.get_by_role("heading", name="Your change is proposed")).to_be_visible()
    administrator.seen("proposed")
    (branch,) = edits(repository) - before
    main, made = repository.files("main")[FILE].decode(), repository.files(branch)[FILE].decode()
    changed = [(a, b) for a, b in zip(main.splitlines(), made.splitlines(), strict=True) if a != b]
    assert changed == [('      provider: "1201"', '      provider: "771"')]


def test_a_hint_leads_to_the_url_that_is_meant(administrator: PortalPerson) -> None:
    page = administrator.page
    to_the_form(administrator)
    url = page.get_by_label("FHIR base URL")
    meant = url.input_value()
    url.fill(f"{meant}/metadata")
    page.get_by_role("button", name="Use it").click()
    expect(url).to_have_value(meant)
    expect(page.get_by_text("A FHIR server answers here, with a SMART configuration.")).to_be_visible()
    administrator.seen("looked")


def test_a_new_connection_is_a_copy_with_its_own_ids(administrator: PortalPerson, repository: BareRepository) -> None:
    page, before = administrator.page, edits(repository)
    to_the_form(administrator)
    page.get_by_role("link", name="Cancel").click()
    page.get_by_role("link", name="Add a production connection").click()
    expect(page.get_by_role("heading", name="Add a production connection")).to_be_visible()
    administrator.press("Review the change")
    expect(page.get_by_role("alert")).to_contain_text("are not right yet")
    administrator.seen("needed")
    port = page.get_by_label("Origins of EHR pages").input_value().splitlines()[0]
    page.get_by_label("Connection id").fill("prairie-annex")
    page.get_by_label("FHIR base URL").fill(f"{port}/interconnect-prairie-annex/api/FHIR/R4")
    for role in ("provider", "patient", "backend", "approval"):
        page.locator(f'[name="clients.{role}.clientId"]').fill(f"prairie-annex-{role}")
    page.locator('[name="clients.provider.authentication.secret"]').fill("prairie-annex-provider-secret")
    page.locator('[name="clients.backend.authentication.key"]').fill("prairie-annex-backend-key")
    page.get_by_label("Provider record").fill("1")
    page.get_by_label("Patient record").fill("2")
    administrator.press("Review the change")
    expect(page.get_by_role("heading", name="Add prairie-annex")).to_be_visible()
    administrator.seen("review of a new one")
    administrator.press("Propose this change")
    expect(page.get_by_role("heading", name="Your change is proposed")).to_be_visible()
    (branch,) = edits(repository) - before
    files = {name: content.decode() for name, content in repository.files(branch).items() if name.endswith(".yaml")}
    loaded = load_stack("Pulumi.local.yaml", files.__getitem__)
    assert loaded.errors == ()
    assert loaded.stack is not None
    assert "prairie-annex" in [c.id for o in loaded.stack.organizations for c in o.connections]


def test_a_removal_says_what_it_means(administrator: PortalPerson, repository: BareRepository) -> None:
    page, before = administrator.page, edits(repository)
    to_the_form(administrator)
    page.get_by_role("link", name="Cancel").click()
    page.get_by_role("link", name="Remove prairie-production").click()
    expect(page.get_by_text("takes no launches any more")).to_be_visible()
    administrator.seen("removal")
    administrator.press("Propose this change")
    expect(page.get_by_role("heading", name="Your change is proposed")).to_be_visible()
    (branch,) = edits(repository) - before
    assert "prairie-production" not in repository.files(branch)[FILE].decode()


def test_an_edit_is_proposed_by_keyboard_alone(
    browser: Browser, stack: TestStack, avery: User, accessibility: Accessibility, repository: BareRepository
) -> None:
    before = edits(repository)
    with open_window(browser) as context:
        administrator = PortalPerson(context, stack, avery, accessibility.journey("administrator by keyboard"))
        page = administrator.page
        administrator.sign_in()
        way = {
            "Prairie": "Prairie Children's Hospital",
            "Edit connections": "Edit Prairie Children's Hospital",
            f"Edit {CONNECTION}": f"Edit {CONNECTION}",
        }
        for link, heading in way.items():
            administrator.tab_to(link)
            page.keyboard.press("Enter")
            expect(page.get_by_role("heading", name=heading, exact=True)).to_be_visible()
        administrator.type_into("Patient record", "88")
        administrator.tab_to("Review the change")
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name=f"Change {CONNECTION}")).to_be_visible()
        administrator.tab_to("Propose this change")
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="Your change is proposed")).to_be_visible()
        administrator.seen("proposed by keyboard")
    assert len(edits(repository) - before) == 1


def test_everything_works_without_script(browser: Browser, stack: TestStack, avery: User) -> None:
    context = browser.new_context(ignore_https_errors=True, java_script_enabled=False)
    with context:
        page = context.new_page()
        geography = next(iter(stack.config.geographies.values()))
        page.goto(f"https://{geography.portal_host}/organizations/{ORGANIZATION}/edit/connections/{CONNECTION}")
        page.get_by_role("button", name="Sign in with Microsoft").click()
        page.get_by_role("button", name=avery.user_principal_name).click()
        page.get_by_label("Password").fill(avery.password)
        page.get_by_role("button", name="Sign in").click()
        page.get_by_role("button", name="Look at this URL").click()
        expect(page.get_by_text("A FHIR server answers here, with a SMART configuration.")).to_be_visible()
        page.get_by_label("Provider record").fill("7 7")
        page.get_by_label("Provider record").press("Enter")
        expect(page.get_by_role("alert")).to_contain_text("One thing is not right yet.")
        page.get_by_label("Provider record").fill("77")
        page.get_by_label("Provider record").press("Enter")
        expect(page.get_by_role("heading", name=f"Change {CONNECTION}")).to_be_visible()
