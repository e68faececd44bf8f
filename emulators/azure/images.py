"""Images that this cloud can run: the working tree's, by digest, laid out as files.

Owns `images/<digest>/` of the state folder: exactly the files that were hashed (`schemas/image.py`). Any other digest
is a missing image, unless it was laid out before. There is no registry and no layer.
"""

import compileall
import re
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

from emulators.azure.errors import AzureError
from schemas.image import FILES, FOLDERS, belongs_to_image, image_digest


class Images:
    """`tree` is the project's root."""

    def __init__(self, state: Path, tree: Path) -> None:
        self.folder, self.tree = state / "images", tree
        self._lock = threading.Lock()

    def folder_of(self, image: str) -> Path:
        """The files of an image by digest. Raises AzureError (MANIFEST_UNKNOWN)."""
        found = re.fullmatch(r"[^@]+@sha256:([0-9a-f]{64})", image)
        if found is None:
            raise AzureError(400, "InvalidParameterValue", f"expected an image by digest, got '{image}'")
        with self._lock:
            folder = self.folder / found[1]
            if folder.is_dir():
                return folder
            present = self._lay_out()
        if present != folder:
            raise AzureError(
                404,
                "MANIFEST_UNKNOWN",
                f"manifest unknown: {image}. This cloud can run the working tree, sha256:{present.name}, and images "
                "that it has run before",
            )
        return present

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
