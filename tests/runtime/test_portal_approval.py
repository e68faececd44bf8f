"""The approver's way through the portal: both sign-ins, what is shown, what is signed, and what follows from it."""

import pytest

from runtime.portal.subject import subject_of
from schemas.promotion.decide import Approved
from schemas.promotion.statement import Release, Verdict
from tests.support.launching import Place
from tests.support.portal import (
    AVERY,
    Person,
    Portal,
    changed,
    hidden,
    query_of,
    running_portal,
    sample,
)
from tests.support.refusals import code_of

pytestmark = pytest.mark.anyio

CONNECTION = "lakeside-test"
PRODUCTION = "lakeside-production"


def digest_of(portal: Portal, connection_id: str) -> str:
    catalogue = portal.app.state.catalogue
    served = catalogue.connection(connection_id)
    assert served
    return subject_of(portal.services.configuration.document, catalogue, served).sha256


async def test_an_approver_approves_what_is_deployed(portal: Portal, ansel: Person) -> None:
    answer = await ansel.decide(CONNECTION)
    assert (answer.status_code, answer.headers["location"]) == (303, f"/connections/{CONNECTION}")
    ((approval, sha256),) = portal.approvals()
    assert sha256 == digest_of(portal, CONNECTION)
    assert (approval.decision, approval.serial, approval.same_person) == (Verdict.APPROVE, 1, False)
    assert approval.approver.object_id == "3c3c3c3c-0000-4000-8000-000000000019"
    assert (approval.evidence.software, approval.evidence.release) == ("Epic", Release.ACCEPTED)
    assert approval.test_connection is None
    assert ">Approved" in (await ansel.follow(answer)).text.replace("</span> Approved", ">Approved")


async def test_a_refusal_is_signed_too_and_the_next_serial_follows(portal: Portal, ansel: Person) -> None:
    await ansel.decide(CONNECTION)
    await ansel.decide(CONNECTION, "refuse")
    assert [(a.decision, a.serial) for a, _ in portal.approvals()] == [(Verdict.APPROVE, 1), (Verdict.REFUSE, 2)]
    page = await ansel.get(f"/connections/{CONNECTION}")
    assert "The approver refused this configuration." in page.text


async def test_a_production_connection_names_the_test_connection_that_stands_for_it(
    portal: Portal, ansel: Person
) -> None:
    page = await ansel.prove(PRODUCTION)
    assert "Both are alike but for URL" in page.text
    await ansel.confirm(PRODUCTION, await ansel.press(PRODUCTION, page))
    ((approval, sha256),) = portal.approvals()
    assert sha256 == digest_of(portal, PRODUCTION)
    assert approval.test_connection
    assert approval.test_connection.model_dump() == {"id": CONNECTION, "sha256": digest_of(portal, CONNECTION)}


async def test_the_full_host_is_shown_before_the_browser_is_sent_there(portal: Portal, ansel: Person) -> None:
    page = await ansel.sign_in_anew(CONNECTION)
    assert '<p class="host">127.0.0.1:8471</p>' in page.text
    assert "https://127.0.0.1:8471/interconnect-lakeside-tst/oauth2/authorize" in page.text
    assert not [u for u in ansel.visited if u.startswith("https://127.0.0.1:8471")]
    assert "form-action 'self' https://127.0.0.1:8471;" in page.headers["content-security-policy"]


async def test_the_ehr_is_asked_for_a_sign_in_and_nothing_else(portal: Portal, ansel: Person) -> None:
    to_ehr = await ansel.to_ehr(CONNECTION, await ansel.sign_in_anew(CONNECTION))
    asked = query_of(to_ehr)
    assert asked["scope"] == "openid"
    assert asked["client_id"] == "lakeside-tst-approval"
    assert asked["redirect_uri"] == f"https://localhost:8444/ehr/{CONNECTION}/callback"
    assert asked["code_challenge_method"] == "S256"
    assert "launch" not in asked


async def test_nothing_of_who_the_approver_is_in_the_ehr_is_kept(portal: Portal, ansel: Person) -> None:
    await ansel.decide(CONNECTION)
    kept = repr({table: portal.rows(table) for table in ("statement", "audit", "highest_serial")})
    assert "U-LAKE" not in kept
    assert "Ansel" not in kept


async def test_microsoft_is_asked_for_a_sign_in_of_this_moment(portal: Portal, ansel: Person) -> None:
    asked = query_of(await ansel.begin_proof(CONNECTION))
    assert (asked["prompt"], asked["max_age"]) == ("login", "0")


