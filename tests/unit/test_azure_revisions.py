"""One revision of a container app follows another, each with real processes, a real ingress and real probes."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from emulators import tls
from emulators.azure.container_apps import ContainerApp, Platform
from emulators.azure.errors import AzureError
from emulators.azure.images import Images
from emulators.azure.managed_identity import ManagedIdentityEndpoint
from emulators.azure.processes import Children
from emulators.azure.tokens import Issuer, Token
from tests.support.ports import free_port

SERVER_NAME = "crone.azurecr.io"
IMAGE = f"{SERVER_NAME}/teams-ehr-connector@sha256:{64 * 'a'}"
SERVER = """
import http.server, os, pathlib, sys
folder, mark = pathlib.Path(os.environ["FOLDER"]), os.environ["MARK"]
if (folder / f"{mark}-ends").exists():
    sys.exit("it ends on purpose")
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        with (folder / "asked").open("a") as asked:
            asked.write(f"{mark} {self.path}\\n")
        is_probe = self.path.startswith("/probe-")
        passes = not is_probe or (folder / f"{mark}{self.path.replace('/probe', '')}").exists()
        self.send_response(200 if passes else 503)
        self.end_headers()
        self.wfile.write(f"{mark} {os.getpid()}".encode())
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["CONTAINER_APP_PORT"])), Handler).serve_forever()
"""
pytestmark = pytest.mark.anyio

PROBES = ("Startup", "Liveness", "Readiness")


@dataclass(frozen=True)
class Stage:
    """One app on one platform; what a container's probes answer is told by files of `folder`."""

    folder: Path
    app: ContainerApp
    host: str

    def arm(self, mark: str, replicas: int = 1, **probes: dict[str, int]) -> dict[str, Any]:
        """A body whose container answers with `mark`; a probe of it fails while the file that it wants is absent."""
        patience = {"Startup": 10, "Liveness": 1, "Readiness": 1}
        wanted = {k: {"periodSeconds": 1, "failureThreshold": n} | probes.get(k, {}) for k, n in patience.items()}
        container = {
            "name": "main",
            "image": IMAGE,
            "command": ["python", "-c", SERVER],
            "env": [{"name": "FOLDER", "value": str(self.folder)}, {"name": "MARK", "value": mark}],
            "probes": [{"type": k, "httpGet": {"path": f"/probe-{k}", "port": 8000}, **v} for k, v in wanted.items()],
        }
        domain = {"name": self.host, "bindingType": "Disabled"}
        return {
            "identity": {"userAssignedIdentities": {}},
            "properties": {
                "configuration": {"ingress": {"customDomains": [domain]}},
                "template": {"containers": [container], "scale": {"minReplicas": replicas}},
            },
        }

    def passes(self, mark: str, *probes: str) -> None:
        for probe in probes:
            (self.folder / f"{mark}-{probe}").touch()

    def fails(self, mark: str, probe: str) -> None:
        (self.folder / f"{mark}-{probe}").unlink()

    def asked(self, mark: str) -> set[str]:
        """The probes that a container was asked."""
        lines = (self.folder / "asked").read_text().splitlines() if (self.folder / "asked").exists() else []
        return {line.rpartition("/probe-")[2] for line in lines if line.startswith(f"{mark} /probe-")}

    @property
    def pid(self) -> int | None:
        """Of the app's newest process."""
        return self.app.platform.children.running.get("app", {}).get("pid")

    async def runs_another_than(self, pid: int | None) -> bool:
        return self.pid not in (None, pid)

    async def answer(self) -> list[str]:
        """Mark and process id of whoever answers at the public host."""
        async with httpx.AsyncClient(verify=tls.client_context(self.app.platform.state), trust_env=False) as http:
            return (await http.get(f"https://{self.host}/")).text.split()


