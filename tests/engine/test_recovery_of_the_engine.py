"""An engine that is killed at a random moment: its helpers end, and the next command recovers lock and state."""

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.support.one_geography import keep_only
from tests.support.stack import TestStack


@pytest.fixture
def stack(tmp_path: Path, pulumi_executable: Path) -> TestStack:
    """One geography, of 53 resources."""
    made = TestStack.make(tmp_path)
    keep_only(made, "americas")
    return made


class ByHand:
    """A hand-typed `pulumi`, in the background, in a shell that has only what `connector env` prints."""

    def __init__(self, stack: TestStack, *arguments: str) -> None:
        self.stack = stack
        exported = stack.connector("env", stack.name)
        assert exported.returncode == 0, exported.stderr
        script = f"{exported.stdout}\nexec pulumi {' '.join(arguments)}"
        clean = {"HOME": stack.environment["HOME"], "PATH": "/usr/bin:/bin"}
        self.process = subprocess.Popen(
            ["/bin/sh", "-c", script],
            cwd=stack.root,
            env=clean,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            process_group=0,
        )

    def kill_when(self, moment: Callable[[int], bool]) -> None:
        """`kill -9` of the engine alone, once the number of resources in the emulated cloud fits."""
        while not moment(len(self.stack.arm())):
            assert self.process.poll() is None, "the engine ended before it was killed"
            time.sleep(0.02)
        session = os.getsid(self.process.pid)
        children = psutil.Process(self.process.pid).children(recursive=True)
        helpers = [p for p in children if _lives(p) and os.getsid(p.pid) == session]  # the supervisor's stays
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()
        psutil.wait_procs(helpers, timeout=10)
        assert [p.cmdline() for p in helpers if _lives(p)] == [], "helpers of the engine end within 10 s"


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


@pytest.mark.parametrize("seed", [11])
def test_after_kills_at_random_moments_the_next_commands_recover(stack: TestStack, seed: int) -> None:
    chosen = random.Random(seed)
    before = 0
    for _ in range(3):
        enough = before + chosen.randint(3, 10)
        up = ByHand(stack, "up", "--yes", "--skip-preview", "--non-interactive")
        up.kill_when(lambda n, enough=enough: n >= enough)
        before = len(stack.arm())
        recovered = stack.connector("env", stack.name)
        assert recovered.returncode == 0, recovered.stderr
        assert "taking its lock away" in recovered.stderr

    completed = stack.pulumi("up", "--yes", "--skip-preview", "--non-interactive", "--refresh")
    assert completed.returncode == 0, completed.stdout[-3000:]
    again = stack.pulumi("preview", "--expect-no-changes", "--non-interactive")
    assert again.returncode == 0, again.stdout[-3000:]

    everything = len(stack.arm())
    fewer = everything - chosen.randint(5, 30)
    ByHand(stack, "destroy", "--yes", "--skip-preview", "--non-interactive").kill_when(lambda n: n <= fewer)
    ended = stack.connector("down")
    assert ended.returncode == 0, ended.stderr
    assert stack.arm() == {}
    assert stack.until_no_processes() == []


def test_after_the_command_itself_is_killed_the_next_one_ends_what_it_left(stack: TestStack) -> None:
    up = stack.start("up", stack.name)
    while len(stack.arm()) < 20:
        assert up.poll() is None
        time.sleep(0.05)
    up.kill()
    up.wait()
    ended = stack.connector("down")
    assert ended.returncode == 0, ended.stderr
    assert stack.arm() == {}
    assert stack.until_no_processes() == []


def test_nothing_stands_beside_a_state_that_a_killed_engine_could_leave_half_written(stack: TestStack) -> None:
    """The file backend writes a file's attributes in place; half of them, and no engine reads the state."""
    assert stack.connector("env", stack.name).returncode == 0
    states = stack.state / "pulumi" / ".pulumi" / "stacks"
    assert {file.suffix for file in states.rglob("*") if file.is_file()} == {".json", ".bak"}
