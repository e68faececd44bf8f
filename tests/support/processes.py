"""Processes of a running stack by what they are, and killing them at moments that a seed chooses.

Owns how tests find the supervisor's POSIX session and one container or database of a geography, and the seed: printed
with each test that uses it, and taken from `CONNECTOR_TEST_SEED` where that is set.
"""

import os
import random
import secrets
import time
from collections.abc import Callable, Iterable

import psutil

from tests.support.stack import TestStack

SEED_VARIABLE = "CONNECTOR_TEST_SEED"


def chosen_by_seed(what: str) -> random.Random:
    """Chances of one test. pytest shows the printed line where the test fails."""
    seed = int(os.environ.get(SEED_VARIABLE) or secrets.randbelow(1_000_000))
    print(f"{what}: to repeat these choices, set {SEED_VARIABLE}={seed}")
    return random.Random(f"{seed} {what}")


def until(happened: Callable[[], object], what: str, seconds: float = 180.0) -> None:
    """Wait for something that other processes do."""
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, f"{what}: not within {seconds:.0f} s"
        time.sleep(0.05)


def lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def described(processes: Iterable[psutil.Process]) -> list[str]:
    """Those that live, as lines for messages."""
    lines: list[str] = []
    for process in processes:
        try:
            if lives(process):
                lines.append(f"{process.pid} {' '.join(process.cmdline())}")
        except psutil.Error:
            continue
    return lines


def supervisor(stack: TestStack) -> psutil.Process:
    """The one supervisor. It leads its POSIX session."""
    found: list[psutil.Process] = []

    def is_one() -> bool:
        """Providers start one each, and all but one of them end at once."""
        found[:] = stack.named("-m emulators.azure.supervisor")
        return len(found) == 1

    until(is_one, "one supervisor", 30)
    assert os.getsid(found[0].pid) == found[0].pid, "the supervisor leads no session of its own"
    return found[0]


def in_session(session: int) -> list[psutil.Process]:
    """Every live process of a POSIX session."""
    members: list[psutil.Process] = []
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == session and lives(process):
                members.append(process)
        except (OSError, psutil.Error):
            continue
    return members


def container(stack: TestStack, role: str, geography: str) -> psutil.Process:
    """The application or worker of a geography. Raises LookupError while it is down."""
    for process in stack.named("-m runtime"):
        try:
            environment = process.environ()
        except psutil.Error:
            continue
        if (environment.get("CONNECTOR_ROLE"), environment.get("CONNECTOR_GEOGRAPHY")) == (role, geography):
            return process
    raise LookupError(f"{role} of {geography}")


def database(stack: TestStack, geography: str) -> psutil.Process:
    """The PostgreSQL server of a geography: its postmaster. Raises LookupError while it is down."""
    for process in stack.named(f"{stack.state}/postgres/"):
        try:
            line = process.cmdline()
        except psutil.Error:
            continue
        if "-D" in line and geography in line[line.index("-D") + 1].rsplit("/", 1)[1]:
            return process
    raise LookupError(f"database of {geography}")
