"""The store: every resource of the emulated cloud as ARM JSON, in one file on disk under a lock.

Owns `azure/resources.json` (0600) of the state folder: a line for each resource, readable and editable by hand, which
is how drift is made. Writes are atomic (a new file renamed over the old one) and happen only in `Store.transaction()`,
under an exclusive lock of `azure/lock` that ends with the process that holds it.
"""

import fcntl
import os
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import psutil

from emulators.azure.arm import BY_ARM_TYPE, Row
from emulators.azure.documents import value_at
from emulators.state import write_private


@dataclass
class Contents:
    """One version of the store. Ids are compared without case, as Resource Manager does."""

    resources: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    operations: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    """Writes under way on a server that takes one at a time: server id -> holder {pid, create_time}."""

    def get(self, arm_id: str) -> dict[str, Any] | None:
        return self.resources.get(arm_id.lower())

    def put(self, arm: Mapping[str, Any]) -> None:
        self.resources[arm["id"].lower()] = dict(arm)

    def remove(self, arm_id: str) -> None:
        self.resources.pop(arm_id.lower(), None)

    def of_type(self, arm_type: str) -> Iterator[dict[str, Any]]:
        wanted = arm_type.lower()
        return (arm for arm in self.resources.values() if arm["type"].lower() == wanted)

    def below(self, arm_id: str) -> list[dict[str, Any]]:
        """What is nested in a resource or lies in a group, and what is assigned at its scope."""
        prefix = arm_id.lower() + "/"
        return [arm for key, arm in self.resources.items() if key.startswith(prefix)]

    def row(self, arm: Mapping[str, Any]) -> Row:
        return BY_ARM_TYPE[arm["type"].lower()]

    @property
    def has_processes(self) -> bool:
        return any(self.row(arm).process for arm in self.resources.values())

    def ports(self) -> set[int]:
        """Loopback ports that resources were given."""
        taken: set[int] = set()
        for arm in self.resources.values():
            for key in ("vaultUri", "fullyQualifiedDomainName", "primaryEndpoints.blob"):
                value = value_at(arm["properties"], key)
                if isinstance(value, str) and value.rstrip("/").rpartition(":")[2].isdigit():
                    taken.add(int(value.rstrip("/").rpartition(":")[2]))
        return taken

    def holder(self, server_id: str) -> dict[str, Any] | None:
        """Who writes to a server now; a holder that died holds nothing."""
        holder = self.operations.get(server_id.lower())
        return holder if holder and _alive(holder) else None

    def hold(self, server_id: str) -> None:
        me = psutil.Process()
        self.operations[server_id.lower()] = {"pid": me.pid, "create_time": me.create_time()}

    def release(self, server_id: str) -> None:
        self.operations.pop(server_id.lower(), None)


class Store:
    """The store of one state folder."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.folder = state / "azure"
        self.file = self.folder / "resources.json"
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._read: tuple[tuple[int, int, int], Contents] | None = None

    def read(self) -> Contents:
        """The present version, to look at; no lock is needed, because versions replace one another whole.

        A version is parsed once: the emulated services look at it at each request.
        """
        try:
            with self.file.open("rb") as file:
                status = os.fstat(file.fileno())
                version = (status.st_ino, status.st_mtime_ns, status.st_size)
                known = self._read
                if known is None or known[0] != version:
                    known = self._read = version, _parsed(file.read())
        except FileNotFoundError:
            return Contents()
        return known[1]

    @contextmanager
    def transaction(self) -> Generator[Contents]:
        """Read, change, write: nobody else does so meanwhile. Nothing is written if the block raises."""
        with locked(self.folder / "lock"):
            contents = _parsed(self.file.read_bytes()) if self.file.exists() else Contents()
            yield contents
            write_private(self.file, _written(contents))


def _parsed(data: bytes) -> Contents:
    document = orjson.loads(data)
    return Contents(document["resources"], document.get("operations", {}))


def _written(contents: Contents) -> bytes:
    """A line for each resource. It is written at each step of an update: orjson takes a tenth of the time of `json`."""
    lines = [
        b"%b: %b" % (orjson.dumps(key), orjson.dumps(arm, option=orjson.OPT_SORT_KEYS))
        for key, arm in sorted(contents.resources.items())
    ]
    resources, operations = b",\n".join(lines), orjson.dumps(contents.operations)
    return b'{"version":1,"operations":%b,"resources":{\n%b\n}}\n' % (operations, resources)


@contextmanager
def locked(path: Path) -> Generator[None]:
    """An exclusive lock between processes and threads, which the kernel drops with its holder."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _alive(holder: Mapping[str, Any]) -> bool:
    try:
        return psutil.Process(holder["pid"]).create_time() == holder["create_time"]
    except psutil.Error:
        return False
