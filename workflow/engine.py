"""The real Pulumi engine on a stack of the emulated cloud: its environment, its commands, its state.

Owns how `pulumi` is run (CLI, PATH with our language host and the emulated provider, file backend, policy pack) and how
what it says becomes progress. Getting over a killed engine is in `recovery.py`.

The state of an emulated stack holds no secret, so its passphrase protects nothing: it is the same everywhere, and the
salt that Pulumi derives from it stands in the stack's file, which Pulumi would otherwise write into.
"""

import json
import os
import re
import shlex
import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, cast

from emulators.azure.client import child_environment
from emulators.state import MARKER_VARIABLE
from emulators.world import WORLD_VARIABLE
from schemas.stack_config import PROJECT
from tools.pulumi_cli import PulumiUnavailableError, pulumi_cli, search_path
from workflow.errors import EngineFailed, WorkflowError
from workflow.project import PROJECT_VARIABLE, STATE_VARIABLE, Project

PASSPHRASE = "emulated"

WHOLE_FILES = "metadata=skip"
"""The file backend renames whole files into place, but for the attributes that it keeps beside each: an engine killed
while it writes those leaves a state that no engine reads ("EOF"). Nothing reads them, so none are written
(gocloud.dev/blob/fileblob, URLOpener)."""

GARBAGE_PERCENT = "400"
"""Go collects garbage when the heap has grown by this much (package runtime, GOGC; its default is 100). An engine of
some hundred resources makes much garbage and lives for a minute: with this it took a sixth less of the processor."""

GRACE_SECONDS = 60.0
"""How long an interrupted engine may take to write down what it did."""

Report = Callable[[str], None]

_DONE = re.compile(r"^ [ +~\-]*[+~-]+ +(\S+:\S+:\S+) +(\S+) +(created|updated|deleted|replaced)\b")


