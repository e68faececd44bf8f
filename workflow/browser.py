"""A person's browser as far as a driver needs one: pages, redirects, cookies, forms, frames and event streams.

Owns the reading of HTML into forms, and the headers by which servers tell our own forms from other sites'. It runs no
scripts: what a page's script would do next, the driver does.
"""

import asyncio
import json
import ssl
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any, cast
from urllib.parse import urljoin, urlsplit

import httpx


class PageUnexpected(Exception):
    """A page is not the one that the step needs; says which one came, its status, and our code, where it has them."""

    def __init__(self, text: str, status: int = 0, code: str = "") -> None:
        super().__init__(text)
        self.status, self.code = status, code


@dataclass
class Form:
    """A form of a page: fields as they stand, and its submit buttons."""

    action: str
    fields: dict[str, str] = field(default_factory=dict[str, str])
    buttons: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])


@dataclass
class Page:
    """What came in the end, after redirects. `url` is where it came from."""

    url: str
    status: int
    text: str
    title: str = ""
    headings: list[str] = field(default_factory=list[str])
    codes: list[str] = field(default_factory=list[str])
    forms: list[Form] = field(default_factory=list[Form])
    frames: list[str] = field(default_factory=list[str])
    data: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def path(self) -> str:
        return urlsplit(self.url).path

    def form(self, action: str, **fields: str) -> Form:
        """The form that goes to a path and holds these fields or buttons. Raises PageUnexpected."""
        for form in self.forms:
            known = {*form.fields.items(), *form.buttons}
            if urlsplit(form.action).path.endswith(action) and all(pair in known for pair in fields.items()):
                return form
        raise PageUnexpected(f"no form to {action} with {sorted(fields)} on {self.described}")

    @property
    def described(self) -> str:
        """Status, path and heading, and the code that our own error pages show; no query, which may hold secrets."""
        heading = self.headings[0] if self.headings else self.title or "no heading"
        code = f" [{self.codes[0]}]" if self.codes and self.status >= 400 else ""
        return f"{self.status} {urlsplit(self.url).netloc}{self.path} ({heading}){code}"


class Browser:
    """One person's cookies; `certificates` is whom they trust."""

    def __init__(self, certificates: ssl.SSLContext) -> None:
        self._http = httpx.AsyncClient(
            verify=certificates,
            trust_env=False,
            timeout=httpx.Timeout(30.0),
            follow_redirects=True,
            limits=httpx.Limits(max_connections=20, keepalive_expiry=5.0),
            headers={"accept": "text/html,application/xhtml+xml", "user-agent": "connector demo"},
        )

    async def close(self) -> None:
        await self._http.aclose()

    async def open(self, url: str, *, expected: int = 200) -> Page:
        """GET, following redirects."""
        return _page(await self._http.get(url), expected)

    async def submit(self, page: Page, form: Form, /, **fields: str) -> Page:
        """Send a form of a page as a browser does: with the page's origin."""
        url = urljoin(page.url, form.action)
        headers = {"origin": _origin(page.url)}
        if _origin(url) == _origin(page.url):
            headers |= {"sec-fetch-site": "same-origin"}
        # The headers are of this request alone: what it is redirected to is another site's business.
        response = await self._http.post(url, data={**form.fields, **fields}, headers=headers, follow_redirects=False)
        if response.next_request is not None:
            response = await self._http.get(response.next_request.url)
        return _page(response, 200)

    async def json(self, url: str) -> dict[str, Any]:
        """What a page's script asks for."""
        response = await self._http.get(url, headers={"accept": "application/json", "sec-fetch-site": "same-origin"})
        response.raise_for_status()
        return cast("dict[str, Any]", response.json())

    async def act(self, url: str, fields: Mapping[str, str]) -> dict[str, Any]:
        """A form's action, answered as JSON. Raises PageUnexpected."""
        headers = {"accept": "application/json", "origin": _origin(url)}
        response = await self._http.post(url, data=dict(fields), headers=headers)
        if not response.is_success:
            raise PageUnexpected(
                f"{response.status_code} from {urlsplit(url).path.rsplit('/', 1)[-1]}: {response.text[:200]}"
            )
        return cast("dict[str, Any]", response.json())

    @asynccontextmanager
    async def events(self, url: str) -> AsyncGenerator["Events"]:
        """An event stream (WHATWG HTML, section 9.2), for as long as the block runs."""
        timeout = httpx.Timeout(30.0, read=60.0)
        async with self._http.stream("GET", url, headers={"accept": "text/event-stream"}, timeout=timeout) as response:
            if response.status_code != 200:
                raise PageUnexpected(f"{response.status_code} for the event stream {urlsplit(url).path}")
            events = Events()
            reading = asyncio.create_task(events.read(response))
            try:
                yield events
            finally:
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)


