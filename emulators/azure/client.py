"""The supervisor as others see it: start it, ask it, stop it.

Owns the control protocol's client side (HTTP with JSON over `supervisor/control.sock`, 0600) and how a supervisor is
found alive: it holds a lock for as long as it lives, so neither a stale pid file nor a reused pid can mislead. The
provider and the `connector` command use this; nothing here needs a running supervisor but what says so.
"""

import fcntl
import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import psutil

from emulators.azure import held, layout
from emulators.azure.certificates import with_its_vault
from emulators.azure.errors import SupervisorUnavailable
from emulators.azure.store import Store
from emulators.state import MARKER_VARIABLE, STATE_VARIABLE

WORLD_VARIABLE = "CONNECTOR_EMULATED_WORLD"
"""As in `emulators/world.py`, which is not imported here: it takes a while."""

WITH_DATA = frozenset({"Microsoft.KeyVault/vaults", "Microsoft.Storage/storageAccounts"})
"""What is nested in them stays with them: a write that was killed is made again over what is there."""
START_SECONDS = 30.0
END_SECONDS = 30.0


def is_running(state: Path) -> bool:
    """Whether a supervisor holds its lock, from before it listens until it has cleaned up."""
    try:
        descriptor = os.open(layout.supervisor_folder(state) / "lock", os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def ensure_supervisor(state: Path) -> None:
    """Start a supervisor, detached, unless one is running. Does not wait for it."""
    if not is_running(state):
        _start(state)


def supervisor_status(state: Path) -> dict[str, Any] | None:
    """What the supervisor owns: processes with pids, resources and services with states. None where none runs."""
    if not is_running(state):
        return None
    try:
        return _request(state, "GET", "/status", None, 10.0)
    except OSError:
        return None


def reconcile(state: Path, wait: Collection[str] = (), *, timeout_seconds: float = 300.0) -> dict[str, Any]:
    """Make processes match the store, starting a supervisor if need be; waits until those of `wait` are settled.

    `wait` holds ARM ids, or "*" for everything. Answers {"resources": {id: {"state", "error"?, ...}}, "services": ...}.
    Raises SupervisorUnavailable.
    """
    return _call(state, "POST", "/reconcile", {"wait": list(wait)}, timeout_seconds)


def operator_token(state: Path, resource: str = "https://vault.azure.net") -> str:
    """A token of the deployer for an audience. Raises SupervisorUnavailable."""
    return cast(str, _call(state, "POST", "/operator-token", {"resource": resource}, 30.0)["access_token"])


def stop(state: Path) -> None:
    """End the supervisor and all it owns; resources and their data stay, and start again with the next command."""
    if not is_running(state):
        return
    process = _process(state)
    if process is not None:
        with suppress(psutil.Error):
            process.send_signal(signal.SIGTERM)
    wait_until_ended(state)


def wait_until_ended(state: Path, timeout_seconds: float = END_SECONDS) -> None:
    """Return once no supervisor runs. Raises SupervisorUnavailable if one still does at the end of the time."""
    deadline = time.monotonic() + timeout_seconds
    process = _process(state)
    while is_running(state) or (process is not None and _lives(process)):
        if time.monotonic() > deadline:
            raise SupervisorUnavailable(f"the supervisor did not end; see {_log(state)}")
        time.sleep(0.02)


def forget(state: Path, keep_ids: Iterable[str]) -> list[str]:
    """Remove what Pulumi does not know, after a killed update; returns the ids. Processes go at the next reconcile.

    Certificates that operators brought stay in a vault that stays: no program ever made them.
    """
    keep = {arm_id.lower() for arm_id in keep_ids}
    store = Store(state)
    with store.transaction() as contents:
        unknown = [arm for key, arm in contents.resources.items() if key not in keep and not with_its_vault(key, keep)]
        held.delete(state, (arm for arm in unknown if arm["type"] in WITH_DATA))
        gone = [arm["id"] for arm in unknown]
        for arm_id in gone:
            contents.remove(arm_id)
        contents.operations.clear()
    if gone and not store.read().resources:
        end_with_the_last_resource(state)
    elif gone and is_running(state):
        reconcile(state)
    return gone


def end_with_the_last_resource(state: Path) -> None:
    """The store is empty: the supervisor ends, and what was made at run time is removed."""
    if is_running(state):
        reconcile(state)
        wait_until_ended(state)
    else:
        layout.remove_what_was_made(state)


def child_environment(state: Path, environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """What every process of the local stack gets of our environment, and no more."""
    ours = os.environ if environment is None else environment
    kept = {name: ours[name] for name in ("PATH", "LANG", "HOME", "TMPDIR", WORLD_VARIABLE) if ours.get(name)}
    return {"LANG": "C.UTF-8"} | kept | {STATE_VARIABLE: str(state), MARKER_VARIABLE: str(state)}


def _process(state: Path) -> psutil.Process | None:
    """The supervisor's process, unless its pid is somebody else's by now."""
    with suppress(FileNotFoundError, psutil.Error, json.JSONDecodeError):
        record = json.loads((layout.supervisor_folder(state) / "supervisor.pid").read_text())
        process = psutil.Process(record["pid"])
        if process.create_time() == record["create_time"]:
            return process
    return None


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _start(state: Path) -> None:
    logs = layout.logs_folder(state)
    logs.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(_log(state), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        subprocess.Popen(
            [sys.executable, "-m", "emulators.azure.supervisor"],
            cwd=layout.REPOSITORY,
            env=child_environment(state),
            stdin=subprocess.DEVNULL,
            stdout=descriptor,
            stderr=descriptor,
            start_new_session=True,
        )
    finally:
        os.close(descriptor)


def _call(state: Path, method: str, path: str, body: Any, timeout_seconds: float) -> dict[str, Any]:
    """One request, starting the supervisor where none runs."""
    deadline, started = time.monotonic() + START_SECONDS, 0.0
    while True:
        try:
            return _request(state, method, path, body, timeout_seconds)
        except (FileNotFoundError, ConnectionRefusedError):
            if time.monotonic() > deadline:
                tail = "".join(_log(state).read_text(errors="replace").splitlines(keepends=True)[-20:])
                raise SupervisorUnavailable(f"the supervisor does not start; see {_log(state)}\n{tail}") from None
            if not is_running(state) and time.monotonic() - started > 5.0:
                _start(state)
                started = time.monotonic()
            time.sleep(0.03)
        except (OSError, http.client.HTTPException) as e:
            raise SupervisorUnavailable(f"the supervisor broke off ({e}); see {_log(state)}") from e


def _request(state: Path, method: str, path: str, body: Any, timeout_seconds: float) -> dict[str, Any]:
    socket_file = layout.supervisor_folder(state) / "control.sock"
    connection = http.client.HTTPConnection("localhost", timeout=timeout_seconds)
    connection.sock = layout.connect(socket_file, timeout_seconds)
    try:
        connection.request(
            method, path, None if body is None else json.dumps(body), {"content-type": "application/json"}
        )
        response = connection.getresponse()
        answer = json.loads(response.read())
    finally:
        connection.close()
    if response.status != 200:
        raise SupervisorUnavailable(f"the supervisor answered {response.status}: {answer.get('error')}")
    return cast(dict[str, Any], answer)


def _log(state: Path) -> Path:
    return layout.logs_folder(state) / "supervisor.log"
