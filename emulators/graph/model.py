"""What the emulator keeps: meetings with their calls, subscriptions, notifications not yet delivered.

Owns the records and their files, one JSON document (0600) each below `<state>/graph/`, written before an answer is
given, so that a restarted process goes on where the last one was killed.
"""

import hashlib
import os
from datetime import datetime
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel, Field


class Record(BaseModel):
    """Something that is stored under its id."""

    id: str


class Participant(BaseModel):
    """Somebody in the room, from coming to going. A second device is a second participant."""

    id: str
    token: str
    name: str
    object_id: str | None = None
    tenant_id: str | None = None
    guest_id: str | None = None
    presence: Literal["lobby", "connected", "gone"]

    @property
    def identity(self) -> dict[str, Any]:
        if self.object_id is not None:
            return {"user": {"id": self.object_id, "tenantId": self.tenant_id}}
        return {"guest": {"id": self.guest_id}}


class Meeting(Record):
    """An online meeting and the call in it."""

    thread_id: str
    tenant_id: str
    organizer_id: str
    external_id: str
    application_id: str
    subject: str | None
    start: datetime
    end: datetime
    created: datetime
    join_web_url: str
    lobby_scope: str = "organization"
    dial_in_bypass: bool = False
    settings: dict[str, Any] = Field(default_factory=dict)
    attendees: list[dict[str, Any]] = Field(default_factory=list[dict[str, Any]])
    participants: list[Participant] = Field(default_factory=list[Participant])
    in_call: bool = False
    last_event: datetime | None = None
    version: int = 0

    @property
    def present(self) -> list[Participant]:
        return [p for p in self.participants if p.presence != "gone"]


class Subscription(Record):
    """A subscription to the call events of one meeting."""

    tenant_id: str
    application_id: str
    meeting_id: str
    resource: str
    notification_url: str
    lifecycle_url: str | None
    client_state: str | None
    certificate: str
    certificate_id: str
    expires: datetime
    reauthorization_sent: bool = False


class Pending(Record):
    """A notification on its way; `event` is None for a lifecycle notification."""

    subscription: Subscription
    event: dict[str, Any] | None
    lifecycle_event: str | None = None
    created_at: float
    attempts: int = 0


R = TypeVar("R", bound=Record)


class Shelf(Generic[R]):
    """Records of one kind, in memory and as files."""

    def __init__(self, folder: Path, kind: type[R]) -> None:
        self._folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        stored = (kind.model_validate_json(f.read_bytes()) for f in sorted(folder.glob("*.json")))
        self.all: dict[str, R] = {record.id: record for record in stored}

    def put(self, record: R) -> None:
        self.all[record.id] = record
        path = self._file(record.id)
        partial = path.with_suffix(".partial")
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(record.model_dump_json().encode())
        partial.replace(path)

    def remove(self, identifier: str) -> None:
        self.all.pop(identifier, None)
        self._file(identifier).unlink(missing_ok=True)

    def _file(self, identifier: str) -> Path:
        return self._folder / f"{hashlib.sha256(identifier.encode()).hexdigest()[:40]}.json"


class Store:
    """Everything that survives a restart."""

    def __init__(self, state: Path) -> None:
        folder = state / "graph"
        self.meetings = Shelf(folder / "meetings", Meeting)
        self.subscriptions = Shelf(folder / "subscriptions", Subscription)
        self.pending = Shelf(folder / "pending", Pending)

    def meeting_by_thread(self, thread_id: str) -> Meeting | None:
        return next((m for m in self.meetings.all.values() if m.thread_id == thread_id), None)

    def meeting_by_url(self, join_web_url: str) -> Meeting | None:
        return next((m for m in self.meetings.all.values() if m.join_web_url == join_web_url), None)
