"""An administrator's way through the portal: the list, the form and its problems, the change, the proposal."""

import re
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import Any

import httpx
import pytest

from runtime.portal.edits.opening import Editing
from runtime.portal.repository.git import GitRepository
from schemas.loading import load_stack
from schemas.promotion.requester import ChangeRequest, requester_of
from tests.support.bare_repository import BareRepository
from tests.support.launching import Place
from tests.support.portal import (
    ANSEL,
    ANSEL_OF_PRAIRIE,
    AVERY,
    AVERY_OF_PRAIRIE,
    Person,
    Portal,
    code_of,
    running_portal,
)
from tests.support.samples import organization_files, stack_files, text

pytestmark = pytest.mark.anyio

STACK = "Pulumi.local.yaml"
PRAIRIE = "organizations/local/prairie.yaml"
EDIT = "/organizations/lakeside/edit"
TENANT = "1a1a1a1a-0000-4000-8000-000000000001"


@dataclass
class Office:
    """The portal with its repository."""

    portal: Portal
    bare: BareRepository

    @property
    def branch(self) -> str:
        (branch,) = [b for b in self.bare.branches() if b != "main"]
        return branch

    def is_untouched(self) -> bool:
        return set(self.bare.branches()) == {"main"}

    def file(self, path: str = STACK) -> str:
        return self.bare.files(self.branch)[path].decode()


@pytest.fixture
async def office(place: Place, tmp_path: Path) -> AsyncGenerator[Office]:
    files = {f: text(f).encode() for f in (*stack_files(), *organization_files())}
    bare = BareRepository.new(tmp_path / "repository.git", {**files, "Pulumi.yaml": b"name: teams-ehr-connector\n"})
    async with running_portal(place) as portal:
        portal.app.state.editing = Editing(portal.services, GitRepository(bare.url, "main"))
        yield Office(portal, bare)


@pytest.fixture
async def avery(office: Office) -> Person:
    return await office.portal.signed_in(AVERY)


# --- a form as a browser sends it -----------------------------------------------------------------------------------


def form_of(page: httpx.Response, action: str) -> dict[str, str]:
    """The fields of the page's form with this action, as they are."""
    assert page.status_code in (200, 409, 422), page.text
    (form,) = re.findall(rf'<form[^>]* action="{re.escape(action)}".*?</form>', page.text, re.DOTALL)
    fields = {
        unescape(n): unescape(v) for n, v in re.findall(r'<input[^>]*? name="([^"]+)"[^>]*? value="([^"]*)"', form)
    }
    for name, body in re.findall(r'<select[^>]*? name="([^"]+)"[^>]*>(.*?)</select>', form, re.DOTALL):
        options = re.findall(r'<option value="([^"]*)"( selected)?', body)
        fields[name] = next((v for v, selected in options if selected), options[0][0])
    for name, body in re.findall(r'<textarea[^>]*? name="([^"]+)"[^>]*>\n?(.*?)</textarea>', form, re.DOTALL):
        fields[name] = unescape(body)
    return fields


async def filled(person: Person, path: str, changes: Mapping[str, str]) -> httpx.Response:
    """Open a form, change fields, and ask for the review."""
    fields = form_of(await person.get(path), f"{EDIT}/review")
    assert set(changes) <= set(fields), set(changes) - set(fields)
    return await person.post(f"{EDIT}/review", {**fields, **changes, "action": "review"})


async def proposed(person: Person, review: httpx.Response) -> httpx.Response:
    assert review.status_code == 200, problems(review)
    return await person.post(f"{EDIT}/propose", form_of(review, f"{EDIT}/propose"))


def problems(page: httpx.Response) -> list[str]:
    return [unescape(re.sub("<[^>]+>", "", p)) for p in re.findall(r'<p class="error">(.*?)</p>', page.text)]


NEW = {
    "id": "lakeside-spare",
    "fhirBaseUrl": "https://127.0.0.1:8471/interconnect-lakeside-spare/api/FHIR/R4",
    "clients.provider.clientId": "lakeside-spare-provider",
    "clients.provider.authentication.method": "client_secret_basic",
    "clients.provider.authentication.secret": "lakeside-spare-provider-secret",
    "clients.patient.clientId": "lakeside-spare-patient",
    "clients.backend.clientId": "lakeside-spare-backend",
    "clients.backend.authentication.key": "lakeside-spare-backend-key",
    "clients.approval.clientId": "lakeside-spare-approval",
    "integrationRecordIds.provider": "0101",
    "integrationRecordIds.patient": "0102",
}


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


ANNEX = {
    "organization.id": "lakeside-annex",
    "organization.name": "Lakeside Annex",
    "approver": "new",
    "approver.objectId": "3c3c3c3c-0000-4000-8000-0000000000aa",
    "approver.displayName": "Nia New",
}


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


