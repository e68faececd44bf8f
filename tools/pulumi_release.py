"""The official release of the pinned Pulumi CLI: fetched, compared with a committed digest, unpacked.

Owns: tools/pulumi/releases.json, which has a digest only where a public source other than the download itself can be
cited (its `source`); the download; what may be in the archive. Leaves out: where the files are kept (pulumi_slot).
"""

import hashlib
import http.client
import json
import platform
import re
import sys
import tarfile
import tempfile
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

from tools.pulumi_slot import Report

TABLE = Path(__file__).parent / "pulumi" / "releases.json"
SOCKET_TIMEOUT_SECONDS = 30.0
DOWNLOAD_DEADLINE_SECONDS = 900.0
REPORT_EVERY_SECONDS = 5.0
MAXIMUM_BYTES = 500_000_000
CHUNK_BYTES = 1 << 20


class DownloadError(Exception):
    """The release could not be had whole and unchanged; the message says what was expected and what came."""


@dataclass(frozen=True)
class Release:
    archive: str  # file name under the base URL
    sha256: str  # lower-case hexadecimal
    source: str  # https URL of the public file that states the digest


@dataclass(frozen=True)
class Releases:
    version: str
    base_url: str
    platforms: dict[str, Release]


def read_releases(table: Path = TABLE) -> Releases:
    document = cast("dict[str, Any]", json.loads(table.read_text(encoding="utf-8")))
    platforms = {name: Release(**entry) for name, entry in document["platforms"].items()}
    for name, release in platforms.items():
        if not re.fullmatch(r"[0-9a-f]{64}", release.sha256) or not release.source.startswith("https://"):
            raise ValueError(f"{table}: {name} needs a SHA-256 in lower-case hexadecimal and an https source for it")
    return Releases(document["version"], document["base_url"], platforms)


def this_platform() -> str:
    """As Pulumi names its archives, for example `linux-x64` or `darwin-arm64`."""
    machine = platform.machine().lower()
    return f"{sys.platform}-{ {'x86_64': 'x64', 'amd64': 'x64', 'aarch64': 'arm64'}.get(machine, machine) }"


def unpack_release(release: Release, base_url: str, folder: Path, report: Report) -> None:
    """Put the release's executables into `folder`; nothing of an archive with another digest is looked at."""
    with tempfile.TemporaryFile(dir=folder.parent) as archive:
        _download(f"{base_url}{release.archive}", release.sha256, archive, report)
        archive.seek(0)
        _unpack(archive, folder)


def _download(url: str, sha256: str, archive: IO[bytes], report: Report) -> None:
    started = reported = time.monotonic()
    digest, size = hashlib.sha256(), 0
    try:
        with urllib.request.urlopen(url, timeout=SOCKET_TIMEOUT_SECONDS) as response:  # noqa: S310
            expected_size = int(response.headers.get("Content-Length") or 0)
            while chunk := response.read(CHUNK_BYTES):
                archive.write(chunk)
                digest.update(chunk)
                size += len(chunk)
                now = time.monotonic()
                if size > MAXIMUM_BYTES:
                    raise DownloadError(f"{url}: expected at most {MAXIMUM_BYTES} bytes, got more")
                if now - started > DOWNLOAD_DEADLINE_SECONDS:
                    raise DownloadError(f"{url}: not complete after {DOWNLOAD_DEADLINE_SECONDS:.0f} s")
                if now - reported >= REPORT_EVERY_SECONDS:
                    report(f"Pulumi CLI: downloaded {size / 1e6:.0f} MB, {now - started:.0f} s")
                    reported = now
    except (OSError, http.client.HTTPException) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        raise DownloadError(f"{url}: {reason or type(error).__name__}") from error
    if size < expected_size:
        raise DownloadError(f"{url}: expected {expected_size} bytes, got {size}")
    if digest.hexdigest() != sha256:
        raise DownloadError(f"{url}: expected SHA-256 {sha256}, got {digest.hexdigest()}")


def _unpack(archive: IO[bytes], folder: Path) -> None:
    """Only regular files directly under `pulumi/` may be there: anything else refuses the whole archive."""
    try:
        with tarfile.open(fileobj=archive, mode="r:gz") as tar:
            for member in tar:
                path = PurePosixPath(member.name)
                if member.isdir() and path == PurePosixPath("pulumi"):
                    continue
                content = tar.extractfile(member) if member.isreg() else None
                if content is None or len(path.parts) != 2 or path.parts[0] != "pulumi" or path.name in {".", ".."}:
                    raise DownloadError(f"{member.name!r} in the archive: expected a regular file directly in pulumi/")
                target = folder / path.name
                target.touch(mode=0o700, exist_ok=False)
                with target.open("wb") as file:
                    while chunk := content.read(CHUNK_BYTES):
                        file.write(chunk)
    except (tarfile.TarError, OSError, EOFError) as error:
        raise DownloadError(f"the archive cannot be unpacked: {error}") from error
    if not (folder / "pulumi").is_file():
        raise DownloadError("the archive has no pulumi/pulumi")
