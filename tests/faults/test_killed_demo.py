"""A demonstration that is killed, command and engine, at a random moment; the next one recovers and leaves nothing."""

import json
import os
import signal
import time
from pathlib import Path

import psutil

from tests.support.leftovers import Household, git_status
from tests.support.processes import chosen_by_seed, described, in_session, lives, supervisor, until
from tests.support.stack import TestStack

VISITS = 4
SUPERVISOR = "-m emulators.azure.supervisor"


def test_after_a_killed_demo_the_next_one_recovers_ends_with_zero_and_leaves_nothing(
    tmp_path: Path, pulumi_executable: Path
) -> None:
    household = Household(tmp_path / "household")
    folder = tmp_path / "project"
    folder.mkdir()
    stack = household.move_in(TestStack.make(folder, approved=False))
    chance = chosen_by_seed("killed demo")
    resources, delay = chance.randint(1, 80), chance.uniform(0, 5)
    print(f"killed {delay:.2f} s after there are {resources} resources")

    first = stack.start("demo")
    until(lambda: len(stack.arm()) >= resources or first.poll() is not None, f"{resources} resources", 180)
    time.sleep(delay)  # a moment that the seed chose: there is nothing to wait for
    assert first.poll() is None
    helpers = psutil.Process(first.pid).children(recursive=True)
    engines = [p for p in helpers if p.name().startswith("pulumi") and "language" not in p.name()]
    first.kill()
    for engine in engines:
        if lives(engine) and engine.cmdline()[1:2] in (["up"], ["destroy"]):
            os.kill(engine.pid, signal.SIGKILL)
    first.communicate()
    helpers = _without_supervisor(stack, helpers)
    psutil.wait_procs(helpers, timeout=10)
    assert described(helpers) == [], "helpers of the engine end within 10 s; the supervisor's processes stay"

    second = stack.start("demo", "--appointments", str(VISITS), "--output", "json")
    until(lambda: second.poll() is not None or (stack.arm() and stack.named(SUPERVISOR)), "a supervisor", 300)
    sessions = {supervisor(stack).pid} if second.poll() is None else set[int]()
    output, errors = second.communicate(timeout=600)
    assert second.returncode == 0, errors[-4000:]
    visits = [v for o in json.loads(output)["organizations"] for v in o["visits"]]
    assert len(visits) == VISITS + 1, "and the one in production"
    assert all(len(v["write_backs"]) >= 4 for v in visits)

    assert sessions
    assert [line for session in sessions for line in described(in_session(session))] == []
    assert stack.until_no_processes(0) == []
    assert stack.arm() == {}
    assert household.strays() == []
    assert git_status() == household.status


def _without_supervisor(stack: TestStack, processes: list[psutil.Process]) -> list[psutil.Process]:
    """A database's own processes lead sessions of their own: the supervisor's are known by descent."""
    supervisors = stack.named(SUPERVISOR)
    kept = {*supervisors, *(child for s in supervisors for child in s.children(recursive=True))}
    return [process for process in processes if process not in kept]
