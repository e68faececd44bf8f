"""Attacks on the portal, each one change away from a decision that would have been accepted."""

import re
from urllib.parse import urlencode

import httpx
import pytest

from emulators.world import User, load_world
from tests.support.launching import Place
from tests.support.portal import (
    ANSEL,
    ANSEL_OF_PRAIRIE,
    AVERY,
    BEN,
    URL,
    Person,
    Portal,
    changed,
    hidden,
    running_portal,
    sample,
    with_organization,
    without_portal_keys,
)
from tests.support.refusals import code_of

pytestmark = pytest.mark.anyio

CONNECTION, OTHER = "lakeside-test", "lakeside-production"
LAKESIDE = "1a1a1a1a-0000-4000-8000-000000000001"
PRAIRIE = "1a1a1a1a-0000-4000-8000-000000000002"
EHR = "https://127.0.0.1:8471"


async def asked(person: Person, connection: str = CONNECTION) -> httpx.Response:
    """The page that asks for the confirmation of an approval: one press away from it."""
    page = await person.press(connection, await person.prove(connection))
    assert page.status_code == 200, page.text
    return page


def nothing_was_decided(portal: Portal) -> bool:
    return portal.rows("statement") == []


# --- forms --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        {"sec_fetch_site": "cross-site", "origin": "https://evil.example"},
        {"sec_fetch_site": "same-site"},
        {"sec_fetch_site": "none"},
        {"sec_fetch_site": "", "origin": "https://evil.example"},
        {"sec_fetch_site": "", "origin": "null"},
        {"sec_fetch_site": "", "origin": ""},
        {"origin": "https://localhost:8441"},
    ],
)
@pytest.mark.rule("portal-form-elsewhere")
async def test_a_form_that_another_page_sends_is_refused(
    portal: Portal, ansel: Person, headers: dict[str, str]
) -> None:
    page = await asked(ansel)
    form = {"token": hidden(page, "token", -1), "shown": hidden(page, "shown"), "decision": "approve"}
    answer = await ansel.post(f"/connections/{CONNECTION}/decide/confirm", form, **headers)
    assert code_of(answer) == "portal-form-elsewhere"
    assert nothing_was_decided(portal)


@pytest.mark.rule("portal-form-replayed")
async def test_a_form_is_sent_once(portal: Portal, ansel: Person) -> None:
    page = await asked(ansel)
    assert (await ansel.confirm(CONNECTION, page)).status_code == 303
    assert code_of(await ansel.confirm(CONNECTION, page)) == "portal-form-replayed"
    assert len(portal.rows("statement")) == 1


@pytest.mark.rule("portal-form-invalid")
async def test_a_form_of_another_session_of_the_same_person_is_refused(portal: Portal, ansel: Person) -> None:
    elsewhere = await portal.signed_in(ANSEL)
    page = await asked(elsewhere)
    await asked(ansel)
    assert code_of(await ansel.confirm(CONNECTION, page)) == "portal-form-invalid"
    assert nothing_was_decided(portal)


@pytest.mark.rule("portal-not-found", "portal-form-invalid")
async def test_a_form_from_another_tenants_session_is_refused(portal: Portal, ansel: Person) -> None:
    stranger = await portal.signed_in(ANSEL_OF_PRAIRIE)
    page = await asked(ansel)
    assert code_of(await stranger.confirm(CONNECTION, page)) == "portal-not-found"
    own = await stranger.get("/connections/prairie-test")
    stolen = {"token": hidden(own, "token", -1), "shown": hidden(page, "shown"), "decision": "approve"}
    answer = await ansel.post(f"/connections/{CONNECTION}/decide/confirm", stolen)
    assert code_of(answer) == "portal-form-invalid"
    assert nothing_was_decided(portal)


@pytest.mark.rule("portal-form-invalid")
async def test_a_forms_token_is_good_for_its_own_form_only(portal: Portal, ansel: Person) -> None:
    page = await ansel.prove(CONNECTION)
    form = {"token": hidden(page, "token", -1), "shown": hidden(page, "shown"), "decision": "approve"}
    answer = await ansel.post(f"/connections/{CONNECTION}/decide/confirm", form)
    assert code_of(answer) == "portal-form-invalid"
    assert nothing_was_decided(portal)


