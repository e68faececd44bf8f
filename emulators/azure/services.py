"""The emulators that live beside Azure: Entra, Graph, and one EHR for each organisation of the world.

Owns how they are started and known to be up; what they answer is theirs (`emulators/entra`, `graph`, `ehr`).
"""

import asyncio
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil

from emulators import tls
from emulators.azure import client, layout
from emulators.azure.errors import AzureError
from emulators.azure.processes import Children, Kept
from emulators.world import World

START_SECONDS = 45.0


@dataclass(frozen=True)
class Service:
    """One emulator process: arguments after `python`, and where it answers."""

    name: str
    arguments: tuple[str, ...]
    url: str


def services_of(world: World) -> tuple[Service, ...]:
    return (
        Service("entra", ("-m", "emulators.entra"), world.entra.url),
        Service("graph", ("-m", "emulators.graph"), world.graph.url),
        *(Service(f"ehr-{e.organization}", ("-m", "emulators.ehr", e.organization), e.url) for e in world.ehrs),
    )


def host_names(world: World) -> list[str]:
    """Every host name under which an emulator's page is served."""
    origins = [world.entra.url, world.graph.url, *(o for e in world.ehrs for o in (e.url, *e.page_origins))]
    names = [urlsplit(origin).hostname or "" for origin in origins]
    return list(dict.fromkeys(["localhost", "127.0.0.1", *names]))


class Services:
    """All of them, kept running."""

    def __init__(self, state: Path, children: Children, services: Sequence[Service]) -> None:
        self.state, self._children, self.services = state, children, services
        self._kept: dict[str, Kept] = {}
        self._problems: dict[str, str] = {}
        self._up: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Start those that do not run; `wait_up` says when they answer."""
        if self._up is None or self._up.done():
            self._up = asyncio.create_task(self._start())

    async def wait_up(self) -> None:
        """Raises AzureError naming what does not come up and why."""
        if self._up is None or (self._up.done() and self._problems):
            self.begin()
        assert self._up is not None
        await asyncio.shield(self._up)
        if self._problems:
            raise AzureError(500, "EmulatorNotReady", "; ".join(self._problems.values()))

    async def stop(self) -> None:
        if self._up is not None:
            self._up.cancel()
            with suppress(asyncio.CancelledError):
                await self._up
        await asyncio.gather(*(kept.stop() for kept in self._kept.values()))

    def states(self) -> dict[str, str]:
        return {
            s.name: self._problems.get(s.name)
            or ("up" if s.name in self._kept and self._kept[s.name].alive else "down")
            for s in self.services
        }

    async def _start(self) -> None:
        await asyncio.gather(*(self._start_one(service) for service in self.services))

    async def _start_one(self, service: Service) -> None:
        self._problems.pop(service.name, None)
        port = urlsplit(service.url).port or 443
        if service.name not in self._kept or not self._kept[service.name].alive:
            if service.name in self._kept:
                await self._kept.pop(service.name).stop()
            problem = port_problem(port)
            if problem:
                self._problems[service.name] = (
                    f"port {port} of 127.0.0.1, where the emulator '{service.name}' listens, {problem}: end that "
                    "program, or give another port in emulators/world.yaml and in the stack's configuration"
                )
                return
            kept = Kept(
                self._children,
                service.name,
                [sys.executable, *service.arguments],
                lambda: client.child_environment(self.state),
                layout.REPOSITORY,
            )
            self._kept[service.name] = kept
            await kept.start()
        await self._until_up(service, self._kept[service.name])

    async def _until_up(self, service: Service, kept: Kept) -> None:
        deadline = asyncio.get_running_loop().time() + START_SECONDS
        async with httpx.AsyncClient(verify=tls.client_context(self.state), timeout=5.0, trust_env=False) as http:
            while True:
                with suppress(httpx.HTTPError):
                    if (await http.get(f"{service.url}/healthz")).status_code == 200:
                        return
                if len(kept.exits) >= 3 or asyncio.get_running_loop().time() > deadline:
                    tail = self._children.tail(service.name)
                    self._problems[service.name] = f"the emulator '{service.name}' does not come up:\n{tail}"
                    await kept.stop()
                    return
                await asyncio.sleep(0.1)


def port_problem(port: int) -> str | None:
    """Why a port of 127.0.0.1 cannot be listened on, naming the program that has it where that can be known."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            return None
        except PermissionError:
            return "may only be used by root"
        except OSError:
            with suppress(psutil.Error):
                for connection in psutil.net_connections("tcp"):
                    if connection.laddr and connection.laddr.port == port and connection.status == "LISTEN":
                        return f"is in use by {psutil.Process(connection.pid).name()} (pid {connection.pid})"
            return "is in use by another program"
