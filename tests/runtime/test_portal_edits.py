"""An administrator's way through the portal: the list, the form and its problems, the change, the proposal."""

from html import unescape
from typing import Any

import pytest

from runtime.portal.edits.allowance import Allowance
from schemas.loading import load_stack
from schemas.promotion.requester import ChangeRequest, requester_of
from tests.support.portal import ANSEL, AVERY, AVERY_OF_PRAIRIE, Person
from tests.support.portal_editing import (
    ANNEX,
    EDIT,
    NEW,
    PRAIRIE,
    STACK,
    TENANT,
    Office,
    filled,
    form_of,
    proposed,
    reviewed,
)
from tests.support.refusals import code_of
from tests.support.samples import text

pytestmark = pytest.mark.anyio


# --- the way --------------------------------------------------------------------------------------------------------


async def test_the_list_names_connections_of_both_stages(avery: Person) -> None:
    page = await avery.get(EDIT)
    assert page.status_code == 200
    assert page.text.index("lakeside-test") < page.text.index("lakeside-production")
    assert "not deployed yet" not in page.text
    assert "prairie" not in page.text


async def test_the_list_says_what_waits_for_a_deployment(office: Office, avery: Person) -> None:
    changed = text(STACK).replace("lakeside-tst-approval", "lakeside-tst-approval-2")
    office.bare.commit("main", {STACK: changed.encode()})
    page = await avery.get(EDIT)
    assert page.text.count("not deployed yet") == 1


async def test_an_edit_is_shown_and_then_proposed_with_every_other_line_as_it_was(
    office: Office, avery: Person
) -> None:
    review = await filled(avery, f"{EDIT}/connections/lakeside-test", {"clients.approval.clientId": "lakeside-new"})
    assert "lakeside-tst-approval" in review.text
    assert "This withdraws the approval of lakeside-test" in review.text
    assert "lakeside-production, which rest on this test connection" in review.text
    assert office.is_untouched()
    done = await proposed(avery, review)
    assert done.status_code == 200, done.text
    assert office.branch.startswith("connector/edit-lakeside-")
    assert office.branch in done.text
    assert office.file() == text(STACK).replace("clientId: lakeside-tst-approval\n", "clientId: lakeside-new\n")
    assert [r[1] for r in office.portal.rows("audit") if "edit-proposed" in r] != []


async def test_the_commit_says_who_asked_and_nothing_more_of_anybody(office: Office, avery: Person) -> None:
    base = office.bare.branches()["main"]
    await proposed(
        avery, await filled(avery, f"{EDIT}/connections/lakeside-test", {"integrationRecordIds.provider": "77"})
    )
    commit = office.bare.branches()[office.branch]
    message = office.bare.message(commit)
    files: dict[str, bytes | None] = {STACK: office.file().encode()}
    found = requester_of(message, base, files, office.portal.services.trust)
    assert isinstance(found, ChangeRequest)
    assert (found.requester.tenant_id, found.requester.object_id) == (TENANT, "3c3c3c3c-0000-4000-8000-000000000018")
    assert "Avery" not in message
    assert "lakeside.example" not in message
    assert office.bare.parents(commit) == [base]


async def test_a_new_connection_begins_as_a_copy_and_is_added_behind_the_others(office: Office, avery: Person) -> None:
    page = f"{EDIT}/new?stage=production&like=lakeside-test"
    await proposed(avery, await filled(avery, page, NEW))
    loaded = load_stack(STACK, lambda name: office.file(name))
    assert loaded.errors == ()
    assert loaded.stack is not None
    lakeside = next(o for o in loaded.stack.organizations if o.id == "lakeside")
    assert [c.id for c in lakeside.connections] == ["lakeside-test", "lakeside-production", "lakeside-spare"]
    new = lakeside.connections[2]
    assert (new.stage, new.approver.display_name, new.integration_record_ids.provider) == (
        "production",
        "Ansel Analyst",
        "0101",
    )
    before, after = text(STACK).splitlines(), office.file().splitlines()
    at = next(n for n, line in enumerate(after) if "lakeside-spare" in line)
    added = len(after) - len(before)
    assert after[:at] + after[at + added :] == before


