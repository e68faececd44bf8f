"""Faults on demand: `faults.json` in the EHR's folder makes the EHR slow, or down, for some of its paths.

A list of `{"path_prefix", "status", "times", "delay_seconds"}`; without `status` only the delay happens, without
`times` the fault stays until the file is changed. Counts start again when the file is written. Requests that a fault
answers are in the raw log with the fault's status, and change nothing.
"""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send


class Fault(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    path_prefix: str
    status: int | None = Field(default=None, ge=400, le=599)
    times: int | None = Field(default=None, ge=1)
    delay_seconds: float = Field(default=0, ge=0, le=600)


_FAULTS = TypeAdapter(tuple[Fault, ...])


@dataclass
class _Loaded:
    version: tuple[int, int] = (0, 0)
    faults: tuple[Fault, ...] = ()
    used: dict[int, int] = field(default_factory=dict[int, int])


class Faults:
    """ASGI middleware. The file is read when it has changed; a malformed one fails every request, loudly."""

    def __init__(self, app: ASGIApp, path: Path) -> None:
        self.app, self.path, self.loaded = app, path, _Loaded()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        fault = self._next(scope["path"]) if scope["type"] == "http" else None
        if fault is not None and fault.delay_seconds:
            await asyncio.sleep(fault.delay_seconds)
        if fault is None or fault.status is None:
            await self.app(scope, receive, send)
        else:
            await PlainTextResponse("The service is unavailable.\n", fault.status)(scope, receive, send)

    def _next(self, path: str) -> Fault | None:
        self._load()
        for index, fault in enumerate(self.loaded.faults):
            used = self.loaded.used.get(index, 0)
            if path.startswith(fault.path_prefix) and (fault.times is None or used < fault.times):
                self.loaded.used[index] = used + 1
                return fault
        return None

    def _load(self) -> None:
        try:
            stat = self.path.stat()
        except FileNotFoundError:
            self.loaded = _Loaded()
            return
        version = (stat.st_mtime_ns, stat.st_ino)
        if version != self.loaded.version:
            self.loaded = _Loaded(version, _FAULTS.validate_json(self.path.read_bytes()))
