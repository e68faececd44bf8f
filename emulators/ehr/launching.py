"""Launches: what pressing "Begin virtual visit" tells the connector, and what the launch code stands for.

Owns the launch URL (`?iss=&launch=`, SMART App Launch 2.2 section 3.1.1) and the context that the integration record
maps: `sessionId=%CSN%`, and for providers `departmentId=%PERFDEPID;;; ; ;;NONE;%`. A mnemonic that has nothing to
expand to stays as it is spelled.
"""

from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlencode

from emulators.ehr.grants import Grants, Kind
from emulators.ehr.instance import Instance
from emulators.ehr.schedule import Appointment
from emulators.world import EhrClient
from schemas.vocabulary import ClientRole

UNEXPANDED_CSN = "%CSN%"
NO_DEPARTMENT = "NONE"


@dataclass(frozen=True)
class Launch:
    """Who launched what: bound to one client, so to one environment and role."""

    client_id: str
    person: str
    session_id: str
    department_id: str | None
    patient: str | None
    encounter: str | None

    def context(self) -> dict[str, str]:
        """The token response's launch context parameters (SMART App Launch 2.2 section 7)."""
        named = {
            "patient": self.patient,
            "encounter": self.encounter,
            "sessionId": self.session_id,
            "departmentId": self.department_id,
        }
        return {name: value for name, value in named.items() if value is not None}

    def content(self) -> dict[str, Any]:
        return asdict(self)


def launch_url(grants: Grants, instance: Instance, role: ClientRole, person: str, visit: Appointment | None) -> str:
    """The URL that a press of the button opens, with a new launch code. Raises LookupError without such a client."""
    client = instance.client_of(role)
    if client is None or client.launch_url is None:
        raise LookupError(f"{instance.environment.instance} has no {role} client with a launch URL")
    launch = _launch(client, person, visit)
    query = {"iss": instance.fhir_base_url, "launch": grants.issue(Kind.LAUNCH, launch.content())}
    return f"{client.launch_url}?{urlencode(query)}"


def _launch(client: EhrClient, person: str, visit: Appointment | None) -> Launch:
    department = None
    if client.role is ClientRole.PROVIDER:
        department = (visit.department if visit else None) or NO_DEPARTMENT
    return Launch(
        client_id=client.client_id,
        person=person,
        session_id=visit.csn if visit else UNEXPANDED_CSN,
        department_id=department,
        patient=visit.patient.id if visit else None,
        encounter=visit.encounter if visit else None,
    )