async def test_a_connection_is_removed_with_its_own_lines(office: Office, avery: Person) -> None:
    review = await avery.get(f"{EDIT}/connections/lakeside-production/remove")
    assert "takes no launches any more" in review.text
    await proposed(avery, review)
    loaded = load_stack(STACK, lambda name: office.file(name))
    assert loaded.stack is not None
    assert [c.id for o in loaded.stack.organizations if o.id == "lakeside" for c in o.connections] == ["lakeside-test"]


async def test_an_organisation_with_a_file_of_its_own_is_edited_there(office: Office) -> None:
    avery = await office.portal.signed_in(AVERY_OF_PRAIRIE)
    base = "/organizations/prairie/edit"
    fields = form_of(await avery.get(f"{base}/connections/prairie-test"), f"{base}/review")
    review = await avery.post(f"{base}/review", {**fields, "integrationRecordIds.patient": "99", "action": "review"})
    done = await avery.post(f"{base}/propose", form_of(review, f"{base}/propose"))
    assert done.status_code == 200, done.text
    assert office.file(PRAIRIE) == text(PRAIRIE).replace('patient: "1202"', 'patient: "99"')
    assert office.file(STACK) == text(STACK)


async def test_an_administrator_adds_an_organisation_of_the_tenant(office: Office, avery: Person) -> None:
    page = f"{EDIT}/organization"
    usual = {"frameOrigins": "https://127.0.0.1:8471", "launchContextKeys.departmentId": "departmentId"}
    review = await filled(avery, page, {**NEW, **ANNEX, **usual, "id": "lakeside-annex-test"})
    assert "Add organisation lakeside-annex with lakeside-annex-test" in review.text
    done = await proposed(avery, review)
    assert done.status_code == 200, done.text
    assert office.branch.startswith("connector/edit-lakeside-annex-")
    loaded = load_stack(STACK, lambda name: office.file(name))
    assert loaded.errors == ()
    assert loaded.stack is not None
    made = loaded.stack.organizations[-1]
    assert (made.id, made.name, made.tenant_id, made.geography) == (
        "lakeside-annex",
        "Lakeside Annex",
        TENANT,
        "americas",
    )
    assert [a.display_name for a in made.administrators] == ["Avery Admin"]
    before, after = text(STACK), office.file()
    assert after == before.replace(
        "    - organizations/local/southern-cross.yaml\n",
        "    - organizations/local/southern-cross.yaml\n    - organizations/local/lakeside-annex.yaml\n",
    )


@pytest.mark.rule("portal-not-administrator")
async def test_an_approver_adds_no_organisation(office: Office) -> None:
    ansel = await office.portal.signed_in(ANSEL)
    assert code_of(await ansel.get(f"{EDIT}/organization")) == "portal-not-administrator"
    assert "Add an organisation" not in (await ansel.get(EDIT)).text
    fields = form_of(await ansel.get(f"{EDIT}/new?stage=test"), f"{EDIT}/review")
    answer = await ansel.post(
        f"{EDIT}/review", {**fields, **NEW, **ANNEX, "verb": "add-organization", "action": "review"}
    )
    assert code_of(answer) == "portal-not-administrator"


async def test_the_approver_may_edit_too_and_is_told_what_it_means(office: Office) -> None:
    ansel = await office.portal.signed_in(ANSEL)
    form = await ansel.get(f"{EDIT}/connections/lakeside-test")
    assert "withdraws its approval" in form.text
    assert "That holds for edits by the approver too." in form.text
    done = await proposed(ansel, await reviewed(ansel))
    assert done.status_code == 200


