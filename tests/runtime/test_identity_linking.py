"""A provider's first Microsoft sign-in, against the Entra emulator: who is linked to whom, and by which window."""

import asyncio
import re
from collections.abc import AsyncGenerator
from uuid import UUID

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from runtime.identity.pending import of_window
from runtime.launch.model import Party
from tests.support.connector import ENTRA_URL, PUBLIC_URL, TENANT, Browser, handler, location_of
from tests.support.launching import Connector, Place, running_connector
from tests.support.microsoft import AMARA, AMARA_PASSWORD, AMARA_UPN, BEN_PASSWORD, BEN_UPN, reissued
from tests.support.refusals import by_code, code_of
from tests.support.smart_server import ORIGIN, SmartServer, organization

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("ignore:response_mode")]

CHLOE = ("chloe.nguyen@prairie.example", "nguyen-sample-password")
AMARA_LOGIN, BEN_LOGIN = (AMARA_UPN, AMARA_PASSWORD), (BEN_UPN, BEN_PASSWORD)


@pytest.fixture
async def connector(place: Place) -> AsyncGenerator[Connector]:
    async with running_connector(place) as running:
        yield running


async def launched(connector: Connector, user: str = "U-1", launch: str = "launch-1", **claims: str) -> Browser:
    """The launching window of an EHR user who is not linked."""
    browser = connector.browser()
    connector.ehr.claims = {"sub": user, "fhirUser": f"Practitioner/{user}", **claims}
    response = await connector.launch(browser, launch=launch)
    assert location_of(response)[0] == "/identity/wait"
    return browser


# --- it works ---------------------------------------------------------------------------------------------------


async def test_a_provider_signs_in_once_and_then_never_again(connector: Connector) -> None:
    browser = await launched(connector)
    assert location_of(await connector.link(browser, *AMARA_LOGIN))[0] == "/visit/provider"
    assert [row[3] for row in connector.rows("ehr_user_link")] == [UUID(AMARA)]
    again = await connector.launch(connector.browser(), launch="launch-2")
    assert location_of(again)[0] == "/visit/provider"


async def test_the_sign_in_always_shows_the_account_picker(connector: Connector) -> None:
    browser = await launched(connector)
    to_entra = await connector.to_entra(browser.window(PUBLIC_URL), await connector.ticket(browser))
    where, asked = location_of(to_entra)
    assert where == f"{ENTRA_URL}/1a1a1a1a-0000-4000-8000-000000000001/oauth2/v2.0/authorize"
    assert asked["prompt"] == "select_account"
    assert asked["code_challenge_method"] == "S256"
    assert asked["redirect_uri"] == f"{PUBLIC_URL}/identity/callback"
    assert "offline_access" not in asked["scope"]


async def test_the_confirmation_names_both_accounts_and_nothing_is_linked_before_it(connector: Connector) -> None:
    browser = await launched(connector, name="Dr. Amara Okafor (EHR)")
    window, callback = await connector.sign_in(browser, *BEN_LOGIN)
    assert location_of(callback)[0] == "/identity/done"
    assert "Okafor" not in (await window.get("/identity/done")).text, "the sign-in window may be somebody else's"
    assert (await browser.get("/identity/wait/state")).json() == {"state": "signed-in"}
    page = await browser.get("/identity/wait")
    assert "Dr. Amara Okafor (EHR)" in page.text
    assert BEN_UPN in page.text
    assert f"frame-ancestors {ORIGIN}" in page.headers["content-security-policy"]
    assert connector.rows("ehr_user_link") == []


async def test_the_launching_window_goes_on_to_the_visit_once_the_person_confirmed(connector: Connector) -> None:
    browser = await launched(connector)
    await connector.sign_in(browser, *AMARA_LOGIN)
    assert location_of(await connector.confirm(browser))[0] == "/visit/provider"
    assert connector.rows("ticket") == []
    assert not [name for name in browser.cookies if name.endswith("-identity")]


async def test_neither_name_is_kept_in_clear(connector: Connector) -> None:
    browser = await launched(connector, name="Dr. Amara Okafor (EHR)")
    await connector.sign_in(browser, *AMARA_LOGIN)
    dump = repr(connector.postgres.dump(connector.database))
    for text in ("Okafor", AMARA_UPN, "1000101", "P-1", "U-1", "launch-1"):
        assert text not in dump


# --- doctor A, account B ----------------------------------------------------------------------------------------


