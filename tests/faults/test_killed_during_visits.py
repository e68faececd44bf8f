"""Processes killed while visits are under way, an EHR that is down, a supervisor that is killed, and then Ctrl-C.

One running stack, used by the tests in their order. Who is killed, where and when is chosen by a seed.
"""

import asyncio
import json
import random
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from emulators.azure.client import is_running
from tests.faults.enduring import IN_ORDER, STEPS, each_once, enduring_visit
from tests.support.leftovers import Household, git_status
from tests.support.processes import chosen_by_seed, container, database, described, in_session, supervisor, until
from tests.support.stack import Running, TestStack
from workflow.ehr_log import WriteBack

HOMES = {"lakeside": "americas", "rheinland": "emea", "southern-cross": "apac"}
KILLED: dict[str, Callable[[TestStack, str], psutil.Process]] = {
    "application": lambda stack, geography: container(stack, "application", geography),
    "worker": lambda stack, geography: container(stack, "worker", geography),
    "database": database,
}
DOWN = "prairie"
"""Whose EHR takes no write-backs for a while."""


@pytest.fixture(scope="module")
def household(tmp_path_factory: pytest.TempPathFactory) -> Household:
    return Household(tmp_path_factory.mktemp("household"))


@pytest.fixture(scope="module")
def running(
    tmp_path_factory: pytest.TempPathFactory, household: Household, pulumi_executable: Path
) -> Iterator[Running]:
    stack = household.move_in(TestStack.make(tmp_path_factory.mktemp("faults")))
    up = Running(stack)
    up.until_up()
    yield up
    up.end()


class Blow:
    """`kill -9` of one process, at a random moment of a random step."""

    def __init__(self, chance: random.Random, find: Callable[[], psutil.Process]) -> None:
        self.step, self.delay, self.find = chance.choice(STEPS[:-1]), chance.uniform(0, 0.6), find
        self.pid: int | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def __call__(self, step: str) -> None:
        if step == self.step:
            self._tasks.append(asyncio.create_task(self._fall()))

    async def _fall(self) -> None:
        await asyncio.sleep(self.delay)
        process = self.find()
        self.pid = process.pid
        process.kill()


class Outage:
    """The EHR's status service answers 503 from the provider's joining until all have left, and once at least."""

    def __init__(self, stack: TestStack) -> None:
        ehr = next(e for e in stack.world.ehrs if e.organization == DOWN)
        instance = next(e.instance for e in ehr.environments if e.stage is stack.config.stage)
        self.folder = stack.state / "ehr" / DOWN
        self.file = self.folder / "faults.json"
        self.fault: dict[str, Any] = {"path_prefix": f"/{instance}/api/epic", "status": 503}

    async def __call__(self, step: str) -> None:
        if step == "join":
            self.file.write_text(json.dumps([self.fault]))
        elif step == "told":
            await asyncio.to_thread(until, self.refused, "the EHR refused a write-back")
            self.file.unlink()

    def refused(self) -> bool:
        lines = (self.folder / "raw-requests.jsonl").read_text("utf-8").splitlines()
        return any(
            r["status"] == 503 and r["path"].startswith(self.fault["path_prefix"]) for r in map(json.loads, lines)
        )


@pytest.fixture(scope="module")
def told(running: Running) -> dict[str, list[WriteBack]]:
    """What each EHR was told of one visit, by what was killed in it; all visits at once."""
    stack = running.stack
    chance = chosen_by_seed("killed during visits")
    victims = dict(zip(KILLED, chance.sample(list(HOMES), len(HOMES)), strict=True))
    blows = {
        what: Blow(chance, lambda w=what, o=organization: KILLED[w](stack, HOMES[o]))
        for what, organization in victims.items()
    }
    for what, organization in victims.items():
        blow = blows[what]
        print(f"{what} of {HOMES[organization]} is killed {blow.delay:.2f} s into the step '{blow.step}'")

    async def all_at_once() -> list[list[WriteBack]]:
        visits = [enduring_visit(stack, organization, blows[what]) for what, organization in victims.items()]
        return await asyncio.gather(*visits, enduring_visit(stack, DOWN, Outage(stack)))

    found = dict(zip((*victims, "ehr"), asyncio.run(all_at_once()), strict=True))
    assert {what for what, blow in blows.items() if blow.pid is None} == set()
    for what, organization in victims.items():
        until(lambda w=what, o=organization: _stands(stack, w, HOMES[o], blows[w].pid), f"another {what}")
    return found


def _stands(stack: TestStack, what: str, geography: str, killed: int | None) -> bool:
    try:
        return KILLED[what](stack, geography).pid != killed
    except LookupError:
        return False


@pytest.mark.parametrize("what", list(KILLED))
def test_a_visit_goes_on_over_a_kill_and_the_ehr_is_told_all_in_order(
    told: dict[str, list[WriteBack]], what: str
) -> None:
    assert each_once(told[what]) == IN_ORDER


def test_what_an_ehr_could_not_be_told_while_it_was_down_it_is_told_later_in_order(
    told: dict[str, list[WriteBack]],
) -> None:
    assert each_once(told["ehr"]) == IN_ORDER


def test_a_supervisor_killed_during_a_visit_takes_all_along_and_the_visit_goes_on_with_the_next(
    running: Running,
) -> None:
    stack = running.stack
    chance = chosen_by_seed("supervisor killed during a visit")
    step, delay = chance.choice(STEPS[1:-1]), chance.uniform(0, 0.6)
    print(f"the supervisor is killed {delay:.2f} s into the step '{step}'")
    ended: list[list[str]] = []

    def fall() -> None:
        first = supervisor(stack)
        children = [p for p in in_session(first.pid) if p.pid != first.pid]
        assert len(children) > 10
        first.kill()
        psutil.wait_procs(children, timeout=10)
        ended.append(described(children))

    async def meanwhile(at: str) -> None:
        if at == step:
            await asyncio.sleep(delay)
            await asyncio.to_thread(fall)

    told = asyncio.run(enduring_visit(stack, "rheinland", meanwhile))
    assert ended == [[]], "children of a killed supervisor end within 10 s"
    assert each_once(told) == IN_ORDER


def test_after_ctrl_c_nothing_is_left_of_processes_and_files(running: Running, household: Household) -> None:
    stack = running.stack
    session = supervisor(stack).pid
    assert len(in_session(session)) > 10
    running.process.send_signal(signal.SIGINT)
    assert running.end() == 0, running.lines[-40:]
    assert described(in_session(session)) == []
    assert stack.until_no_processes(0) == []
    assert not is_running(stack.state)
    assert household.strays() == []
    assert git_status() == household.status
    made = {f.name for f in stack.root.iterdir() if not f.is_symlink() and f.suffix != ".yaml"}
    assert made == {".local", "approvals", "organizations"}
