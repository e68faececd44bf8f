"""The portal as an application: sign-in and its session, what every response carries, and the EHR as it is."""

import re
from urllib.parse import urlencode

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from starlette.responses import Response

from tests.support.connector import handler
from tests.support.microsoft import reissued
from tests.support.portal import ANSEL, AVERY, Person, Portal, hidden, query_of
from tests.support.refusals import code_of

pytestmark = pytest.mark.anyio
CONNECTION = "lakeside-test"


# --- session ------------------------------------------------------------------------------------------------------


async def test_whoever_is_not_signed_in_is_sent_to_the_sign_in_and_back(portal: Portal) -> None:
    person = portal.browser()
    asked = await person.get(f"/connections/{CONNECTION}")
    assert asked.headers["location"] == f"/sign-in?next=%2Fconnections%2F{CONNECTION}"
    page = await person.sign_in(*ANSEL, next_path=f"/connections/{CONNECTION}")
    assert page.status_code == 200
    assert person.visited[-1].endswith(f"/connections/{CONNECTION}")


@pytest.mark.rule("portal-signed-out")
async def test_a_form_without_a_session_is_refused(portal: Portal) -> None:
    answer = await portal.browser().post(f"/connections/{CONNECTION}/prove", {"token": "x"})
    assert code_of(answer) == "portal-signed-out"


async def test_thirty_minutes_without_a_request_end_a_session(portal: Portal) -> None:
    person = await portal.signed_in()
    portal.execute("UPDATE portal_session SET expires_at = expires_at - interval '29 minutes'")
    assert (await person.get("/")).status_code == 200
    portal.execute("UPDATE portal_session SET expires_at = expires_at - interval '30 minutes'")
    assert (await person.get("/")).status_code == 303


async def test_eight_hours_end_a_session_in_any_case(portal: Portal, monkeypatch: pytest.MonkeyPatch) -> None:
    person = await portal.signed_in()
    monkeypatch.setattr("runtime.portal.sessions.LIFETIME_SECONDS", -1)
    assert (await person.get("/")).status_code == 303
    assert portal.rows("portal_session") == []


async def test_a_new_sign_in_ends_the_browsers_session_before(portal: Portal) -> None:
    person = await portal.signed_in()
    before = dict(person.cookie)
    portal.execute("UPDATE portal_session SET expires_at = expires_at - interval '1 hour'")
    await person.sign_in(*AVERY)
    assert len(portal.rows("portal_session")) == 1
    assert person.cookie != before


@pytest.mark.rule("portal-form-invalid")
async def test_signing_out_ends_the_session_and_needs_its_own_form(portal: Portal) -> None:
    person = await portal.signed_in()
    token = hidden(await person.get("/"), "token")
    assert code_of(await person.post("/sign-out", {"token": "x"})) == "portal-form-invalid"
    stale = dict(person.cookie)
    assert (await person.post("/sign-out", {"token": token})).status_code == 200
    assert (person.cookie, portal.rows("portal_session")) == ({}, [])
    person.cookie.update(stale)
    assert (await person.get("/")).status_code == 303


async def test_a_session_is_sealed_and_not_found_by_what_is_stored(portal: Portal) -> None:
    person = await portal.signed_in()
    stored = repr(portal.rows("portal_session"))
    (cookie,) = person.cookie.values()
    assert cookie not in stored
    assert "Ansel" not in stored
    assert "3c3c3c3c" not in stored


@pytest.mark.rule("portal-form-elsewhere")
async def test_a_sign_in_that_another_site_starts_is_refused(portal: Portal) -> None:
    answer = await portal.browser().post("/sign-in", {"next": "/"}, sec_fetch_site="cross-site")
    assert code_of(answer) == "portal-form-elsewhere"


@pytest.mark.rule("portal-entra-unavailable")
async def test_an_entra_that_is_away_is_said_so(portal: Portal) -> None:
    portal.outside.applications["https://127.0.0.1:8461"] = handler(lambda _: httpx.Response(503))
    person = portal.browser()
    page = await person.get("/sign-in")
    answer = await person.post("/sign-in", {"next": hidden(page, "next")})
    assert (answer.status_code, code_of(answer)) == (503, "portal-entra-unavailable")


async def entras_answer(person: Person, **changes: str) -> httpx.Response:
    """A sign-in that Entra ends otherwise than by a code."""
    page = await person.get("/sign-in")
    asked = query_of(await person.post("/sign-in", {"next": hidden(page, "next")}))
    return await person.get(f"/sign-in/callback?{urlencode({'state': asked['state'], **changes})}")


@pytest.mark.rule("portal-not-signed-in")
async def test_a_sign_in_that_entra_refused_is_told_and_starts_no_session(portal: Portal) -> None:
    person = portal.browser()
    answer = await entras_answer(person, error="access_denied", error_description="AADSTS65004 <b>declined</b>")
    assert (answer.status_code, code_of(answer)) == (403, "portal-not-signed-in")
    assert "declined" not in answer.text
    assert (person.cookie, portal.rows("portal_session")) == ({}, [])


@pytest.mark.rule("portal-token-refused")
async def test_an_id_token_that_entra_did_not_sign_starts_no_session(
    portal: Portal, monkeypatch: pytest.MonkeyPatch
) -> None:
    reissued(monkeypatch, {}, key=rsa.generate_private_key(65537, 2048))
    answer = await portal.browser().sign_in(*ANSEL)
    assert (answer.status_code, code_of(answer)) == (403, "portal-token-refused")
    assert portal.rows("portal_session") == []