async def test_who_says_no_is_not_linked_and_may_try_again(connector: Connector) -> None:
    browser = await launched(connector)
    await connector.sign_in(browser, *BEN_LOGIN)
    assert location_of(await connector.confirm(browser, "refuse"))[0] == "/identity/wait"
    assert connector.rows("ehr_user_link") == []
    assert location_of(await connector.link(browser, *AMARA_LOGIN))[0] == "/visit/provider"


@pytest.mark.rule("link-confirmation-wrong")
async def test_a_decision_without_the_confirmations_own_value_is_refused(connector: Connector) -> None:
    browser = await launched(connector)
    await connector.sign_in(browser, *BEN_LOGIN)
    for confirmation in ("", "0" * 64):
        answer = await browser.post("/identity/link", {"confirmation": confirmation, "decision": "link"})
        assert code_of(answer) == "link-confirmation-wrong"
    assert (await browser.get("/identity/wait/state")).json() == {"state": "signed-in"}
    assert connector.rows("ehr_user_link") == []


@pytest.mark.rule("link-confirmation-wrong")
async def test_a_confirmation_holds_for_the_account_that_the_page_named(connector: Connector) -> None:
    browser = await launched(connector)
    await connector.sign_in(browser, *AMARA_LOGIN)
    shown = await connector.confirmation(browser)
    await connector.confirm(browser, "refuse")
    await connector.sign_in(browser, *BEN_LOGIN)
    answer = await browser.post("/identity/link", {"confirmation": shown, "decision": "link"})
    assert code_of(answer) == "link-confirmation-wrong"
    assert connector.rows("ehr_user_link") == []


@pytest.mark.rule("link-account-taken")
async def test_an_account_linked_to_another_ehr_user_is_refused(connector: Connector) -> None:
    await connector.link(await launched(connector, "U-1"), *AMARA_LOGIN)
    browser = await launched(connector, "U-2", "launch-2")
    _, callback = await connector.sign_in(browser, *AMARA_LOGIN)
    assert (callback.status_code, code_of(callback)) == (409, "link-account-taken")
    waiting = await browser.get("/identity/wait")
    assert "link-account-taken" in waiting.text
    assert (await browser.get("/identity/wait/state")).json() == {
        "state": "waiting",
        "refusal": "link-account-taken",
    }, "another try is offered"
    assert len(connector.rows("ehr_user_link")) == 1


@pytest.mark.rule("link-account-taken")
async def test_of_two_ehr_users_who_confirm_one_account_at_once_one_is_linked(connector: Connector) -> None:
    browsers = [await launched(connector, "U-1"), await launched(connector, "U-2", "launch-2")]
    for browser in browsers:
        await connector.sign_in(browser, *AMARA_LOGIN)
    first, second = await asyncio.gather(*(connector.confirm(b) for b in browsers))
    assert sorted([first.status_code, second.status_code]) == [303, 409]
    refused = first if first.status_code == 409 else second
    assert code_of(refused) == "link-account-taken"


@pytest.mark.rule("link-user-taken")
async def test_an_ehr_user_linked_to_another_account_meanwhile_is_refused(connector: Connector) -> None:
    first, second = await launched(connector), await launched(connector, launch="launch-2")
    await connector.sign_in(second, *BEN_LOGIN)
    await connector.link(first, *AMARA_LOGIN)
    refused = await connector.confirm(second)
    assert (refused.status_code, code_of(refused)) == (409, "link-user-taken")
    assert [str(row[3]) for row in connector.rows("ehr_user_link")] == [AMARA]


async def test_another_ehr_users_launch_ends_the_session_even_before_they_signed_in(connector: Connector) -> None:
    browser = await launched(connector, "U-1")
    await connector.link(browser, *AMARA_LOGIN)
    before = dict(browser.cookies)
    connector.ehr.claims = {"sub": "U-2"}
    assert location_of(await connector.launch(browser, launch="launch-2"))[0] == "/identity/wait"
    assert not [name for name in browser.cookies if name.endswith("-provider")]
    assert connector.rows("session") == []
    browser.cookies.update(before)
    assert (await browser.get("/visit/provider")).status_code in (401, 403)


async def test_another_ehr_user_in_the_same_browser_gets_a_new_session(connector: Connector) -> None:
    browser = await launched(connector, "U-1")
    await connector.link(browser, *AMARA_LOGIN)
    name = next(n for n in browser.cookies if n.endswith("-provider"))
    first = browser.cookies[name]
    connector.ehr.claims = {"sub": "U-2"}
    assert location_of(await connector.launch(browser, launch="launch-2"))[0] == "/identity/wait"
    await connector.link(browser, *BEN_LOGIN)
    assert browser.cookies[name] != first
    stale = connector.browser()
    stale.cookies[name] = first
    assert (await stale.get("/visit/provider")).status_code in (401, 403)
    assert len([row for row in connector.rows("session") if row[1] == Party.PROVIDER]) == 1


