"""People in browsers: a provider in Hyperspace, a patient in MyChart, both in the Teams room.

Owns how they find their way, by roles and texts that they read; the EHR's pages are opened under the host name
`ehr.<organization>.example`, so that the connector in their frame is on another site, as in life.
"""

import re
import secrets
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from playwright.sync_api import Browser, BrowserContext, FrameLocator, Locator, Page, Playwright, expect

from emulators import tls
from emulators.world import Ehr, EhrUser, User, World
from tests.support.browser import browser_environment

PATIENCE_MS = 60_000
LIVE_MS = 10_000
DESKTOP, PHONE = (1280, 900), (390, 844)

expect.set_options(timeout=PATIENCE_MS)


@contextmanager
def browser_on(playwright: Playwright, executable: Path, home: Path, hosts: list[str]) -> Generator[Browser]:
    """Chromium that finds `hosts` on this machine, and blocks third-party cookies that are not partitioned."""
    rules = ", ".join(f"MAP {host} 127.0.0.1" for host in hosts)
    browser = playwright.chromium.launch(
        executable_path=executable,
        args=[
            "--no-sandbox",
            f"--host-resolver-rules={rules}",
            "--test-third-party-cookie-phaseout",
            "--use-fake-ui-for-media-stream",
            "--use-fake-device-for-media-stream",
        ],
        env={name: str(value) for name, value in browser_environment(home).items()},
    )
    try:
        yield browser
    finally:
        browser.close()


@dataclass(frozen=True)
class Hospital:
    """One organisation's EHR and Microsoft accounts, and a clerk who schedules."""

    ehr: Ehr
    accounts: tuple[User, ...]
    state: Path

    @classmethod
    def of(cls, world: World, organization: str, state: Path) -> "Hospital":
        ehr = next(e for e in world.ehrs if e.organization == organization)
        ids = {user.entra_object_id for user in ehr.users}
        users = (user for tenant in world.entra.tenants for user in tenant.users)
        return cls(ehr, tuple(user for user in users if user.object_id in ids), state)

    @property
    def origin(self) -> str:
        """The page origin that is a name: another site than the connector's."""
        return next(o for o in self.ehr.page_origins if (urlsplit(o).hostname or "").endswith(".example"))

    def provider(self, id: str) -> EhrUser:
        return next(user for user in self.ehr.users if user.id == id)

    def account_of(self, provider: EhrUser) -> User:
        return next(a for a in self.accounts if a.object_id == provider.entra_object_id)

    def schedule(self, provider: EhrUser) -> "Booked":
        """A new appointment of a new patient, in the test environment."""
        patient_name = f"Patient {secrets.token_hex(4)}"
        form = {"provider": provider.id, "patient_name": patient_name, "time": "14:00"}
        with httpx.Client(verify=tls.client_context(self.state), trust_env=False) as client:
            url = f"{self.ehr.url}/hyperspace/appointments"
            booked = client.post(url, data=form, headers={"Accept": "application/json"}).raise_for_status()
        return Booked(str(booked.json()["appointments"][0]["csn"]), patient_name)


@dataclass(frozen=True)
class Booked:
    csn: str
    patient_name: str


def open_window(browser: Browser, size: tuple[int, int] = DESKTOP) -> BrowserContext:
    """A browser profile of its own."""
    context = browser.new_context(ignore_https_errors=True, viewport={"width": size[0], "height": size[1]})
    context.set_default_timeout(PATIENCE_MS)
    return context


