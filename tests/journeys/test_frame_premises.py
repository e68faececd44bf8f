"""What the frame journeys rest on: in an EHR's frame this browser sends the connector partitioned cookies only."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from emulators import tls
from tests.support.browser_journeys import open_window
from tests.support.ehr_emulator import serving
from tests.support.ports import free_port

COOKIE = "Path=/; Secure; HttpOnly; SameSite=None"


@pytest.fixture(scope="module")
def framing_page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A page on the EHR's site that frames one of another site, which sets cookies and shows what comes back."""
    state: Path = tmp_path_factory.mktemp("state")
    tls.ensure_leaf(state, ["localhost", "ehr.prairie.example"])
    outer_port, inner_port = free_port(), free_port()

    async def outer(request: Request) -> Response:
        return HTMLResponse(f'<iframe src="https://localhost:{inner_port}/set"></iframe>')

    async def set_cookies(request: Request) -> Response:
        response = RedirectResponse("/read", 303)
        response.headers.append("set-cookie", f"__Host-plain=1; {COOKIE}")
        response.headers.append("set-cookie", f"__Host-partitioned=1; {COOKIE}; Partitioned")
        return response

    async def read(request: Request) -> Response:
        return PlainTextResponse("got " + ", ".join(sorted(request.cookies)))

    inner = Starlette(routes=[Route("/set", set_cookies), Route("/read", read)])
    with (
        serving(Starlette(routes=[Route("/", outer)]), state, outer_port),
        serving(inner, state, inner_port),
    ):
        yield f"https://ehr.prairie.example:{outer_port}/"


def test_only_partitioned_cookies_come_back_from_a_frame(browser: Browser, framing_page: str) -> None:
    with open_window(browser) as context:
        page = context.new_page()
        page.goto(framing_page)
        shown = page.frame_locator("iframe").get_by_text("got").inner_text()
    assert shown == "got __Host-partitioned"
