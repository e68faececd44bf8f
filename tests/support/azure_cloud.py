"""An emulated Azure of a test's own: state folder, world with free ports, the small program, the real engine.

The program is `tests/engine/azure_program`; it has resources of emulated types and varies them.
"""

import json
import os
import re
import shutil
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from emulators import tls
from emulators.azure import client
from emulators.azure.images import Images
from emulators.azure.store import Store
from emulators.state import MARKER_VARIABLE, STATE_VARIABLE
from emulators.world import WORLD_VARIABLE
from tests.support.ports import free_port

ROOT = Path(__file__).parents[2]
PROGRAM = ROOT / "tests" / "engine" / "azure_program"
SUBSCRIPTION = "4d4d4d4d-0000-4000-8000-0000000000aa"
GROUP = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg-small"
APP = f"{GROUP}/providers/Microsoft.App/containerApps/ca-small"
SERVER = f"{GROUP}/providers/Microsoft.DBforPostgreSQL/flexibleServers/psql-small"
VAULT = f"{GROUP}/providers/Microsoft.KeyVault/vaults/kv-small"


@dataclass
class Run:
    """One command of the engine."""

    code: int
    output: str

    def changes(self) -> dict[str, int]:
        """{"created": 3, "unchanged": 2, ...} from the summary."""
        summary = self.output.rpartition("Resources:")[2]
        counts = re.findall(r"(\d+) (to \w+|created|updated|deleted|replaced|unchanged|errored)", summary)
        return {kind: int(number) for number, kind in counts}


@dataclass
class Cloud:
    """One state folder. `host` is the app's public host."""

    folder: Path
    pulumi_executable: Path
    settings: dict[str, str] = field(default_factory=dict[str, str])
    host: str = field(init=False)
    as_it_was: bool = field(init=False, default=False)
    """Whether the last update passed and nobody asked for anything else since."""

    def __post_init__(self) -> None:
        self.state.mkdir(mode=0o700, parents=True)
        (self.state / "pulumi").mkdir()
        shutil.copytree(PROGRAM, self.program)
        self.host = f"localhost:{free_port()}"
        (self.folder / "world.yaml").write_text(_world_with_free_ports())
        self.run("stack", "init", "small")
        images = Images(self.state, ROOT)
        images.prepare()  # an image that was run before: the working tree may change meanwhile
        digest = next((self.state / "images").iterdir()).name
        images.copy("crsmall.azurecr.io", digest)
        self.set(
            image=f"crsmall.azurecr.io/teams-ehr-connector@sha256:{digest}",
            host=self.host,
            app=(PROGRAM / "app.py").read_text(),
        )

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def program(self) -> Path:
        return self.folder / "program"

    @property
    def environment(self) -> dict[str, str]:
        path = [str(self.pulumi_executable.parent), str(Path(sys.executable).parent), os.environ["PATH"]]
        return {
            "PATH": os.pathsep.join(path),
            "HOME": str(self.folder),
            "LANG": "C.UTF-8",
            "PULUMI_BACKEND_URL": f"file://{self.state / 'pulumi'}",
            "PULUMI_HOME": str(self.state / "pulumi-home"),
            "PULUMI_CONFIG_PASSPHRASE": "small",
            "PULUMI_SKIP_UPDATE_CHECK": "1",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "1",
            STATE_VARIABLE: str(self.state),
            MARKER_VARIABLE: str(self.state),
            WORLD_VARIABLE: str(self.folder / "world.yaml"),
        }

    def run(self, *arguments: str) -> Run:
        done = subprocess.run(
            [str(self.pulumi_executable), *arguments, "--non-interactive"],
            cwd=self.program,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=300,
        )
        if arguments[0] == "destroy":
            self.as_it_was = False
        return Run(done.returncode, done.stdout + done.stderr)

    def up(self) -> Run:
        up = self.run("up", "--yes", "--skip-preview")
        self.as_it_was = up.code == 0
        return up

    def destroy(self) -> Run:
        return self.run("destroy", "--yes", "--skip-preview")

    def set(self, **settings: str) -> None:
        """Configuration of the program."""
        self.as_it_was = False
        self.settings |= settings
        lines = [f"  azure-emulator:{key}: {json.dumps(value)}" for key, value in self.settings.items()]
        file = self.program / "Pulumi.small.yaml"
        salt = [line for line in file.read_text().splitlines() if line.startswith("encryptionsalt")]
        file.write_text("\n".join([*salt, "config:", *lines]) + "\n")

    def unset(self, *names: str) -> None:
        for name in names:
            self.settings.pop(name, None)
        self.set()

    def store(self) -> Store:
        return Store(self.state)

    def get(self, path: str) -> str:
        """What the app answers, over its ingress."""
        return self.request(f"https://{self.host}{path}")[1]

    def request(
        self,
        url: str,
        *,
        method: str = "GET",
        token: str | None = None,
        body: object = None,
        headers: dict[str, str] | None = None,
    ) -> tuple[int, str]:
        """Status and body, trusting the local CA alone."""
        sent = (headers or {}) | ({"authorization": f"Bearer {token}"} if token else {})
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data=data, headers=sent, method=method)
        context: ssl.SSLContext = tls.client_context(self.state)
        opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context), _AllStatuses)
        with opener.open(request, timeout=10) as answer:
            return answer.status, answer.read().decode()

    def process(self, name: str) -> psutil.Process:
        """A child of the supervisor, by name."""
        status = client.supervisor_status(self.state)
        assert status is not None
        return psutil.Process(status["processes"][name]["pid"])

    def supervisor(self) -> psutil.Process:
        return psutil.Process(json.loads((self.state / "supervisor" / "supervisor.pid").read_text())["pid"])

    def living(self) -> list[psutil.Process]:
        """Every process that carries this state folder's marker."""
        found: list[psutil.Process] = []
        for process in psutil.process_iter():
            try:
                marked = process.environ().get(MARKER_VARIABLE) == str(self.state)
                if marked and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def close(self) -> None:
        client.stop(self.state)


class _AllStatuses(urllib.request.HTTPErrorProcessor):
    """Refusals are answers, too."""

    def http_response(self, request: Any, response: Any) -> Any:
        return response

    https_response = http_response


def until(what: Callable[[], bool], seconds: float) -> None:
    """Wait for a condition of another process; fails after the time."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, f"not so after {seconds} s"
        time.sleep(0.05)


def _world_with_free_ports() -> str:
    text = (ROOT / "emulators" / "world.yaml").read_text()
    for port in sorted(set(re.findall(r":(84\d\d)\b", text))):
        text = re.sub(rf":{port}\b", f":{free_port()}", text)
    return text
