"""Container apps as processes: init containers first, then replicas, probed until ready, restarted when they end.

Owns what one revision is and how one follows another in single revision mode: the new one takes over when each of its
replicas is ready, and then the old one ends; one that does not become ready is ended, and the old one goes on serving
(Azure documentation, "Update and deploy changes in Azure Container Apps"). What a probe does is in `replicas.py`. The
environment of a container is the template's, verbatim, and what the platform adds; nothing of ours leaks into it.
`CONTAINER_APP_PORT` is the free loopback port that stands for the target port.
"""

import asyncio
import hashlib
import json
import os
import ssl
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import httpx

from emulators.azure.documents import list_at, object_at, value_at
from emulators.azure.errors import AzureError
from emulators.azure.images import Images
from emulators.azure.ingress import Ingress
from emulators.azure.managed_identity import Endpoint, ManagedIdentityEndpoint
from emulators.azure.ports import OF_CONTAINERS, free_port
from emulators.azure.processes import Children, Kept, stop
from emulators.azure.replicas import Replica
from emulators.azure.tokens import Principal
from emulators.state import MARKER_VARIABLE

READY_SECONDS = 90.0
EARLY_ENDS = 3
INIT_SECONDS = 120.0
LOOK_SECONDS = 0.1
UNPROBED_SECONDS = 0.5
"""A replica without a probe is ready when it has run for this long."""
MAXIMUM_GRACE_SECONDS = 5.0
"""However long the template lets a replica take to end: people wait for this one."""


@dataclass(frozen=True)
class Platform:
    """What apps are run with."""

    state: Path
    children: Children
    images: Images
    identities: ManagedIdentityEndpoint
    principal_of: Callable[[str], Principal | None]
    """The identity behind an ARM id."""
    probes: httpx.AsyncClient
    """The client of every probe: a client for each would load the machine's certificates again."""
    context_of: Callable[[str, str], ssl.SSLContext]
    """What TLS ends with: by the ARM id of the environment's certificate, empty where none is bound, and the host."""


class ContainerApp:
    """One app: the revision that serves, and its ingress."""

    def __init__(self, platform: Platform, name: str) -> None:
        self.platform, self.name = platform, name
        self.revision: Revision | None = None
        self._coming: Revision | None = None
        self._ingress: dict[str, Ingress] = {}

    async def apply(self, arm: Mapping[str, Any]) -> None:
        """Bring up the revision that an ARM body describes. Raises AzureError with the log's end."""
        fingerprint = _fingerprint(arm)
        if self.revision is not None and self.revision.fingerprint == fingerprint:
            await self.revision.wait_ready()
            return
        await self._ingress_for(arm)
        revision = self._coming = Revision(self.platform, self.name, arm, fingerprint)
        try:
            await revision.start()
            await revision.wait_ready()
        except BaseException:
            await revision.stop()
            raise
        finally:
            self._coming = None
        before, self.revision = self.revision, revision
        if before is not None:
            await before.stop()

    async def stop(self) -> None:
        for ingress in self._ingress.values():
            await ingress.stop()
        self._ingress.clear()
        for revision in (self._coming, self.revision):
            if revision is not None:
                await revision.stop()
        self.revision = None

    async def _ingress_for(self, arm: Mapping[str, Any]) -> None:
        domains = list_at(arm, "properties.configuration.ingress.customDomains")
        hosts = {str(domain["name"]): str(domain.get("certificateId") or "") for domain in domains}
        for host in self._ingress.keys() - hosts.keys():
            await self._ingress.pop(host).stop()
        for host, certificate_id in hosts.items():
            if host not in self._ingress:
                ingress = Ingress(host, self.platform.context_of(certificate_id, host), self._ready_ports)
                await ingress.start()
                self._ingress[host] = ingress

    def _ready_ports(self) -> Sequence[int]:
        return [replica.port for replica in self.revision.replicas] if self.revision is not None else ()


