"""Probes: /livez (the process answers) and /readyz (it can take requests: database; configuration and keys by start).

Which connections lack credentials is nobody's business outside: that goes to the log, when it changes.
"""

import asyncio

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from runtime.bootstrap import Services, services_of
from runtime.errors import Unavailable
from runtime.logs import log
from runtime.serving import credential_of
from schemas.vocabulary import ClientRole

LOOK_SECONDS = 60.0


def routes() -> list[BaseRoute]:
    return [Route("/livez", livez), Route("/readyz", readyz)]


async def livez(_: Request) -> Response:
    return PlainTextResponse("ok\n")


async def readyz(request: Request) -> Response:
    if await services_of(request).database.ready():
        return PlainTextResponse("ready\n")
    return PlainTextResponse("not ready: database\n", 503)


async def unready_connections(services: Services) -> list[str]:
    """`<connection>/<role>` of every client whose credential is absent. Raises `VaultUnavailable`."""
    unready: list[str] = []
    for served in services.configuration.served:
        for role in (ClientRole.PROVIDER, ClientRole.PATIENT, ClientRole.BACKEND):
            name = credential_of(served.connection, role)
            if name and not await services.vault.secret(name):
                unready.append(f"{served.connection.id}/{role}")
    return unready


async def watch_connections(services: Services) -> None:
    """Log which connections are unready, at start and whenever that changes. Runs until cancelled."""
    before: list[str] | None = None
    while True:
        try:
            now = await unready_connections(services)
            if now != before:
                log.info("connections", count=len(services.configuration.served), unready=now)
                before = now
        except Unavailable as e:
            log.warning("connections unknown", error=type(e).__name__)
        await asyncio.sleep(LOOK_SECONDS)