class Hyperspace:
    """A provider at their workstation."""

    def __init__(self, context: BrowserContext, hospital: Hospital, provider: EhrUser) -> None:
        self.hospital, self.provider = hospital, provider
        self.everybody = False
        self.page = context.new_page()

    def open(self) -> None:
        """Today's appointments: one's own, or everybody's."""
        self.page.goto(f"{self.hospital.origin}/hyperspace?environment=test")
        choice = self.page.get_by_role("button", name=self.provider.name)
        if choice.is_visible():
            choice.click()
        if self.everybody:
            self.page.get_by_role("link", name="Everybody's").click()
        expect(self.page.get_by_role("heading", name="Today's appointments")).to_be_visible()

    def begin(self, csn: str) -> FrameLocator:
        """Press "Begin virtual visit"; the frame with the connector."""
        row = self.page.get_by_role("row").filter(has_text=re.compile(rf"CSN {csn}\b"))
        row.get_by_role("button", name="Begin virtual visit").click()
        return self.frame

    @property
    def frame(self) -> FrameLocator:
        return self.page.frame_locator('iframe[title="Virtual visit"]')

    def status(self, side: str) -> Locator:
        """What Hyperspace shows of one side (`Provider`, `Patient`) of the open visit."""
        return self.page.get_by_text(re.compile(rf"^\s*{side}: "))

    def sign_in_once(self, frame: FrameLocator) -> None:
        """Sign in to Microsoft in the window that opens, up to the frame's question whether to link."""
        with self.page.context.expect_page() as opened:
            frame.get_by_role("button", name="Sign in to Microsoft").click()
        window, account = opened.value, self.hospital.account_of(self.provider)
        window.get_by_role("button", name=account.user_principal_name).click()
        password = window.get_by_label("Password")
        signed_in = window.get_by_role("heading", name="You are signed in to Microsoft")
        expect(password.or_(signed_in)).to_be_visible()
        if password.is_visible():  # Microsoft asks once in a browser
            password.fill(account.password)
            window.get_by_role("button", name="Sign in").click()
        expect(signed_in).to_be_visible()
        window.close()
        expect(frame.get_by_role("heading", name="Are both accounts yours?")).to_be_visible()

    def into_visit(self, csn: str) -> FrameLocator:
        """To the visit's page, signing in where it is asked for."""
        self.open()
        frame = self.begin(csn)
        asked, visit = sign_in_heading(frame), visit_heading(frame)
        expect(asked.or_(visit)).to_be_visible()
        if asked.is_visible():
            self.sign_in_once(frame)
            frame.get_by_role("button", name="Yes, link them").click()
        expect(visit).to_be_visible()
        return frame

    def open_teams(self, frame: FrameLocator) -> "TeamsRoom":
        with self.page.context.expect_page() as opened:
            frame.get_by_role("link", name="Open Teams").click()
        return TeamsRoom(opened.value)


class MyChart:
    """A patient, at home."""

    def __init__(self, context: BrowserContext, hospital: Hospital, patient_name: str) -> None:
        self.hospital, self.patient_name = hospital, patient_name
        self.page = context.new_page()

    def begin(self) -> Page:
        self.page.goto(f"{self.hospital.origin}/mychart?environment=test")
        self.page.get_by_role("button", name=self.patient_name).click()
        self.page.get_by_role("button", name="Begin virtual visit").click()
        return self.page


class TeamsRoom:
    """Somebody in the emulated meeting."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def join_with(self, account: User) -> None:
        self.page.get_by_label("Email address").fill(account.user_principal_name)
        self.page.get_by_label("Password").fill(account.password)
        self.page.get_by_role("button", name="Sign in and join").click()
        expect(self.page.get_by_text("You are in the meeting")).to_be_visible()

    def join_as_guest(self, name: str) -> None:
        self.page.get_by_label("Type your name").fill(name)
        self.page.get_by_role("button", name="Join now").click()
        expect(self.page.get_by_text("You are in the lobby")).to_be_visible()

    def admit(self, name: str) -> None:
        self.page.get_by_role("button", name=f"Admit {name}").click()

    def leave(self) -> None:
        self.page.get_by_role("button", name="Leave").click()

    def end(self) -> None:
        self.page.get_by_role("button", name="End meeting").click()


def sign_in_heading(frame: FrameLocator) -> Locator:
    return frame.get_by_role("heading", name="Sign in to Microsoft once")


def sign_in_ticket(frame: FrameLocator) -> Locator:
    """What the sign-in window is opened with; it works once."""
    return frame.locator('input[name="ticket"]')


def visit_heading(frame: FrameLocator) -> Locator:
    return frame.get_by_role("heading", name="Video visit", exact=True)


def participant(frame: FrameLocator, who: str) -> Locator:
    """One line of the live participants: `You` or `Patient's side`."""
    people = frame.get_by_role("region", name="Participants").get_by_role("listitem")
    return people.filter(has_text=re.compile(who.replace("'", "['’]")))


def overflow_px(page: Page) -> int:
    """By how much a page is wider than its window."""
    return int(page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))
