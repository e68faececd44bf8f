"""The official release of the Pulumi CLI: only whole, unchanged, harmless archives are unpacked."""

import hashlib
import http.server
import io
import json
import tarfile
import threading
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.pulumi_build import MODULE
from tools.pulumi_release import DownloadError, Release, read_releases, this_platform, unpack_release

ROOT = Path(__file__).parents[2]
ARCHIVE = "pulumi-v1.2.3-linux-x64.tar.gz"


def archive_of(*members: tuple[str, bytes | tarfile.TarInfo]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in members:
            if isinstance(content, tarfile.TarInfo):
                tar.addfile(content)
            else:
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def special(name: str, kind: bytes, target: str = "") -> tuple[str, tarfile.TarInfo]:
    entry = tarfile.TarInfo(name)
    entry.type = kind
    entry.linkname = target
    return name, entry


GOOD = archive_of(
    special("pulumi", tarfile.DIRTYPE), ("pulumi/pulumi", b"#!cli"), ("pulumi/pulumi-language-python", b"#!host")
)


class Server:
    """Serves one body, and may promise more bytes than it sends."""

    def __init__(self) -> None:
        self.body = GOOD
        self.promised_more = 0
        self.status = 200
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(outer.status)
                self.send_header("Content-Length", str(len(outer.body) + outer.promised_more))
                self.end_headers()
                self.wfile.write(outer.body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.base_url = f"http://127.0.0.1:{self.http.server_address[1]}/releases/"


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.http.shutdown()
    thread.join()
    server.http.server_close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "cache" / "slot"
    folder.mkdir(parents=True)
    return folder


def release_of(content: bytes) -> Release:
    return Release(ARCHIVE, hashlib.sha256(content).hexdigest(), "https://example.org/digests")


def unpack(server: Server, folder: Path, release: Release) -> None:
    unpack_release(release, server.base_url, folder, lambda line: None)


def test_the_right_bytes_are_unpacked_as_private_executables(server: Server, folder: Path) -> None:
    unpack(server, folder, release_of(GOOD))
    assert (folder / "pulumi").read_bytes() == b"#!cli"
    assert {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()} == {
        "pulumi": 0o700,
        "pulumi-language-python": 0o700,
    }


def test_wrong_bytes_are_refused_before_anything_is_unpacked(server: Server, folder: Path) -> None:
    server.body = archive_of(("pulumi/pulumi", b"another"))
    with pytest.raises(DownloadError, match=f"expected SHA-256 {release_of(GOOD).sha256}, got "):
        unpack(server, folder, release_of(GOOD))
    assert list(folder.parent.iterdir()) == [folder]
    assert not list(folder.iterdir())


def test_a_truncated_download_is_refused_with_both_sizes(server: Server, folder: Path) -> None:
    server.body, server.promised_more = GOOD[:-10], 10
    with pytest.raises(DownloadError, match=rf"expected {len(GOOD)} bytes, got {len(GOOD) - 10}|IncompleteRead"):
        unpack(server, folder, release_of(GOOD))
    assert not list(folder.iterdir())


def test_a_server_that_refuses_is_reported_with_its_address(server: Server, folder: Path) -> None:
    server.status = 404
    with pytest.raises(DownloadError, match=rf"{server.base_url}{ARCHIVE}: .*"):
        unpack(server, folder, release_of(GOOD))


def test_a_server_that_is_not_there_is_reported(folder: Path) -> None:
    with pytest.raises(DownloadError, match="refused"):
        unpack_release(release_of(GOOD), "http://127.0.0.1:9/", folder, lambda line: None)


@pytest.mark.parametrize(
    "member",
    [
        ("../pulumi", b"x"),
        ("pulumi/../../pulumi", b"x"),
        ("pulumi/..", b"x"),
        ("/tmp-of-root/pulumi", b"x"),
        ("pulumi/nested/pulumi", b"x"),
        ("elsewhere/pulumi", b"x"),
        special("pulumi/pulumi", tarfile.SYMTYPE, "/bin/sh"),
        special("pulumi/pulumi", tarfile.LNKTYPE, "pulumi/other"),
        special("pulumi/pulumi", tarfile.FIFOTYPE),
        special("pulumi/sub", tarfile.DIRTYPE),
    ],
    ids=lambda member: str(member[0]),
)
def test_an_archive_with_any_other_entry_is_refused_whole(
    server: Server, folder: Path, member: tuple[str, bytes | tarfile.TarInfo]
) -> None:
    server.body = archive_of(member)
    with pytest.raises(DownloadError, match="expected a regular file directly in pulumi/"):
        unpack(server, folder, release_of(server.body))
    assert list(folder.parent.rglob("*")) == [folder]


@pytest.mark.parametrize("body", [b"not an archive", archive_of(("pulumi/other", b"x"))])
def test_the_right_digest_of_something_else_is_refused(server: Server, folder: Path, body: bytes) -> None:
    server.body = body
    with pytest.raises(DownloadError, match=r"cannot be unpacked|has no pulumi/pulumi"):
        unpack(server, folder, release_of(body))


def test_the_same_file_twice_in_an_archive_is_refused(server: Server, folder: Path) -> None:
    server.body = archive_of(("pulumi/pulumi", b"one"), ("pulumi/pulumi", b"two"))
    with pytest.raises(DownloadError, match="cannot be unpacked"):
        unpack(server, folder, release_of(server.body))


def test_the_committed_table_pins_the_version_of_the_sdk_and_of_the_go_module() -> None:
    version = read_releases().version
    operator = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]["operator"]
    assert f"pulumi=={version}" in operator
    assert f"github.com/pulumi/pulumi/pkg/v3 v{version}" in (MODULE / "go.mod").read_text()


@pytest.mark.parametrize(
    "entry",
    [
        {"archive": ARCHIVE, "sha256": "0" * 64, "source": ""},
        {"archive": ARCHIVE, "sha256": "0" * 63, "source": "https://example.org/digests"},
        {"archive": ARCHIVE, "sha256": "A" * 64, "source": "https://example.org/digests"},
    ],
)
def test_a_digest_without_a_public_source_or_of_another_form_is_refused(tmp_path: Path, entry: dict[str, str]) -> None:
    table = tmp_path / "releases.json"
    table.write_text(json.dumps({"version": "1.2.3", "base_url": "https://x/", "platforms": {"linux-x64": entry}}))
    with pytest.raises(ValueError, match="linux-x64 needs a SHA-256"):
        read_releases(table)


@pytest.mark.parametrize(
    ("system", "machine", "name"),
    [
        ("linux", "x86_64", "linux-x64"),
        ("linux", "aarch64", "linux-arm64"),
        ("darwin", "arm64", "darwin-arm64"),
        ("freebsd14", "amd64", "freebsd14-x64"),
    ],
)
def test_platforms_are_named_as_pulumi_names_its_archives(
    monkeypatch: pytest.MonkeyPatch, system: str, machine: str, name: str
) -> None:
    monkeypatch.setattr("sys.platform", system)
    monkeypatch.setattr("platform.machine", lambda: machine)
    assert this_platform() == name
