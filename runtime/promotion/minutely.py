"""Deciding at the start of a process, and again each minute for as long as it runs; looking for a list in between.

Owns the clockwork. A start does not wait for what is away: nobody is served until the first decision, and it is tried
again soon.
"""

import asyncio
import itertools
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from runtime.errors import ConnectorError
from runtime.logs import log, where
from runtime.tasks import end

if TYPE_CHECKING:
    from runtime.bootstrap import Services

LOOK_SECONDS = 10.0
"""A revocation takes a minute at most, also where some looks fail."""

LOOKS_A_MINUTE = 6
AGAIN_SECONDS = 5.0


@asynccontextmanager
async def deciding(services: "Services") -> AsyncGenerator[None]:
    """A first decision before the block, and others while it runs."""
    decided = await decide_once(services)
    task = asyncio.create_task(_minutely(services, decided=decided))
    try:
        yield
    finally:
        await end(task)


async def decide_once(services: "Services") -> bool:
    """Whether it was decided. What fails is logged, and leaves the standing as it was."""
    return await _done(services, services.standing.refresh)


async def _done(services: "Services", work: "Callable[[Services], Awaitable[None]]") -> bool:
    try:
        await work(services)
    except ConnectorError as e:
        log.error("not-decided", error=type(e).__name__, reason=str(e))
        return False
    except Exception as e:  # noqa: BLE001 - one failure must not end the deciding
        log.error("not-decided", error=type(e).__name__, where=where(e))
        return False
    return True


async def _minutely(services: "Services", *, decided: bool) -> None:
    for look in itertools.count(1):
        await asyncio.sleep(LOOK_SECONDS if decided else AGAIN_SECONDS)
        if not decided or look % LOOKS_A_MINUTE == 0:
            decided = await decide_once(services)
        else:
            await _done(services, services.standing.look)
