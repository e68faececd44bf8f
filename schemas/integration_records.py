"""Integration records: what an EHR analyst copies into the EHR, one for each kind of launch of a connection.

Pure: an organisation, one of its connections and the public hosts of its geography in; records, JSON values and CSV
out. A record names the public host of the connection's own stage, so a production record names production's. Whether
they may be shown (only once the connection is approved) is the caller's question. The context tokens are Epic's
published mnemonics; another EHR maps the same parameters in its own way.
"""

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from schemas.stack_config import EhrConnection, Organization, PublicHosts
from schemas.vocabulary import EhrKind

SESSION = "%CSN%"
CONFERENCE = "%CONFERENCEID%"
DEPARTMENT = "%PERFDEPID;;; ; ;;NONE;%"
COLUMNS = (
    "kind", "title", "recordId", "launchUrl", "redirectUrl", "fhirBaseUrl", "clientId", "context", "available",
)  # fmt: skip
_BEGINS_A_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class LaunchKind(StrEnum):
    """What somebody presses in the EHR."""

    PROVIDER = "provider"
    PATIENT = "patient"
    GROUP_PROVIDER = "group-provider"
    GROUP_PATIENT = "group-patient"
    DEVICE_TEST = "device-test"


@dataclass(frozen=True)
class IntegrationRecord:
    """`context` are the launch's parameters with their tokens; `record_id` is the EHR's own id of the record, if any.

    `available` is False for launches that this release of the connector does not take yet: their record can be
    prepared, and must not be switched on.
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
        }


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
