"""A connection as the fields of a form, and back: each field is named by its path in the configuration.

Owns that mapping, both ways and without losing anything: values that the form does not show stay as they are, and a
field left empty is a value left out, which the check then names where it is needed.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# (Values of YAML are of any type until the models have seen them.)

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from schemas.stack_config import Organization, Person

Fields = Mapping[str, str]

TEXTS = ("id", "stage", "ehr", "fhirBaseUrl")
ROLES = ("provider", "patient", "backend", "approval")
OPTIONAL_LISTS = ("sharedWith", "tokenEndpointOrigins")
LISTS = (*OPTIONAL_LISTS, "frameOrigins")
ORDER = (
    "id",
    "stage",
    "ehr",
    "fhirBaseUrl",
    "sharedWith",
    "approver",
    "clients",
    "tokenEndpointOrigins",
    "launchContextKeys",
    "integrationRecordIds",
    "frameOrigins",
    "externalConnectionStatus",
)
"""In which a new connection is written."""

NEW_PERSON = "new"
_CREDENTIALS = {"none": (), "client_secret_basic": ("secret",), "private_key_jwt": ("key", "algorithm")}


@dataclass(frozen=True)
class Choice:
    """A person who may be named as approver."""

    person: Person
    roles: tuple[str, ...]


def people(organizations: Sequence[Organization], tenant_id: str) -> list[Choice]:
    """Everybody of the tenant whom the configuration knows, by name."""
    found: dict[str, tuple[Person, set[str]]] = {}
    for organization in organizations:
        named = [(a, "administrator") for a in organization.administrators]
        named += [(c.approver, "approver") for c in organization.connections]
        for person, role in named:
            if person.tenant_id == tenant_id:
                found.setdefault(person.object_id, (person, set()))[1].add(role)
    choices = [Choice(person, tuple(sorted(roles))) for person, roles in found.values()]
    return sorted(choices, key=lambda c: (c.person.display_name.casefold(), c.person.object_id))


def fields_of(connection: Mapping[str, Any]) -> dict[str, str]:
    """What the form shows of a connection as it stands in the file."""
    fields = {name: _text(connection.get(name)) for name in TEXTS}
    for name in LISTS:
        fields[name] = "\n".join(map(_text, _list(connection.get(name))))
    for role in ROLES:
        client = _mapping(_mapping(connection.get("clients")).get(role))
        authentication = _mapping(client.get("authentication"))
        fields |= {f"clients.{role}.clientId": _text(client.get("clientId"))}
        if role != "backend":
            fields |= {f"clients.{role}.issuer": _text(client.get("issuer"))}
        if role != "approval":
            for name in ("method", "secret", "key", "algorithm"):
                fields[f"clients.{role}.authentication.{name}"] = _text(authentication.get(name))
    for group, names in (
        ("launchContextKeys", ("sessionId", "departmentId")),
        ("integrationRecordIds", ("provider", "patient")),
    ):
        for name in names:
            fields[f"{group}.{name}"] = _text(_mapping(connection.get(group)).get(name))
    approver = _mapping(connection.get("approver"))
    fields["approver"] = _text(approver.get("objectId"))
    fields["approver.objectId"] = fields["approver.displayName"] = ""
    return fields


def blank(stage: str) -> dict[str, str]:
    """The form of a new connection."""
    usual = {"stage": stage, "ehr": "epic", "launchContextKeys.sessionId": "sessionId"}
    methods = {
        "clients.provider.authentication.method": "private_key_jwt",
        "clients.patient.authentication.method": "none",
        "clients.backend.authentication.method": "private_key_jwt",
        "clients.provider.authentication.algorithm": "RS384",
        "clients.backend.authentication.algorithm": "RS384",
    }
    return {**fields_of({}), **usual, **methods}


def copied(connection: Mapping[str, Any], stage: str) -> dict[str, str]:
    """The form of a new connection like another one: without what an environment has for itself."""
    fields = fields_of(connection)
    own = ("id", "fhirBaseUrl", "integrationRecordIds.provider", "integrationRecordIds.patient")
    emptied = {n: "" for n in fields if n in own or n.endswith((".clientId", ".secret", ".key", ".issuer"))}
    return {**fields, **emptied, "stage": stage}


def connection_of(
    fields: Fields, before: Mapping[str, Any] | None, choices: Sequence[Choice], tenant_id: str
) -> dict[str, Any]:
    """The connection that a form describes. `before` is the one that is edited; its id and stage stay."""
    old = dict(before or {})
    made: dict[str, Any] = {**old, **{n: v for n in TEXTS if (v := _given(fields, n))}}
    made = {k: v for k, v in made.items() if k not in TEXTS or _given(fields, k)}
    if before is not None:
        made |= {name: before[name] for name in ("id", "stage") if name in before}
    for name in LISTS:
        made = _with_list(made, name, _lines(fields.get(name, "")))
    made["approver"] = _approver(fields, _mapping(old.get("approver")), choices, tenant_id)
    clients = {role: _client(fields, role, _mapping(_mapping(old.get("clients")).get(role))) for role in ROLES}
    if made.get("ehr") == "smart" and not _given(fields, "clients.backend.clientId"):
        del clients["backend"]
    made["clients"] = {**_mapping(old.get("clients")), **clients}
    if "backend" not in clients:
        made["clients"].pop("backend", None)
    made["launchContextKeys"] = _group(fields, "launchContextKeys", ("sessionId", "departmentId"))
    made["integrationRecordIds"] = _group(fields, "integrationRecordIds", ("provider", "patient"))
    return {name: made[name] for name in dict.fromkeys((*ORDER, *made)) if name in made}


def organization_of(fields: Fields, like: Organization) -> dict[str, Any]:
    """A new organisation beside another of the same tenant: in its geography, with its administrators."""
    named = {name: value for name in ("id", "name") if (value := _given(fields, f"organization.{name}"))}
    administrators = [a.model_dump(mode="json", by_alias=True, exclude_none=True) for a in like.administrators]
    own = {"geography": str(like.geography), "tenantId": like.tenant_id, "administrators": administrators}
    return {**named, **own}


def _with_list(made: dict[str, Any], name: str, lines: list[str]) -> dict[str, Any]:
    if lines or name not in OPTIONAL_LISTS or made.get(name) == []:
        return {**made, name: lines}
    return {k: v for k, v in made.items() if k != name}


def _approver(fields: Fields, old: Mapping[str, Any], choices: Sequence[Choice], tenant_id: str) -> dict[str, Any]:
    chosen = fields.get("approver", "")
    if chosen == NEW_PERSON:
        named = {n: v for n in ("objectId", "displayName") if (v := _given(fields, f"approver.{n}"))}
        return {"tenantId": tenant_id, **named}
    if chosen == old.get("objectId"):
        return dict(old)
    person = next((c.person for c in choices if c.person.object_id == chosen), None)
    return person.model_dump(mode="json", by_alias=True, exclude_none=True) if person else {"tenantId": tenant_id}


def _client(fields: Fields, role: str, old: Mapping[str, Any]) -> dict[str, Any]:
    client: dict[str, Any] = {}
    if client_id := _given(fields, f"clients.{role}.clientId"):
        client["clientId"] = client_id
    if role != "approval":
        method = _given(fields, f"clients.{role}.authentication.method")
        named = {n: _given(fields, f"clients.{role}.authentication.{n}") for n in _CREDENTIALS.get(method, ())}
        client["authentication"] = {k: v for k, v in {"method": method, **named}.items() if v}
    if issuer := _given(fields, f"clients.{role}.issuer"):
        client["issuer"] = issuer
    return client


def _group(fields: Fields, group: str, names: Sequence[str]) -> dict[str, str]:
    return {name: value for name in names if (value := _given(fields, f"{group}.{name}"))}


def _given(fields: Fields, name: str) -> str:
    return fields.get(name, "").strip()


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def _text(value: object) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
