"""What was seen at a FHIR base URL when the approver signed in there, and whether that EHR is one that we work with.

Owns reading the CapabilityStatement (FHIR R4 section 3.1.0.6, `GET [base]/metadata`, without a token), the stable part
of it whose digest goes into the approval, and the rule of Epic's release. The stable part is

    {"software": {"name", "version"}, "fhirVersion", "security": [<service codes or texts, sorted>]}

with null for what is absent: RFC 8785, SHA-256 over `teams-ehr-connector/capability/1`, NUL, and that JSON. Dates,
resources and texts of the statement change from day to day and are left out.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from runtime.errors import ProtocolError
from runtime.http import Remote
from schemas.promotion.canonical import canonical, digest
from schemas.promotion.statement import Evidence, Release
from schemas.stack_config import EhrConnection
from schemas.vocabulary import EhrKind

OLDEST_EPIC = (2018, 11)
_SHORT = re.compile(r"[\x20-\x7e]{1,200}")
_MONTHS = (
    "january", "february", "march", "april", "may", "june",
    "july", "august", "september", "october", "november", "december",
)  # fmt: skip
_EPIC_RELEASE = re.compile(rf"(?:epic\s+)?({'|'.join(_MONTHS)})\s+(\d{{4}})", re.IGNORECASE)
_EPIC_YEAR = re.compile(r"(?:epic\s+)?(20\d{2})(?:\.\d+)*", re.IGNORECASE)
Capability = Mapping[str, Any]


@dataclass(frozen=True)
class TooOld:
    """An Epic from before November 2018: no evidence, and no decision. `version` is what it calls itself."""

    version: str


async def read_capability(remote: Remote, connection: EhrConnection) -> Capability | None:
    """The CapabilityStatement, None where there is none to read. Raises `RemoteUnavailable`."""
    headers = {"accept": "application/fhir+json, application/json"}
    try:
        response = await remote.get(f"{connection.fhir_base_url}/metadata", headers=headers)
        found = response.json_object() if response.ok else {}
    except ProtocolError:
        return None
    return found if found.get("resourceType") in ("CapabilityStatement", "Conformance") else None


def evidence_of(connection: EhrConnection, issuer: str, capability: Capability | None) -> Evidence | TooOld:
    """What the approval says of this EHR."""
    stable = stable_part(capability or {})
    software = cast(dict[str, str | None], stable["software"])
    release = release_of(connection.ehr, software["version"])
    if release is None:
        return TooOld(software["version"] or "")
    return Evidence(
        issuer=issuer,
        capability_sha256=digest("capability/1", canonical(stable)),
        software=software["name"],
        version=software["version"],
        fhir_version=cast(str | None, stable["fhirVersion"]),
        release=release,
    )


def stable_part(capability: Capability) -> dict[str, object]:
    """What does not change while an EHR's release and security do not."""
    software = _object(capability.get("software"))
    services = {
        name
        for rest in _objects(capability.get("rest"))
        for service in _objects(_object(rest.get("security")).get("service"))
        for name in _names(service)
    }
    return {
        "software": {"name": _short(software.get("name")), "version": _short(software.get("version"))},
        "fhirVersion": _short(capability.get("fhirVersion")),
        "security": sorted(services),
    }


def release_of(kind: EhrKind, version: str | None) -> Release | None:
    """How a release is judged; None where it is refused. Epic names releases by month and year ("August 2025")."""
    if kind is not EhrKind.EPIC:
        return Release.NOT_APPLICABLE
    text = (version or "").strip()
    if named := _EPIC_RELEASE.fullmatch(text):
        when = (int(named[2]), _MONTHS.index(named[1].lower()) + 1)
        return Release.ACCEPTED if when >= OLDEST_EPIC else None
    if year := _EPIC_YEAR.fullmatch(text):  # a year alone says enough of every year but 2018
        return {-1: None, 0: Release.NOT_VERIFIABLE, 1: Release.ACCEPTED}[_compare(int(year[1]), OLDEST_EPIC[0])]
    return Release.NOT_VERIFIABLE


def _compare(a: int, b: int) -> int:
    return (a > b) - (a < b)


def _names(service: Mapping[str, Any]) -> list[str]:
    codes = [c.get("code") for c in _objects(service.get("coding"))]
    found = [name for name in map(_short, codes) if name]
    text = _short(service.get("text"))
    return found or ([text] if text else [])


def _short(value: object) -> str | None:
    return value if isinstance(value, str) and _SHORT.fullmatch(value) else None


def _object(value: object) -> dict[str, Any]:
    return cast(dict[str, Any], value) if isinstance(value, dict) else {}


def _objects(value: object) -> list[dict[str, Any]]:
    return [_object(v) for v in cast(list[object], value)] if isinstance(value, list) else []
