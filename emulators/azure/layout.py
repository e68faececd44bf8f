"""Where the emulated cloud keeps things in the state folder, and Unix sockets whose paths may be longer than 108 bytes.

Owns the names of the supervisor's files and the removal of what was made at run time.
"""

import os
import shutil
import socket
import tempfile
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent.parent


def supervisor_folder(state: Path) -> Path:
    return state / "supervisor"


def logs_folder(state: Path) -> Path:
    return supervisor_folder(state) / "logs"


@contextmanager
def short_path(folder: Path) -> Generator[str]:
    """A short name of a folder while the block runs: addresses of Unix sockets hold 108 bytes (unix(7))."""
    if Path("/proc/self/fd").is_dir():
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            yield f"/proc/self/fd/{descriptor}"
        finally:
            os.close(descriptor)
    else:
        with tempfile.TemporaryDirectory(dir="/tmp") as temporary:
            link = Path(temporary) / "s"
            link.symlink_to(folder.absolute())
            yield str(link)


def connect(path: Path, timeout_seconds: float) -> socket.socket:
    """A connected Unix stream socket."""
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        client.settimeout(timeout_seconds)
        with short_path(path.parent) as folder:
            client.connect(f"{folder}/{path.name}")
    except OSError:
        client.close()
        raise
    return client


def listen(path: Path) -> socket.socket:
    """A listening Unix stream socket that only its owner can reach."""
    with suppress(FileNotFoundError):
        path.unlink()
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        with short_path(path.parent) as folder:
            server.bind(f"{folder}/{path.name}")
    finally:
        os.umask(before)
    server.listen(128)
    return server


def remove_what_was_made(state: Path) -> None:
    """Everything made at run time, once the last resource is gone; logs and records stay."""
    for folder in (state / "ca", state / "postgres", state / "images"):
        shutil.rmtree(folder, ignore_errors=True)
    for folder in (state / "azure" / "vaults", state / "azure" / "storage", state / "azure" / "registries"):
        shutil.rmtree(folder, ignore_errors=True)
    for name in ("identity-signing-key.pem", "identity-jwks.json"):
        with suppress(FileNotFoundError):
            (state / "azure" / name).unlink()
    for emulator in ("entra", "graph", "ehr"):
        for file in (state / emulator).rglob("*"):
            if file.is_file() and file.suffix != ".jsonl":
                file.unlink(missing_ok=True)