@pytest.mark.rule("portal-form-invalid")
async def test_a_field_given_twice_is_no_form_of_ours(portal: Portal, ansel: Person) -> None:
    page = await asked(ansel)
    token, shown = hidden(page, "token", -1), hidden(page, "shown")
    body = urlencode([("token", token), ("shown", shown), ("decision", "refuse"), ("decision", "approve")])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=portal.app)) as http:
        cookie = "; ".join(f"{k}={v}" for k, v in ansel.cookie.items())
        headers = {"cookie": cookie, "origin": URL, "content-type": "application/x-www-form-urlencoded"}
        answer = await http.post(f"{URL}/connections/{CONNECTION}/decide/confirm", content=body, headers=headers)
    assert code_of(answer) == "portal-form-invalid"
    assert nothing_was_decided(portal)


# --- what is decided ----------------------------------------------------------------------------------------------


@pytest.mark.rule("portal-not-proved")
async def test_one_ehr_sign_in_does_not_prove_two_urls(portal: Portal, ansel: Person) -> None:
    page = await ansel.prove(CONNECTION)
    assert code_of(await ansel.get(f"/connections/{OTHER}/decide")) == "portal-not-proved"
    assert code_of(await ansel.press(OTHER, page)) == "portal-not-proved"


@pytest.mark.rule("portal-not-proved")
async def test_one_ehr_sign_in_is_good_for_one_decision(portal: Portal, ansel: Person) -> None:
    await ansel.decide(CONNECTION)
    assert code_of(await ansel.get(f"/connections/{CONNECTION}/decide")) == "portal-not-proved"
    assert len(portal.rows("statement")) == 1


@pytest.mark.rule("portal-not-proved")
async def test_two_confirmations_at_once_make_one_decision(portal: Portal, ansel: Person) -> None:
    page = await ansel.prove(CONNECTION)
    first = await ansel.press(CONNECTION, page)
    second = await ansel.press(CONNECTION, await ansel.get(f"/connections/{CONNECTION}/decide"), "refuse")
    assert (await ansel.confirm(CONNECTION, first)).status_code == 303
    assert code_of(await ansel.confirm(CONNECTION, second, "refuse")) == "portal-not-proved"
    assert [a.decision for a, _ in portal.approvals()] == ["approve"]


@pytest.mark.rule("portal-not-proved")
async def test_a_proof_ends_after_ten_minutes(portal: Portal, ansel: Person) -> None:
    page = await asked(ansel)
    portal.execute("UPDATE portal_flow SET expires_at = expires_at - interval '10 minutes'")
    assert code_of(await ansel.confirm(CONNECTION, page)) == "portal-not-proved"
    assert nothing_was_decided(portal)


async def test_a_proof_lasts_ten_minutes_and_no_more(portal: Portal, ansel: Person) -> None:
    await ansel.prove(CONNECTION)
    with portal.place.postgres.administrator(portal.place.database) as connection:
        rows = connection.execute(
            "SELECT extract(epoch FROM expires_at - now()) FROM connector.portal_flow ORDER BY expires_at"
        ).fetchall()
    proof = min(float(row[0]) for row in rows)
    assert 590 < proof <= 600


@pytest.mark.rule("portal-configuration-changed")
async def test_a_decision_after_the_configuration_changed_is_refused(portal: Portal, ansel: Person) -> None:
    page = await asked(ansel)
    await portal.redeployed(changed(sample(), CONNECTION, frame_origins=("https://127.0.0.1:8471",)))
    assert code_of(await ansel.confirm(CONNECTION, page)) == "portal-configuration-changed"
    assert nothing_was_decided(portal)


@pytest.mark.rule("portal-not-proved")
async def test_a_proof_of_a_url_that_was_changed_since_is_none(portal: Portal, ansel: Person) -> None:
    page = await asked(ansel)
    url = "https://127.0.0.1:8471/interconnect-lakeside-prd/api/FHIR/R4"
    await portal.redeployed(changed(sample(), CONNECTION, fhir_base_url=url))
    assert code_of(await ansel.confirm(CONNECTION, page)) == "portal-not-proved"
    assert nothing_was_decided(portal)