class Engine:
    """One stack of a project."""

    def __init__(self, project: Project, stack: str, report: Report) -> None:
        self.project, self.stack, self.report = project, stack, report
        self.backend = project.state / "pulumi"
        try:
            self.cli = pulumi_cli(report)
        except PulumiUnavailableError as problem:
            raise WorkflowError(str(problem)) from None

    # --- environment ------------------------------------------------------------------------------------------------

    def settings(self) -> dict[str, str]:
        """What a hand-typed `pulumi` needs, but for PATH."""
        state = self.project.state
        settings = {
            STATE_VARIABLE: str(state),
            "PULUMI_BACKEND_URL": f"{self.backend.as_uri()}?{WHOLE_FILES}",
            "PULUMI_HOME": str(state / "pulumi-home"),
            "PULUMI_CONFIG_PASSPHRASE_FILE": str(state / "passphrase"),
            "PULUMI_STACK": self.stack,
            "PULUMI_SKIP_UPDATE_CHECK": "1",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "1",
            "PULUMI_OPTION_POLICY_PACK": str(self.project.root / "policies"),
        }
        for name in (WORLD_VARIABLE, PROJECT_VARIABLE):
            if value := os.environ.get(name):
                settings[name] = value
        return settings

    def search_path(self) -> list[str]:
        return [str(folder) for folder in search_path(self.cli)]

    def exports(self) -> str:
        """Lines for a POSIX shell."""
        lines = [f"export {name}={shlex.quote(value)}" for name, value in self.settings().items()]
        path = ":".join(map(shlex.quote, self.search_path()))
        return "\n".join([*lines, "unset PULUMI_CONFIG_PASSPHRASE", f'export PATH={path}:"$PATH"'])

    def environment(self) -> dict[str, str]:
        """Of a `pulumi` that we start: nothing of ours leaks but what it needs."""
        environment = (
            child_environment(self.project.state)
            | self.settings()
            | {MARKER_VARIABLE: str(self.project.state), "GOGC": GARBAGE_PERCENT}
        )
        return environment | {"PATH": os.pathsep.join([*self.search_path(), os.environ.get("PATH", os.defpath)])}

    def prepare(self) -> None:
        """State folder, passphrase, backend and stack; nothing is done twice."""
        state = self.project.state
        for folder in (state, self.backend, state / "pulumi-home"):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        passphrase = state / "passphrase"
        if not passphrase.exists():
            passphrase.touch(mode=0o600)
            passphrase.write_text(PASSPHRASE)
        if not self.checkpoint_file.exists():
            self.run("stack", "init", self.stack, "--no-select")

    # --- commands ---------------------------------------------------------------------------------------------------

    def up(self, *, refresh: bool = False) -> None:
        self.run("up", "--yes", "--skip-preview", *(["--refresh"] if refresh else []), progress=True)

    def destroy(self) -> None:
        self.run("destroy", "--yes", "--skip-preview", progress=True)

    def cancel(self) -> None:
        self.run("cancel", self.stack, "--yes")

    def import_deployment(self, deployment: Mapping[str, Any]) -> None:
        """Replace the stack's state by a changed export."""
        self.run("stack", "import", "--force", text=json.dumps(deployment))

    def export_deployment(self) -> dict[str, Any]:
        return cast("dict[str, Any]", json.loads(self.run("stack", "export")))

    def run(self, *arguments: str, progress: bool = False, text: str | None = None) -> str:
        """Run `pulumi` and answer its standard output. Raises EngineFailed with the end of what it said.

        It runs in a process group of its own: a Ctrl-C reaches us alone, and we pass it on.
        """
        named = () if arguments[:2] == ("stack", "init") or arguments[0] == "cancel" else ("--stack", self.stack)
        process = subprocess.Popen(
            [self.cli, *arguments, *named, "--non-interactive", "--color", "never"],
            cwd=self.project.root,
            env=self.environment(),
            stdin=subprocess.PIPE if text is not None else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if progress else subprocess.PIPE,
            text=True,
            process_group=0,
        )
        try:
            output, errors = self._follow(process) if progress else process.communicate(text)
        except BaseException:
            _interrupt(process)
            raise
        if process.returncode:
            raise EngineFailed(" ".join(arguments[:2]), process.returncode, _told(f"{output}\n{errors or ''}"))
        return output

    def _follow(self, process: "subprocess.Popen[str]") -> tuple[str, None]:
        lines: list[str] = []
        for line in cast("Iterable[str]", process.stdout):
            lines.append(line)
            if done := _DONE.match(line):
                self.report(f"{done[3]} {done[1].rpartition(':')[2]} {done[2]}")
        process.wait()
        return "".join(lines), None

    # --- state ------------------------------------------------------------------------------------------------------

    @property
    def checkpoint_file(self) -> Path:
        return self.backend / ".pulumi" / "stacks" / PROJECT / f"{self.stack}.json"

    def resource_counts(self) -> dict[str, int]:
        """How many resources of each type the stack has."""
        counts = Counter(str(r["type"]) for r in resources_of(read_checkpoint(self.checkpoint_file)))
        counts.pop("pulumi:pulumi:Stack", None)
        return dict(sorted(counts.items()))


def _told(output: str) -> str:
    """What the engine says went wrong: its diagnostics, which outputs of the stack may follow; else its last lines."""
    _, found, diagnostics = output.rpartition("\nDiagnostics:\n")
    if not found:
        return "\n".join(output.splitlines()[-60:])
    return re.split(r"\n(?:Outputs|Resources|Policies):\n", diagnostics, maxsplit=1)[0]


def read_checkpoint(file: Path) -> dict[str, Any]:
    """The latest deployment of a checkpoint of the file backend; empty where there is none."""
    try:
        document = json.loads(file.read_bytes())
    except FileNotFoundError:
        return {}
    return cast("dict[str, Any]", document.get("checkpoint", {}).get("latest") or {})


def resources_of(deployment: Mapping[str, Any]) -> list[dict[str, Any]]:
    return cast("list[dict[str, Any]]", deployment.get("resources") or [])


def _interrupt(process: "subprocess.Popen[str]") -> None:
    """Let the engine write down what it did; a second interrupt of it ends it at once."""
    for sign, seconds in ((signal.SIGINT, GRACE_SECONDS), (signal.SIGINT, 5.0), (signal.SIGKILL, 5.0)):
        if process.poll() is not None:
            return
        process.send_signal(sign)
        try:
            process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            continue