# --- the ticket and the windows ---------------------------------------------------------------------------------


@pytest.mark.rule("sign-in-expired")
async def test_whoever_signs_in_with_somebody_elses_ticket_links_nothing(connector: Connector) -> None:
    """A frame's cookie is not seen by the sign-in window, so a stolen ticket opens one: it must not be enough."""
    victim, thief = await launched(connector), connector.browser()
    to_entra = await connector.to_entra(thief, await connector.ticket(victim))
    await thief.get(await connector.at_entra(to_entra, *BEN_LOGIN))
    for confirmation in ("", "0" * 64):
        answer = await thief.post("/identity/link", {"confirmation": confirmation, "decision": "link"})
        assert code_of(answer) == "sign-in-expired"
    for _ in range(2):  # the page reloads by itself
        asked = await victim.get("/identity/wait")
        assert asked.status_code == 200
        assert BEN_UPN in asked.text
    assert connector.rows("ehr_user_link") == []
    await connector.confirm(victim, "refuse")
    assert location_of(await connector.link(victim, *AMARA_LOGIN))[0] == "/visit/provider"


async def test_a_sign_in_window_that_was_closed_leaves_a_page_that_works(connector: Connector) -> None:
    browser = await launched(connector)
    await connector.to_entra(browser.window(PUBLIC_URL), await connector.ticket(browser))
    assert (await browser.get("/identity/wait/state")).json() == {"state": "ticket-used", "refusal": None}
    again = await connector.ticket(browser)
    assert (await browser.get("/identity/wait/state")).json() == {"state": "waiting", "refusal": None}
    assert (await connector.to_entra(browser.window(PUBLIC_URL), again)).status_code == 303


async def test_a_new_page_does_not_disturb_the_sign_in_window_that_is_open(connector: Connector) -> None:
    browser = await launched(connector)
    window = browser.window(PUBLIC_URL)
    back = await connector.at_entra(await connector.to_entra(window, await connector.ticket(browser)), *AMARA_LOGIN)
    await connector.ticket(browser)
    assert location_of(await window.get(back))[0] == "/identity/done"
    assert location_of(await connector.confirm(browser))[0] == "/visit/provider"


@pytest.mark.rule("sign-in-other-browser")
async def test_a_ticket_opened_as_a_link_in_another_browser_is_refused(connector: Connector) -> None:
    ticket = await connector.ticket(await launched(connector))
    stranger = connector.browser()
    assert code_of(await stranger.get(f"/identity/sign-in?ticket={ticket}")) == "sign-in-other-browser"


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "none"},
        {"sec-fetch-site": "cross-site", "origin": PUBLIC_URL},
    ],
)
@pytest.mark.rule("sign-in-other-browser")
async def test_a_ticket_sent_by_any_page_but_ours_is_refused_and_stays_unused(
    connector: Connector, headers: dict[str, str]
) -> None:
    browser = await launched(connector)
    ticket = await connector.ticket(browser)
    refused = await connector.browser().send("POST", "/identity/sign-in", data={"ticket": ticket}, headers=headers)
    assert (refused.status_code, code_of(refused)) == (403, "sign-in-other-browser")
    assert (await connector.to_entra(browser.window(PUBLIC_URL), ticket)).status_code == 303


async def test_without_fetch_metadata_the_origin_decides(connector: Connector) -> None:
    browser = await launched(connector)
    for origin, status in (("https://evil.invalid", 403), ("null", 403), (PUBLIC_URL, 303)):
        data = {"ticket": await connector.ticket(browser)}
        answer = await connector.browser().send("POST", "/identity/sign-in", data=data, headers={"origin": origin})
        assert answer.status_code == status
    bare = await connector.browser().send("POST", "/identity/sign-in", data={"ticket": "x"})
    assert bare.status_code == 403


@pytest.mark.rule("sign-in-ticket-used")
async def test_a_ticket_opens_one_window_once(connector: Connector) -> None:
    browser = await launched(connector)
    ticket = await connector.ticket(browser)
    windows = [connector.browser(), connector.browser()]
    answers = await asyncio.gather(*(connector.to_entra(w, ticket) for w in windows))
    assert sorted(a.status_code for a in answers) == [303, 403]
    assert code_of(await connector.to_entra(connector.browser(), ticket)) == "sign-in-ticket-used"


