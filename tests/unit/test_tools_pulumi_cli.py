"""Where the Pulumi CLI comes from, with a PATH, a Go and a cache of the test's own."""

import os
import shutil
import stat
import threading
from pathlib import Path
from typing import NamedTuple

import pytest

from tools import pulumi_build, pulumi_cli
from tools.cache import cache_folder
from tools.pulumi_cli import PulumiUnavailableError

VERSION = "3.259.0"

# Stands for `go`: says its version, or notes the call and "compiles" a CLI.
GO = """#!/bin/sh
if [ "$1" = env ]; then echo go1.26.0; exit; fi
env >>"$NOTES/environment"; echo "$@" >>"$NOTES/calls"
echo "go: downloading example.org/module v1.0.0" >&2; echo example.org/package >&2
if [ -n "$FAIL" ]; then echo "$FAIL" >&2; exit 1; fi
while [ "$1" != -o ]; do shift; done
echo compiled >"$2"
"""


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


class Machine(NamedTuple):
    bin: Path
    cache: Path
    notes: Path
    reports: list[str]

    def go(self, text: str = GO) -> None:
        script(self.bin / "go", text)

    def pulumi(self, version: str) -> Path:
        return script(self.bin / "pulumi", f"#!/bin/sh\necho {version}\n")

    def cli(self) -> Path:
        return pulumi_cli.pulumi_cli(self.reports.append)

    def builds(self) -> int:
        calls = self.notes / "calls"
        return len(calls.read_text().splitlines()) if calls.exists() else 0


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine with nothing installed but the commands that the scripts above use."""
    tools = tmp_path / "usr"
    tools.mkdir()
    for name in ("sh", "env", "echo"):
        (tools / name).symlink_to(shutil.which(name) or name)
    notes = tmp_path / "notes"
    notes.mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{tools}")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("NOTES", str(notes))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    return Machine(tmp_path / "bin", tmp_path / "cache" / "teams-ehr-connector", notes, [])


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("version", [f"v{VERSION}", "v3.259.1", "v3.300.0"])
def test_a_cli_on_the_path_of_the_pinned_version_or_a_newer_one_is_taken(machine: Machine, version: str) -> None:
    assert machine.pulumi(version) == machine.cli()
    assert not machine.cache.exists()


@pytest.mark.parametrize("version", ["v3.258.9", "v2.999.0", "v4.0.0", "v3.260.0-alpha.1", "nonsense", "''"])
def test_a_cli_on_the_path_of_another_version_is_named_and_not_taken(machine: Machine, version: str) -> None:
    machine.pulumi(version)
    with pytest.raises(PulumiUnavailableError, match=rf"on PATH: expected {VERSION} or a newer 3\.x, got .*bin/pulumi"):
        machine.cli()


def test_without_any_way_one_message_says_what_was_tried_and_what_to_install(machine: Machine) -> None:
    with pytest.raises(PulumiUnavailableError) as refused:
        machine.cli()
    message = str(refused.value)
    assert "on PATH: none" in message
    assert "no digest with a public source" in message
    assert "expected Go 1.25.11 or newer on PATH, found none" in message
    assert message.endswith(
        "Install Pulumi 3.259.0, or Go 1.25.11 or newer (with about 5 GB of free disk), and try again."
    )


@pytest.mark.parametrize("answer", ["go1.25.10", "go1.24", "devel"])
def test_a_go_that_is_too_old_is_refused_by_version(machine: Machine, answer: str) -> None:
    machine.go(f"#!/bin/sh\necho {answer}\n")
    with pytest.raises(PulumiUnavailableError, match=rf"expected Go 1\.25\.11 or newer on PATH, got {answer}"):
        machine.cli()


def test_too_little_disk_is_refused_before_anything_is_fetched(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.go()
    monkeypatch.setattr(pulumi_build, "NEEDED_BYTES", 1 << 60)
    with pytest.raises(PulumiUnavailableError, match="of free disk"):
        machine.cli()
    assert machine.builds() == 0


def test_the_download_that_is_skipped_says_so(machine: Machine) -> None:
    machine.go()
    machine.cli()
    assert any("official release 3.259.0: no digest with a public source for" in line for line in machine.reports)


def test_a_build_is_private_recorded_and_used_again(machine: Machine) -> None:
    machine.go()
    cli = machine.cli()
    assert cli.read_text() == "compiled\n"
    assert cli.parent.parent == machine.cache / "pulumi"
    assert cli.parent.name.startswith(f"{VERSION}-")
    assert (mode(cli.parent), mode(cli), mode(cli.parent / "SHA256SUMS")) == (0o700, 0o700, 0o600)
    assert machine.cli() == cli
    assert machine.builds() == 1


def test_a_build_resolves_nothing_anew_and_writes_only_into_the_cache(machine: Machine) -> None:
    machine.go()
    machine.cli()
    call = (machine.notes / "calls").read_text()
    assert "-mod=readonly -trimpath" in call
    assert f"version.Version=v{VERSION}" in call
    lines = (machine.notes / "environment").read_text().splitlines()
    environment = dict(line.split("=", 1) for line in lines if "=" in line)
    written = ("GOCACHE", "GOMODCACHE", "GOPATH", "GOTMPDIR", "XDG_CONFIG_HOME")
    assert [name for name in written if not environment[name].startswith(str(machine.cache))] == []
    assert environment["GOTOOLCHAIN"] == "local"
    assert environment["GOENV"] == f"{environment['HOME']}/.config/go/env"
    assert not (machine.cache / "go").exists()


def test_a_failed_build_shows_what_go_said_and_leaves_nothing_half_made(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.go()
    monkeypatch.setenv("FAIL", "no such host")
    with pytest.raises(PulumiUnavailableError, match="no such host"):
        machine.cli()
    assert [path.name for path in (machine.cache / "pulumi").iterdir()] == [".lock"]
    monkeypatch.delenv("FAIL")
    assert machine.cli().exists()


@pytest.mark.parametrize("damage", ["changed", "deleted", "added", "unrecorded", "linked"])
def test_a_cached_cli_that_is_not_what_was_installed_is_made_again_with_a_message(
    machine: Machine, damage: str
) -> None:
    machine.go()
    cli = machine.cli()
    match damage:
        case "changed":
            cli.write_text("other")
        case "deleted":
            cli.unlink()
        case "added":
            script(cli.parent / "pulumi-language-python", "#!/bin/sh\n")
        case "unrecorded":
            (cli.parent / "SHA256SUMS").unlink()
        case _:
            cli.rename(machine.notes / "moved")
            cli.symlink_to(machine.notes / "moved")
    machine.reports.clear()
    assert machine.cli().read_text() == "compiled\n"
    assert machine.builds() == 2
    assert any("made again" in line for line in machine.reports)


def test_another_recipe_is_another_place(machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.go()
    first = machine.cli()
    module = tmp_path / "module"
    shutil.copytree(pulumi_build.MODULE, module)
    (module / "go.sum").write_text("changed")
    monkeypatch.setattr(pulumi_build, "MODULE", module)
    assert machine.cli().parent != first.parent


def test_what_a_killed_build_left_is_removed(machine: Machine) -> None:
    machine.go()
    (machine.cache / "pulumi" / "3.259.0-x.partial").mkdir(parents=True)
    machine.cli()
    assert not list((machine.cache / "pulumi").glob("*.partial"))


def test_two_at_once_build_once(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tools.pulumi_slot.LOCK_POLL_SECONDS", 0.01)
    machine.go(GO.replace("echo compiled", 'read -r _ <"$NOTES/gate"; echo compiled'))
    os.mkfifo(machine.notes / "gate")
    threads = [threading.Thread(target=machine.cli) for _ in range(2)]
    for thread in threads:
        thread.start()
    (machine.notes / "gate").write_text("go on\n")
    for thread in threads:
        thread.join()
    assert machine.builds() == 1


def test_our_language_host_comes_first_only_for_a_cli_without_one(tmp_path: Path) -> None:
    cli = script(tmp_path / "cli" / "pulumi", "#!/bin/sh\n")
    ours = pulumi_cli.search_path(cli)[0]
    assert (ours / "pulumi-language-python").exists()
    script(cli.parent / "pulumi-language-python", "#!/bin/sh\n")
    assert pulumi_cli.search_path(cli) == [cli.parent, ours]


@pytest.mark.parametrize(
    ("environment", "folder"),
    [
        ({"HOME": "/h"}, "/h/.cache/teams-ehr-connector"),
        ({"HOME": "/h", "XDG_CACHE_HOME": ""}, "/h/.cache/teams-ehr-connector"),
        ({"HOME": "/h", "XDG_CACHE_HOME": "relative"}, "/h/.cache/teams-ehr-connector"),
        ({"HOME": "/h", "XDG_CACHE_HOME": "/x"}, "/x/teams-ehr-connector"),
    ],
)
def test_the_cache_folder_follows_the_xdg_specification(environment: dict[str, str], folder: str) -> None:
    assert cache_folder(environment) == Path(folder)