async def test_an_approver_is_picked_from_the_tenants_people_or_entered(office: Office, avery: Person) -> None:
    form = await avery.get(f"{EDIT}/connections/lakeside-test")
    assert "Avery Admin (administrator" in form.text
    assert "Ansel Analyst (approver" in form.text
    assert "-000000000028" not in form.text  # prairie's people
    somebody = {
        "approver": "new",
        "approver.objectId": "3c3c3c3c-0000-4000-8000-0000000000aa",
        "approver.displayName": "Nia New",
    }
    await proposed(avery, await filled(avery, f"{EDIT}/connections/lakeside-test", somebody))
    loaded = load_stack(STACK, lambda name: office.file(name))
    assert loaded.stack is not None
    approver = next(c for o in loaded.stack.organizations for c in o.connections if c.id == "lakeside-test").approver
    assert (approver.tenant_id, approver.object_id, approver.display_name) == (
        TENANT,
        somebody["approver.objectId"],
        "Nia New",
    )


async def test_an_unchanged_form_proposes_nothing(office: Office, avery: Person) -> None:
    page = await filled(avery, f"{EDIT}/connections/lakeside-test", {})
    assert "Nothing was changed." in page.text
    assert office.is_untouched()


# --- problems -------------------------------------------------------------------------------------------------------

