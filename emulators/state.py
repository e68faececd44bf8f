"""The state folder and the files in it: where it is, private files, records of one JSON document a line.

Light on purpose: the Pulumi provider, started several times for each command, imports this and no web framework.
"""

import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

STATE_VARIABLE = "CONNECTOR_STATE"
MARKER_VARIABLE = "TEAMS_EHR_CONNECTOR_STATE"
"""In the environment of every process of the local stack, naming its state folder, so that none can be lost."""
DEFAULT_STATE = Path(__file__).resolve().parent.parent / ".local"


def state_folder(environment: Mapping[str, str] | None = None) -> Path:
    """The absolute state folder: `CONNECTOR_STATE`, else `.local` of the working tree; 0700 if it is made here."""
    chosen = (os.environ if environment is None else environment).get(STATE_VARIABLE)
    state = Path(chosen).absolute() if chosen else DEFAULT_STATE
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    return state


def write_private(path: Path, data: bytes) -> None:
    """Write a file that only its owner can read, never readable in between, never half written."""
    write_file(path, data, 0o600)


def write_file(path: Path, data: bytes, mode: int) -> None:
    """Replace a file whole; its folder is made, 0700, where it is missing."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, mode)
        file.write(data)
    os.replace(partial, path)


class JsonLines:
    """A 0600 file of one JSON document a line; a line is written by one append, so lines never interleave."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)

    def write(self, record: Mapping[str, Any]) -> None:
        line = json.dumps(record, ensure_ascii=False, separators=(",", ":"), default=str) + "\n"
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(descriptor, line.encode())
        finally:
            os.close(descriptor)


def now_text() -> str:
    """The time as RFC 3339, UTC, microseconds."""
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
