"""The project's files by their paths in it, as the program and operators' commands read them.

A link that leads out of the project is not followed. A folder of the code may be a link itself, as in a workspace; then
one that leads out of that folder is not.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from schemas.image import FOLDERS
from schemas.promotion.reading import Files


def files_of(project: Path) -> Files:
    """The files below a folder."""
    root = os.path.realpath(project)

    def read(name: str) -> bytes:
        folder = name.partition("/")[0]
        home = os.path.realpath(f"{root}/{folder}") if folder in FOLDERS else root
        path = os.path.realpath(f"{root}/{name}", strict=True)
        if not path.startswith(f"{home}{os.sep}"):
            raise PermissionError(1, "a path that leads out of the project")
        with open(path, "rb") as file:
            return file.read()

    def below(folder: str) -> Iterator[str]:
        for directory, _, names in os.walk(f"{root}/{folder}"):
            place = directory[len(root) + 1 :].replace(os.sep, "/")
            yield from (f"{place}/{name}" for name in names if os.path.isfile(f"{directory}/{name}"))

    return Files(read, below)
