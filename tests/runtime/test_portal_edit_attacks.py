"""Attacks on edits: forms that are not ours, changes that were not shown, ids, names and files with tricks in them."""

import pytest

from schemas.loading import load_stack
from tests.support.portal import ANSEL_OF_PRAIRIE, AVERY, Person
from tests.support.portal_editing import (
    ANNEX,
    EDIT,
    NEW,
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


@pytest.mark.parametrize("identifier", ["", "lakeside", "../../x", "A", "a/b", ".."])
async def test_a_new_organisations_id_is_new_and_no_path(office: Office, avery: Person, identifier: str) -> None:
    page = await filled(avery, f"{EDIT}/organization", {**NEW, **ANNEX, "organization.id": identifier})
    assert page.status_code == 422
    assert 'href="#organization.id"' in page.text
    assert office.is_untouched()


async def test_a_change_between_form_and_proposal_is_a_conflict_from_which_one_goes_on(
    office: Office, avery: Person
) -> None:
    review = await reviewed(avery)
    theirs = text(STACK).replace("lakeside-prd-approval", "theirs")
    office.bare.commit("main", {STACK: theirs.encode()})
    conflict = await avery.post(f"{EDIT}/propose", form_of(review, f"{EDIT}/propose"))
    assert conflict.status_code == 409
    assert STACK in conflict.text
    assert office.is_untouched()
    again = await avery.post(f"{EDIT}/review", form_of(conflict, f"{EDIT}/review"))
    await proposed(avery, again)
    assert office.file() == theirs.replace('patient: "1102"', 'patient: "9"')


@pytest.mark.rule("portal-edit-not-shown")
async def test_nothing_but_what_was_shown_is_proposed(office: Office, avery: Person) -> None:
    review = await reviewed(avery)
    fields = form_of(review, f"{EDIT}/propose")
    for changes in (
        {"clients.approval.clientId": "swapped"},
        {"shown": "0" * 64},
        {"connection": "lakeside-production"},
    ):
        fresh = form_of(
            await reviewed(avery),
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
@pytest.mark.rule("portal-form-elsewhere")
async def test_no_other_site_sends_our_forms(office: Office, avery: Person, path: str, headers: dict[str, str]) -> None:
    fields = form_of(await avery.get(f"{EDIT}/connections/lakeside-test"), f"{EDIT}/review")
    answer = await avery.post(f"{EDIT}/{path}", fields, **headers)
    assert code_of(answer) == "portal-form-elsewhere"
    assert office.is_untouched()


@pytest.mark.rule("portal-form-replayed")
async def test_a_proposal_is_made_once(office: Office, avery: Person) -> None:
    review = await reviewed(avery)
    await proposed(avery, review)
    assert code_of(await avery.post(f"{EDIT}/propose", form_of(review, f"{EDIT}/propose"))) == "portal-form-replayed"
    assert len(office.bare.branches()) == 2


@pytest.mark.rule("portal-form-invalid")
async def test_a_form_of_another_session_is_refused(office: Office, avery: Person) -> None:
    review = await reviewed(avery)
    other = await office.portal.signed_in(AVERY)
    assert code_of(await other.post(f"{EDIT}/propose", form_of(review, f"{EDIT}/propose"))) == "portal-form-invalid"
    assert office.is_untouched()


@pytest.mark.parametrize("path", ["", "/new", "/connections/lakeside-test", "/connections/lakeside-test/remove"])
@pytest.mark.rule("portal-not-found")
async def test_another_tenants_people_see_nothing_of_it(office: Office, path: str) -> None:
    ansel = await office.portal.signed_in(ANSEL_OF_PRAIRIE)
    assert code_of(await ansel.get(f"{EDIT}{path}")) == "portal-not-found"


@pytest.mark.rule("portal-not-found")
async def test_another_tenants_form_proposes_nothing(office: Office, avery: Person) -> None:
    review = await reviewed(avery)
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


@pytest.mark.parametrize("path", ["check", "review", "propose"])
@pytest.mark.rule("portal-form-invalid")
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
