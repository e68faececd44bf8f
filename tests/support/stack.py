"""A running emulated stack of a test's own: a project folder of its own, its own ports, its own world.

Owns the copy of the samples with other ports, and running `connector` on it. What is not configuration is linked, so
the code under test is the working tree's.
"""

import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sysconfig
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from components.program import digest_of_working_tree
from components.project_files import files_of
from emulators.state import MARKER_VARIABLE
from emulators.tls import client_context
from emulators.world import World, load_world
from schemas.loading import load_stack
from schemas.stack_config import StackConfig
from tests.support.samples import ROOT
from tests.support.statements import accepted

LINKED = ("__main__.py", "Pulumi.yaml", "components", "policies", "requirements", "runtime", "schemas", ".venv")
PORT = re.compile(r"\b84[4-7][0-9]\b")
START_SECONDS = 300.0
END_SECONDS = 120.0
KILL_ROUNDS = 10
MADE: list["TestStack"] = []
"""In the order in which they were made. `conftest.py` ends those of a test with it: a failed test must fail alone."""


@dataclass
class TestStack:
    """A project with ports of its own; `state` is its emulated cloud."""

    __test__ = False

    root: Path
    name: str = "local"
    environment: dict[str, str] = field(default_factory=dict[str, str])

    @classmethod
    def make(cls, folder: Path, name: str = "local", *, approved: bool = True) -> "TestStack":
        """Copy the samples into `folder`, with free ports in place of theirs; `approved` signs what they need."""
        ports = _Ports()
        for linked in LINKED:
            (folder / linked).symlink_to(ROOT / linked)
        for file in [*ROOT.glob("Pulumi.?*.yaml"), *ROOT.glob("organizations/**/*.yaml")]:
            copy = folder / file.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text(PORT.sub(ports.other, file.read_text("utf-8")), "utf-8")
        world = PORT.sub(ports.other, (ROOT / "emulators" / "world.yaml").read_text("utf-8"))
        (folder / "world.yaml").write_text(world, "utf-8")
        kept = {
            k: os.environ[k]
            for k in ("HOME", "XDG_CACHE_HOME", "PATH", "LANG", "GOFLAGS", "GOPROXY")
            if k in os.environ
        }
        own = {
            "CONNECTOR_PROJECT": str(folder),
            "CONNECTOR_STATE": str(folder / ".local"),
            "CONNECTOR_EMULATED_WORLD": str(folder / "world.yaml"),
        }
        made = cls(folder, name, kept | own)
        MADE.append(made)
        if approved:
            made.approve()
        return made

    def approve(self) -> None:
        """Everything that the configuration has now, approved and rehearsed below `approvals/`."""
        test = load_stack("Pulumi.local.yaml", files_of(self.root).text).stack
        assert test is not None
        image = digest_of_working_tree(ROOT)
        for file in accepted(test, datetime.now(UTC), image).statements:
            place = self.root / file.path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(file.content)

    @property
    def state(self) -> Path:
        return self.root / ".local"

    @property
    def world(self) -> World:
        return load_world(self.root / "world.yaml")

    @property
    def config(self) -> StackConfig:
        stack = load_stack(f"Pulumi.{self.name}.yaml", files_of(self.root).text).stack
        assert stack is not None
        return stack

    @property
    def certificates(self) -> ssl.SSLContext:
        return client_context(self.state)

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        """`connector <arguments>`, in the background."""
        return subprocess.Popen(
            [str(Path(sysconfig.get_path("scripts")) / "connector"), *arguments],
            cwd=self.root,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            process_group=0,
        )

    def connector(self, *arguments: str, seconds: float = 600.0) -> "subprocess.CompletedProcess[str]":
        """`connector <arguments>`, to its end."""
        process = self.start(*arguments)
        try:
            output, errors = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise
        return subprocess.CompletedProcess(arguments, process.returncode, output, errors)

    def exports(self) -> str:
        """What `connector env` prints."""
        return self.connector("env", self.name).stdout

    def pulumi(self, *arguments: str, exports: str | None = None) -> "subprocess.CompletedProcess[str]":
        """A hand-typed pulumi in a shell that has only what `connector env` prints, or printed before."""
        exports = exports or self.exports()
        script = f"{exports}\npulumi {' '.join(arguments)}"
        clean = {"HOME": self.environment["HOME"], "PATH": "/usr/bin:/bin"}
        return subprocess.run(
            ["/bin/sh", "-c", script],
            cwd=self.root,
            env=clean,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )

    def processes(self) -> list[psutil.Process]:
        """Every live process that carries this stack's mark."""
        marked: list[psutil.Process] = []
        for process in psutil.process_iter():
            try:
                ours = process.environ().get(MARKER_VARIABLE) == str(self.state)
                if ours and process.status() != psutil.STATUS_ZOMBIE:
                    marked.append(process)
            except (psutil.Error, OSError):
                continue
        return marked

    def named(self, words: str) -> list[psutil.Process]:
        """Those of them whose command line has these words."""
        found: list[psutil.Process] = []
        for process in self.processes():
            try:
                if words in " ".join(process.cmdline()):
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def until_no_processes(self, seconds: float = 10.0) -> list[str]:
        """Wait for the end of all of them; answers the command lines of those that stay."""
        deadline = time.monotonic() + seconds
        while (left := self.processes()) and time.monotonic() < deadline:
            time.sleep(0.1)
        lines: list[str] = []
        for process in left:
            try:
                lines.append(f"{process.pid} {' '.join(process.cmdline())}")
            except psutil.Error:
                continue
        return lines

    def kill(self) -> None:
        """End whatever of it still runs, and what the dying still start."""
        for _ in range(KILL_ROUNDS):
            left = self.processes()
            for process in left:
                with suppress(psutil.Error):
                    process.kill()
            psutil.wait_procs(left, timeout=5)
            if not left:
                return

    def arm(self) -> dict[str, Any]:
        """The emulated cloud's resources, by id."""
        file = self.state / "azure" / "resources.json"
        return json.loads(file.read_text())["resources"] if file.exists() else {}