@pytest.mark.parametrize("identifier", ["", "lakeside", "../../x", "A", "a/b", ".."])
async def test_a_new_organisations_id_is_new_and_no_path(office: Office, avery: Person, identifier: str) -> None:
    page = await filled(avery, f"{EDIT}/organization", {**NEW, **ANNEX, "organization.id": identifier})
    assert page.status_code == 422
    assert 'href="#organization.id"' in page.text
    assert office.is_untouched()


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
    done = await proposed(
        ansel, await filled(ansel, f"{EDIT}/connections/lakeside-test", {"integrationRecordIds.patient": "9"})
    )
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
    assert f'href="#{field}"' in page.text or not field
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


async def test_a_hint_names_the_url_that_is_meant(avery: Person) -> None:
    fields = form_of(await avery.get(f"{EDIT}/connections/lakeside-test"), f"{EDIT}/review")
    typed = {**fields, "fhirBaseUrl": fields["fhirBaseUrl"] + "/metadata"}
    assert (await avery.post(f"{EDIT}/probe", typed)).json()["look"]["hints"][0]["url"] == fields["fhirBaseUrl"]


# --- attacks --------------------------------------------------------------------------------------------------------


async def test_a_change_between_form_and_proposal_is_a_conflict_from_which_one_goes_on(
    office: Office, avery: Person
) -> None:
    review = await filled(avery, f"{EDIT}/connections/lakeside-test", {"integrationRecordIds.patient": "9"})
    theirs = text(STACK).replace("lakeside-prd-approval", "theirs")
    office.bare.commit("main", {STACK: theirs.encode()})
    conflict = await avery.post(f"{EDIT}/propose", form_of(review, f"{EDIT}/propose"))
    assert conflict.status_code == 409
    assert STACK in conflict.text
    assert office.is_untouched()
    again = await avery.post(f"{EDIT}/review", form_of(conflict, f"{EDIT}/review"))
    await proposed(avery, again)
    assert office.file() == theirs.replace('patient: "1102"', 'patient: "9"')


async def test_nothing_but_what_was_shown_is_proposed(office: Office, avery: Person) -> None:
    review = await filled(avery, f"{EDIT}/connections/lakeside-test", {"integrationRecordIds.patient": "9"})
    fields = form_of(review, f"{EDIT}/propose")
    for changes in (
        {"clients.approval.clientId": "swapped"},
        {"shown": "0" * 64},
        {"connection": "lakeside-production"},
    ):
        fresh = form_of(
            await filled(avery, f"{EDIT}/connections/lakeside-test", {"integrationRecordIds.patient": "9"}),
            f"{EDIT}/propose",
        )
        answer = await avery.post(f"{EDIT}/propose", {**fields, "token": fresh["token"], **changes})
        assert code_of(answer) == "portal-edit-not-shown"
    assert office.is_untouched()


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example", "sec_fetch_site": "cross-site"},
        {"origin": "null", "sec_fetch_site": ""},
        {"origin": "", "sec_fetch_site": "same-site"},
        {"origin": "", "sec_fetch_site": ""},
    ],
)
@pytest.mark.parametrize("path", ["check", "probe", "review", "propose"])
async def test_no_other_site_sends_our_forms(office: Office, avery: Person, path: str, headers: dict[str, str]) -> None:
    fields = form_of(await avery.get(f"{EDIT}/connections/lakeside-test"), f"{EDIT}/review")
    answer = await avery.post(f"{EDIT}/{path}", fields, **headers)
    assert code_of(answer) == "portal-form-elsewhere"
    assert office.is_untouched()


async def test_a_proposal_is_made_once(office: Office, avery: Person) -> None:
    review = await filled(avery, f"{EDIT}/connections/lakeside-test", {"integrationRecordIds.patient": "9"})
    await proposed(avery, review)
    assert code_of(await avery.post(f"{EDIT}/propose", form_of(review, f"{EDIT}/propose"))) == "portal-form-replayed"
    assert len(office.bare.branches()) == 2


async def test_a_form_of_another_session_is_refused(office: Office, avery: Person) -> None:
    review = await filled(avery, f"{EDIT}/connections/lakeside-test", {"integrationRecordIds.patient": "9"})
    other = await office.portal.signed_in(AVERY)
    assert code_of(await other.post(f"{EDIT}/propose", form_of(review, f"{EDIT}/propose"))) == "portal-form-invalid"
    assert office.is_untouched()


@pytest.mark.parametrize("path", ["", "/new", "/connections/lakeside-test", "/connections/lakeside-test/remove"])
async def test_another_tenants_people_see_nothing_of_it(office: Office, path: str) -> None:
    ansel = await office.portal.signed_in(ANSEL_OF_PRAIRIE)
    assert code_of(await ansel.get(f"{EDIT}{path}")) == "portal-not-found"


