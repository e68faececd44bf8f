"""What a visit has to remember and nobody may read: its sealed context.

Owns the fields and their encoding. Session id and meeting are needed to write back and to send people on; the patient
and staff are pseudonyms even here.
"""

import json
from dataclasses import asdict, dataclass, replace
from typing import Any

from runtime.meeting.join_links import Meeting
from runtime.sealing import Seal


@dataclass(frozen=True)
class Organizer:
    tenant_id: str
    object_id: str


@dataclass(frozen=True)
class VisitContext:
    """`staff` and `patient` are pseudonyms (`key.py`) in hexadecimal."""

    session_id: str
    organizer: Organizer | None = None
    patient: str | None = None
    staff: tuple[str, ...] = ()
    meeting: Meeting | None = None
    lobby_verified: bool = False
    patient_url: str | None = None

    def with_staff(self, person: bytes) -> "VisitContext":
        return replace(self, staff=tuple(sorted({*self.staff, person.hex()})))

    def is_staff(self, person: bytes) -> bool:
        return person.hex() in self.staff

    def seal(self, sealing: Seal, visit_key: bytes) -> bytes:
        return sealing.seal(json.dumps(asdict(self)).encode(), _bound_to(visit_key))

    @classmethod
    def open(cls, sealing: Seal, visit_key: bytes, sealed: bytes) -> "VisitContext":
        fields: dict[str, Any] = json.loads(sealing.open(sealed, _bound_to(visit_key)))
        return cls(
            session_id=fields["session_id"],
            organizer=Organizer(**fields["organizer"]) if fields["organizer"] else None,
            patient=fields["patient"],
            staff=tuple(fields["staff"]),
            meeting=Meeting(**fields["meeting"]) if fields["meeting"] else None,
            lobby_verified=fields["lobby_verified"],
            patient_url=fields["patient_url"],
        )


def _bound_to(visit_key: bytes) -> bytes:
    return b"visit:" + visit_key
