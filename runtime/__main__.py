"""`python -m runtime`: one image, four roles; CONNECTOR_ROLE says which.

Each role imports only what it needs. Owns the exit codes: 0 done, 1 something is away (the platform starts us again),
78 refused to start (EX_CONFIG).
"""

import asyncio
import sys

from runtime.errors import ConnectorError, StartRefused
from runtime.logs import configure_logs, log, where
from runtime.settings import Settings, load
from schemas.vocabulary import RuntimeRole

REFUSED = 78


async def run_init(settings: Settings) -> None:
    from runtime.init import run_init

    await run_init(settings)


async def run_application(settings: Settings) -> None:
    from runtime.bootstrap import running
    from runtime.serve import serve

    async with running(settings) as services:
        await serve(services)


async def run_worker(settings: Settings) -> None:
    from runtime.bootstrap import running
    from runtime.worker import run

    async with running(settings) as services:
        log.info("started")
        await run(services)


async def run_portal(settings: Settings) -> None:
    from runtime.bootstrap import running
    from runtime.portal.serve import serve_portal

    async with running(settings) as services:
        await serve_portal(services)


def main() -> int:
    configure_logs(None)
    try:
        settings = load()
        configure_logs(settings)
        roles = {
            RuntimeRole.INIT: run_init,
            RuntimeRole.APPLICATION: run_application,
            RuntimeRole.WORKER: run_worker,
            RuntimeRole.PORTAL: run_portal,
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
    except Exception as e:  # noqa: BLE001
        log.error("failed", error=type(e).__name__, where=where(e))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
