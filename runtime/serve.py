"""The application and portal roles: uvicorn over the application, until told to stop.

Owns the server's limits and signals. No proxy headers, no `Server` header, no access log of uvicorn's: `web.py` writes
one without queries.
"""

import asyncio
import contextlib
import signal
from collections.abc import Coroutine, Generator
from typing import Any

import uvicorn
from starlette.applications import Starlette

from runtime.bootstrap import Services
from runtime.health import watch_connections
from runtime.logs import log
from runtime.tasks import end
from runtime.web import create_application


class Server(uvicorn.Server):
    """uvicorn, leaving signals to us: its own way ends the process before our connections are closed."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        yield


async def serve(services: Services) -> None:
    """The application. Returns after SIGTERM or SIGINT."""
    await run(services, create_application(services), watch_connections(services))


async def run(services: Services, application: Starlette, beside: Coroutine[Any, Any, None]) -> None:
    """Serve an application, with what runs beside it. Returns after SIGTERM or SIGINT."""
    config = uvicorn.Config(
        application,
        host=services.settings.bind_host,
        port=services.settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=5,
    )
    task = asyncio.create_task(beside)
    log.info("started")
    try:
        await Server(config).serve()
    finally:
        await end(task)
    if not task.cancelled():
        task.result()
