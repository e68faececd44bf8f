"""What the emulator was told to break: a feature of the emulation, for tests and rehearsals of failures.

Owns `<state>/graph/faults.json`, a list that is read again whenever it changes:

- an API fault: `{"method": "POST", "path_prefix": "/v1.0/users/", "path_suffix": "/createOrGet", "status": 429,
  "retry_after": 2, "delay_seconds": 0, "times": 1, "when": "before"}`. Everything but the two paths may be left out.
  Without `status` the call is only delayed; `"when": "after"` carries the call out and then loses its answer.
- a delivery fault: `{"notifications": "duplicate" | "disorder" | "drop", "times": 2}`; `disorder` holds one
  notification back until the next one has been sent (two seconds at most).
- a lifecycle notification beside the next event: `{"lifecycle": "reauthorizationRequired" | "subscriptionRemoved" |
  "missed", "times": 1}`.

Without `times` a fault stays. A file that does not read is refused aloud: every call answers 500 with the reason.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from emulators.graph.errors import GraphError


class _Fault(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    times: Annotated[int, Field(ge=0)] | None = None


class ApiFault(_Fault):
    method: str | None = None
    path_prefix: str = "/"
    path_suffix: str = ""
    status: Annotated[int, Field(ge=400, le=599)] | None = None
    retry_after: int | None = None
    delay_seconds: float = 0
    when: Literal["before", "after"] = "before"

    def covers(self, method: str, path: str) -> bool:
        return self.method in (None, method) and path.startswith(self.path_prefix) and path.endswith(self.path_suffix)

    def error(self) -> GraphError | None:
        if self.status is None:
            return None
        headers = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
        codes = {429: "TooManyRequests", 403: "Forbidden", 503: "ServiceUnavailable", 504: "GatewayTimeout"}
        code = codes.get(self.status, "UnknownError")
        return GraphError(self.status, code, "Answered so by the faults file of the emulation.", headers)


class DeliveryFault(_Fault):
    notifications: Literal["duplicate", "disorder", "drop"]


class LifecycleFault(_Fault):
    lifecycle: Literal["reauthorizationRequired", "subscriptionRemoved", "missed"]


_ADAPTER: TypeAdapter[list[DeliveryFault | LifecycleFault | ApiFault]] = TypeAdapter(
    list[DeliveryFault | LifecycleFault | ApiFault]
)


@dataclass
class Faults:
    """The faults of one file, with how often each has happened."""

    path: Path
    _seen: bytes | None = None
    _faults: list[DeliveryFault | LifecycleFault | ApiFault] = field(
        default_factory=list[DeliveryFault | LifecycleFault | ApiFault]
    )
    _used: dict[int, int] = field(default_factory=dict[int, int])

    def of_call(self, method: str, path: str) -> ApiFault | None:
        self._read()
        for index, fault in enumerate(self._faults):
            if isinstance(fault, ApiFault) and fault.covers(method, path) and self._use(index, fault):
                return fault
        return None

    def of_delivery(self) -> str | None:
        self._read()
        for index, fault in enumerate(self._faults):
            if isinstance(fault, DeliveryFault) and self._use(index, fault):
                return fault.notifications
        return None

    def of_lifecycle(self) -> str | None:
        self._read()
        for index, fault in enumerate(self._faults):
            if isinstance(fault, LifecycleFault) and self._use(index, fault):
                return fault.lifecycle
        return None

    def _use(self, index: int, fault: _Fault) -> bool:
        used = self._used.get(index, 0)
        if fault.times is not None and used >= fault.times:
            return False
        self._used[index] = used + 1
        return True

    def _read(self) -> None:
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            content = b"[]"
        if content == self._seen:
            return
        try:
            self._faults = _ADAPTER.validate_json(content)
        except ValidationError as e:
            raise GraphError(500, "EmulatorMisconfigured", f"{self.path.name} does not read: {e}") from None
        self._seen, self._used = content, {}
