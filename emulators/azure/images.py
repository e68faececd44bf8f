"""Images that this cloud can run, by digest, laid out as files; and which of them each registry has.

Owns `images/<digest>/` of the state folder, exactly the files that were hashed (`schemas/image.py`), and
`azure/registries/<log-in server>`, a line for each digest that was copied there. The working tree counts as copied to
every registry; once it ran from one it stays there. Any other digest is a missing image. There are no layers.
"""

import compileall
import re
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

from emulators.azure.errors import AzureError
from emulators.state import write_private
from schemas.image import FILES, FOLDERS, REPOSITORY, belongs_to_image, image_digest


class Images:
    """`tree` is the project's root."""

    def __init__(self, state: Path, tree: Path) -> None:
        self.folder, self.tree, self.registries = state / "images", tree, state / "azure" / "registries"
        self._lock = threading.Lock()

    def folder_of(self, image: str) -> Path:
        """The files of an image by digest, from the registry that it names. Raises AzureError (MANIFEST_UNKNOWN)."""
        found = re.fullmatch(rf"([a-z0-9.-]+)/{REPOSITORY}@sha256:([0-9a-f]{{64}})", image)
        if found is None:
            raise AzureError(400, "InvalidParameterValue", f"expected {REPOSITORY} by digest, got '{image}'")
        server, digest = found.groups()
        with self._lock:
            if digest not in self._in(server):
                present = self._lay_out().name
                if digest != present:
                    raise AzureError(
                        404,
                        "MANIFEST_UNKNOWN",
                        f"manifest unknown: {image} was not copied to {server}, which has the working tree, "
                        f"sha256:{present}, and what was run from there before",
                    )
                self._copy(server, digest)
        return self.folder / digest

    def copy(self, server: str, digest: str) -> None:
        """What `az acr import` does; the image is laid out already."""
        with self._lock:
            self._copy(server, digest)

    def _in(self, server: str) -> list[str]:
        file = self.registries / server
        return file.read_text().split() if file.exists() else []

    def _copy(self, server: str, digest: str) -> None:
        digests = dict.fromkeys([*self._in(server), digest])
        write_private(self.registries / server, "".join(f"{d}\n" for d in digests).encode())

    def prepare(self) -> None:
        """Lay out the working tree's image before it is asked for."""
        with self._lock:
            self._lay_out()

    def _lay_out(self) -> Path:
        """The working tree's image as files, compiled once so that not each of its processes does."""
        files = dict(self.files())
        folder = self.folder / image_digest(files.items())
        if folder.is_dir():
            return folder
        partial = folder.with_name(f".{folder.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        for path, content in files.items():
            target = partial / path
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            target.write_bytes(content)
        compileall.compile_dir(partial, quiet=2, stripdir=partial, prependdir=folder)
        partial.rename(folder)
        return folder

    def files(self) -> Iterator[tuple[str, bytes]]:
        """Every file of the image: path from the project's root, content."""
        for name in (*FOLDERS, *FILES):
            root = self.tree / name
            for file in sorted(root.rglob("*")) if root.is_dir() else [root]:
                path = file.relative_to(self.tree).as_posix()
                if file.is_file() and belongs_to_image(path):
                    yield path, file.read_bytes()
