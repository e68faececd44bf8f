"""In what a production connection may differ from the test connection that stands for it, and who is one person."""

from collections.abc import Iterator, Mapping

from schemas.stack_config import Clients, EhrConnection, Organization


def is_one_person(organization: Organization, connection: EhrConnection) -> bool:
    """Whether the approver is an administrator of the organisation."""
    named = (connection.approver.tenant_id, connection.approver.object_id)
    return named in {(a.tenant_id, a.object_id) for a in organization.administrators}


def differences(test: EhrConnection, production: EhrConnection) -> list[str]:
    """In what two connections differ beyond URL, client ids, credential references, records and origins.

    By the names of the JSON Schema, joined by dots.
    """
    return sorted(_differing(_comparable(test), _comparable(production), ""))


_OF_THE_CLIENT = {"client_id": True, "issuer": True, "authentication": {"key", "secret"}}
_OF_THE_STAGE = {
    **dict.fromkeys(("id", "stage", "fhir_base_url", "shared_with"), True),
    **dict.fromkeys(("integration_record_ids", "frame_origins", "token_endpoint_origins"), True),
    "clients": dict.fromkeys(Clients.model_fields, _OF_THE_CLIENT),
}


def _comparable(connection: EhrConnection) -> Mapping[str, object]:
    return connection.model_dump(mode="json", by_alias=True, exclude_none=True, exclude=_OF_THE_STAGE)


def _differing(a: object, b: object, path: str) -> Iterator[str]:
    if a == b:
        return
    if isinstance(a, dict) and isinstance(b, dict):
        for key in {*a, *b}:  # pyright: ignore[reportUnknownVariableType] # JSON
            yield from _differing(a.get(key), b.get(key), f"{path}.{key}" if path else str(key))  # pyright: ignore[reportUnknownArgumentType, reportUnknownMemberType]
    else:
        yield path