class Revision:
    """One version of an app's template, running."""

    def __init__(self, platform: Platform, app: str, arm: Mapping[str, Any], fingerprint: str) -> None:
        self.platform, self.app, self.arm, self.fingerprint = platform, app, arm, fingerprint
        self.name = f"{app}--{fingerprint[:7]}"
        self.template = cast(dict[str, Any], arm["properties"]["template"])
        self.replicas: list[Replica] = []
        self._endpoints: list[Endpoint] = []
        self._stopped = False

    async def start(self) -> None:
        init = self._endpoint("Init")
        for container in list_at(self.template, "initContainers"):
            await self._run_init(container, init)
        main, container = self._endpoint("Main"), self.template["containers"][0]
        grace = float(self.template.get("terminationGracePeriodSeconds") or 30)
        count = max(1, int(value_at(self.template, "scale.minReplicas") or 1))
        for index in range(count):
            port = free_port(OF_CONTAINERS)
            replica = f"{self.name}-{index}"
            self._check_wanted()
            kept = Kept(
                self.platform.children,
                self.app if count == 1 else f"{self.app}-{index}",
                self._argv(container),
                lambda port=port, replica=replica: self._environment(container, main, replica, port),
                self._image(container),
                grace_seconds=min(grace, MAXIMUM_GRACE_SECONDS),
            )
            self.replicas.append(Replica(kept, port, container, self.platform.probes))
            await self.replicas[-1].start()

    async def wait_ready(self) -> None:
        """Until every replica is ready. Raises AzureError after ninety seconds or three early ends."""
        deadline = time.monotonic() + READY_SECONDS
        if not list_at(self.template["containers"][0], "probes"):
            await asyncio.sleep(UNPROBED_SECONDS)
        for replica in self.replicas:
            while not await replica.is_ready():
                self._check_wanted()
                early = len(replica.kept.exits)
                if time.monotonic() > deadline or early >= EARLY_ENDS:
                    raise self._failed(replica.kept.name, f"is not ready after {early} early ends")
                await asyncio.sleep(LOOK_SECONDS)

    async def stop(self) -> None:
        self._stopped = True
        await asyncio.gather(*(replica.stop() for replica in self.replicas))
        for endpoint in self._endpoints:
            self.platform.identities.withdraw(endpoint)

    def _check_wanted(self) -> None:
        if self._stopped:
            raise AzureError(409, "OperationPreempted", f"revision '{self.name}' was given up before it was ready")

    async def _run_init(self, container: Mapping[str, Any], endpoint: Endpoint) -> None:
        name = f"{self.app}-init"
        environment = self._environment(container, endpoint, f"{self.name}-0", None)
        process = await self.platform.children.start(name, self._argv(container), environment, self._image(container))
        try:
            code = await asyncio.wait_for(process.wait(), INIT_SECONDS)
        except TimeoutError:
            raise self._failed(
                name, f"init container '{container['name']}' did not end in {INIT_SECONDS:.0f} s"
            ) from None
        finally:
            await stop(process)
            self.platform.children.ended(name, process.pid)
        if code:
            raise self._failed(name, f"init container '{container['name']}' ended with exit code {code}")

    def _environment(
        self, container: Mapping[str, Any], endpoint: Endpoint, replica: str, port: int | None
    ) -> dict[str, str]:
        image = self._image(container)
        environment = {
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), "/usr/local/bin", "/usr/bin", "/bin"]),
            "LANG": "C.UTF-8",
            "PYTHONPATH": str(image),
            "PYTHONUNBUFFERED": "1",
            MARKER_VARIABLE: str(self.platform.state),
            "CONTAINER_APP_NAME": self.app,
            "CONTAINER_APP_REVISION": self.name,
            "CONTAINER_APP_REPLICA_NAME": replica,
            **endpoint.environment(),
        }
        if port is not None:
            environment["CONTAINER_APP_PORT"] = str(port)
        own = {str(v["name"]): str(v.get("value") or "") for v in list_at(container, "env")}
        return own | environment

    def _argv(self, container: Mapping[str, Any]) -> list[str]:
        command = [*(list_at(container, "command") or ["python", "-m", "runtime"]), *list_at(container, "args")]
        return [sys.executable if command[0] in ("python", "python3") else command[0], *command[1:]]

    def _image(self, container: Mapping[str, Any]) -> Path:
        return self.platform.images.folder_of(container["image"])

    def _endpoint(self, phase: str) -> Endpoint:
        endpoint = self.platform.identities.assign(tuple(self._identities(phase)))
        self._endpoints.append(endpoint)
        return endpoint

    def _identities(self, phase: str) -> list[Principal]:
        """Identities assigned to the app whose life cycle includes the phase (All, unless a setting says otherwise)."""
        settings = list_at(self.arm, "properties.configuration.identitySettings")
        cycles = {s["identity"].lower(): s.get("lifecycle", "All") for s in settings}
        assigned = object_at(self.arm, "identity.userAssignedIdentities")
        found = [
            self.platform.principal_of(arm_id)
            for arm_id in assigned
            if cycles.get(arm_id.lower(), "All") in ("All", phase)
        ]
        return [principal for principal in found if principal is not None]

    def _failed(self, process: str, problem: str) -> AzureError:
        tail = self.platform.children.tail(process)
        log = self.platform.children.log(process)
        message = f"revision '{self.name}' failed: {problem}. The end of {log}:\n{tail}"
        return AzureError(500, "ContainerAppOperationError", message)


def _fingerprint(arm: Mapping[str, Any]) -> str:
    """Changes with whatever makes a new revision here: template, ingress, identities."""
    properties = arm["properties"]
    parts = [properties.get("template"), properties.get("configuration"), arm.get("identity")]
    text = json.dumps(parts, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