@pytest.mark.rule("sign-in-ticket-used")
async def test_a_ticket_is_never_part_of_a_url_and_a_new_page_has_a_new_one(connector: Connector) -> None:
    browser = await launched(connector)
    page = await browser.get("/identity/wait")
    first = re.search(r'name="ticket" value="([^"]+)"', page.text)
    assert first
    assert not re.search(rf"[?=/]{first[1]}", page.text.replace(f'value="{first[1]}"', ""))
    assert await connector.ticket(browser) != first[1]
    assert code_of(await connector.to_entra(connector.browser(), first[1])) == "sign-in-ticket-used"


@pytest.mark.rule("sign-in-state-mismatch")
async def test_entras_answer_in_a_window_that_did_not_go_there_is_refused(connector: Connector) -> None:
    browser = await launched(connector)
    to_entra = await connector.to_entra(browser.window(PUBLIC_URL), await connector.ticket(browser))
    back = await connector.at_entra(to_entra, *AMARA_LOGIN)
    for stranger in (connector.browser(), browser):
        assert code_of(await stranger.get(back)) == "sign-in-state-mismatch"


@pytest.mark.rule("sign-in-state-mismatch")
async def test_entras_answer_to_another_sign_in_is_refused(connector: Connector) -> None:
    browser, other = await launched(connector), await launched(connector, "U-2", "launch-2")
    window, other_window = browser.window(PUBLIC_URL), connector.browser()
    await connector.to_entra(window, await connector.ticket(browser))
    back = await connector.at_entra(await connector.to_entra(other_window, await connector.ticket(other)), *BEN_LOGIN)
    assert code_of(await window.get(back)) == "sign-in-state-mismatch"


async def test_entras_answer_is_heard_once(connector: Connector) -> None:
    browser = await launched(connector)
    window = browser.window(PUBLIC_URL)
    back = await connector.at_entra(await connector.to_entra(window, await connector.ticket(browser)), *AMARA_LOGIN)
    first, second = await asyncio.gather(window.get(back), window.get(back))
    assert sorted([first.status_code, second.status_code]) == [303, 403]


@pytest.mark.rule("sign-in-expired")
async def test_a_strangers_launching_window_cannot_take_the_result(connector: Connector) -> None:
    browser = await launched(connector)
    window, _ = await connector.sign_in(browser, *AMARA_LOGIN)
    data = {"confirmation": await connector.confirmation(browser), "decision": "link"}
    for stranger in (connector.browser(), window):
        assert code_of(await stranger.get("/identity/wait")) == "sign-in-expired"
        assert code_of(await stranger.post("/identity/link", data)) == "sign-in-expired"
        assert (await stranger.get("/identity/wait/state")).json() == {"state": "gone"}
    assert connector.rows("ehr_user_link") == []


@pytest.mark.rule("sign-in-ticket-used", "sign-in-expired")
async def test_a_sign_in_that_took_too_long_is_refused(connector: Connector) -> None:
    browser = await launched(connector)
    ticket = await connector.ticket(browser)
    with connector.postgres.administrator(connector.database) as database:
        database.execute("UPDATE connector.ticket SET expires_at = now() - interval '1 second'")
    assert code_of(await connector.to_entra(connector.browser(), ticket)) == "sign-in-ticket-used"
    assert code_of(await browser.get("/identity/wait")) == "sign-in-expired"


# --- which account ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("claims", "code"),
    by_code(
        [
            ({"tid": "1a1a1a1a-0000-4000-8000-000000000002"}, "sign-in-other-organization"),
            ({"tid": None}, "sign-in-other-organization"),
            ({"idp": "https://sts.windows.net/1a1a1a1a-0000-4000-8000-000000000002/"}, "sign-in-guest"),
            ({"idp": "live.com"}, "sign-in-guest"),
            ({"acct": 1}, "sign-in-guest"),
            ({"oid": None}, "sign-in-token-refused"),
            ({"sub": None}, "sign-in-token-refused"),
        ]
    ),
)
async def test_only_members_of_the_organisations_own_tenant_are_linked(
    connector: Connector, monkeypatch: pytest.MonkeyPatch, claims: dict[str, object], code: str
) -> None:
    reissued(monkeypatch, claims)
    browser = await launched(connector)
    _, callback = await connector.sign_in(browser, *AMARA_LOGIN)
    assert (callback.status_code, code_of(callback)) == (403, code)
    assert code in (await browser.get("/identity/wait")).text