@pytest.mark.rule("portal-unavailable")
async def test_a_database_that_is_away_is_said_so(portal: Portal) -> None:
    person = await portal.signed_in()
    await portal.services.database.close()
    answer = await person.get("/")
    assert (answer.status_code, code_of(answer), answer.headers["retry-after"]) == (503, "portal-unavailable", "10")


@pytest.mark.rule("method-not-allowed")
async def test_a_method_that_an_address_does_not_have_is_a_page_of_the_portal(portal: Portal) -> None:
    answer = await (await portal.signed_in()).post("/organizations/lakeside", {"token": "x"})
    assert (answer.status_code, code_of(answer)) == (405, "method-not-allowed")
    assert "To the first page" in answer.text


# --- every response -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/sign-in", f"/connections/{CONNECTION}", "/organizations/lakeside", "/nowhere"])
async def test_no_page_is_framed_stored_or_runs_a_script_that_is_not_ours(portal: Portal, path: str) -> None:
    answer = await (await portal.signed_in()).get(path)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert not re.search(r"unsafe|https:(?!;|$)\S*\*", policy)
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["strict-transport-security"]
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_every_script_carries_the_pages_own_nonce(portal: Portal) -> None:
    person = await portal.signed_in()
    await person.decide(CONNECTION)
    pages = [await person.get(f"/connections/{CONNECTION}/records") for _ in range(2)]
    nonces: set[str] = set()
    for page in pages:
        (script,) = re.findall(r"<script[^>]*>", page.text)
        nonce = re.findall(r'nonce="([^"]+)"', script)[0]
        assert f"script-src 'nonce-{nonce}'" in page.headers["content-security-policy"]
        nonces.add(nonce)
    assert len(nonces) == 2


async def test_only_the_portals_own_host_is_served(portal: Portal) -> None:
    assert (await portal.browser().get("/sign-in", host="localhost:8441")).status_code == 421
    assert (await portal.browser().get("/livez", host="10.0.0.7:8000")).status_code == 200
    assert (await portal.browser().get("/readyz", host="10.0.0.7:8000")).status_code == 200


@pytest.mark.rule("portal-not-found")
async def test_the_portal_has_no_route_of_visits(portal: Portal) -> None:
    person = await portal.signed_in()
    for path in ("/launch/provider/lakeside-test", "/identity/wait", "/visit/provider", "/.well-known/jwks.json"):
        assert code_of(await person.get(path)) == "portal-not-found"


@pytest.mark.rule("portal-unexpected")
async def test_what_nobody_foresaw_is_a_page_of_the_portal(portal: Portal) -> None:
    person = await portal.signed_in()
    portal.app.state.catalogue = None
    answer = await person.get("/")
    assert (answer.status_code, code_of(answer)) == (500, "portal-unexpected")


# --- the EHR as it is ---------------------------------------------------------------------------------------------


def with_metadata(portal: Portal, answer: httpx.Response) -> None:
    """The EHR of lakeside, but for its CapabilityStatement."""
    real = portal.outside.applications["https://127.0.0.1:8471"]

    async def app(scope: dict[str, object], receive: object, send: object) -> None:
        if str(scope["path"]).endswith("/metadata"):
            kind = answer.headers.get("content-type")
            await Response(answer.content, answer.status_code, media_type=kind)(scope, receive, send)  # type: ignore[arg-type]
        else:
            await real(scope, receive, send)  # type: ignore[operator, misc, arg-type, call-arg]

    portal.outside.applications["https://127.0.0.1:8471"] = app  # type: ignore[assignment]


def epic(version: object) -> httpx.Response:
    statement = {"resourceType": "CapabilityStatement", "software": {"name": "Epic", "version": version}}
    return httpx.Response(200, json=statement)


@pytest.mark.rule("portal-ehr-too-old", "portal-not-proved")
async def test_an_epic_before_november_2018_is_refused_with_the_reason(portal: Portal) -> None:
    with_metadata(portal, epic("August 2018"))
    person = await portal.signed_in()
    answer = await person.prove(CONNECTION)
    assert code_of(answer) == "portal-ehr-too-old"
    assert "This Epic is older than November 2018" in answer.text
    assert code_of(await person.get(f"/connections/{CONNECTION}/decide")) == "portal-not-proved"


@pytest.mark.parametrize(
    "answer", [epic("10.2"), epic(None), httpx.Response(404), httpx.Response(200, text="<html>"), httpx.Response(401)]
)
async def test_a_version_that_cannot_be_read_is_shown_and_not_refused(portal: Portal, answer: httpx.Response) -> None:
    with_metadata(portal, answer)
    page = await (await portal.signed_in()).prove(CONNECTION)
    assert page.status_code == 200
    assert "Its release cannot be verified." in page.text


@pytest.mark.rule("portal-ehr-unavailable")
async def test_an_ehr_that_is_away_proves_nothing(portal: Portal) -> None:
    with_metadata(portal, httpx.Response(503))
    assert code_of(await (await portal.signed_in()).prove(CONNECTION)) == "portal-ehr-unavailable"


async def test_the_capability_statement_is_asked_for_without_a_token(portal: Portal) -> None:
    await (await portal.signed_in()).prove(CONNECTION)
    (asked,) = [c for c in portal.outside.calls if c.url.path.endswith("/metadata")]
    assert "authorization" not in asked.headers
