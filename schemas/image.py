"""The image: its repository in every registry, and the working tree's digest, which is what `working-tree` means.

Owns which files count and how they are hashed. The emulated Azure starts exactly the files that it hashed, and refuses
any other digest as a missing image.
"""

import hashlib
from collections.abc import Iterable
from pathlib import PurePosixPath

REPOSITORY = "teams-ehr-connector"
"""In each geography's registry; `tools/copy_image.sh` copies to it."""

WORKING_TREE = "working-tree"
NO_IMAGE = "none"
"""Before there is a first one: everything but the apps is made, the registry among it."""

FOLDERS = ("runtime", "schemas")
FILES = ("requirements/runtime.txt",)


def belongs_to_image(path: str) -> bool:
    """Whether a file of the project (path with forward slashes, from its root) is part of the image."""
    parts = PurePosixPath(path).parts
    if path in FILES:
        return True
    return bool(parts) and parts[0] in FOLDERS and "__pycache__" not in parts and not path.endswith(".pyc")


def image_digest(files: Iterable[tuple[str, bytes]]) -> str:
    """SHA-256 in hex over (path, NUL, length of the content in decimal, NUL, content), sorted by path.

    `files` are (path from the project's root with forward slashes, content); the length keeps two files from being
    cut differently with the same result. Files that do not belong to the image are left out.
    """
    digest = hashlib.sha256()
    for path, content in sorted(files):
        if belongs_to_image(path):
            digest.update(path.encode() + b"\0" + str(len(content)).encode() + b"\0" + content)
    return digest.hexdigest()
