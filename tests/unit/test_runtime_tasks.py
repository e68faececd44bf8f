"""Ending tasks: also one in which a cancellation is lost on its way."""

import asyncio

import pytest

from runtime.tasks import end

pytestmark = pytest.mark.anyio


async def test_every_task_is_ended_when_the_call_returns() -> None:
    tasks = [asyncio.create_task(asyncio.sleep(60)) for _ in range(3)]
    await end(*tasks)
    assert all(task.cancelled() for task in tasks)


async def test_a_task_that_loses_a_cancellation_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.tasks.ASK_AGAIN_SECONDS", 0.01)
    lost = 0

    async def loses_two() -> None:
        nonlocal lost
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                lost += 1
                if lost > 2:
                    raise

    task = asyncio.create_task(loses_two())
    await asyncio.sleep(0)
    await end(task)
    assert task.cancelled()


async def test_what_a_task_raises_is_dropped() -> None:
    async def raises() -> None:
        raise LookupError("nobody foresaw this")

    task = asyncio.create_task(raises())
    await asyncio.sleep(0)
    await end(task)
    assert isinstance(task.exception(), LookupError)
