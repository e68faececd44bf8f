"""One command at a time on a state folder, and a clean way out of it.

Owns the folder's lock (who holds it stands in it, for `connector down`) and how signals become one orderly end.
"""

import fcntl
import json
import os
import signal
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import psutil

from workflow.errors import WorkflowError

END_SECONDS = 180.0


class Busy(WorkflowError):
    def __init__(self, command: str, pid: int) -> None:
        super().__init__(f"`connector {command}` is running here (pid {pid})")
        self.advice = "end it with Ctrl-C, or with: connector down"


@contextmanager
def exclusive(state: Path, command: str) -> Generator[None]:
    """Hold the state folder while the block runs. Raises `Busy`."""
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(_file(state), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _holder(state)
            raise Busy(holder.get("command", "?"), holder.get("pid", 0)) from None
        me = psutil.Process()
        record = {"command": command, "pid": me.pid, "create_time": me.create_time()}
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(record).encode(), 0)
        yield
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def is_held(state: Path) -> bool:
    """Whether a command holds the folder."""
    with suppress(FileNotFoundError):
        descriptor = os.open(_file(state), os.O_RDWR)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
    return False


def end_other(state: Path) -> None:
    """Ask the command that holds the folder to end, and wait until it did. Raises `Busy` if it does not."""
    holder = _holder(state)
    with suppress(psutil.Error, KeyError):
        process = psutil.Process(holder["pid"])
        if process.create_time() == holder["create_time"]:
            process.send_signal(signal.SIGINT)
    deadline = time.monotonic() + END_SECONDS
    while is_held(state):
        if time.monotonic() > deadline:
            raise Busy(holder.get("command", "?"), holder.get("pid", 0))
        time.sleep(0.1)


@contextmanager
def one_interrupt() -> Generator[None]:
    """SIGINT, SIGTERM and SIGHUP raise KeyboardInterrupt once; more of them do not disturb the clean-up."""
    raised = False

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal raised
        if not raised:
            raised = True
            raise KeyboardInterrupt

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _file(state: Path) -> Path:
    return state / "command.lock"


def _holder(state: Path) -> dict[str, Any]:
    try:
        return json.loads(_file(state).read_bytes() or b"{}")
    except (FileNotFoundError, ValueError):
        return {}
