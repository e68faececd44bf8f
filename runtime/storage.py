"""Blob storage by its REST API (2021-12-02): block blobs of one account, read and written by identity.

Owns the requests and what their answers mean. Leaves out what blobs say (`promotion/revocations.py`, audit heads), and
retries: who polls, polls again.
"""

import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from urllib.parse import quote

from runtime.errors import ProtocolError, RemoteUnavailable, StorageUnavailable
from runtime.http import HttpClients, Remote, Response
from runtime.managed_identity import STORAGE_AUDIENCE, ManagedIdentity

VERSION = "2021-12-02"
PAGE = "1000"
"""Names a page: 5000, what a server gives unasked, may be more than an answer may hold (`http.py`)."""

_THERE_ALREADY = frozenset({"BlobAlreadyExists", "BlobImmutableDueToPolicy", "ConditionNotMet"})


@dataclass(frozen=True)
class Storage:
    """The geography's account. `url` is its blob endpoint and ends in a slash, as Azure gives it."""

    url: str
    remote: Remote
    identity: ManagedIdentity

    @classmethod
    def at(cls, url: str, http: HttpClients, identity: ManagedIdentity) -> "Storage":
        return cls(url, http.to([url]), identity)

    async def read(self, container: str, blob: str) -> bytes | None:
        """A blob's content, `None` where there is none. Raises `StorageUnavailable`, `IdentityUnavailable`."""
        response = await self._call("GET", _path(container, blob))
        if response.status == 404:
            return None
        return _done(response, "read", container).body

    async def write_once(self, container: str, blob: str, content: bytes) -> bool:
        """Make a blob; false where there is one of that name already. Raises like `read`."""
        response = await self._put(container, blob, content, {"if-none-match": "*"})
        if response.status in (409, 412) and response.headers.get("x-ms-error-code") in _THERE_ALREADY:
            return False
        _done(response, "write", container)
        return True

    async def replace(self, container: str, blob: str, content: bytes) -> None:
        """Make a blob, or put other content in its place. Raises like `read`."""
        _done(await self._put(container, blob, content, {}), "write", container)

    async def names(self, container: str, prefix: str = "") -> list[str]:
        """The names of the blobs whose name begins so, in order. Raises like `read`."""
        found: list[str] = []
        marker: str | None = ""
        while marker is not None:
            query = {"restype": "container", "comp": "list", "maxresults": PAGE, "prefix": prefix, "marker": marker}
            response = await self._call("GET", container, params={k: v for k, v in query.items() if v})
            names, marker = _page(_done(response, "list", container).body)
            found += names
        return found

    async def _put(self, container: str, blob: str, content: bytes, headers: dict[str, str]) -> Response:
        kind = {"x-ms-blob-type": "BlockBlob", "content-type": "application/json"}
        return await self._call("PUT", _path(container, blob), headers=kind | headers, content=content)

    async def _call(
        self,
        method: str,
        path: str,
        *,
        params: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
        content: bytes | None = None,
    ) -> Response:
        token = await self.identity.token(STORAGE_AUDIENCE)
        common = {
            "authorization": f"Bearer {token}",
            "x-ms-version": VERSION,
            "x-ms-date": format_datetime(datetime.now(UTC), usegmt=True),
        }
        try:
            return await self.remote.request(
                method, self.url + path, params=params, headers=common | (headers or {}), content=content
            )
        except (RemoteUnavailable, ProtocolError) as e:
            raise StorageUnavailable(f"the storage account did not answer for {path}: {e}") from e


def _path(container: str, blob: str) -> str:
    if any(part in ("", ".", "..") for part in blob.split("/")):
        raise ValueError("expected the name of a blob")
    return f"{container}/{quote(blob)}"


def _done(response: Response, verb: str, container: str) -> Response:
    if not response.ok:
        raise StorageUnavailable(
            f"expected to {verb} blobs of {container}, got {response.status}",
            "Check the identity's role assignment on the container (Storage Blob Data Reader or Contributor).",
        )
    return response


def _page(body: bytes) -> tuple[list[str], str | None]:
    """The names of a List Blobs answer, and the marker of the next one."""
    if b"<!DOCTYPE" in body:
        raise StorageUnavailable("expected a list of blobs, got XML with a document type")
    try:
        root = ElementTree.fromstring(body)
    except ElementTree.ParseError:
        raise StorageUnavailable("expected a list of blobs in XML") from None
    names = [name.text or "" for name in root.iterfind("Blobs/Blob/Name")]
    return names, root.findtext("NextMarker") or None