@pytest.mark.rule("sign-in-not-finished")
async def test_a_sign_in_that_entra_refused_is_shown_as_that_and_may_be_tried_again(connector: Connector) -> None:
    browser = await launched(connector)
    window = browser.window(PUBLIC_URL)
    _, asked = location_of(await connector.to_entra(window, await connector.ticket(browser)))
    answer = await window.get(f"/identity/callback?state={asked['state']}&error=access_denied")
    assert (answer.status_code, code_of(answer)) == (403, "sign-in-not-finished")
    assert "sign-in-not-finished" in (await browser.get("/identity/wait")).text
    assert location_of(await connector.link(browser, *AMARA_LOGIN))[0] == "/visit/provider"


@pytest.mark.rule("sign-in-token-refused")
async def test_an_id_token_that_entra_did_not_sign_is_refused(
    connector: Connector, monkeypatch: pytest.MonkeyPatch
) -> None:
    reissued(monkeypatch, {}, key=rsa.generate_private_key(65537, 2048))
    _, callback = await connector.sign_in(await launched(connector), *AMARA_LOGIN)
    assert code_of(callback) == "sign-in-token-refused"


async def test_the_tenant_asked_is_the_organisations(place: Place) -> None:
    prairie = organization("prairie", tenant_id="1a1a1a1a-0000-4000-8000-000000000002")
    async with running_connector(place, prairie) as connector:
        browser = connector.browser()
        await connector.launch(browser, connection="prairie-test")
        to_entra = await connector.to_entra(browser.window(PUBLIC_URL), await connector.ticket(browser))
        assert "/1a1a1a1a-0000-4000-8000-000000000002/" in location_of(to_entra)[0]
        back = await connector.at_entra(to_entra, *CHLOE)
        assert location_of(await browser.window(PUBLIC_URL).get(back))[0] == "/identity/done"


async def test_after_the_organisation_changed_its_tenant_providers_link_their_new_account(place: Place) -> None:
    moved = organization("lakeside", tenant_id="1a1a1a1a-0000-4000-8000-000000000002")
    async with running_connector(place, moved) as connector:
        browser = await launched(connector)
        user = await of_window(connector.services, next(v for k, v in browser.cookies.items() if "identity" in k))
        assert user
        with connector.postgres.administrator(connector.database) as database:
            database.execute(
                "INSERT INTO connector.ehr_user_link (ehr_user_hash, connection_id, tenant_id, object_id)"
                " VALUES (%s, 'lakeside-test', %s, %s)",
                (user.launch.ehr_user_hash, TENANT, AMARA),
            )
        assert location_of(await connector.link(browser, *CHLOE))[0] == "/visit/provider"
        assert [str(row[2]) for row in connector.rows("ehr_user_link")] == [moved.tenant_id]
        actions = [row[2] for row in connector.rows("audit")]
        assert [a for a in actions if a in ("signed-in", "unlinked", "linked")] == ["signed-in", "unlinked", "linked"]
        assert location_of(await connector.launch(connector.browser(), launch="launch-2"))[0] == "/visit/provider"


async def test_a_link_holds_for_one_connection_only(place: Place) -> None:
    base = "https://ehr.other.invalid/interconnect-tst/api/FHIR/R4"
    second = organization("prairie", base)
    server = SmartServer(base)
    async with running_connector(
        place, organization(), second, servers={"https://ehr.other.invalid": server}
    ) as connector:
        await connector.link(await launched(connector), *AMARA_LOGIN)
        response = await connector.launch(connector.browser(), connection="prairie-test", ehr=server)
        assert location_of(response)[0] == "/identity/wait"


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.rule("sign-in-unavailable")
async def test_an_entra_that_fails_between_is_shown_as_that(connector: Connector, status: int) -> None:
    browser = await launched(connector)
    window = browser.window(PUBLIC_URL)
    back = await connector.at_entra(await connector.to_entra(window, await connector.ticket(browser)), *AMARA_LOGIN)
    connector.outside.applications[ENTRA_URL] = handler(lambda _: httpx.Response(status, text="busy"))
    answer = await window.get(back)
    assert (answer.status_code, code_of(answer)) == (503, "sign-in-unavailable")


@pytest.mark.rule("sign-in-unavailable")
async def test_an_entra_that_is_away_is_shown_as_that(connector: Connector) -> None:
    browser = await launched(connector)
    ticket = await connector.ticket(browser)
    del connector.outside.applications[ENTRA_URL]
    answer = await connector.to_entra(browser.window(PUBLIC_URL), ticket)
    assert (answer.status_code, code_of(answer)) == (503, "sign-in-unavailable")
