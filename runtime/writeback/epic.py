"""Epic's external connection status: what one write-back looks like as a request.

Owns the request's shape, from the connection's settings (`schemas/stack_config.py`, ExternalConnectionStatus): one
public sample of the call exists, so its method, path, names and values are settings. Sends nothing itself.
"""

from dataclasses import dataclass
from urllib.parse import urlsplit

from runtime.visit.presence import Connection, Side
from schemas.stack_config import ExternalConnectionStatus

_SERVICES = "/api/"
"""Interconnect's own services and FHIR both live under it: `<root>/api/FHIR/R4`, `<root>/api/epic/...`."""


class InterconnectRootUnknown(Exception):
    """The FHIR base URL is not one of Epic's shape, so Epic's own services cannot be found from it."""


@dataclass(frozen=True)
class ConnectionChange:
    """What a write-back tells the EHR; `external_id` is a pseudonym within the visit."""

    session_id: str
    external_id: str
    side: Side
    connection: Connection


@dataclass(frozen=True)
class EhrRequest:
    """A request to the EHR: parameters go into the query of a GET and into the JSON body of a POST."""

    method: str
    url: str
    parameters: dict[str, str]
    headers: dict[str, str]


def interconnect_root(fhir_base_url: str) -> str:
    """`https://host/prd` of `https://host/prd/api/FHIR/R4`. Raises `InterconnectRootUnknown`."""
    root, found, _ = fhir_base_url.rpartition(_SERVICES)
    if not found or urlsplit(root).netloc != urlsplit(fhir_base_url).netloc:
        raise InterconnectRootUnknown("expected a FHIR base URL with /api/ in its path")
    return root


def status_request(
    settings: ExternalConnectionStatus, fhir_base_url: str, client_id: str, change: ConnectionChange
) -> EhrRequest:
    """The call for one change. Raises `InterconnectRootUnknown`."""
    staff = change.side is Side.STAFF
    connected = change.connection is Connection.CONNECTED
    return EhrRequest(
        method=settings.method,
        url=f"{interconnect_root(fhir_base_url)}/{settings.path.lstrip('/')}",
        parameters={
            settings.conference_id_parameter: change.session_id,
            settings.external_id_parameter: change.external_id,
            settings.external_id_type_parameter: (
                settings.staff_external_id_type if staff else settings.patient_external_id_type
            ),
            settings.vendor_name_parameter: settings.vendor_name,
            settings.connection_status_parameter: settings.connected if connected else settings.disconnected,
        },
        headers={"Epic-Client-ID": client_id},
    )
