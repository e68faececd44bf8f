"""One replica of a container app: a process, probed as Container Apps probes a container.

Owns what each probe does (Azure documentation, "Health probes in Azure Container Apps"): until the startup probe passes
no other counts, and where it does not pass in time the container is started again; the readiness probe says whether a
replica may serve; a failing liveness probe starts the container again. People wait for starts, so a replica that starts
is asked ten times a second, whatever the period; patience is the template's.
"""

import asyncio
import time
from collections.abc import Mapping
from typing import Any, cast

import httpx

from emulators.azure.documents import list_at
from emulators.azure.processes import Kept

PERIOD_SECONDS = 10.0
FAILURES = 3
LOOK_SECONDS = 0.1
TIMEOUT_SECONDS = 2.0


class Replica:
    """`container` is the template's; `port` the loopback port that stands for the target port."""

    def __init__(self, kept: Kept, port: int, container: Mapping[str, Any], client: httpx.AsyncClient) -> None:
        self.kept, self.port, self._client = kept, port, client
        probes = [cast(dict[str, Any], p) for p in list_at(container, "probes") if p.get("httpGet")]
        self._probes = {str(p.get("type")): p for p in probes}
        self._started = False
        self._watch: asyncio.Task[None] | None = None

    async def start(self) -> None:
        await self.kept.start()
        self._watch = asyncio.create_task(self._watch_health())

    async def stop(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
        await self.kept.stop()

    async def is_ready(self) -> bool:
        """Whether it has started, runs, and its readiness probe passes."""
        return self._started and self.kept.alive and await self._passes("Readiness")

    async def _watch_health(self) -> None:
        while True:
            await self._until_started()
            await self._while_it_lives()

    async def _until_started(self) -> None:
        self._started = False
        deadline = time.monotonic() + self._patience("Startup")
        while not (self.kept.alive and await self._passes("Startup")):
            if time.monotonic() > deadline:
                await self.kept.restart()
                deadline = time.monotonic() + self._patience("Startup")
            await asyncio.sleep(LOOK_SECONDS)
        self._started = True

    async def _while_it_lives(self) -> None:
        """Until the process ends, or is made to because its liveness probe failed as often as the threshold says."""
        probe = self._probes.get("Liveness", {})
        ends, failures = len(self.kept.exits), 0
        await asyncio.sleep(float(probe.get("initialDelaySeconds") or 0))
        while len(self.kept.exits) == ends:
            await asyncio.sleep(float(probe.get("periodSeconds") or PERIOD_SECONDS))
            failures = 0 if await self._passes("Liveness") else failures + 1
            if failures >= int(probe.get("failureThreshold") or FAILURES):
                await self.kept.restart()
                return

    def _patience(self, kind: str) -> float:
        """Seconds until a probe that never passes has failed."""
        probe = self._probes.get(kind, {})
        period, failures = probe.get("periodSeconds") or PERIOD_SECONDS, probe.get("failureThreshold") or FAILURES
        return float(probe.get("initialDelaySeconds") or 0) + float(period) * int(failures)

    async def _passes(self, kind: str) -> bool:
        """Whether a probe passes now: any status from 200 to 399; one that the container does not have passes."""
        probe = self._probes.get(kind)
        if probe is None:
            return True
        get = probe["httpGet"]
        headers = {h["name"]: h["value"] for h in list_at(get, "httpHeaders")}
        url = f"http://127.0.0.1:{self.port}{get.get('path') or '/'}"
        timeout = float(probe.get("timeoutSeconds") or TIMEOUT_SECONDS)
        try:
            answer = await self._client.get(url, headers=headers, timeout=timeout)
        except httpx.HTTPError:
            return False
        return 200 <= answer.status_code < 400
