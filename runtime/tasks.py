"""Ending asyncio tasks that run until they are told to stop."""

import asyncio
from typing import Any

ASK_AGAIN_SECONDS = 1.0


async def end(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks and wait until each has ended; what they raised is dropped.

    A cancellation can be lost on its way: before Python 3.12 `asyncio.wait_for`, by which the pool waits, returns its
    result where both come at once (python/cpython issue 86296). So it is asked again.
    """
    while pending := [task for task in tasks if not task.done()]:
        for task in pending:
            task.cancel()
        await asyncio.wait(pending, timeout=ASK_AGAIN_SECONDS)
    await asyncio.gather(*tasks, return_exceptions=True)
