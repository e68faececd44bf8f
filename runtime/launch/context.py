"""What a token response says about a launch: who (fhirUser), which visit (session id), which patient.

Pure rules over the token response and the verified id_token; the URL is never asked (SMART App Launch 2.2, section 7).
The session id is read under the one key that the connection names.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runtime.errors import Refusal
from runtime.launch import refusals
from runtime.launch.model import Party
from schemas.stack_config import EhrConnection

MAXIMUM_SESSION_ID = 200
MAXIMUM_ID = 200
PROVIDERS = frozenset({"Practitioner", "PractitionerRole"})
PATIENTS = frozenset({"Patient", "RelatedPerson"})
"""Who may be at each end: a relative may act for a patient (SMART App Launch 2.2, section 7.2.6, `fhirUser`)."""
NO_DEPARTMENT = "NONE"
"""What the provider record's mnemonic gives where there is no department (`%PERFDEPID;;; ; ;;NONE;%`)."""

_UNEXPANDED = re.compile(r"%[^%]*%")
_FHIR_USER = re.compile(r"(?:^|/)([A-Za-z]{1,64})/([A-Za-z0-9.-]{1,64})$")
_ID = re.compile(r"[A-Za-z0-9.-]{1,64}")


@dataclass(frozen=True)
class Person:
    """Who launched: the FHIR resource behind them, the OpenID subject, and how to name them on a page."""

    resource: str
    subject: str
    display: str


@dataclass(frozen=True)
class LaunchContext:
    """Which visit."""

    session_id: str
    department_id: str | None
    patient_id: str | None


def person_of(claims: Mapping[str, Any], party: Party) -> Person | Refusal:
    """Somebody who may be at this end, by `fhirUser` of the verified id_token."""
    user = claims.get("fhirUser", claims.get("profile"))
    found = _FHIR_USER.search(user) if isinstance(user, str) else None
    if found is None:
        return refusals.ID_TOKEN_REFUSED.because("fhir-user")
    resource, identifier = found.groups()
    if resource not in (PROVIDERS if party is Party.PROVIDER else PATIENTS):
        wrong_end = refusals.PATIENT_AS_PROVIDER if party is Party.PROVIDER else refusals.PROVIDER_AS_PATIENT
        return wrong_end if resource in PROVIDERS | PATIENTS else refusals.ID_TOKEN_REFUSED.because("fhir-user")
    name = claims.get("name")
    display = name if isinstance(name, str) and 0 < len(name.strip()) <= 200 else identifier
    return Person(resource, str(claims["sub"]), display)


def context_of(response: Mapping[str, Any], connection: EhrConnection, party: Party) -> LaunchContext | Refusal:
    """The visit's context, or why there is none."""
    keys = connection.launch_context_keys
    session = _session_id(response.get(keys.session_id))
    if isinstance(session, Refusal):
        return session
    patient = response.get("patient")
    if patient is not None and not (isinstance(patient, str) and _ID.fullmatch(patient)):
        return refusals.PATIENT_MISSING.because("not-a-fhir-id")
    if party is Party.PATIENT and patient is None:
        return refusals.PATIENT_MISSING
    return LaunchContext(
        session, _department(response.get(keys.department_id) if keys.department_id else None), patient
    )


def _session_id(value: object) -> str | Refusal:
    if value is None:
        return refusals.SESSION_ID_MISSING
    if not isinstance(value, str):
        return refusals.SESSION_ID_INVALID.because("not-a-string")
    if not value.strip():
        return refusals.SESSION_ID_MISSING.because("empty")
    if _UNEXPANDED.search(value):
        return refusals.SESSION_ID_UNEXPANDED
    if len(value) > MAXIMUM_SESSION_ID:
        return refusals.SESSION_ID_INVALID.because("over-long")
    if not value.isprintable() or value != value.strip():
        return refusals.SESSION_ID_INVALID.because("characters")
    return value


def _department(value: object) -> str | None:
    """A department is only for reports: what cannot be one is left out, and never stops a visit."""
    if not isinstance(value, str) or not 0 < len(value) <= MAXIMUM_ID or _UNEXPANDED.search(value):
        return None
    return value if value.isprintable() and value != NO_DEPARTMENT else None
