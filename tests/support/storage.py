"""Blob storage for tests, behind its wire: containers and blobs in dictionaries, which a test can take away."""

import re
from dataclasses import dataclass, field
from urllib.parse import unquote
from xml.sax.saxutils import escape

import httpx

from runtime.promotion.revocations import BLOB, CONTAINER
from schemas.promotion.envelope import StatementFile

STORAGE_URL = "https://storage.test.invalid/"


@dataclass
class FakeStorage:
    """`down` answers 503, `forbids` 403. Lists give `page` names at a time."""

    token: str
    blobs: dict[str, dict[str, bytes]] = field(default_factory=dict[str, dict[str, bytes]])
    down: bool = False
    forbids: bool = False
    page: int = 2
    requests: list[httpx.Request] = field(default_factory=list[httpx.Request])

    def publish(self, list_: StatementFile | None) -> None:
        """A list of revocations, as `connector revoke` publishes it; None takes it away."""
        self.blobs.pop(CONTAINER, None)
        if list_ is not None:
            self.blobs[CONTAINER] = {BLOB: list_.content}

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if self.down or self.forbids:
            return httpx.Response(503 if self.down else 403)
        if request.headers.get("authorization") != f"Bearer {self.token}":
            return httpx.Response(401)
        if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", request.headers.get("x-ms-version", "")):
            return httpx.Response(400)
        container, _, blob = unquote(request.url.path).removeprefix("/").partition("/")
        held = self.blobs.get(container, {})
        if request.method == "PUT":
            return self._put(request, container, blob)
        if blob:
            return httpx.Response(200, content=held[blob]) if blob in held else _error(404, "BlobNotFound")
        return self._list(request, held)

    def _put(self, request: httpx.Request, container: str, blob: str) -> httpx.Response:
        assert request.headers["x-ms-blob-type"] == "BlockBlob"
        held = self.blobs.setdefault(container, {})
        if request.headers.get("if-none-match") == "*" and blob in held:
            return _error(409, "BlobAlreadyExists")
        held[blob] = request.content
        return httpx.Response(201)

    def _list(self, request: httpx.Request, held: dict[str, bytes]) -> httpx.Response:
        query = request.url.params
        assert (query["restype"], query["comp"]) == ("container", "list")
        names = sorted(n for n in held if n.startswith(query.get("prefix", "")) and n >= query.get("marker", ""))
        shown, rest = names[: self.page], names[self.page :]
        blobs = "".join(f"<Blob><Name>{escape(n)}</Name></Blob>" for n in shown)
        marker = escape(rest[0]) if rest else ""
        body = f"<EnumerationResults><Blobs>{blobs}</Blobs><NextMarker>{marker}</NextMarker></EnumerationResults>"
        return httpx.Response(200, content=b"\xef\xbb\xbf" + body.encode(), headers={"content-type": "application/xml"})


def _error(status: int, code: str) -> httpx.Response:
    return httpx.Response(status, headers={"x-ms-error-code": code})
