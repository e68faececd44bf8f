"""Child processes of the supervisor: started in their own process group, logged to a file, restarted with back-off.

Owns `supervisor/children.json` (who runs: name -> pid, create time) and `supervisor/logs/<name>.log`. Deciding what
must run is others' work. All children stay in the supervisor's POSIX session, by which the reaper finds them.
"""

import asyncio
import json
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from emulators.azure import layout
from emulators.state import write_private

BACK_OFF_SECONDS = (0.5, 1.0, 2.0, 4.0)
STABLE_SECONDS = 30.0
GRACE_SECONDS = 4.0
MAXIMUM_LOG_BYTES = 32 * 1024 * 1024


class Children:
    """All child processes of one supervisor."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self._running: dict[str, dict[int, dict[str, Any]]] = {}

    async def start(
        self, name: str, argv: Sequence[str], environment: Mapping[str, str], folder: Path
    ) -> asyncio.subprocess.Process:
        """Start one; its output goes to its log, which is emptied beyond 32 MiB."""
        log = self.log(name)
        log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            if os.fstat(descriptor).st_size > MAXIMUM_LOG_BYTES:
                os.ftruncate(descriptor, 0)
            process = await asyncio.create_subprocess_exec(
                *argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=descriptor,
                stderr=descriptor,
                env=dict(environment),
                cwd=folder,
                process_group=0,
            )
        finally:
            os.close(descriptor)
        with suppress(psutil.Error):
            record = {"pid": process.pid, "create_time": psutil.Process(process.pid).create_time()}
            self._running.setdefault(name, {})[process.pid] = record
        self._write()
        return process

    def ended(self, name: str, pid: int) -> None:
        self._running.get(name, {}).pop(pid, None)
        self._write()

    def log(self, name: str) -> Path:
        return layout.logs_folder(self.state) / f"{name}.log"

    def tail(self, name: str, lines: int = 15) -> str:
        """The end of a log, for messages."""
        with suppress(FileNotFoundError), self.log(name).open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 8192))
            return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])
        return ""

    @property
    def running(self) -> dict[str, dict[str, Any]]:
        """The newest of each name: while one revision of an app follows another, there are two."""
        return {name: list(records.values())[-1] for name, records in self._running.items() if records}

    def _write(self) -> None:
        file = layout.supervisor_folder(self.state) / "children.json"
        write_private(file, json.dumps(self.running, indent=1, sort_keys=True).encode())


async def stop(
    process: asyncio.subprocess.Process, *, grace_seconds: float = GRACE_SECONDS, first: int = signal.SIGTERM
) -> None:
    """Ask a process group to end, then make it."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, first)
        with suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), grace_seconds)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()


class Kept:
    """A process that is started again whenever it ends, after 0.5, 1, 2, then 4 seconds."""

    def __init__(
        self,
        children: Children,
        name: str,
        argv: Sequence[str],
        environment: Callable[[], Mapping[str, str]],
        folder: Path,
        *,
        stop_signal: int = signal.SIGTERM,
        grace_seconds: float = GRACE_SECONDS,
        on_start: Callable[[], None] | None = None,
    ) -> None:
        self.children, self.name, self.argv, self.folder = children, name, list(argv), folder
        self.environment, self.on_start = environment, on_start
        self.stop_signal, self.grace_seconds = stop_signal, grace_seconds
        self.process: asyncio.subprocess.Process | None = None
        self.exits: list[int] = []
        self._task: asyncio.Task[None] | None = None
        self._started = asyncio.Event()

    async def start(self) -> None:
        """Returns once the first process is there, or it was stopped meanwhile. OSError where there can be none."""
        self._task = asyncio.create_task(self._keep())
        waiter = asyncio.create_task(self._started.wait())
        await asyncio.wait({self._task, waiter}, return_when=asyncio.FIRST_COMPLETED)
        waiter.cancel()
        if self._task.done() and not self._task.cancelled():
            self._task.result()

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        if self.process is not None:
            await stop(self.process, grace_seconds=self.grace_seconds, first=self.stop_signal)
            self.children.ended(self.name, self.process.pid)

    async def restart(self) -> None:
        """End the process; it comes back after the first pause."""
        if self.process is not None:
            await stop(self.process, grace_seconds=self.grace_seconds, first=self.stop_signal)

    @property
    def is_kept(self) -> bool:
        """Whether it runs or is about to be started again."""
        return self._task is not None and not self._task.done()

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.returncode is None

    async def _keep(self) -> None:
        failures = 0
        while True:
            began = time.monotonic()
            self.process = await self.children.start(self.name, self.argv, self.environment(), self.folder)
            if self.on_start is not None:
                self.on_start()
            self._started.set()
            self.exits.append(await self.process.wait())
            self.children.ended(self.name, self.process.pid)
            failures = 0 if time.monotonic() - began > STABLE_SECONDS else failures + 1
            await asyncio.sleep(BACK_OFF_SECONDS[min(max(failures, 1), len(BACK_OFF_SECONDS)) - 1])
