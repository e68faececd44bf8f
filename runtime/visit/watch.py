"""Waking the pages that watch a visit, whichever replica they are connected to.

Owns one LISTEN connection per process, open while anybody watches, and the fan-out in memory. A wake-up carries no
state: whoever is woken reads a fresh snapshot, so that a lost connection costs one snapshot and nothing else.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

import psycopg

from runtime.database import Database
from runtime.errors import DatabaseUnavailable
from runtime.logs import log
from runtime.visit.rows import CHANNEL

RECONNECT_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0)


class Watch:
    """The watchers of one process."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._watchers: dict[str, set[asyncio.Event]] = {}
        self._listener: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def visit(self, visit_key: bytes) -> AsyncGenerator[asyncio.Event]:
        """An event that is set whenever the visit may have changed; the watcher clears it."""
        name, changed = visit_key.hex(), asyncio.Event()
        self._watchers.setdefault(name, set()).add(changed)
        if self._listener is None or self._listener.done():
            self._listener = asyncio.create_task(self._listen())
        try:
            yield changed
        finally:
            self._watchers[name].discard(changed)
            if not self._watchers[name]:
                del self._watchers[name]
            if not self._watchers:
                self._listener.cancel()
                self._listener = None  # it is not done yet: who enters now must not count on it

    async def _listen(self) -> None:
        failures = 0
        while True:
            try:
                connection = await self._database.listening()
                try:
                    await connection.execute(f"LISTEN {CHANNEL}".encode())
                    failures = 0
                    self._wake_all()
                    async for notification in connection.notifies():
                        self._wake(notification.payload)
                finally:
                    with suppress(Exception):
                        await connection.close()
            except (DatabaseUnavailable, psycopg.Error) as e:
                log.warning("watch-lost", error=type(e).__name__)
            await asyncio.sleep(RECONNECT_SECONDS[min(failures, len(RECONNECT_SECONDS) - 1)])
            failures += 1

    def _wake(self, name: str) -> None:
        for changed in self._watchers.get(name, ()):
            changed.set()

    def _wake_all(self) -> None:
        for name in list(self._watchers):
            self._wake(name)