@pytest.mark.rule("portal-configuration-changed")
async def test_the_test_connection_changed_meanwhile(portal: Portal, ansel: Person) -> None:
    page = await asked(ansel, OTHER)
    await portal.redeployed(changed(sample(), CONNECTION, frame_origins=("https://127.0.0.1:8471",)))
    assert code_of(await ansel.confirm(OTHER, page)) == "portal-configuration-changed"
    assert nothing_was_decided(portal)


@pytest.mark.parametrize("shown", ["", "0" * 64, "nothing"])
@pytest.mark.rule("portal-not-shown")
async def test_what_was_not_shown_is_not_approved(portal: Portal, ansel: Person, shown: str) -> None:
    page = await asked(ansel)
    form = {"token": hidden(page, "token", -1), "shown": shown, "decision": "approve"}
    answer = await ansel.post(f"/connections/{CONNECTION}/decide/confirm", form)
    assert code_of(answer) == "portal-not-shown"
    assert nothing_was_decided(portal)


@pytest.mark.rule("portal-not-shown")
async def test_a_proof_without_a_look_at_the_page_decides_nothing(portal: Portal, ansel: Person) -> None:
    before = await asked(ansel)
    to_ehr = await ansel.to_ehr(CONNECTION, await ansel.sign_in_anew(CONNECTION))
    back = await ansel.at_ehr(to_ehr.headers["location"])
    assert (await ansel.get(back.headers["location"])).status_code == 303  # and the page that decides is not opened
    assert code_of(await ansel.confirm(CONNECTION, before)) == "portal-not-shown"
    assert nothing_was_decided(portal)


@pytest.mark.parametrize("decision", ["", "maybe", "APPROVE"])
@pytest.mark.rule("portal-decision-invalid")
async def test_a_decision_is_one_of_two_words(portal: Portal, ansel: Person, decision: str) -> None:
    assert code_of(await ansel.confirm(CONNECTION, await asked(ansel), decision)) == "portal-decision-invalid"
    assert nothing_was_decided(portal)


@pytest.mark.rule("portal-test-connection-differs")
async def test_a_test_connection_that_differs_is_named_and_nothing_is_approved(place: Place) -> None:
    keys = sample().organizations[0].connections[0].launch_context_keys.model_copy(update={"session_id": "csn"})
    async with running_portal(place, changed(sample(), CONNECTION, launch_context_keys=keys)) as portal:
        ansel = await portal.signed_in(ANSEL)
        page = await ansel.prove(OTHER)
        assert "launchContextKeys.sessionId" in page.text
        assert 'value="approve"' not in page.text
        assert code_of(await ansel.press(OTHER, page)) == "portal-test-connection-differs"
        refused = await ansel.press(OTHER, await ansel.get(f"/connections/{OTHER}/decide"), "refuse")
        assert (await ansel.confirm(OTHER, refused, "refuse")).status_code == 303
        assert [a.decision for a, _ in portal.approvals()] == ["refuse"]


@pytest.mark.rule("portal-test-connection-missing")
async def test_without_a_test_connection_a_production_one_is_only_refused(place: Place) -> None:
    (production,) = [c for c in sample().organizations[0].connections if c.id == OTHER]
    async with running_portal(place, with_organization(sample(), "lakeside", connections=(production,))) as portal:
        ansel = await portal.signed_in(ANSEL)
        page = await ansel.prove(OTHER)
        assert 'value="approve"' not in page.text
        answer = await ansel.press(OTHER, page)
        assert (answer.status_code, code_of(answer)) == (409, "portal-test-connection-missing")
        assert nothing_was_decided(portal)


@pytest.mark.rule("portal-signing-key-missing")
async def test_a_portal_without_a_key_of_its_own_decides_nothing(place: Place) -> None:
    async with running_portal(place, without_portal_keys(sample())) as portal:
        ansel = await portal.signed_in(ANSEL)
        answer = await ansel.confirm(CONNECTION, await asked(ansel))
        assert (answer.status_code, code_of(answer)) == (503, "portal-signing-key-missing")
        assert nothing_was_decided(portal)


