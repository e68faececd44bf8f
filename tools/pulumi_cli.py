"""Where the Pulumi CLI comes from: PATH, else the official release, else its Go module; `python -m tools.pulumi_cli`.

Owns: the order, the version that is accepted, the one message when there is no way. A CLI on PATH is taken if it is
the pinned version or newer within the same major version: Pulumi keeps its protocols compatible so far.
"""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

from tools import pulumi_build
from tools.cache import cache_folder
from tools.pulumi_build import BuildError
from tools.pulumi_release import DownloadError, Releases, read_releases, this_platform, unpack_release
from tools.pulumi_slot import Report, Slot

LANGUAGE_HOST = "pulumi-language-python"


class PulumiUnavailableError(Exception):
    """No way leads to a Pulumi CLI here; the message says what was tried and what to install."""


def pulumi_cli(report: Report) -> Path:
    """The absolute path of a Pulumi CLI that may be run; takes minutes the first time on a machine without one."""
    releases = read_releases()
    refusals: list[str] = []
    found = _on_path(releases.version, refusals)
    if found is not None:
        return found
    cache = cache_folder()
    slot = Slot(cache / "pulumi" / f"{releases.version}-{pulumi_build.recipe_digest(releases.version)}")
    with slot.locked(report):
        return slot.verified(report) or _make(slot, releases, cache / "go", refusals, report)


def search_path(cli: Path) -> list[Path]:
    """The folders to put first on the engine's PATH: our language host serves only a CLI that came without one."""
    scripts = Path(sysconfig.get_path("scripts"))
    beside = cli.resolve().parent
    return [beside, scripts] if (beside / LANGUAGE_HOST).exists() else [scripts, beside]


def _make(slot: Slot, releases: Releases, go_caches: Path, refusals: list[str], report: Report) -> Path:
    release = releases.platforms.get(this_platform())
    if release is None:
        refusal = f"official release {releases.version}: no digest with a public source for {this_platform()}, skipped"
        report(f"Pulumi CLI: {refusal}")
        refusals.append(refusal)
    else:
        try:
            return slot.install(lambda folder: unpack_release(release, releases.base_url, folder, report))
        except DownloadError as error:
            report(f"Pulumi CLI: official release {releases.version}: {error}")
            refusals.append(f"official release {releases.version}: {error}")
    try:
        return slot.install(lambda folder: pulumi_build.build(releases.version, folder, go_caches, report))
    except BuildError as error:
        refusals.append(f"built from its Go module: {error}")
        raise PulumiUnavailableError(_advice(releases.version, refusals)) from error


def _advice(version: str, refusals: list[str]) -> str:
    go = ".".join(map(str, pulumi_build.MINIMUM_GO))
    gigabytes = pulumi_build.NEEDED_BYTES / 1e9
    tried = "".join(f"\n  - {refusal}" for refusal in refusals)
    return (
        f"The Pulumi CLI is needed and could not be had:{tried}\n"
        f"Install Pulumi {version}, or Go {go} or newer (with about {gigabytes:.0f} GB of free disk), and try again."
    )


def _on_path(version: str, refusals: list[str]) -> Path | None:
    found = shutil.which("pulumi")
    if found is None:
        refusals.append("on PATH: none")
        return None
    path = Path(found).absolute()
    answer = _version_of(path)
    if _acceptable(answer, version):
        return path
    refusals.append(f"on PATH: expected {version} or a newer {version.partition('.')[0]}.x, got {answer} from {path}")
    return None


def _version_of(cli: Path) -> str:
    with tempfile.TemporaryDirectory() as home:  # else the CLI makes ~/.pulumi
        try:
            answer = subprocess.run(
                [cli, "version"],
                env={**os.environ, "PULUMI_HOME": home, "PULUMI_SKIP_UPDATE_CHECK": "1"},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"no version ({error})"
    return answer.stdout.strip() or f"no version (exit code {answer.returncode})"


def _acceptable(answer: str, pinned: str) -> bool:
    """A release (no pre-release suffix), of the pinned major version, not older than the pinned one."""
    found = re.fullmatch(r"v?(\d+)\.(\d+)\.(\d+)", answer)
    if found is None:
        return False
    have = tuple(map(int, found.groups()))
    want = tuple(map(int, pinned.split(".")))
    return have[0] == want[0] and have >= want


def main() -> None:
    try:
        print(pulumi_cli(lambda line: print(line, file=sys.stderr, flush=True)))
    except PulumiUnavailableError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
