"""The Pulumi CLI built from its Go module, for machines that reach package registries only.

Owns: the recipe (tools/pulumi: go.mod, go.sum and the flags below) and what it needs of the machine.
Nothing is resolved anew: `-mod=readonly`, with every module's digest in go.sum.
"""

import hashlib
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from tools.pulumi_slot import Report

MODULE = Path(__file__).parent / "pulumi"
PACKAGE = "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"
VERSION_VARIABLE = "github.com/pulumi/pulumi/sdk/v3/go/common/version.Version"
MINIMUM_GO = (1, 25, 11)
NEEDED_BYTES = 5_000_000_000
BUILD_DEADLINE_SECONDS = 3600.0
REPORT_EVERY_SECONDS = 10.0
LINES_SHOWN_ON_FAILURE = 15


class BuildError(Exception):
    """The CLI cannot be built here; the message says what was expected and what came."""


def flags(version: str) -> list[str]:
    linked = f"-s -w -X {VERSION_VARIABLE}=v{version}"
    return ["-mod=readonly", "-trimpath", "-buildvcs=false", "-ldflags", linked]


def recipe_digest(version: str) -> str:
    """Another recipe is another place in the cache."""
    digest = hashlib.sha256()
    for part in [*(path.read_bytes() for path in sorted(MODULE.iterdir())), " ".join(flags(version)).encode()]:
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.hexdigest()[:16]


def build(version: str, folder: Path, caches: Path, report: Report) -> None:
    """Build `folder`/pulumi. Go's caches stay under `caches` only if the build fails, for the next try."""
    caches.mkdir(parents=True, exist_ok=True)
    temporary = caches / "tmp"
    temporary.mkdir(exist_ok=True)
    environment = _environment(caches, temporary)
    go = _suitable_go(environment)
    free = shutil.disk_usage(caches).free
    if free < NEEDED_BYTES:
        raise BuildError(f"expected about {NEEDED_BYTES / 1e9:.0f} GB of free disk at {caches}, got {free / 1e9:.1f}")
    report(f"Pulumi CLI: building {version} from its source with Go, once: about 5 minutes on two cores")
    command = [go, "build", "-v", *flags(version), "-o", str(folder / "pulumi"), PACKAGE]
    _run(command, environment, report)
    (folder / "pulumi").chmod(0o700)
    shutil.rmtree(caches)


def _suitable_go(environment: dict[str, str]) -> str:
    wanted = ".".join(map(str, MINIMUM_GO))
    go = shutil.which("go")
    if go is None:
        raise BuildError(f"expected Go {wanted} or newer on PATH, found none")
    try:
        answer = subprocess.run(
            [go, "env", "GOVERSION"],
            env=environment,
            cwd=MODULE.parent,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        ).stdout.strip()
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BuildError(f"{go} does not run: {error}") from error
    found = re.match(r"go(\d+)\.(\d+)(?:\.(\d+))?", answer)
    if found is None or tuple(int(number or 0) for number in found.groups()) < MINIMUM_GO:
        raise BuildError(f"expected Go {wanted} or newer on PATH, got {answer or 'no version'} from {go}")
    return go


def _environment(caches: Path, temporary: Path, environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Everything Go writes goes below `caches`; the user's own `go env` settings (a proxy, say) are still read."""
    configuration = Path(environment.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return {
        **environment,
        "CGO_ENABLED": "0",
        "GOCACHE": str(caches / "build"),
        "GOENV": environment.get("GOENV") or str(configuration / "go" / "env"),
        "GOFLAGS": "-modcacherw",
        "GOMODCACHE": str(caches / "modules"),
        "GOPATH": str(caches / "path"),
        "GOTMPDIR": str(temporary),
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
        "XDG_CONFIG_HOME": str(caches / "configuration"),
    }


def _run(command: list[str], environment: dict[str, str], report: Report) -> None:
    started = time.monotonic()
    progress = _Progress()
    # A group of its own, so that no compiler outlives a build that is interrupted or too slow.
    with subprocess.Popen(
        command, cwd=MODULE, env=environment, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, process_group=0
    ) as process:
        reader = threading.Thread(target=progress.read, args=(process,), daemon=True)
        reader.start()
        try:
            while (code := _wait(process)) is None:
                elapsed = time.monotonic() - started
                if elapsed > BUILD_DEADLINE_SECONDS:
                    raise BuildError(f"go build did not end within {BUILD_DEADLINE_SECONDS / 60:.0f} minutes")
                report(f"Pulumi CLI: {progress.describe()}, {elapsed:.0f} s")
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
        reader.join()
    if code != 0:
        raise BuildError("go build failed:\n" + "\n".join(progress.lines[-LINES_SHOWN_ON_FAILURE:]))
    report(f"Pulumi CLI: built in {time.monotonic() - started:.0f} s")


def _wait(process: subprocess.Popen[bytes]) -> int | None:
    try:
        return process.wait(timeout=REPORT_EVERY_SECONDS)
    except subprocess.TimeoutExpired:
        return None


class _Progress:
    """`go build -v` names each module that it downloads and each package that it compiles, one a line."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.modules = 0
        self.packages = 0

    def read(self, process: subprocess.Popen[bytes]) -> None:
        for line in process.stderr or ():
            text = line.decode(errors="replace").rstrip()
            self.lines.append(text)
            if text.startswith("go: downloading "):
                self.modules += 1
            else:
                self.packages += 1

    def describe(self) -> str:
        return f"{self.modules} modules downloaded, {self.packages} packages compiled"
