"""`python -m runtime`: one image, three roles; CONNECTOR_ROLE says which.

Owns the exit codes: 0 done, 1 something is away (the platform starts us again), 78 refused to start (EX_CONFIG).
"""

import asyncio
import contextlib
import sys

import uvicorn

from runtime.bootstrap import running
from runtime.errors import ConnectorError, StartRefused
from runtime.health import watch_connections
from runtime.init import run_init
from runtime.logs import configure_logs, log
from runtime.settings import Settings, load
from runtime.web import create_application
from schemas.vocabulary import RuntimeRole

REFUSED = 78


async def run_application(settings: Settings) -> None:
    async with running(settings) as services:
        config = uvicorn.Config(
            create_application(services),
            host=settings.bind_host,
            port=settings.port,
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=5,
        )
        watch = asyncio.create_task(watch_connections(services))
        log.info("started")
        try:
            await uvicorn.Server(config).serve()
        finally:
            watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watch


async def run_worker(settings: Settings) -> None:
    from runtime.worker import run

    async with running(settings) as services:
        log.info("started")
        await run(services)


def main() -> int:
    configure_logs(None)
    try:
        settings = load()
        configure_logs(settings)
        roles = {
            RuntimeRole.INIT: run_init,
            RuntimeRole.APPLICATION: run_application,
            RuntimeRole.WORKER: run_worker,
        }
        asyncio.run(roles[settings.role](settings))
    except StartRefused as e:
        log.error("start refused", reason=str(e), advice=e.advice)
        return REFUSED
    except ConnectorError as e:
        log.error("start failed", error=type(e).__name__, reason=str(e), advice=e.advice)
        return 1
    except KeyboardInterrupt:
        return 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