async def test_another_tenants_form_proposes_nothing(office: Office, avery: Person) -> None:
    review = await filled(avery, f"{EDIT}/connections/lakeside-test", {"integrationRecordIds.patient": "9"})
    ansel = await office.portal.signed_in(ANSEL_OF_PRAIRIE)
    assert code_of(await ansel.post(f"{EDIT}/propose", form_of(review, f"{EDIT}/propose"))) == "portal-not-found"
    assert office.is_untouched()


@pytest.mark.parametrize(
    "identifier",
    [
        "../../x",
        "a/b",
        "A",
        "x y",
        "-",
        ".git",
        "x\ny: z",
        "x: [",
        "&a",
        "*a",
        "{}",
        "%2e",
        "\x1b[31m",
        "**bold**",
        "on",
    ],
)
async def test_an_id_is_never_a_path_or_markup(office: Office, avery: Person, identifier: str) -> None:
    page = await filled(avery, f"{EDIT}/new?stage=production&like=lakeside-test", {**NEW, "id": identifier})
    assert page.status_code in (409, 422) or identifier == "on", page.text
    assert office.is_untouched()


@pytest.mark.parametrize("name", ["\x1b[31mAnn", "Ann\u2028Bo", "Ann\nBo", "Ann\x07"])
async def test_names_have_no_control_characters(office: Office, avery: Person, name: str) -> None:
    person = {"approver": "new", "approver.objectId": TENANT, "approver.displayName": name}
    page = await filled(avery, f"{EDIT}/connections/lakeside-test", person)
    assert page.status_code in (409, 422)
    assert office.is_untouched()


async def test_markup_in_a_name_stays_text(office: Office, avery: Person) -> None:
    name = "<img src=x onerror=alert(1)> [a](https://x.example) # & 'b' \"c\""
    person = {"approver": "new", "approver.objectId": TENANT, "approver.displayName": name}
    review = await filled(avery, f"{EDIT}/connections/lakeside-test", person)
    assert "<img" not in review.text
    await proposed(avery, review)
    loaded = load_stack(STACK, lambda file: office.file(file))
    assert loaded.stack is not None
    found = next(c for o in loaded.stack.organizations for c in o.connections if c.id == "lakeside-test")
    assert found.approver.display_name == name
    message = office.bare.message(office.bare.branches()[office.branch])
    assert "img" not in message


AMBIGUOUS = {
    "an anchor": ("id: prairie", "id: &a prairie"),
    "a key twice": ("id: prairie", "id: prairie\nid: prairie"),
    "a merge key": ("geography: americas", "<<: {geography: americas}"),
    "a tag": ("id: prairie", "id: !!str prairie"),
    "a second document": ("connections:", "---\nconnections:"),
}


@pytest.mark.parametrize("ambiguous", AMBIGUOUS.values(), ids=AMBIGUOUS)
async def test_a_file_that_two_readers_understand_differently_is_not_edited(
    office: Office, ambiguous: tuple[str, str]
) -> None:
    office.bare.commit("main", {PRAIRIE: text(PRAIRIE).replace(*ambiguous, 1).encode()})
    avery = await office.portal.signed_in(AVERY_OF_PRAIRIE)
    answer = await avery.get("/organizations/prairie/edit")
    assert code_of(answer) in ("portal-edit-unreadable", "portal-edit-not-there")


async def test_an_organisation_that_the_repository_gives_another_tenant_is_not_edited(
    office: Office, avery: Person
) -> None:
    moved = text(STACK).replace(
        f"tenantId: {TENANT}\n      administrators",
        "tenantId: 1a1a1a1a-0000-4000-8000-0000000000ff\n      administrators",
    )
    assert moved != text(STACK)
    office.bare.commit("main", {STACK: moved.encode()})
    assert code_of(await avery.get(EDIT)) == "portal-edit-not-there"


@pytest.mark.parametrize("path", ["check", "review", "propose"])
async def test_no_edit_is_made_on_top_of_a_commit_that_the_portal_did_not_offer(
    office: Office, avery: Person, path: str
) -> None:
    theirs = office.bare.commit("somebodys", {STACK: text(STACK).replace("Ansel Analyst", "Mallory").encode()})
    fields = form_of(await avery.get(f"{EDIT}/connections/lakeside-test"), f"{EDIT}/review")
    mac = fields["base"].partition(".")[2]
    for base in (theirs, f"{theirs}.{mac}", "main", f"main.{mac}", "", "."):
        answer = await avery.post(f"{EDIT}/{path}", {**fields, "base": base})
        assert code_of(answer) == "portal-form-invalid"
    assert set(office.bare.branches()) == {"main", "somebodys"}


async def test_a_remote_that_is_away_is_said(office: Office, avery: Person) -> None:
    repository = GitRepository("https://127.0.0.1:1/x.git", "main")
    office.portal.app.state.editing = Editing(office.portal.services, repository)
    assert code_of(await avery.get(EDIT)) == "portal-repository-unavailable"