@asynccontextmanager
async def stage(state: Path) -> AsyncGenerator[Stage]:
    (state / "images" / (64 * "a")).mkdir(parents=True)
    (state / "told").mkdir()

    async def nobody(object_id: str, token: Token) -> None:
        raise AssertionError("no identity is assigned")

    issuer = Issuer(state, "tenant", "https://127.0.0.1/tenant")
    identities = ManagedIdentityEndpoint(issuer, "http://127.0.0.1:9", lambda _: False, nobody)
    async with httpx.AsyncClient(trust_env=False) as probes:
        images = Images(state, state)
        images.copy(SERVER_NAME, 64 * "a")
        tls.ensure_leaf(state, ["localhost"])
        context = tls.server_context(state)
        platform = Platform(
            state, Children(state), images, identities, lambda _: None, probes, lambda certificate_id, host: context
        )
        found = Stage(state / "told", ContainerApp(platform, "app"), f"localhost:{free_port()}")
        try:
            yield found
        finally:
            await found.app.stop()


async def until(happened: Callable[[], Awaitable[bool]], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not await happened():
        assert time.monotonic() < deadline, "not so in time"
        await asyncio.sleep(0.02)


async def test_a_new_revision_serves_once_it_is_ready_and_then_the_old_one_ends(tmp_path: Path) -> None:
    async with stage(tmp_path) as here:
        here.passes("one", *PROBES)
        await here.app.apply(here.arm("one"))
        before = await here.answer()
        here.passes("two", "Startup", "Liveness")
        follows = asyncio.create_task(here.app.apply(here.arm("two")))

        async def asks_readiness() -> bool:
            return "Readiness" in here.asked("two")

        await until(asks_readiness)
        assert await here.answer() == before
        assert not follows.done()
        here.passes("two", "Readiness")
        await asyncio.wait_for(follows, 10)
        assert (await here.answer())[0] == "two"
        assert here.pid == int((await here.answer())[1])
        assert not Path(f"/proc/{before[1]}").exists()


@pytest.mark.parametrize("how", ["it ends", "it is never ready"])
async def test_a_revision_that_never_becomes_ready_fails_and_the_old_one_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr("emulators.azure.container_apps.READY_SECONDS", 1.5 if how == "it is never ready" else 60.0)
    async with stage(tmp_path) as here:
        here.passes("one", *PROBES)
        await here.app.apply(here.arm("one"))
        before = await here.answer()
        here.passes("two", *([*PROBES, "ends"] if how == "it ends" else ["Startup", "Liveness"]))
        with pytest.raises(AzureError, match=r"is not ready after [03] early ends"):
            await here.app.apply(here.arm("two"))
        assert await here.answer() == before
        recorded = json.loads((tmp_path / "supervisor" / "children.json").read_text())
        assert str(recorded["app"]["pid"]) == before[1]


async def test_until_the_startup_probe_passes_no_other_probe_is_asked(tmp_path: Path) -> None:
    async with stage(tmp_path) as here:
        coming = asyncio.create_task(here.app.apply(here.arm("one")))
        await asyncio.sleep(2.5)
        assert here.asked("one") == {"Startup"}
        here.passes("one", *PROBES)
        await asyncio.wait_for(coming, 10)


async def test_a_container_that_does_not_start_in_time_is_started_again(tmp_path: Path) -> None:
    async with stage(tmp_path) as here:
        coming = asyncio.create_task(here.app.apply(here.arm("one", Startup={"failureThreshold": 2})))
        await until(lambda: here.runs_another_than(None))
        first = here.pid
        await until(lambda: here.runs_another_than(first))
        here.passes("one", *PROBES)
        await asyncio.wait_for(coming, 10)


async def test_a_container_whose_liveness_fails_is_started_again(tmp_path: Path) -> None:
    async with stage(tmp_path) as here:
        here.passes("one", *PROBES)
        await here.app.apply(here.arm("one"))
        first = here.pid
        here.fails("one", "Liveness")
        await until(lambda: here.runs_another_than(first))


async def test_each_replica_serves_in_turn(tmp_path: Path) -> None:
    async with stage(tmp_path) as here:
        here.passes("one", *PROBES)
        await here.app.apply(here.arm("one", replicas=3))
        assert len({(await here.answer())[1] for _ in range(3)}) == 3


async def test_an_app_that_is_deleted_while_it_comes_up_leaves_no_process(tmp_path: Path) -> None:
    async with stage(tmp_path) as here:
        coming = asyncio.create_task(here.app.apply(here.arm("one")))

        await until(lambda: here.runs_another_than(None))
        await here.app.stop()
        with pytest.raises(AzureError, match="was given up"):
            await asyncio.wait_for(coming, 5)
        assert here.app.platform.children.running == {}
