"""Integration records: what an EHR analyst copies, by connection, and its exports."""

import csv
import io

import pytest

from schemas.integration_records import (
    COLUMNS,
    IntegrationRecord,
    LaunchKind,
    cell,
    records_csv,
    records_json,
    records_of,
)
from schemas.stack_config import EhrConnection, Organization, PublicHosts
from schemas.vocabulary import EhrKind, Stage
from tests.support.samples import load

HOSTS = PublicHosts(test="visits-tst.lakeside.org", production="visits.lakeside.org")


def lakeside() -> Organization:
    stack = load("Pulumi.local.yaml").stack
    assert stack
    return stack.organizations[0]


def connection(stage: Stage = Stage.PRODUCTION) -> EhrConnection:
    return next(c for c in lakeside().connections if c.stage is stage)


def by_kind(records: tuple[IntegrationRecord, ...]) -> dict[LaunchKind, IntegrationRecord]:
    return {r.kind: r for r in records}


def test_there_is_a_record_for_every_kind_of_launch() -> None:
    assert [r.kind for r in records_of(connection(), HOSTS)] == list(LaunchKind)


@pytest.mark.parametrize(
    ("kind", "context"),
    [
        (LaunchKind.PROVIDER, "sessionId=%CSN%&departmentId=%PERFDEPID;;; ; ;;NONE;%"),
        (LaunchKind.PATIENT, "sessionId=%CSN%"),
        (LaunchKind.GROUP_PROVIDER, "sessionId=%CONFERENCEID%&departmentId=%PERFDEPID;;; ; ;;NONE;%"),
        (LaunchKind.GROUP_PATIENT, "sessionId=%CONFERENCEID%"),
        (LaunchKind.DEVICE_TEST, "sessionId=%CSN%"),
    ],
)
def test_epics_context_tokens_are_the_published_ones(kind: LaunchKind, context: str) -> None:
    assert by_kind(records_of(connection(), HOSTS))[kind].context_text == context


@pytest.mark.parametrize(("stage", "host"), [(Stage.TEST, HOSTS.test), (Stage.PRODUCTION, HOSTS.production)])
def test_a_record_names_the_public_host_of_its_own_stage(stage: Stage, host: str) -> None:
    for record in records_of(connection(stage), HOSTS):
        assert record.launch_url.startswith(f"https://{host}/")
        assert record.redirect_url == f"{record.launch_url}/callback"


def test_the_context_goes_under_the_names_that_the_connection_reads() -> None:
    keys = connection().launch_context_keys.model_copy(update={"session_id": "csn", "department_id": None})
    records = by_kind(records_of(connection().model_copy(update={"launch_context_keys": keys}), HOSTS))
    assert records[LaunchKind.PROVIDER].context_text == "csn=%CSN%"


def test_an_ehr_other_than_epic_gets_no_mnemonics_of_epic() -> None:
    records = records_of(connection().model_copy(update={"ehr": EhrKind.SMART}), HOSTS)
    assert not [r for r in records if "%" in r.context_text]
    assert by_kind(records)[LaunchKind.PATIENT].context_text == "sessionId="


def test_launches_that_are_not_taken_yet_say_so() -> None:
    records = records_of(connection(), HOSTS)
    available = {r.kind for r in records if r.available}
    assert available == {LaunchKind.PROVIDER, LaunchKind.PATIENT}
    assert {r.kind for r in records if r.instruction == "Copy it into the EHR and switch it on."} == available
    assert {r.kind for r in records if "Leave it switched off" in r.instruction} == set(LaunchKind) - available


def test_the_json_and_the_csv_say_the_same() -> None:
    records = records_of(connection(), HOSTS)
    exported = records_json(lakeside(), connection(), records)
    assert (exported["organization"], exported["stage"]) == ("lakeside", "production")
    rows = list(csv.DictReader(io.StringIO(records_csv(records), newline="")))
    assert tuple(rows[0]) == COLUMNS
    assert [r["launchUrl"] for r in rows] == [r.launch_url for r in records]
    assert exported["records"] == [r.values() for r in records]


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_no_cell_begins_a_formula(start: str) -> None:
    harmful = f'{start}HYPERLINK("https://evil.example","x")'
    assert cell(harmful) == "'" + harmful
    clients = connection().clients
    provider = clients.provider.model_copy(update={"client_id": harmful})
    changed = connection().model_copy(update={"clients": clients.model_copy(update={"provider": provider})})
    rows = list(csv.reader(io.StringIO(records_csv(records_of(changed, HOSTS)), newline="")))
    assert not [value for row in rows for value in row if value[:1] in ("=", "+", "-", "@", "\t", "\r")]


@pytest.mark.parametrize("value", ['a "quoted" part', "two\nlines", "a,b", ""])
def test_a_csv_reader_gets_every_other_text_back(value: str) -> None:
    identifiers = connection().integration_record_ids.model_copy(update={"patient": value})
    changed = connection().model_copy(update={"integration_record_ids": identifiers})
    rows = list(csv.DictReader(io.StringIO(records_csv(records_of(changed, HOSTS)), newline="")))
    assert rows[1]["recordId"] == value
