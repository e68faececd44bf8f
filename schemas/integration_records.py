"""Integration records: what an EHR analyst copies into the EHR, one for each kind of launch of a connection.

Pure: an organisation, one of its connections and the public hosts of its geography in; records, JSON values and CSV
out. A record names the public host of the connection's own stage, so a production record names production's. When they
are shown, `are_shown` alone says. The context tokens are Epic's published mnemonics; another EHR maps the same
parameters in its own way.
"""

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from schemas.promotion.break_glass import WAIVABLE
from schemas.promotion.decide import Approved, Decision, Refused, Withdrawn
from schemas.promotion.reasons import Code, Reason
from schemas.promotion.statement import REHEARSAL
from schemas.stack_config import EhrConnection, Organization, PublicHosts
from schemas.vocabulary import EhrKind

SESSION = "%CSN%"
CONFERENCE = "%CONFERENCEID%"
DEPARTMENT = "%PERFDEPID;;; ; ;;NONE;%"
COLUMNS = (
    "kind", "title", "recordId", "launchUrl", "redirectUrl", "fhirBaseUrl", "clientId", "context", "available",
    "instruction",
)  # fmt: skip
_BEGINS_A_FORMULA = ("=", "+", "-", "@", "\t", "\r")


_NOT_OF_THE_APPROVAL = frozenset(
    {
        Code.REHEARSAL_MISSING,
        Code.REHEARSAL_ORGANIZATION,
        Code.REHEARSAL_DIGEST,
        Code.REHEARSAL_IMAGE,
        Code.REHEARSAL_EXPIRED,
        Code.ORGANIZATION_INCOMPLETE,
    }
)


class LaunchKind(StrEnum):
    """What somebody presses in the EHR."""

    PROVIDER = "provider"
    PATIENT = "patient"
    GROUP_PROVIDER = "group-provider"
    GROUP_PATIENT = "group-patient"
    DEVICE_TEST = "device-test"


_SWITCH_ON = "Copy it into the EHR and switch it on."
_LEAVE_OFF = (
    "Leave it switched off in the EHR, or do not copy it at all: whoever launches it gets an error page. "
    "Look here again after an update of the connector."
)
INSTRUCTIONS: dict[LaunchKind, str] = {
    LaunchKind.PROVIDER: _SWITCH_ON,
    LaunchKind.PATIENT: _SWITCH_ON,
    LaunchKind.GROUP_PROVIDER: f"This release takes no group visits. {_LEAVE_OFF}",
    LaunchKind.GROUP_PATIENT: f"This release takes no group visits. {_LEAVE_OFF}",
    LaunchKind.DEVICE_TEST: (
        "This release takes no device test as a launch of its own; patients try camera and microphone in the waiting "
        f"room of their visit. {_LEAVE_OFF}"
    ),
}
"""What the EHR analyst does with each record."""


@dataclass(frozen=True)
class IntegrationRecord:
    """`context` are the launch's parameters with their tokens; `record_id` is the EHR's own id of the record, if any.

    `available` is False for launches that this release of the connector does not take.
    """

    kind: LaunchKind
    title: str
    record_id: str | None
    launch_url: str
    redirect_url: str
    fhir_base_url: str
    client_id: str
    context: tuple[tuple[str, str], ...]
    available: bool = True

    @property
    def context_text(self) -> str:
        """As Epic's record takes it: `sessionId=%CSN%&departmentId=...`."""
        return "&".join(f"{name}={token}" for name, token in self.context)

    @property
    def instruction(self) -> str:
        return INSTRUCTIONS[self.kind]

    def values(self) -> dict[str, object]:
        """As JSON, the names of the CSV's columns."""
        return {
            "kind": self.kind.value,
            "title": self.title,
            "recordId": self.record_id,
            "launchUrl": self.launch_url,
            "redirectUrl": self.redirect_url,
            "fhirBaseUrl": self.fhir_base_url,
            "clientId": self.client_id,
            "context": self.context_text,
            "available": self.available,
            "instruction": self.instruction,
        }


