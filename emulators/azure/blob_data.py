"""What a storage account holds, on disk: block blobs with their earlier versions, one 0600 file a blob.

Owns `azure/storage/<account>/<container>/` of the state folder, and that conditions and writes are one step. Whether
there is such a container, who may and what is immutable is decided by who calls (`blobs.py`).
"""

import base64
import hashlib
import json
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from emulators.azure.store import locked
from emulators.state import write_private


@dataclass(frozen=True)
class Blob:
    """One version of one blob. `content` is base64, times are ISO 8601."""

    name: str
    etag: str
    version: str
    created: str
    modified: str
    content_type: str
    content: str

    @property
    def data(self) -> bytes:
        return base64.b64decode(self.content)


def account_of(container_id: str) -> str:
    """The account's name in a container's ARM id."""
    return container_id.split("/blobServices/")[0].rsplit("/", 1)[1]


class BlobData:
    """The contents of one account."""

    def __init__(self, state: Path, account: str) -> None:
        self._folder = state / "azure" / "storage" / account.lower()

    def get(self, container: str, name: str, version: str | None = None) -> Blob | None:
        """The blob, or an earlier version of it."""
        versions, deleted = self._versions(container, name)
        if version is not None:
            return next((b for b in versions if b.version == version), None)
        return versions[-1] if versions and not deleted else None

    def put(
        self,
        container: str,
        name: str,
        content: bytes,
        content_type: str,
        *,
        keep_versions: bool,
        check: Callable[[Blob | None], None],
    ) -> Blob:
        """Write a blob. What `check` raises about what is there now is raised before anything is written."""
        with self._locked():
            now = _now()
            present = self.get(container, name)
            check(present)
            written = Blob(
                name=name,
                etag=f'"0x{hashlib.sha256(f"{now}{name}".encode() + content).hexdigest()[:15].upper()}"',
                version=now,
                created=present.created if present else now,
                modified=now,
                content_type=content_type,
                content=base64.b64encode(content).decode(),
            )
            earlier = self._versions(container, name)[0] if keep_versions else []
            self._write(container, name, [*earlier, written], deleted=False)
        return written

    def delete(
        self, container: str, name: str, *, keep_versions: bool, check: Callable[[Blob | None], None]
    ) -> Blob | None:
        with self._locked():
            present = self.get(container, name)
            check(present)
            if present is not None and keep_versions:
                self._write(container, name, self._versions(container, name)[0], deleted=True)
            elif present is not None:
                self._file(container, name).unlink()
        return present

    def names(self, container: str, prefix: str = "") -> list[str]:
        """Names of the blobs that are there now, in the order in which they are listed."""
        found = [json.loads(file.read_bytes()) for file in (self._folder / container).glob("*.json")]
        return sorted(d["name"] for d in found if d["name"].startswith(prefix) and not d["deleted"])

    def remove_container(self, container: str) -> None:
        shutil.rmtree(self._folder / container, ignore_errors=True)

    def clear(self) -> None:
        """The account is gone, and with it what it held."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _locked(self) -> AbstractContextManager[None]:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return locked(self._folder / "lock")

    def _file(self, container: str, name: str) -> Path:
        """Named by digest: a blob's name may be longer than a file's, and has slashes."""
        return self._folder / container / f"{hashlib.sha256(name.encode()).hexdigest()}.json"

    def _versions(self, container: str, name: str) -> tuple[list[Blob], bool]:
        try:
            document = json.loads(self._file(container, name).read_bytes())
        except FileNotFoundError:
            return [], True
        return [Blob(**version) for version in document["versions"]], document["deleted"]

    def _write(self, container: str, name: str, versions: list[Blob], *, deleted: bool) -> None:
        document = {"name": name, "deleted": deleted, "versions": [asdict(v) for v in versions]}
        write_private(self._file(container, name), json.dumps(document, indent=1).encode())


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
