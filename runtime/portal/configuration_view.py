"""A connection's configuration in words: every value that the digest covers, and nothing else.

Owns the labels, the order of sections, and the comparison of two canonical forms. A value without a label of its own is
shown under its name in the JSON Schema, so nothing that is approved goes unseen.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from schemas.promotion.digest import connection_form
from schemas.stack_config import EhrConnection, Organization

Form = Mapping[str, Any]

_LABELS: dict[str, str] = {
    "organization.id": "Organisation",
    "organization.name": "Organisation's name",
    "organization.tenantId": "Microsoft 365 tenant",
    "organization.geography": "Geography",
    "launchHost": "Launches arrive at",
    "id": "Connection",
    "stage": "Stage",
    "ehr": "EHR",
    "fhirBaseUrl": "FHIR base URL",
    "sharedWith": "Also used by",
    "tokenEndpointOrigins": "Other origins of its sign-in",
    "frameOrigins": "Pages that may frame visits",
    "approver.tenantId": "Approver's tenant",
    "approver.objectId": "Approver's object id",
    "approver.displayName": "Approver",
    "approver.github": "Approver's GitHub account",
    "launchContextKeys.sessionId": "Session id is read from",
    "launchContextKeys.departmentId": "Department is read from",
    "integrationRecordIds.provider": "Provider record",
    "integrationRecordIds.patient": "Patient record",
}
_PARTS = {
    "clientId": "client id",
    "issuer": "issuer of its tokens",
    "authentication.method": "authentication",
    "authentication.key": "key in the vault",
    "authentication.secret": "secret in the vault",
    "authentication.algorithm": "signature algorithm",
}
_SECTIONS = (
    ("Where", r"fhirBaseUrl|ehr|stage|launchHost|organization\..*|id|sharedWith|tokenEndpointOrigins|frameOrigins"),
    ("Approver", r"approver\..*"),
    ("Clients at the EHR", r"clients\..*"),
    ("Launches and records", r"launchContextKeys\..*|integrationRecordIds\..*"),
    ("Connection status in the EHR", r"externalConnectionStatus\..*"),
    ("Other settings", r".*"),
)


@dataclass(frozen=True)
class Field:
    path: str
    label: str
    value: str


@dataclass(frozen=True)
class Change:
    label: str
    before: str
    after: str


def sections(organization: Organization, connection: EhrConnection, launch_host: str) -> list[tuple[str, list[Field]]]:
    """The configuration by section, defaults included."""
    form = connection_form(organization, connection, launch_host)
    whole = {**form, "connection": connection.model_dump(mode="json", by_alias=True, exclude_none=True)}
    left = [Field(path, label_of(path), value) for path, value in flat(whole).items()]
    found: list[tuple[str, list[Field]]] = []
    for title, pattern in _SECTIONS:
        mine = [f for f in left if re.fullmatch(pattern, f.path)]
        left = [f for f in left if f not in mine]
        if mine:
            found.append((title, mine))
    return found


def changes(before: Form, after: Form) -> list[Change]:
    """What differs between two canonical forms; a value left out is its default."""
    old, new = flat(before), flat(after)
    return [
        Change(label_of(path), old.get(path, "(not set)"), new.get(path, "(not set)"))
        for path in dict.fromkeys((*new, *old))
        if old.get(path) != new.get(path)
    ]


def flat(form: Form) -> dict[str, str]:
    """Leaves by path, the connection's own without prefix."""
    return dict(_leaves({k: v for k, v in form.items() if k != "form"}, ""))


def label_of(path: str) -> str:
    if path in _LABELS:
        return _LABELS[path]
    parts = path.split(".", 2)
    if parts[0] == "clients" and len(parts) == 3:
        return f"{parts[1].capitalize()}: {_PARTS.get(parts[2], parts[2])}"
    return path


def _leaves(value: object, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, item in cast(Mapping[str, object], value).items():
            inner = key if not path else f"{path}.{key}"
            yield from _leaves(item, inner.removeprefix("connection."))
    elif isinstance(value, Sequence) and not isinstance(value, str):
        items = [str(v) for v in cast(Sequence[object], value)]
        yield path, ", ".join(items) if items else "none"
    else:
        yield path, str(value) if not isinstance(value, bool) else "yes" if value else "no"
