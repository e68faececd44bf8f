"""A repository that is not as the portal needs it: each thing that is wrong is told, and nothing is proposed."""

import json
from dataclasses import replace

import pytest

from runtime.portal.application import create_portal
from runtime.portal.edits.opening import Editing
from runtime.portal.repository.git import GitRepository
from schemas.promotion.trust import Trust, TrustAnchors
from schemas.strict_yaml import read_yaml
from tests.support.portal import AVERY, AVERY_OF_PRAIRIE, Person
from tests.support.portal_editing import EDIT, PRAIRIE, STACK, TENANT, Office, form_of, reviewed
from tests.support.refusals import by_code, code_of
from tests.support.samples import text

pytestmark = pytest.mark.anyio
EDIT_OF_PRAIRIE = "/organizations/prairie/edit"


# --- files ----------------------------------------------------------------------------------------------------------

AMBIGUOUS = {
    "an anchor": ("id: prairie", "id: &a prairie", "portal-edit-unreadable"),
    "a merge key": ("geography: americas", "<<: {geography: americas}", "portal-edit-unreadable"),
    "a tag": ("id: prairie", "id: !!str prairie", "portal-edit-unreadable"),
    "a key twice": ("id: prairie", "id: prairie\nid: prairie", "portal-edit-unreadable"),
    "a second document": ("connections:", "---\nconnections:", "portal-edit-unreadable"),
}


@pytest.mark.parametrize(("there", "instead", "code"), by_code(AMBIGUOUS.values()), ids=AMBIGUOUS)
async def test_a_file_that_two_readers_understand_differently_is_not_edited(
    office: Office, there: str, instead: str, code: str
) -> None:
    office.bare.commit("main", {PRAIRIE: text(PRAIRIE).replace(there, instead, 1).encode()})
    avery = await office.portal.signed_in(AVERY_OF_PRAIRIE)
    answer = await avery.get(EDIT_OF_PRAIRIE)
    assert code_of(answer) == code


@pytest.mark.rule("portal-edit-impossible")
async def test_a_file_whose_layout_cannot_be_kept_is_left_alone(office: Office) -> None:
    """All in one line, as JSON: a change would write the whole file anew."""
    one_line = json.dumps(read_yaml(text(PRAIRIE)).value).encode()
    office.bare.commit("main", {PRAIRIE: one_line})
    avery = await office.portal.signed_in(AVERY_OF_PRAIRIE)
    fields = form_of(await avery.get(f"{EDIT_OF_PRAIRIE}/connections/prairie-test"), f"{EDIT_OF_PRAIRIE}/review")
    changed = {**fields, "integrationRecordIds.patient": "99", "action": "review"}
    answer = await avery.post(f"{EDIT_OF_PRAIRIE}/review", changed)
    assert (answer.status_code, code_of(answer)) == (409, "portal-edit-impossible")
    assert office.is_untouched()


# --- what is not there ----------------------------------------------------------------------------------------------


@pytest.mark.rule("portal-edit-no-stack")
async def test_a_repository_without_this_portals_stack_is_told(office: Office, avery: Person) -> None:
    office.bare.commit("main", {STACK: text(STACK).replace("localhost:8444", "localhost:9444").encode()})
    answer = await avery.get(EDIT)
    assert (answer.status_code, code_of(answer)) == (503, "portal-edit-no-stack")


@pytest.mark.rule("portal-edit-not-there")
async def test_an_organisation_that_the_repository_gives_another_tenant_is_not_edited(
    office: Office, avery: Person
) -> None:
    moved = text(STACK).replace(
        f"tenantId: {TENANT}\n      administrators",
        "tenantId: 1a1a1a1a-0000-4000-8000-0000000000ff\n      administrators",
    )
    assert moved != text(STACK)
    office.bare.commit("main", {STACK: moved.encode()})
    answer = await avery.get(EDIT)
    assert (answer.status_code, code_of(answer)) == (404, "portal-edit-not-there")


@pytest.mark.rule("portal-edit-not-there")
@pytest.mark.parametrize("path", ["", "/remove"])
async def test_a_connection_that_is_not_in_the_repository_has_no_form(avery: Person, path: str) -> None:
    answer = await avery.get(f"{EDIT}/connections/lakeside-nowhere{path}")
    assert (answer.status_code, code_of(answer)) == (404, "portal-edit-not-there")


@pytest.mark.rule("portal-edit-last")
async def test_the_last_connection_of_an_organisation_stays(office: Office) -> None:
    organization = read_yaml(text(PRAIRIE)).value
    assert isinstance(organization, dict)
    alone = text(PRAIRIE).partition("  - id: prairie-production")[0]
    assert alone != text(PRAIRIE)
    office.bare.commit("main", {PRAIRIE: alone.encode()})
    avery = await office.portal.signed_in(AVERY_OF_PRAIRIE)
    answer = await avery.get(f"{EDIT_OF_PRAIRIE}/connections/prairie-test/remove")
    assert (answer.status_code, code_of(answer)) == (409, "portal-edit-last")


# --- the remote, and the key ----------------------------------------------------------------------------------------


@pytest.mark.rule("portal-repository-unavailable")
async def test_a_remote_that_is_away_is_said(office: Office, avery: Person) -> None:
    repository = GitRepository("https://127.0.0.1:1/x.git", "main")
    office.portal.app.state.editing = Editing(office.portal.services, repository)
    answer = await avery.get(EDIT)
    assert (answer.status_code, code_of(answer)) == (503, "portal-repository-unavailable")


@pytest.mark.rule("portal-repository-refused")
async def test_a_remote_without_the_configured_branch_is_said(office: Office, avery: Person) -> None:
    office.portal.app.state.editing = Editing(office.portal.services, GitRepository(office.bare.url, "nowhere"))
    answer = await avery.get(EDIT)
    assert (answer.status_code, code_of(answer)) == (502, "portal-repository-refused")


@pytest.mark.rule("portal-signing-key-missing")
async def test_a_portal_without_a_key_of_its_own_proposes_nothing(office: Office) -> None:
    portal, editing = office.portal, office.portal.app.state.editing
    portal.services = replace(portal.services, trust=Trust((), TrustAnchors(version=1, keys=())))
    portal.app = create_portal(portal.services)
    portal.app.state.editing = editing
    avery = await portal.signed_in(AVERY)
    review = await reviewed(avery)
    answer = await avery.post(f"{EDIT}/propose", form_of(review, f"{EDIT}/propose"))
    assert (answer.status_code, code_of(answer)) == (503, "portal-signing-key-missing")
    assert office.is_untouched()