@pytest.mark.rule("portal-signing-failed")
async def test_a_vault_that_does_not_sign_leaves_the_proof_for_another_try(portal: Portal, ansel: Person) -> None:
    page = await asked(ansel)
    portal.vault.down = True
    assert code_of(await ansel.confirm(CONNECTION, page)) == "portal-signing-failed"
    assert nothing_was_decided(portal)
    portal.vault.down = False
    again = await ansel.press(CONNECTION, await ansel.get(f"/connections/{CONNECTION}/decide"))
    assert (await ansel.confirm(CONNECTION, again)).status_code == 303


@pytest.mark.rule("portal-one-person")
async def test_an_administrator_who_is_the_approver_needs_the_organisations_leave(place: Place) -> None:
    avery = sample().organizations[0].administrators[0]
    async with running_portal(place, changed(sample(), CONNECTION, approver=avery)) as portal:
        person = await portal.signed_in(AVERY)
        page = await person.prove(CONNECTION, AVERY)
        assert code_of(await person.press(CONNECTION, page)) == "portal-one-person"
        assert nothing_was_decided(portal)


# --- who decides --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/connections/lakeside-test", "/organizations/lakeside", "/connections/nowhere"])
@pytest.mark.rule("portal-not-found")
async def test_an_approver_of_the_same_name_in_another_tenant_sees_nothing(portal: Portal, path: str) -> None:
    stranger = await portal.signed_in(ANSEL_OF_PRAIRIE)
    assert code_of(await stranger.get(path)) == "portal-not-found"
    assert "Lakeside" not in (await stranger.get("/")).text


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/connections/lakeside-test/prove"),
        ("GET", "/connections/lakeside-test/prove"),
        ("POST", "/connections/lakeside-test/prove/ehr"),
        ("GET", "/ehr/lakeside-test/callback"),
        ("GET", "/connections/lakeside-test/decide"),
        ("POST", "/connections/lakeside-test/decide"),
        ("POST", "/connections/lakeside-test/decide/confirm"),
        ("GET", "/connections/lakeside-test/records"),
        ("GET", "/connections/lakeside-test/records.csv"),
    ],
)
@pytest.mark.rule("portal-not-found")
async def test_what_somebody_has_no_role_in_does_not_exist(portal: Portal, method: str, path: str) -> None:
    stranger = await portal.signed_in(ANSEL_OF_PRAIRIE)
    answer = await stranger.get(path) if method == "GET" else await stranger.post(path, {"token": "x"})
    assert (answer.status_code, code_of(answer)) == (404, "portal-not-found")


@pytest.mark.rule("portal-not-found")
async def test_a_member_of_the_tenant_without_a_role_sees_no_organisation(portal: Portal) -> None:
    person = await portal.signed_in(BEN)
    assert "Your account has no role" in (await person.get("/")).text
    assert code_of(await person.get("/organizations/lakeside")) == "portal-not-found"


@pytest.mark.rule("portal-not-approver")
async def test_an_administrator_does_not_decide_for_the_approver(portal: Portal) -> None:
    avery = await portal.signed_in(AVERY)
    page = await avery.get(f"/connections/{CONNECTION}")
    assert "Only Ansel Analyst can approve or refuse" in page.text
    assert code_of(await avery.post(f"/connections/{CONNECTION}/prove", {"token": "x"})) == "portal-not-approver"


@pytest.mark.rule("portal-approver-differs", "portal-proof-sign-in-expired")
async def test_the_fresh_sign_in_is_the_approvers_own(portal: Portal, ansel: Person) -> None:
    assert code_of(await ansel.sign_in_anew(CONNECTION, AVERY)) == "portal-approver-differs"
    assert code_of(await ansel.get(f"/connections/{CONNECTION}/prove")) == "portal-proof-sign-in-expired"
    assert [row[2] for row in portal.rows("audit")][-1] == "proof-refused"