WRONG: dict[str, tuple[dict[str, str], str, str]] = {
    "no FHIR base URL": ({"fhirBaseUrl": ""}, "fhirBaseUrl", "This is needed."),
    "a slash at its end": ({"fhirBaseUrl": "https://127.0.0.1:8471/a/"}, "fhirBaseUrl", "trailing or doubled slash"),
    "a client id of the other stage": (
        {"clients.provider.clientId": "lakeside-prd-provider"},
        "",
        "a client id that no test connection of the organisation has",
    ),
    "no secret's name": (
        {"clients.provider.authentication.method": "client_secret_basic"},
        "clients.provider.authentication.secret",
        "This is needed.",
    ),
    "a secret instead of its name": (
        {"clients.provider.authentication.key": "hunter2!!"},
        "clients.provider.authentication.key",
        "got a value that is not shown",
    ),
    "nobody to approve": ({"approver": ""}, "approver", "Choose who approves."),
    "a name that hides its direction": (
        {"approver": "new", "approver.objectId": TENANT, "approver.displayName": "Nia\u202eweN"},
        "approver.displayName",
        "invisible characters",
    ),
    "a frame that is no origin": ({"frameOrigins": "https://a.example/x"}, "frameOrigins", "an origin such as"),
    "one session id twice": (
        {"launchContextKeys.departmentId": "sessionId"},
        "launchContextKeys.departmentId",
        "another parameter",
    ),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
async def test_a_problem_is_told_at_its_field_by_the_check_and_by_the_review(
    office: Office, avery: Person, wrong: tuple[dict[str, str], str, str]
) -> None:
    changes, field, words = wrong
    fields = form_of(await avery.get(f"{EDIT}/connections/lakeside-test"), f"{EDIT}/review")
    checked = await avery.post(f"{EDIT}/check", {**fields, **changes})
    found: list[dict[str, Any]] = checked.json()["problems"]
    assert any(p["field"] == field and words in p["message"] for p in found if p["severity"] == "error"), found
    page = await avery.post(f"{EDIT}/review", {**fields, **changes, "action": "review"})
    assert page.status_code == 422
    assert page.text.count(f'href="#{field}"') == 1 or not field
    assert "hunter2" not in checked.text
    assert office.is_untouched()


async def test_a_valid_form_has_no_problems(avery: Person) -> None:
    fields = form_of(await avery.get(f"{EDIT}/connections/lakeside-test"), f"{EDIT}/review")
    assert (await avery.post(f"{EDIT}/check", fields)).json() == {"problems": []}


async def test_an_empty_new_form_needs_what_it_needs_and_says_so_at_each_field(avery: Person) -> None:
    fields = form_of(await avery.get(f"{EDIT}/new?stage=test"), f"{EDIT}/review")
    found = (await avery.post(f"{EDIT}/check", fields)).json()["problems"]
    needed = {p["field"] for p in found if p["message"] in ("This is needed.", "Choose who approves.")}
    assert needed >= {"id", "fhirBaseUrl", "approver", "clients.provider.clientId", "integrationRecordIds.patient"}
    assert needed <= set(fields), needed - set(fields)


async def test_an_id_that_another_organisation_has_is_a_problem_of_the_id(avery: Person) -> None:
    fields = form_of(await avery.get(f"{EDIT}/new?stage=test&like=lakeside-test"), f"{EDIT}/review")
    found = (await avery.post(f"{EDIT}/check", {**fields, **NEW, "id": "prairie-test"})).json()["problems"]
    assert [(p["field"], p["code"]) for p in found] == [("id", "connection-id-repeated")]


async def test_what_the_whole_configuration_says_against_it_is_told_before_the_proposal(
    office: Office, avery: Person
) -> None:
    """An id of another geography's organisation: only the whole stack knows it."""
    page = await filled(avery, f"{EDIT}/new?stage=production&like=lakeside-test", {**NEW, "id": "rheinland-test"})
    assert page.status_code == 422
    assert "a connection id that is used once in the stack" in unescape(page.text)
    assert office.is_untouched()


# --- the URL --------------------------------------------------------------------------------------------------------


async def test_looking_at_the_url_says_what_is_there(avery: Person) -> None:
    fields = form_of(await avery.get(f"{EDIT}/connections/lakeside-test"), f"{EDIT}/review")
    found = (await avery.post(f"{EDIT}/probe", fields)).json()
    assert (found["look"]["host"], found["look"]["software"], found["look"]["smart"]) == (
        "127.0.0.1:8471",
        "Epic",
        True,
    )
    assert "127.0.0.1:8471" in found["html"]
    page = await avery.post(f"{EDIT}/review", {**fields, "action": "look"})
    assert "A FHIR server answers here" in page.text


async def test_a_person_looks_twenty_times_a_minute_and_is_told_to_wait(office: Office, avery: Person) -> None:
    now = 0.0
    office.portal.app.state.editing.looks = Allowance(monotonic=lambda: now)
    fields = form_of(await avery.get(f"{EDIT}/connections/lakeside-test"), f"{EDIT}/review")
    asked = [(await avery.post(f"{EDIT}/probe", {**fields, "fhirBaseUrl": "no URL"})).status_code for _ in range(20)]
    assert set(asked) == {200}
    refused = await avery.post(f"{EDIT}/probe", fields)
    assert (refused.status_code, refused.json()["look"]["put_off"]) == (429, True)
    assert "Wait a minute" in refused.json()["html"]
    page = await avery.post(f"{EDIT}/review", {**fields, "integrationRecordIds.patient": "9", "action": "look"})
    assert page.status_code == 429
    assert "Wait a minute" in page.text
    assert form_of(page, f"{EDIT}/review")["integrationRecordIds.patient"] == "9"
    assert office.portal.outside.called("https://127.0.0.1:8471") == []
    elsewhere = await office.portal.signed_in(AVERY)
    own = form_of(await elsewhere.get(f"{EDIT}/connections/lakeside-test"), f"{EDIT}/review")
    assert (await elsewhere.post(f"{EDIT}/probe", own)).status_code == 429, "a new session is the same person"
    ansel = await office.portal.signed_in(ANSEL)
    others = form_of(await ansel.get(f"{EDIT}/connections/lakeside-test"), f"{EDIT}/review")
    assert (await ansel.post(f"{EDIT}/probe", others)).status_code == 200
    now += 61
    assert (await avery.post(f"{EDIT}/probe", fields)).status_code == 200


async def test_a_hint_names_the_url_that_is_meant(avery: Person) -> None:
    fields = form_of(await avery.get(f"{EDIT}/connections/lakeside-test"), f"{EDIT}/review")
    typed = {**fields, "fhirBaseUrl": fields["fhirBaseUrl"] + "/metadata"}
    assert (await avery.post(f"{EDIT}/probe", typed)).json()["look"]["hints"][0]["url"] == fields["fhirBaseUrl"]
