"""A form of a connection and back loses nothing; an edit of the samples changes what was meant and no other line."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.errors import Refusal
from runtime.portal.edits.checking import check_organization, check_stack, errors
from runtime.portal.edits.editing import Edit, Edited, Verb, diff, edited
from runtime.portal.edits.fields import blank, connection_of, copied, fields_of, people
from runtime.portal.edits.source import Source
from schemas.loading import is_ours
from schemas.stack_config import PROJECT, Organization
from schemas.strict_yaml import read_yaml
from tests.support.samples import load, organization_files, text

STACK = "Pulumi.local.yaml"


def source_of(organization_id: str) -> Source:
    values = read_yaml(text(STACK), is_ours).value["config"]
    known = {k.removeprefix(f"{PROJECT}:"): v for k, v in values.items()}
    entries = known["organizations"]
    for index, entry in enumerate(entries):
        value = read_yaml(text(entry)).value if isinstance(entry, str) else entry
        if value["id"] == organization_id:
            own = entry if isinstance(entry, str) else None
            return Source("a" * 40, STACK, text(STACK), known, entries, index, value, own, text(own) if own else None)
    raise AssertionError(organization_id)


def organizations() -> tuple[Organization, ...]:
    stack = load(STACK).stack
    assert stack is not None
    return stack.organizations


IDS = [o.id for o in organizations()]
CONNECTIONS = [(o.id, c.id) for o in organizations() for c in o.connections]


def texts_of(source: Source, made: Edited) -> dict[str, str]:
    return {STACK: text(STACK), **{f: text(f) for f in organization_files()}, **made.files}


def edit_of(source: Source, connection_id: str, changes: dict[str, str]) -> Edited:
    before = source.connection(connection_id)
    assert before is not None
    tenant = str(source.organization["tenantId"])
    value = connection_of({**fields_of(before), **changes}, before, people(organizations(), tenant), tenant)
    made = edited(source, Edit(Verb.EDIT, connection_id, value))
    assert isinstance(made, Edited)
    return made


@pytest.mark.parametrize(("organization", "connection"), CONNECTIONS)
def test_a_form_sent_back_as_it_came_changes_nothing(organization: str, connection: str) -> None:
    made = edit_of(source_of(organization), connection, {})
    assert made.is_nothing
    assert made.changes == []


def test_what_the_form_does_not_show_stays() -> None:
    source = source_of("prairie")
    before = {**source.connections[0], "externalConnectionStatus": {"method": "POST"}, "somethingNew": {"x": "y"}}
    tenant = str(source.organization["tenantId"])
    assert connection_of(fields_of(before), before, people(organizations(), tenant), tenant) == before


def test_an_edited_connection_keeps_its_id_and_stage_whatever_is_sent() -> None:
    made = edit_of(source_of("lakeside"), "lakeside-test", {"id": "other", "stage": "production"})
    assert made.is_nothing


OPAQUE = st.from_regex(r"[\x21-\x7e]{1,40}", fullmatch=True)
CHANGES: dict[str, st.SearchStrategy[str]] = {
    "clients.provider.clientId": OPAQUE,
    "clients.approval.clientId": OPAQUE,
    "integrationRecordIds.provider": OPAQUE,
    "integrationRecordIds.patient": OPAQUE,
    "launchContextKeys.sessionId": st.from_regex(r"[a-z]{3,9}", fullmatch=True),
    "frameOrigins": st.lists(
        st.from_regex(r"https://[a-z]{1,9}\.example", fullmatch=True), min_size=1, unique=True
    ).map("\n".join),
}


@given(st.sampled_from(CONNECTIONS), st.sampled_from(sorted(CHANGES)), st.data())
@settings(max_examples=25, deadline=None)
def test_any_change_of_a_field_reaches_the_file_and_no_other_line(
    of: tuple[str, str], field: str, data: st.DataObject
) -> None:
    organization, connection = of
    source, value = source_of(organization), data.draw(CHANGES[field])
    made = edit_of(source, connection, {field: value})
    reading = read_yaml(
        made.files.get(source.file, source.text), is_ours if source.own_file is None else lambda _: True
    )
    assert reading.findings == []
    found: Any = reading.value
    for part in source.path:
        found = found[part]
    assert found == made.organization
    assert fields_of(found["connections"][source.position(connection)])[field] == value
    lines = [line for _, listed in diff(source, made) for line in listed]
    gone, new = [x.text for x in lines if x.kind == "gone"], [x.text for x in lines if x.kind == "new"]
    if field != "frameOrigins":
        assert len(gone) == len(new) <= 1
    assert all("#" not in line for line in gone)


@pytest.mark.parametrize("organization", IDS)
def test_the_samples_have_no_problem_by_either_look(organization: str) -> None:
    source = source_of(organization)
    others = [o for o in organizations() if o.id != organization]
    for connection in source.connections:
        made = edit_of(source, connection["id"], {})
        assert check_organization(source.values, made.organization, connection["id"], others) == []
        stack, problems = check_stack(STACK, texts_of(source, made), source.index, made.organization, connection["id"])
        assert stack is not None
        assert problems == []


TWICE = "launchContextKeys.departmentId"
"""Another value's key too, which is found by a rule between values."""
WRONG = {
    "fhirBaseUrl": "https://127.0.0.1:8471/x/",
    "clients.provider.clientId": "with space",
    "integrationRecordIds.patient": "",
    "frameOrigins": "no origin",
    TWICE: "sessionId",
    "ehr": "other",
}


@pytest.mark.parametrize(
    "field", [pytest.param(f, marks=[pytest.mark.rule("context-keys-repeated")] if f == TWICE else []) for f in WRONG]
)
def test_both_looks_find_the_same_at_the_same_field(field: str) -> None:
    source = source_of("lakeside")
    made = edit_of(source, "lakeside-test", {field: WRONG[field]})
    others = [o for o in organizations() if o.id != "lakeside"]
    quick = errors(check_organization(source.values, made.organization, "lakeside-test", others))
    _, whole = check_stack(STACK, texts_of(source, made), source.index, made.organization, "lakeside-test")
    assert [(p.field, p.code) for p in quick] == [(p.field, p.code) for p in errors(whole)]
    assert field in {p.field for p in quick}


def test_a_copy_leaves_out_what_an_environment_has_for_itself() -> None:
    fields = copied(source_of("lakeside").connections[0], "production")
    assert fields["stage"] == "production"
    assert fields["clients.provider.authentication.method"] == "private_key_jwt"
    own = ("id", "fhirBaseUrl", "clients.provider.clientId", "clients.provider.authentication.key")
    assert {fields[name] for name in own} == {""}


def test_a_blank_form_and_a_full_one_have_the_same_fields() -> None:
    assert set(blank("test")) == set(fields_of(source_of("lakeside").connections[0]))


def test_people_are_of_the_tenant_each_once_with_what_they_are() -> None:
    tenant = "1a1a1a1a-0000-4000-8000-000000000001"
    found = [(c.person.display_name, c.roles) for c in people(organizations(), tenant)]
    assert found == [("Ansel Analyst", ("approver",)), ("Avery Admin", ("administrator",))]


def test_the_last_connection_is_not_removed() -> None:
    source = source_of("lakeside")
    one = replace(source, organization={**source.organization, "connections": source.connections[:1]})
    refused = edited(one, Edit(Verb.REMOVE, "lakeside-test", None))
    assert isinstance(refused, Refusal)
    assert refused.code == "portal-edit-last"