@pytest.mark.rule("portal-guest")
async def test_a_guest_with_the_approvers_name_is_refused(place: Place) -> None:
    world = load_world()
    guest = User.model_validate(
        {
            "objectId": "3c3c3c3c-0000-4000-8000-000000000077",
            "userPrincipalName": "ansel_guest@lakeside.example",
            "displayName": "Ansel Analyst",
            "password": "guest-sample-password",
            "homeTenantId": PRAIRIE,
        }
    )
    tenants = tuple(
        t.model_copy(update={"users": (*t.users, guest)}) if t.id == LAKESIDE else t for t in world.entra.tenants
    )
    invited = world.model_copy(update={"entra": world.entra.model_copy(update={"tenants": tenants})})
    person = sample().organizations[0].connections[0].approver
    named = person.model_copy(update={"object_id": guest.object_id})
    async with running_portal(place, changed(sample(), OTHER, approver=named), world=invited) as portal:
        ansel = await portal.signed_in(ANSEL)
        who = (guest.user_principal_name, guest.password)
        assert code_of(await ansel.sign_in_anew(CONNECTION, who)) == "portal-guest"


@pytest.mark.rule("portal-other-tenant")
async def test_an_account_of_a_tenant_that_is_not_configured_cannot_sign_in(place: Place) -> None:
    stack = with_organization(sample(), "prairie", tenant_id="1a1a1a1a-0000-4000-8000-000000000009")
    async with running_portal(place, stack) as portal:
        assert code_of(await portal.browser().sign_in(*ANSEL_OF_PRAIRIE)) == "portal-other-tenant"


@pytest.mark.rule("portal-not-fresh")
async def test_a_sign_in_of_before_is_not_fresh_whatever_the_browser_strips(portal: Portal) -> None:
    portal.entra_clock.behind = 300
    ansel = await portal.signed_in(ANSEL)
    portal.entra_clock.behind = 0
    to_entra = await ansel.begin_proof(CONNECTION)
    stripped = re.sub(r"&(prompt|max_age)=[^&]*", "", to_entra.headers["location"])
    answer = await ansel.get(stripped)
    assert answer.status_code == 302, "Entra takes the session of before"
    assert code_of(await ansel.follow(answer)) == "portal-not-fresh"


@pytest.mark.rule("portal-other-browser")
async def test_an_answer_of_entra_is_heard_in_the_browser_that_asked(portal: Portal, ansel: Person) -> None:
    to_entra = await ansel.begin_proof(CONNECTION)
    back = await ansel.at_entra(to_entra.headers["location"], *ANSEL)
    other = await portal.signed_in(ANSEL)
    assert code_of(await other.get(back.headers["location"])) == "portal-other-browser"


@pytest.mark.rule("portal-other-browser")
async def test_nobody_is_signed_in_by_a_link_to_somebody_elses_answer(portal: Portal) -> None:
    attacker, victim = portal.browser(), portal.browser()
    page = await attacker.get("/sign-in")
    to_entra = await attacker.post("/sign-in", {"next": hidden(page, "next")})
    back = await attacker.at_entra(to_entra.headers["location"], *ANSEL)
    assert code_of(await victim.get(back.headers["location"])) == "portal-other-browser"
    assert (victim.cookie, portal.rows("portal_session")) == ({}, [])


@pytest.mark.rule("portal-state-unknown")
async def test_an_answer_of_entra_is_heard_once(portal: Portal) -> None:
    person = portal.browser()
    page = await person.get("/sign-in")
    to_entra = await person.post("/sign-in", {"next": hidden(page, "next")})
    back = await person.at_entra(to_entra.headers["location"], *ANSEL)
    assert (await person.get(back.headers["location"])).status_code == 303
    assert code_of(await person.get(back.headers["location"])) == "portal-state-unknown"


@pytest.mark.rule("portal-proof-sign-in-expired")
async def test_the_portals_sign_in_does_not_stand_for_the_fresh_one(portal: Portal, ansel: Person) -> None:
    assert code_of(await ansel.get(f"/connections/{CONNECTION}/prove")) == "portal-proof-sign-in-expired"
