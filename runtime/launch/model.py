"""What a finished launch knows, and what the visit gives back for the session.

Owns the values that pass between `launch`, `identity` and `visit`. Nothing here is stored in clear.
"""

from dataclasses import dataclass
from enum import StrEnum


class Party(StrEnum):
    """Which side of a visit somebody is on."""

    PROVIDER = "provider"
    PATIENT = "patient"


@dataclass(frozen=True)
class ProviderLaunch:
    """A provider launched from the EHR and is linked to a Microsoft account of the organisation's tenant."""

    organization_id: str
    connection_id: str
    session_id: str
    department_id: str | None
    patient_id: str | None
    ehr_user_hash: bytes
    tenant_id: str
    object_id: str


@dataclass(frozen=True)
class PatientLaunch:
    """A patient launched from the patient portal."""

    organization_id: str
    connection_id: str
    session_id: str
    patient_id: str


@dataclass(frozen=True)
class VisitSession:
    """What a browser may do after a launch: take part in one visit, as one participant.

    `participant_hash` is the keyed pseudonym under which the visit knows the participant; `tenant_id` and `object_id`
    are the provider's Microsoft account, absent for patients.
    """

    organization_id: str
    connection_id: str
    visit_key: bytes
    party: Party
    participant_hash: bytes
    tenant_id: str | None = None
    object_id: str | None = None
