"""Getting over a killed engine: its lock, its pending operations, and what it made without writing it down.

Owns what the next command does by itself after a `kill -9` of Pulumi. A lock whose process is gone is cancelled;
pending operations are dropped from the state; resources that the emulated cloud has and no stack knows are forgotten by
it (the next create would find their names taken); where a stack knows resources that the cloud lost, the next update
refreshes.
"""

import json
import time
from pathlib import Path
from typing import Any, cast

import psutil

from emulators.azure.client import forget
from emulators.azure.store import Store
from schemas.stack_config import PROJECT
from workflow.engine import Engine, read_checkpoint, resources_of
from workflow.errors import NotReady

WAIT_SECONDS = 300.0
"""How long to wait for an engine that still works on the stack."""


def recover(engine: Engine) -> bool:
    """Answer whether the next update has to refresh. Raises `NotReady` where another engine does not end."""
    engine.prepare()
    locked = _dead_locks(engine)
    if locked:
        engine.report(f"stack {engine.stack}: the last update was killed; taking its lock away")
        engine.cancel()
    pending = _drop_pending(engine)
    known = _known_ids(engine)
    state = engine.project.state
    lost = known - set(Store(state).read().resources)
    if not _others_at_work(engine):
        forget_unknown(engine)
    return bool(locked or pending or lost)


def forget_unknown(engine: Engine) -> None:
    """Make the emulated cloud forget what no stack knows."""
    forgotten = forget(engine.project.state, _known_ids(engine))
    if forgotten:
        engine.report(f"{len(forgotten)} resources of a killed update are forgotten")


def _dead_locks(engine: Engine) -> list[Path]:
    """Locks whose engine is gone. Waits for one that lives."""
    deadline, told = time.monotonic() + WAIT_SECONDS, False
    while living := [lock for lock in _locks(engine) if _lives(lock)]:
        if time.monotonic() > deadline:
            advice = f"end it, or wait: pid {_holder(living[0]).get('pid')}"
            raise NotReady(f"the end of another pulumi on stack {engine.stack}", WAIT_SECONDS, advice)
        if not told:
            engine.report(f"stack {engine.stack}: waiting for another pulumi (pid {_holder(living[0]).get('pid')})")
            told = True
        time.sleep(0.2)
    return _locks(engine)


def _locks(engine: Engine) -> list[Path]:
    folder = engine.backend / ".pulumi" / "locks" / "organization" / PROJECT / engine.stack
    return sorted(folder.glob("*.json"))


def _others_at_work(engine: Engine) -> bool:
    """Whether an engine works on another stack of the same emulated cloud."""
    return any(_lives(lock) for lock in (engine.backend / ".pulumi" / "locks").rglob("*.json"))


def _holder(lock: Path) -> dict[str, Any]:
    try:
        return cast("dict[str, Any]", json.loads(lock.read_bytes()))
    except (OSError, ValueError):
        return {}


def _lives(lock: Path) -> bool:
    """Whether the lock's process is there and is an engine: a pid may have gone to another program."""
    try:
        process = psutil.Process(int(_holder(lock).get("pid", -1)))
        older = process.create_time() <= lock.stat().st_mtime + 1
        return older and process.name().startswith("pulumi") and process.status() != psutil.STATUS_ZOMBIE
    except (psutil.Error, OSError, ValueError):
        return False


def _drop_pending(engine: Engine) -> bool:
    if not read_checkpoint(engine.checkpoint_file).get("pending_operations"):
        return False
    exported = engine.export_deployment()
    dropped = cast("list[Any]", exported["deployment"].pop("pending_operations", None) or [])
    engine.import_deployment(exported)
    engine.report(f"stack {engine.stack}: {len(dropped)} unfinished operations are dropped")
    return True


def _known_ids(engine: Engine) -> set[str]:
    """The ARM ids, in lower case, that any stack of this state folder knows."""
    checkpoints = engine.checkpoint_file.parent.glob("*.json")
    resources = (r for file in checkpoints for r in resources_of(read_checkpoint(file)))
    return {str(r["id"]).lower() for r in resources if str(r.get("id", "")).startswith("/")}