class Running:
    """A `connector up` in the background; `until_up` waits for its word, `end` is Ctrl-C."""

    def __init__(self, stack: TestStack) -> None:
        self.stack = stack
        self.process = stack.start("up", stack.name)
        self.lines: list[str] = []
        self._told = threading.Event()
        self._is_up = False
        self.output = ""
        self._reading = [threading.Thread(target=read, daemon=True) for read in (self._read, self._read_output)]
        for reading in self._reading:
            reading.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line.rstrip())
            if line.startswith("running;"):
                self._is_up = True
                self._told.set()
        self._told.set()

    def _read_output(self) -> None:
        """The addresses of a thousand organisations are more than a pipe holds."""
        assert self.process.stdout is not None
        self.output = self.process.stdout.read()

    def until_up(self, seconds: float = START_SECONDS) -> None:
        """Fails at once where it ends before that, also while its process is still going."""
        if not (self._told.wait(seconds) and self._is_up) or self.process.poll() is not None:
            raise AssertionError("connector up did not come up:\n" + "\n".join(self.lines[-60:]))

    def end(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        code = self.process.wait(END_SECONDS)
        for reading in self._reading:
            reading.join(5)
        return code


class _Ports:
    """A free port for each port of the samples, the same one each time."""

    def __init__(self) -> None:
        self._chosen: dict[str, str] = {}

    def other(self, match: "re.Match[str]") -> str:
        return self._chosen.setdefault(match.group(), self._free())

    def _free(self) -> str:
        first = 12000 + os.getpid() % 40 * 200  # two workers, started together, do not look at the same ports
        for port in range(first, 20000):
            if str(port) in self._chosen.values():
                continue
            with socket.socket() as probe:
                try:
                    probe.bind(("127.0.0.1", port))
                except OSError:
                    continue
                return str(port)
        raise AssertionError("no free port")


def one_person(file: Path) -> None:
    """In an organisation's file, the administrator is the approver of every connection too."""
    text = file.read_text("utf-8")
    for before, after in (
        ("3c3c3c3c-0000-4000-8000-000000000049", "3c3c3c3c-0000-4000-8000-000000000048"),
        ("displayName: Ansel Analyst", "displayName: Avery Admin"),
        ("\ngeography: apac\n", "\ngeography: apac\nonePerson: true\n"),
    ):
        assert before in text, before
        text = text.replace(before, after)
    file.write_text(text, "utf-8")
