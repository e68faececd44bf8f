"""Images that this cloud can run: the working tree's, by digest, laid out as files.

Owns `images/<digest>/` of the state folder: exactly the files that were hashed (`schemas/image.py`). Any other digest
is a missing image, unless it was laid out before. There is no registry and no layer.
"""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from emulators.azure.errors import AzureError
from schemas.image import FILES, FOLDERS, belongs_to_image, image_digest


class Images:
    """`tree` is the project's root."""

    def __init__(self, state: Path, tree: Path) -> None:
        self.folder, self.tree = state / "images", tree

    def folder_of(self, image: str) -> Path:
        """The files of an image by digest. Raises AzureError (MANIFEST_UNKNOWN)."""
        found = re.fullmatch(r"[^@]+@sha256:([0-9a-f]{64})", image)
        if found is None:
            raise AzureError(400, "InvalidParameterValue", f"expected an image by digest, got '{image}'")
        wanted = found[1]
        folder = self.folder / wanted
        if folder.is_dir():
            return folder
        files = dict(self.files())
        present = image_digest(files.items())
        if present != wanted:
            raise AzureError(
                404,
                "MANIFEST_UNKNOWN",
                f"manifest unknown: {image}. This cloud can run the working tree, sha256:{present}, and images that it "
                "has run before",
            )
        partial = self.folder / f".{wanted}.{os.getpid()}"
        shutil.rmtree(partial, ignore_errors=True)
        for path, content in files.items():
            target = partial / path
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            target.write_bytes(content)
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
