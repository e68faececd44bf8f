"""What an approval is about: the digest of one connection, with whose it is and where its launches arrive.

Form 1 is the RFC 8785 JSON of

    {"form": 1, "organization": {"id", "tenantId", "geography"}, "launchHost": <public host of the connection's stage>,
     "connection": <the connection as in its JSON Schema, values that are their default left out>}

and its digest SHA-256 over `teams-ehr-connector/connection/1`, NUL, and that JSON. Values, never bytes of a file: so
comments, order and quotes mean nothing, and a field that a later version adds with a default changes no old digest.
A default must never change (a test holds them): what it stands for would change without the digest.
"""

from typing import Any

from schemas.promotion.canonical import canonical, digest
from schemas.stack_config import EhrConnection, Organization

FORM = 1


def connection_form(organization: Organization, connection: EhrConnection, launch_host: str) -> dict[str, Any]:
    """The canonical form as a value."""
    return {
        "form": FORM,
        "organization": {
            "id": organization.id,
            "tenantId": organization.tenant_id,
            "geography": str(organization.geography),
        },
        "launchHost": launch_host,
        "connection": connection.model_dump(mode="json", by_alias=True, exclude_defaults=True),
    }


def connection_digest(organization: Organization, connection: EhrConnection, launch_host: str) -> str:
    """SHA-256 in hex."""
    return digest(f"connection/{FORM}", canonical(connection_form(organization, connection, launch_host)))