class Events:
    """The latest snapshot of a stream, and waiting for one that fits."""

    def __init__(self) -> None:
        self.latest: dict[str, Any] = {}
        self.ended: str | None = None
        self._changed = asyncio.Condition()

    async def read(self, response: httpx.Response) -> None:
        kind, data = "message", ""
        why = "closed by the server"
        try:
            async for line in response.aiter_lines():
                if not line:
                    if data:
                        await self._take(kind, data)
                    kind, data = "message", ""
                elif line.startswith("event:"):
                    kind = line.removeprefix("event:").strip()
                elif line.startswith("data:"):
                    data += line.removeprefix("data:").removeprefix(" ")
        except httpx.HTTPError as problem:
            why = type(problem).__name__
        async with self._changed:
            self.ended = self.ended or why
            self._changed.notify_all()

    async def _take(self, kind: str, data: str) -> None:
        async with self._changed:
            if kind == "over":
                self.ended = "the session is over"
            else:
                self.latest = json.loads(data)
            self._changed.notify_all()

    async def until(self, fits: Callable[[dict[str, Any]], Any], what: str, seconds: float = 60.0) -> dict[str, Any]:
        """The first snapshot for which `fits` answers yes. Raises PageUnexpected at the end of stream or time."""
        try:
            async with asyncio.timeout(seconds), self._changed:
                await self._changed.wait_for(lambda: (self.latest and fits(self.latest)) or self.ended)
        except TimeoutError:
            raise PageUnexpected(f"{what}: not within {seconds:.0f} s; last seen {self._seen()}") from None
        if self.latest and fits(self.latest):
            return self.latest
        raise PageUnexpected(f"{what}: the stream ended ({self.ended}); last seen {self._seen()}")

    def _seen(self) -> str:
        shown = {k: v for k, v in self.latest.items() if k not in ("html", "open", "app")}
        return json.dumps(shown)


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _page(response: httpx.Response, expected: int) -> Page:
    parser = _Reader(str(response.url), response.status_code, response.text)
    parser.feed(response.text)
    if response.status_code != expected:
        text = f"expected a page with status {expected}, got {parser.page.described}"
        raise PageUnexpected(text, response.status_code, next(iter(parser.page.codes), ""))
    return parser.page


class _Reader(HTMLParser):
    def __init__(self, url: str, status: int, text: str) -> None:
        super().__init__()
        self.page = Page(url, status, text)
        self._form: Form | None = None
        self._select: str | None = None
        self._textarea: str | None = None
        self._capture: list[str] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.page.data.update({k.removeprefix("data-"): v for k, v in given.items() if k.startswith("data-")})
        if tag in ("title", "h1", "h2", "code"):
            self._capture = []
        elif tag == "iframe":
            self.page.frames.append(urljoin(self.page.url, given.get("src", "")))
        elif tag == "form":
            self._form = Form(given.get("action") or self.page.url)
            self.page.forms.append(self._form)
        elif self._form is not None:
            self._field(tag, given)

    def _field(self, tag: str, given: dict[str, str]) -> None:
        assert self._form is not None
        name = given.get("name", "")
        if tag == "input" and name:
            self._form.fields[name] = given.get("value", "")
        elif tag == "button" and name:
            self._form.buttons.append((name, given.get("value", "")))
        elif tag == "textarea" and name:
            self._textarea, self._form.fields[name] = name, ""
        elif tag == "select":
            self._select = name
        elif tag == "option" and self._select and ("selected" in given or self._select not in self._form.fields):
            self._form.fields[self._select] = given.get("value", "")

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._form = None
        elif tag == "textarea":
            self._textarea = None
        elif tag == "select":
            self._select = None
        elif tag in ("title", "h1", "h2", "code") and self._capture is not None:
            text = " ".join("".join(self._capture).split())
            self._capture = None
            if tag == "title":
                self.page.title = text
            else:
                (self.page.codes if tag == "code" else self.page.headings).append(text)

    def handle_data(self, data: str) -> None:
        if self._capture is not None:
            self._capture.append(data)
        elif self._textarea is not None and self._form is not None:
            before = self._form.fields[self._textarea]
            # HTML leaves out a line end right after the tag (WHATWG HTML, section 13.1.2.5).
            self._form.fields[self._textarea] = before + (data if before else data.removeprefix("\n"))
