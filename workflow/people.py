"""A provider and a patient, as drivers: each step is what a person does in front of a page.

Owns the steps from the EHR's page to the meeting and out of it. Each knows only what a person knows: their accounts,
their appointment, and what the pages show.
"""

import asyncio
import ssl
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from urllib.parse import urljoin

from emulators.world import Ehr, EhrUser, Entra, Tenant, User
from schemas.vocabulary import Stage
from workflow.browser import Browser, Events, Page, PageUnexpected

LINKED_SECONDS = 30.0


class Provider:
    """Works in Hyperspace, and has a Microsoft account."""

    def __init__(self, ehr: Ehr, stage: Stage, user: EhrUser, entra: Entra, certificates: ssl.SSLContext) -> None:
        self.ehr, self.stage, self.user = ehr, stage, user
        self.tenant, self.account = account_of(entra, user.entra_object_id)
        self.browser = Browser(certificates)
        self.signed_in_to_microsoft = False
        self._meeting = ""
        self._token = ""

    async def press(self, csn: str) -> Page:
        """Press "Begin virtual visit"; what the EHR's frame shows then."""
        return await self.browser.open(await self.frame(csn))

    async def frame(self, csn: str) -> str:
        """The launch URL that the EHR puts into its frame."""
        page = await self.browser.open(f"{self.ehr.url}/hyperspace?environment={self.stage}")
        if page.forms and page.forms[0].action.endswith("/sign-in"):
            page = await self.browser.submit(page, page.form("/sign-in", user=self.user.id), user=self.user.id)
        framing = await self.browser.submit(page, page.form("/launch", csn=csn))
        if not framing.frames:
            raise PageUnexpected(f"no frame on {framing.described}")
        return framing.frames[0]

    async def begin(self, csn: str) -> Page:
        """Begin; the first time, sign in to Microsoft and confirm the link. The visit's page."""
        page = await self.press(csn)
        if page.path == "/identity/wait":
            page = await self._sign_in(page)
        if page.path != "/visit/provider":
            raise PageUnexpected(f"expected the provider's visit page, got {page.described}")
        return page

    async def _sign_in(self, waiting: Page) -> Page:
        """In a window of its own, as Entra refuses to be framed; then the waiting frame asks about both accounts."""
        page = await self.browser.submit(waiting, waiting.form("/identity/sign-in"))
        page = await sign_in_to_microsoft(self.browser, page, self.account)
        if page.path != "/identity/done":
            raise PageUnexpected(f"expected the end of the sign-in, got {page.described}")
        deadline = time.monotonic() + LINKED_SECONDS
        while (await self.browser.json(urljoin(waiting.url, "/identity/wait/state")))["state"] != "signed-in":
            if time.monotonic() > deadline:
                raise PageUnexpected("the launching window was not told who signed in")
            await asyncio.sleep(0.2)
        page = await self.browser.open(urljoin(waiting.url, "/identity/wait"))
        page = await self.browser.submit(page, page.form("/identity/link"), decision="link")
        self.signed_in_to_microsoft = True
        return page

    @asynccontextmanager
    async def watching(self, page: Page) -> AsyncGenerator[Events]:
        """The live participants of the visit's page."""
        async with self.browser.events(
            urljoin(page.url, f"/visit/provider/events?visit={page.data['visit']}")
        ) as events:
            yield events

    async def join(self, meeting: str) -> None:
        """Open Teams with the work account."""
        self._meeting = meeting
        fields = {"object_id": self.account.object_id, "tenant_id": self.tenant.id, "password": self.account.password}
        answer = await self.browser.act(_room(meeting, "join"), fields)
        self._token = answer["token"]
        if answer["state"] != "connected":
            raise PageUnexpected("the organiser waits in the lobby of the own meeting")

    async def admit(self) -> None:
        """Let everybody in who waits in the lobby."""
        await self.browser.act(_room(self._meeting, "admit"), {"token": self._token, "everyone": "true"})

    async def leave(self) -> None:
        await self.browser.act(_room(self._meeting, "leave"), {"token": self._token})


class Patient:
    """Comes from MyChart, without a Microsoft account."""

    def __init__(self, ehr: Ehr, stage: Stage, patient_id: str, certificates: ssl.SSLContext) -> None:
        self.ehr, self.stage, self.id = ehr, stage, patient_id
        self.browser = Browser(certificates)
        self.page: Page | None = None
        self.stream: Events | None = None
        self._meeting = ""
        self._token = ""

    async def begin(self, csn: str) -> Page:
        """Press "Begin virtual visit"; the waiting room."""
        page = await self.browser.open(f"{self.ehr.url}/mychart?environment={self.stage}")
        if page.forms and page.forms[0].action.endswith("/sign-in"):
            page = await self.browser.submit(page, page.form("/sign-in", patient=self.id), patient=self.id)
        page = await self.browser.submit(page, page.form("/launch", csn=csn))
        if page.path != "/visit/patient":
            raise PageUnexpected(f"expected the patient's waiting room, got {page.described}")
        return page

    @asynccontextmanager
    async def waiting(self, page: Page) -> AsyncGenerator[Events]:
        """While the page is open, the provider sees that the patient waits."""
        async with self.browser.events(
            urljoin(page.url, f"/visit/patient/events?visit={page.data['visit']}")
        ) as events:
            yield events

    async def join(self, page: Page) -> bool:
        """Go on to Teams as a guest; answers whether they wait in the lobby."""
        room = await self.browser.open(urljoin(page.url, f"/visit/patient/join?visit={page.data['visit']}"))
        if "/meetup-join/" not in room.path:
            raise PageUnexpected(f"expected the meeting, got {room.described}")
        self._meeting = room.url
        answer = await self.browser.act(_room(room.url, "join"), {"guest_name": "Guest"})
        self._token = answer["token"]
        return answer["state"] == "lobby"

    async def leave(self) -> None:
        await self.browser.act(_room(self._meeting, "leave"), {"token": self._token})


def _room(meeting: str, action: str) -> str:
    """Where a meeting's room takes an action."""
    address, mark, query = meeting.partition("?")
    return f"{address}/{action}{mark}{query}"


async def sign_in_to_microsoft(browser: Browser, page: Page, account: User) -> Page:
    """Entra's pages: which account, and its password unless the browser is signed in already; where they lead."""
    address = account.user_principal_name
    page = await browser.submit(page, page.form("/login", login=address), login=address)
    if page.forms and "passwd" in page.forms[0].fields:
        page = await browser.submit(page, page.forms[0], login=address, passwd=account.password)
    return page


def account_of(entra: Entra, object_id: str) -> tuple[Tenant, User]:
    """A person's account in the emulated Entra, with its tenant. Raises LookupError."""
    for tenant in entra.tenants:
        for user in tenant.users:
            if user.object_id == object_id:
                return tenant, user
    raise LookupError(f"nobody in the emulated Entra has the object id {object_id}")