async def test_what_changed_since_the_last_approval_is_shown(portal: Portal, ansel: Person) -> None:
    assert "There is no earlier approval to compare with" in (await ansel.prove(CONNECTION)).text
    await ansel.decide(CONNECTION)
    keys = {"launch_context_keys": sample().organizations[0].connections[0].launch_context_keys.model_copy(
        update={"department_id": "dept"}
    )}  # fmt: skip
    await portal.redeployed(changed(sample(), CONNECTION, **keys))
    page = await ansel.prove(CONNECTION)
    assert "<del>departmentId</del>" in page.text
    assert "<ins>dept</ins>" in page.text


@pytest.mark.rule("portal-records-not-approved")
async def test_an_edit_withdraws_the_approval(portal: Portal, ansel: Person) -> None:
    await ansel.decide(CONNECTION)
    await portal.redeployed(changed(sample(), CONNECTION, frame_origins=("https://127.0.0.1:8471",)))
    page = await ansel.get(f"/connections/{CONNECTION}")
    assert "It was approved, and something changed since." in page.text
    assert "configuration-changed" in page.text
    assert code_of(await ansel.get(f"/connections/{CONNECTION}/records")) == "portal-records-not-approved"


@pytest.mark.rule("portal-records-not-approved")
async def test_records_appear_once_the_connection_is_approved(portal: Portal, ansel: Person) -> None:
    assert code_of(await ansel.get(f"/connections/{CONNECTION}/records")) == "portal-records-not-approved"
    await ansel.decide(CONNECTION)
    page = await ansel.get(f"/connections/{CONNECTION}/records")
    assert page.status_code == 200
    assert "sessionId=%CSN%&amp;departmentId=%PERFDEPID;;; ; ;;NONE;%" in page.text
    found = (await ansel.get(f"/connections/{CONNECTION}/records.json")).json()
    assert found["records"][0]["launchUrl"] == f"https://localhost:8441/launch/provider/{CONNECTION}"
    csv = await ansel.get(f"/connections/{CONNECTION}/records.csv")
    assert csv.headers["content-type"].startswith("text/csv")
    assert csv.headers["content-disposition"] == f'attachment; filename="{CONNECTION}-records.csv"'
    assert (await ansel.get(f"/connections/{CONNECTION}/records/print")).status_code == 200


async def test_a_production_record_names_productions_host(portal: Portal, ansel: Person) -> None:
    await ansel.decide(PRODUCTION)
    found = (await ansel.get(f"/connections/{PRODUCTION}/records.json")).json()
    assert {r["launchUrl"].split("/")[2] for r in found["records"]} == {"localhost:8451"}


async def test_an_approval_of_the_portal_lets_the_test_stack_decide_for_it(portal: Portal, ansel: Person) -> None:
    await ansel.decide(CONNECTION)
    await portal.services.standing.catch_up(portal.services)
    assert isinstance(portal.services.standing.decision(CONNECTION), Approved)


async def test_what_happens_in_the_portal_is_audited_by_pseudonym(portal: Portal, ansel: Person) -> None:
    await ansel.decide(CONNECTION)
    for path in ("records", "records.json", "records.csv", "records/print"):
        await ansel.get(f"/connections/{CONNECTION}/{path}")
    rows = [(row[2], row[7]) for row in portal.rows("audit") if row[2] != "revocations-held"]
    assert [action for action, _ in rows[:3]] == ["portal-signed-in", "url-proved", "approval-given"]
    assert rows[3:] == [("records-exported", "json"), ("records-exported", "csv")]


async def test_one_person_for_both_is_said_on_the_page_and_in_the_statement(place: Place) -> None:
    stack = sample()
    lakeside = stack.organizations[0]
    avery = lakeside.administrators[0]
    both = lakeside.model_copy(
        update={
            "one_person": True,
            "connections": tuple(c.model_copy(update={"approver": avery}) for c in lakeside.connections),
        }
    )
    given = stack.model_copy(update={"organizations": (both, *stack.organizations[1:])})
    async with running_portal(place, given) as portal:
        person = await portal.signed_in(AVERY)
        page = await person.prove(CONNECTION, AVERY)
        assert "You are approver and administrator in one person" in page.text
        asked = await person.press(CONNECTION, page)
        assert "approver and administrator are one person" in asked.text
        await person.confirm(CONNECTION, asked)
        ((approval, _),) = portal.approvals()
        assert approval.same_person


async def test_the_form_shows_that_a_decision_must_be_confirmed(portal: Portal, ansel: Person) -> None:
    page = await ansel.press(CONNECTION, await ansel.prove(CONNECTION), "refuse")
    assert "Refuse lakeside-test?" in page.text
    assert portal.rows("statement") == []
    assert hidden(page, "token", -1)
