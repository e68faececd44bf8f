"""An administrator and an approver, as drivers: each step is what a person does in front of the portal's pages.

Owns the steps from the portal's first page to a decision. Each knows only what a person knows: their accounts, which
connection they are asked about, and what the pages show.
"""

import ssl
from collections.abc import Mapping

from emulators.world import Ehr, Entra
from schemas.stack_config import Person
from workflow.browser import Browser, Page, PageUnexpected
from workflow.people import account_of, sign_in_to_microsoft


class PortalPerson:
    """Somebody with a Microsoft account at the portal of one geography."""

    def __init__(self, portal_host: str, person: Person, entra: Entra, certificates: ssl.SSLContext) -> None:
        self.portal = f"https://{portal_host}"
        self.tenant, self.account = account_of(entra, person.object_id)
        self.browser = Browser(certificates)

    async def sign_in(self) -> Page:
        """The first page: the own organisations."""
        page = await self.browser.open(f"{self.portal}/sign-in")
        if page.path == "/sign-in":
            page = await self.microsoft(await self.browser.submit(page, page.form("/sign-in")))
        if page.path != "/":
            raise PageUnexpected(f"expected the portal's first page, got {page.described}")
        return page

    async def microsoft(self, page: Page) -> Page:
        """Entra's pages: which account, and its password."""
        return await sign_in_to_microsoft(self.browser, page, self.account)

    async def connection(self, connection_id: str) -> Page:
        """The page of a connection: its state, why, its history."""
        return await self.browser.open(f"{self.portal}/connections/{connection_id}")


class Administrator(PortalPerson):
    """A Microsoft 365 administrator of an organisation."""

    async def propose(self, organization_id: str, connection_id: str, changes: Mapping[str, str]) -> str:
        """Change fields of a connection in the form, look at the change, propose it; the branch that it is on."""
        editing = f"/organizations/{organization_id}/edit"
        page = await self.browser.open(f"{self.portal}{editing}/connections/{connection_id}")
        fields = {**changes, "action": "review"}
        page = await self.browser.submit(page, page.form(f"{editing}/review"), **fields)
        page = await self.browser.submit(page, page.form(f"{editing}/propose"))
        if page.path != f"{editing}/propose" or not page.codes:
            raise PageUnexpected(f"expected the page of the proposal, got {page.described}")
        return page.codes[0]


class Approver(PortalPerson):
    """An EHR analyst, who has an account in the EHR too."""

    async def decide(self, connection_id: str, ehr: Ehr, decision: str) -> Page:
        """Prove the FHIR base URL by both sign-ins, look, decide, confirm; the connection's page."""
        page = await self.connection(connection_id)
        page = await self.browser.submit(page, page.form(f"/connections/{connection_id}/prove"))
        page = await self.microsoft(page)
        page = await self.browser.submit(page, page.form(f"/connections/{connection_id}/prove/ehr"))
        user = ehr.users[0].id
        page = await self.browser.submit(page, page.form("/authorize/sign-in"), user=user, decision="allow")
        deciding = f"/connections/{connection_id}/decide"
        if page.path != deciding:
            raise PageUnexpected(f"expected the page of the decision, got {page.described}")
        page = await self.browser.submit(page, page.form(deciding), decision=decision)
        page = await self.browser.submit(page, page.form(f"{deciding}/confirm"), decision=decision)
        if page.path != f"/connections/{connection_id}":
            raise PageUnexpected(f"expected the connection's page after the decision, got {page.described}")
        return page

    async def records(self, connection_id: str) -> dict[str, object]:
        """The integration records, as the portal exports them."""
        return await self.browser.json(f"{self.portal}/connections/{connection_id}/records.json")
