"""One whole visit, driven and judged: begin, wait, meet, leave, and what the EHR was told.

Owns the order of the steps and what must have happened for the visit to count. The record that it leaves is made of
what was seen from outside: the pages' live snapshots and the EHR's own log.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import httpx

from emulators.state import now_text
from workflow.browser import Events, Page, PageUnexpected
from workflow.ehr_log import EhrLog, WriteBack
from workflow.errors import VisitFailed
from workflow.people import Patient, Provider

Tell = Callable[[str, str], None]
"""Tells the timeline who did what."""

Meanwhile = Callable[[], Awaitable[None]]
"""What happens elsewhere during a visit."""

DELIVERY_SECONDS = 60.0
UNREADY_SECONDS = 20.0
PRESENCE = [
    ("provider", "connected"),
    ("patient", "waiting"),
    ("patient", "connected"),
    ("patient", "left"),
    ("provider", "left"),
]
WRITE_BACKS = {(who, status) for who in ("Provider", "Patient") for status in ("Connected", "Disconnected")}


@dataclass(frozen=True)
class Plan:
    """Which visit: an appointment, and who comes first."""

    organization: str
    connection: str
    instance: str
    csn: str
    patient_first: bool


@dataclass
class Record:
    """What was seen of a visit."""

    plan: Plan
    meeting: dict[str, str] = field(default_factory=dict[str, str])
    presence: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    write_backs: list[WriteBack] = field(default_factory=list[WriteBack])
    launches: int = 0
    problem: str = ""

    def see(self, who: str, state: str, since: str) -> None:
        self.presence.append({"participant": who, "state": state, "time": since})

    def missing(self) -> list[str]:
        """What a whole visit has and this one has not."""
        seen = {(p["participant"], p["state"]) for p in self.presence}
        told = {(w.external_id_type, w.status) for w in self.write_backs}
        lacking = [f"presence: {who} {state}" for who, state in PRESENCE if (who, state) not in seen]
        return lacking + [f"write-back: {who} {status}" for who, status in sorted(WRITE_BACKS - told)]


async def drive(
    plan: Plan, provider: Provider, patient: Patient, log: EhrLog, tell: Tell, meanwhile: Meanwhile | None = None
) -> Record:
    """Drive one visit to its end; `meanwhile` happens while both are connected.

    A step that fails ends the visit; the record says which and why.
    """
    record = Record(plan)
    try:
        async with AsyncExitStack() as stack:
            await _meet(record, provider, patient, tell, stack, meanwhile)
    except (PageUnexpected, httpx.HTTPError) as problem:
        record.problem = (
            f"{type(problem).__name__}: {problem}" if isinstance(problem, httpx.HTTPError) else str(problem)
        )
    finally:
        await patient.browser.close()
    seconds = DELIVERY_SECONDS if not record.problem else 1.0
    record.write_backs = await log.until(plan.instance, plan.csn, WRITE_BACKS, seconds)
    for told in record.write_backs:
        tell("ehr", f"was told: {told.external_id_type} {told.status}")
    return record


async def _meet(
    record: Record, provider: Provider, patient: Patient, tell: Tell, stack: AsyncExitStack, meanwhile: Meanwhile | None
) -> None:
    csn = record.plan.csn
    if record.plan.patient_first:
        await _patient_comes(record, patient, tell, stack)
    page = await _pressing(lambda: provider.begin(csn), "provider", tell)
    record.launches += 1
    linked = ", signed in to Microsoft for the first time" if provider.signed_in_to_microsoft else ""
    provider.signed_in_to_microsoft = False
    tell("provider", f"began the visit{linked}")
    live = await stack.enter_async_context(provider.watching(page))
    ready = await live.until(lambda s: s["open"] and s["live"], "the meeting is ready and its events are subscribed")
    record.meeting = {"join_url": ready["open"]}
    tell("meeting", "is ready, its lobby holds")
    await provider.join(ready["open"])
    await _seen(record, live, tell, "provider", "connected")
    if not record.plan.patient_first:
        await _patient_comes(record, patient, tell, stack)
    assert patient.page is not None
    assert patient.stream is not None
    await patient.stream.until(lambda s: s["state"] == "go", "the patient's page goes on")
    in_lobby = await patient.join(patient.page)
    if in_lobby:
        await _seen(record, live, tell, "patient", "waiting")
        await provider.admit()
        tell("provider", "admitted the patient")
    await _seen(record, live, tell, "patient", "connected")
    if meanwhile is not None:
        await meanwhile()
    await patient.leave()
    await _seen(record, live, tell, "patient", "left")
    await provider.leave()
    await _seen(record, live, tell, "provider", "left")


async def _pressing(begin: Callable[[], Awaitable[Page]], who: str, tell: Tell) -> Page:
    """Press again after a while where a page says that something is not there yet (502, 503), and tell so."""
    deadline = time.monotonic() + UNREADY_SECONDS
    while True:
        try:
            return await begin()
        except PageUnexpected as problem:
            if problem.status not in (502, 503) or time.monotonic() > deadline:
                raise
            tell(who, f"presses again: {problem}")
        await asyncio.sleep(1)


async def _patient_comes(record: Record, patient: Patient, tell: Tell, stack: AsyncExitStack) -> None:
    patient.page = await _pressing(lambda: patient.begin(record.plan.csn), "patient", tell)
    record.launches += 1
    tell("patient", "is in the waiting room")
    patient.stream = await stack.enter_async_context(patient.waiting(patient.page))


async def _seen(record: Record, live: Events, tell: Tell, who: str, state: str) -> None:
    """Wait until the provider's page shows it."""
    kinds = ("you", "staff") if who == "provider" else ("patient",)

    def fits(snapshot: dict[str, Any]) -> bool:
        return any(p["who"] in kinds and p["presence"] == state for p in snapshot["people"])

    snapshot = await live.until(fits, f"the provider's page shows the {who} as {state}")
    since = next(p["since"] for p in snapshot["people"] if p["who"] in kinds and p["presence"] == state)
    record.see(who, state, since)
    tell(who, {"waiting": "waits in the lobby", "connected": "is connected", "left": "left"}[state])


def judge(records: list[Record]) -> None:
    """Raises VisitFailed with the reasons of every visit that was not whole."""
    failed = [(r, r.problem or "; ".join(r.missing())) for r in records if r.problem or r.missing()]
    if failed:
        reasons = "\n".join(f"{r.plan.organization}, visit {r.plan.csn}: {why}" for r, why in failed)
        raise VisitFailed(f"{len(failed)} of {len(records)}", "not a whole visit", f"{reasons}\nat {now_text()}")
