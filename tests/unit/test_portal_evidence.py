"""What an approval says of the EHR: the release of Epic, and the part of a CapabilityStatement that does not change."""

import json
from typing import Any

import pytest

from runtime.portal.evidence import TooOld, evidence_of, release_of, stable_part
from schemas.promotion.statement import Evidence, Release
from schemas.stack_config import EhrConnection
from schemas.vocabulary import EhrKind
from tests.support.samples import ROOT, load

ISSUER = "https://ehr.example/issuer"


def connection(kind: EhrKind = EhrKind.EPIC) -> EhrConnection:
    stack = load("Pulumi.local.yaml").stack
    assert stack
    return stack.organizations[0].connections[0].model_copy(update={"ehr": kind})


def capability(**changes: Any) -> dict[str, Any]:
    given: dict[str, Any] = {
        "resourceType": "CapabilityStatement",
        "date": "2026-05-01",
        "software": {"name": "Epic", "version": "August 2025", "releaseDate": "2025-08-11"},
        "fhirVersion": "4.0.1",
        "rest": [
            {
                "security": {
                    "service": [
                        {"coding": [{"system": "http://hl7.org/fhir/restful-security-service", "code": "OAuth"}]},
                        {"text": "Basic"},
                    ]
                },
                "resource": [{"type": "Patient"}],
            }
        ],
    }
    return {**given, **changes}


@pytest.mark.parametrize(
    ("version", "release"),
    [
        ("November 2018", Release.ACCEPTED),
        ("August 2025", Release.ACCEPTED),
        ("Epic February 2026", Release.ACCEPTED),
        ("may 2019", Release.ACCEPTED),
        ("2019", Release.ACCEPTED),
        ("August 2018", None),
        ("October 2018", None),
        ("Epic 2017", None),
        ("2015", None),
        ("2018", Release.NOT_VERIFIABLE),
        ("10.2", Release.NOT_VERIFIABLE),
        ("Fall 2025", Release.NOT_VERIFIABLE),
        ("August 2025 (patched)", Release.NOT_VERIFIABLE),
        ("", Release.NOT_VERIFIABLE),
        (None, Release.NOT_VERIFIABLE),
    ],
)
def test_an_epic_before_november_2018_is_refused_and_an_unreadable_one_is_not(
    version: str | None, release: Release | None
) -> None:
    assert release_of(EhrKind.EPIC, version) is release


@pytest.mark.parametrize("version", ["August 2018", "2015", None, "anything"])
def test_other_ehrs_have_no_such_rule(version: str | None) -> None:
    assert release_of(EhrKind.SMART, version) is Release.NOT_APPLICABLE


def test_too_old_an_epic_leaves_no_evidence() -> None:
    old = capability(software={"name": "Epic", "version": "August 2018"})
    assert evidence_of(connection(), ISSUER, old) == TooOld("August 2018")


def test_an_ehr_that_says_nothing_is_not_verifiable() -> None:
    found = evidence_of(connection(), ISSUER, None)
    assert isinstance(found, Evidence)
    assert (found.release, found.software, found.version) == (Release.NOT_VERIFIABLE, None, None)


def test_the_digest_does_not_change_with_what_changes_daily() -> None:
    before = evidence_of(connection(), ISSUER, capability())
    later = capability(date="2026-06-01", publisher="x", rest=[{**capability()["rest"][0], "resource": []}])
    assert evidence_of(connection(), ISSUER, later) == before


@pytest.mark.parametrize(
    "changes",
    [
        {"software": {"name": "Epic", "version": "November 2025"}},
        {"software": {"name": "Other", "version": "August 2025"}},
        {"fhirVersion": "4.3.0"},
        {"rest": []},
    ],
)
def test_the_digest_changes_with_release_and_security(changes: dict[str, Any]) -> None:
    before, after = (evidence_of(connection(), ISSUER, capability(**c)) for c in ({}, changes))
    assert isinstance(before, Evidence)
    assert isinstance(after, Evidence)
    assert before.capability_sha256 != after.capability_sha256


def test_the_stable_part_is_the_documented_one() -> None:
    documented = (ROOT / "docs/portal.md").read_text("utf-8").partition("```json\n")[2].partition("```")[0]
    assert stable_part(capability()) == json.loads(documented)


@pytest.mark.parametrize("value", ["\x1b[31mEpic", "<b>Epic</b>" * 60, 7, {"a": 1}, "Epic\n", "\ud800", "", "Épic"])
def test_what_is_not_plain_short_text_is_not_believed(value: object) -> None:
    found = evidence_of(connection(), ISSUER, capability(software={"name": value, "version": value}))
    assert isinstance(found, Evidence)
    assert (found.software, found.version, found.release) == (None, None, Release.NOT_VERIFIABLE)


@pytest.mark.parametrize(
    "rest", [None, "x", [None], [{"security": "x"}], [{"security": {"service": [{"coding": "x"}]}}]]
)
def test_a_statement_of_another_shape_is_read_as_far_as_it_goes(rest: object) -> None:
    assert stable_part(capability(rest=rest))["security"] == []