def are_shown(decision: Decision | None) -> bool:
    """Whether records are shown and exported: from an approval on that is in force for what is configured now.

    The analyst prepares the EHR while a visit is still to be rehearsed, and other URLs of the organisation to be
    approved: those hide nothing. Everything else that speaks against the connection does, also where it is served all
    the same: by an approval that expired since, or because glass was broken.
    """
    if not isinstance(decision, Approved | Withdrawn | Refused) or decision.approval is None:
        return False
    against = () if isinstance(decision, Approved) else decision.reasons
    codes = {w.code for w in decision.warnings}
    waived = WAIVABLE & codes if Code.BREAK_GLASS in codes else frozenset[Code]()
    overlooked = [w for w in decision.warnings if w.code is Code.APPROVAL_EXPIRED or w.code in waived]
    return all(_leaves_the_approval(reason) for reason in (*against, *overlooked))


def _leaves_the_approval(reason: Reason) -> bool:
    """Whether it is about the rehearsal, or about other connections: a rehearsal's file may itself be no good."""
    return reason.code in _NOT_OF_THE_APPROVAL or reason.file.rpartition("/")[2].startswith(REHEARSAL)


def records_of(connection: EhrConnection, hosts: PublicHosts) -> tuple[IntegrationRecord, ...]:
    """Every record of a connection."""
    base = f"https://{hosts.of(connection.stage)}"
    keys, ids, clients = connection.launch_context_keys, connection.integration_record_ids, connection.clients
    epic = connection.ehr is EhrKind.EPIC

    def record(
        kind: LaunchKind, title: str, path: str, client_id: str, *context: tuple[str | None, str], **more: object
    ) -> IntegrationRecord:
        known = tuple((name, token if epic else "") for name, token in context if name is not None)
        url = f"{base}{path}"
        identifier, available = more.get("id"), more.get("available", True)
        return IntegrationRecord(
            kind,
            title,
            str(identifier) if identifier is not None else None,
            url,
            f"{url}/callback",
            connection.fhir_base_url,
            client_id,
            known,
            bool(available),
        )

    provider, patient = clients.provider.client_id, clients.patient.client_id
    of_visit, of_group = (keys.session_id, SESSION), (keys.session_id, CONFERENCE)
    department = (keys.department_id, DEPARTMENT)
    to_provider, to_patient = f"/launch/provider/{connection.id}", f"/launch/patient/{connection.id}"
    return (
        record(LaunchKind.PROVIDER, "Provider", to_provider, provider, of_visit, department, id=ids.provider),
        record(LaunchKind.PATIENT, "Patient", to_patient, patient, of_visit, id=ids.patient),
        record(
            LaunchKind.GROUP_PROVIDER,
            "Group visit, provider",
            f"{to_provider}/group",
            provider,
            of_group,
            department,
            available=False,
        ),
        record(
            LaunchKind.GROUP_PATIENT, "Group visit, patient", f"{to_patient}/group", patient, of_group, available=False
        ),
        record(LaunchKind.DEVICE_TEST, "Device test", f"{to_patient}/device-test", patient, of_visit, available=False),
    )


def records_json(
    organization: Organization, connection: EhrConnection, records: Sequence[IntegrationRecord]
) -> dict[str, object]:
    """The records of a connection as a JSON value, which stack outputs carry too."""
    return {
        "organization": organization.id,
        "connection": connection.id,
        "stage": connection.stage.value,
        "records": [record.values() for record in records],
    }


def records_csv(records: Iterable[IntegrationRecord]) -> str:
    """RFC 4180, every field in quotes; no cell begins a formula in a spreadsheet (OWASP "CSV Injection")."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for record in records:
        values = record.values()
        writer.writerow([cell(values[name]) for name in COLUMNS])
    return out.getvalue()


def cell(value: object) -> str:
    """A cell's text: what a spreadsheet would calculate is made text by an apostrophe before it."""
    if value is None:
        return ""
    text = str(value) if not isinstance(value, bool) else "yes" if value else "no"
    return f"'{text}" if text.startswith(_BEGINS_A_FORMULA) else text
