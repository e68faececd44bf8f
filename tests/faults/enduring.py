"""Visits of people who do not give up: who press again, and whose pages come back when a stream breaks off.

Owns the steps of one visit, each of which something may be killed in. What a step needs (that a page shows something)
is waited for, however often the page must be opened anew.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx

from emulators.world import Ehr, EhrUser
from tests.support.stack import TestStack
from workflow.browser import Browser, Events, Page, PageUnexpected
from workflow.ehr_log import EhrLog, WriteBack
from workflow.people import Patient, Provider
from workflow.visit import WRITE_BACKS

PATIENCE_SECONDS = 90.0
STEPS = ("begin", "join", "wait", "admit", "patient leaves", "provider leaves", "told")
IN_ORDER = [
    ("Provider", "Connected"),
    ("Patient", "Connected"),
    ("Patient", "Disconnected"),
    ("Provider", "Disconnected"),
]
Broken = (PageUnexpected, httpx.HTTPError, OSError)
Answer = TypeVar("Answer")
Meanwhile = Callable[[str], Awaitable[None]]
"""Told of each step before it begins."""


async def again(work: Callable[[], Awaitable[Answer]], what: str) -> Answer:
    """Until it works."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return await work()
        except Broken as problem:
            if time.monotonic() > deadline:
                raise AssertionError(f"{what}: not within {PATIENCE_SECONDS:.0f} s: {problem}") from problem
        await asyncio.sleep(0.5)


@dataclass
class Live:
    """A page's latest snapshot, its stream opened anew whenever it ends."""

    latest: dict[str, Any] = field(default_factory=dict[str, Any])
    breaks: int = 0

    async def follow(self, opened: Callable[[], AbstractAsyncContextManager[Events]]) -> None:
        while True:
            with suppress(*Broken):
                async with opened() as events:
                    while True:
                        before = events.latest
                        self.latest = await events.until(lambda s, b=before: s is not b, "news", PATIENCE_SECONDS)
            self.breaks += 1
            await asyncio.sleep(0.3)

    async def until(self, fits: Callable[[dict[str, Any]], Any], what: str) -> dict[str, Any]:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not (self.latest and fits(self.latest)):
            shown = {k: v for k, v in self.latest.items() if k in ("state", "live", "people")}
            assert time.monotonic() < deadline, f"{what}: not within {PATIENCE_SECONDS:.0f} s; last seen {shown}"
            await asyncio.sleep(0.05)
        return self.latest

    async def until_shown(self, who: tuple[str, ...], presence: str) -> None:
        await self.until(
            lambda s: any(p["who"] in who and p["presence"] == presence for p in s["people"]),
            f"the provider's page shows {who[0]} as {presence}",
        )


@asynccontextmanager
async def following(opened: Callable[[], AbstractAsyncContextManager[Events]]) -> AsyncGenerator[Live]:
    live = Live()
    task = asyncio.create_task(live.follow(opened))
    try:
        yield live
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def booked(stack: TestStack, organization: str) -> tuple[Ehr, EhrUser, str, str]:
    """EHR, provider, patient's id and CSN of a new appointment."""
    ehr = next(e for e in stack.world.ehrs if e.organization == organization)
    user = ehr.users[0]
    clerk = Browser(stack.certificates)
    fields = {"environment": "test", "provider": user.id, "patient_name": "Nobody Known", "time": "15:30"}
    try:
        (made,) = (await clerk.act(f"{ehr.url}/hyperspace/appointments", fields))["appointments"]
    finally:
        await clerk.close()
    return ehr, user, made["patient"], made["csn"]


async def enduring_visit(stack: TestStack, organization: str, meanwhile: Meanwhile) -> list[WriteBack]:
    """One visit to its end; answers what the EHR was told of it."""
    ehr, user, patient_id, csn = await booked(stack, organization)
    stage = stack.config.stage
    instance = next(e.instance for e in ehr.environments if e.stage is stage)
    log = EhrLog(stack.state, organization)
    provider = Provider(ehr, stage, user, stack.world.entra, stack.certificates)
    patient = Patient(ehr, stage, patient_id, stack.certificates)
    try:
        await meanwhile("begin")
        page: Page = await again(lambda: provider.begin(csn), "the provider begins")
        waiting: Page = await again(lambda: patient.begin(csn), "the patient comes")
        async with following(lambda: provider.watching(page)) as live, following(lambda: patient.waiting(waiting)) as w:
            ready = await live.until(lambda s: s["open"] and s["live"], "the meeting is ready")
            await meanwhile("join")
            await again(lambda: provider.join(ready["open"]), "the provider joins")
            await live.until_shown(("you", "staff"), "connected")
            await meanwhile("wait")
            await w.until(lambda s: s["state"] == "go", "the patient's page goes on")
            await again(lambda: patient.join(waiting), "the patient joins")
            await live.until_shown(("patient",), "waiting")
            await meanwhile("admit")
            await again(provider.admit, "the patient is admitted")
            await live.until_shown(("patient",), "connected")
            await meanwhile("patient leaves")
            await again(patient.leave, "the patient leaves")
            await live.until_shown(("patient",), "left")
            await meanwhile("provider leaves")
            await again(provider.leave, "the provider leaves")
            await live.until_shown(("you", "staff"), "left")
        await meanwhile("told")
        return await log.until(instance, csn, WRITE_BACKS, PATIENCE_SECONDS)
    finally:
        await provider.browser.close()
        await patient.browser.close()


def each_once(told: list[WriteBack]) -> list[tuple[str, str]]:
    """What an EHR was told, in its order; the same thing said again at once counts as one."""
    said = [(w.external_id_type, w.status) for w in told]
    return [what for n, what in enumerate(said) if n == 0 or said[n - 1] != what]
