"""Ends what a killed supervisor leaves behind, within ten seconds.

A process of the supervisor's POSIX session that waits for the other end of its standard input to go, which happens
when the supervisor dies, however it dies. Then it ends every other process of the session, and what those started.
It knows them by the session alone, so nothing must be registered, and a reused pid cannot be hit.
"""

import os
import sys
from contextlib import suppress

import psutil

GRACE_SECONDS = 3.0


def session_members(session: int) -> list[psutil.Process]:
    """All processes of a POSIX session but this one, and their descendants in other sessions."""
    found: dict[int, psutil.Process] = {}
    for process in psutil.process_iter():
        if process.pid == os.getpid():
            continue
        with suppress(ProcessLookupError, PermissionError, psutil.Error):
            if os.getsid(process.pid) == session:
                found[process.pid] = process
                for child in process.children(recursive=True):
                    found[child.pid] = child
    found.pop(os.getpid(), None)
    return list(found.values())


def end_session(session: int) -> None:
    """SIGTERM, three seconds, SIGKILL; again until nobody of the session is left."""
    members = session_members(session)
    for process in members:
        with suppress(psutil.Error):
            process.terminate()
    psutil.wait_procs(members, timeout=GRACE_SECONDS)
    for _ in range(20):
        members = [p for p in session_members(session) if _not_zombie(p)]
        if not members:
            return
        for process in members:
            with suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(members, timeout=0.2)


def _not_zombie(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def main() -> None:
    if sys.stdin.buffer.read(1):  # the supervisor says goodbye: it has ended its children itself
        return
    end_session(os.getsid(0))


if __name__ == "__main__":
    main()
