"""People at the portal in a browser, who find their way by what they read; axe checks each page that they see."""

from playwright.sync_api import BrowserContext, Page, expect

from emulators.world import User
from schemas.vocabulary import GeographyName
from tests.support.accessibility import Journey
from tests.support.stack import TestStack

TABS = 80


class PortalPerson:
    """Somebody at the portal, who finds their way by what they read."""

    def __init__(
        self,
        context: BrowserContext,
        stack: TestStack,
        account: User,
        journey: Journey,
        geography: GeographyName = GeographyName.AMERICAS,
    ) -> None:
        portal = stack.config.geographies[geography].portal_host
        self.url, self.account, self.journey = f"https://{portal}", account, journey
        self.page: Page = context.new_page()

    def seen(self, name: str) -> None:
        self.journey.check(self.page, name)

    def press(self, name: str) -> None:
        self.page.get_by_role("button", name=name).last.click()

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
        """By the Tab key alone: the control with this text or label; its focus has to be seen."""
        control = self.page.get_by_role("button", name=name).or_(self.page.get_by_role("link", name=name))
        expect(control.or_(self.page.get_by_label(name)).first).to_be_visible()
        for _ in range(TABS):
            self.page.keyboard.press("Tab")
            focused = self.page.evaluate(
                "(e => (e.labels?.length ? e.labels[0].textContent : e.textContent).trim())(document.activeElement)"
            )
            if str(focused).startswith(name):
                outline = self.page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
                assert outline != "none", f"the focus on {name} cannot be seen"
                return
        raise AssertionError(f"{TABS} presses of Tab do not reach {name}")

    def type_into(self, name: str, text: str) -> None:
        """Reach a field by Tab, and type over what it holds."""
        self.tab_to(name)
        self.page.keyboard.press("Control+a")
        self.page.keyboard.type(text)


def account_of(stack: TestStack, organization: str, login: str) -> User:
    """Somebody of an organisation's tenant, by how their address begins."""
    tenant = next(o.tenant_id for o in stack.config.organizations if o.id == organization)
    users = next(t.users for t in stack.world.entra.tenants if t.id == tenant)
    return next(u for u in users if u.user_principal_name.startswith(f"{login}@"))
