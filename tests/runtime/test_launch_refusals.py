"""Launches that must not come through: each row falls without its rule."""

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncGenerator, Callable
from typing import Any

import jwt
import pytest

from tests.support.connector import location_of
from tests.support.launching import Connector, Place, running_connector
from tests.support.refusals import by_code, code_of
from tests.support.smart_server import BASE, KEY, ORIGIN, OTHER_KEY, SmartServer, jwk_of, organization

pytestmark = pytest.mark.anyio

OTHER_ORIGIN = "https://ehr.other.invalid"
OTHER_BASE = f"{OTHER_ORIGIN}/interconnect-tst/api/FHIR/R4"
OTHER_TENANT = "1a1a1a1a-0000-4000-8000-000000000002"


@pytest.fixture
async def connector(place: Place) -> AsyncGenerator[Connector]:
    """Two organisations, each with its SMART server."""
    other = organization("prairie", OTHER_BASE, tenant_id=OTHER_TENANT)
    servers = {OTHER_ORIGIN: SmartServer(OTHER_BASE)}
    async with running_connector(place, organization(), other, servers=servers) as running:
        yield running


# --- before the network -----------------------------------------------------------------------------------------

LOOK_ALIKES = [
    OTHER_BASE,
    BASE + "/",
    BASE.replace("https", "http"),
    BASE.upper(),
    BASE.replace("test", "te\u0455t"),
    BASE + "?",
    BASE + "#",
    BASE.replace("/api/", "/./api/"),
    BASE.replace("ehr.", "ehr%2e"),
    BASE.replace("ehr.test.invalid", "ehr.test.invalid:443"),
    BASE.replace("ehr.test.invalid", "ehr.test.invalid@evil.invalid"),
    BASE.replace("ehr.test.invalid", "ehr.test.invalid.evil.invalid"),
    BASE + " ",
]


@pytest.mark.parametrize("iss", LOOK_ALIKES)
@pytest.mark.rule("launch-iss-unknown")
async def test_an_iss_that_is_not_the_connections_fhir_base_url_is_refused_without_a_network_call(
    connector: Connector, iss: str
) -> None:
    response = await connector.start(connector.browser(), iss=iss)
    assert (response.status_code, code_of(response)) == (403, "launch-iss-unknown")
    assert connector.outside.called("https://ehr.") == []


@pytest.mark.rule("launch-iss-missing")
async def test_a_launch_without_iss_is_refused(connector: Connector) -> None:
    assert code_of(await connector.start(connector.browser(), iss=None)) == "launch-iss-missing"


@pytest.mark.parametrize("launch", [None, "", "x" * 4001])
@pytest.mark.rule("launch-missing")
async def test_a_launch_without_a_usable_launch_parameter_is_refused(connector: Connector, launch: str | None) -> None:
    assert code_of(await connector.start(connector.browser(), launch=launch)) == "launch-missing"


@pytest.mark.rule("launch-iss-missing", "launch-missing")
async def test_a_parameter_given_twice_is_refused(connector: Connector) -> None:
    response = await connector.browser().get(f"/launch/provider/lakeside-test?iss={BASE}&iss={BASE}&launch=1")
    assert code_of(response) == "launch-iss-missing"
    response = await connector.browser().get(f"/launch/provider/lakeside-test?iss={BASE}&launch=1&launch=2")
    assert code_of(response) == "launch-missing"


@pytest.mark.rule("launch-connection-unknown")
async def test_a_launch_at_an_unknown_connection_is_refused(connector: Connector) -> None:
    response = await connector.start(connector.browser(), connection="nowhere-test", iss=BASE)
    assert (response.status_code, code_of(response)) == (404, "launch-connection-unknown")


@pytest.mark.rule("connection-unready")
async def test_only_the_connection_whose_credential_is_absent_is_unready(place: Place) -> None:
    way = {"method": "client_secret_basic", "secret": "not-yet-there"}
    unready = organization("prairie", OTHER_BASE, tenant_id=OTHER_TENANT, authentication=way)
    servers = {OTHER_ORIGIN: SmartServer(OTHER_BASE)}
    async with running_connector(place, organization(), unready, servers=servers) as connector:
        response = await connector.start(connector.browser(), connection="prairie-test")
        assert (response.status_code, code_of(response)) == (503, "connection-unready")
        assert (await connector.start(connector.browser())).status_code == 302
        assert (await connector.browser().get("/readyz")).status_code == 200


# --- one use, one browser, one connection -----------------------------------------------------------------------


@pytest.mark.rule("launch-reused")
async def test_a_launch_that_was_completed_is_refused_when_it_comes_again(connector: Connector) -> None:
    await connector.launch(connector.browser(), launch="once")
    assert code_of(await connector.start(connector.browser(), launch="once")) == "launch-reused"


async def test_of_two_launches_with_one_launch_value_one_completes(connector: Connector) -> None:
    first, second = connector.browser(), connector.browser()
    asked = [location_of(await connector.start(b, launch="twice"))[1] for b in (first, second)]
    answers = [connector.ehr.authorize(a) for a in asked]
    responses = await asyncio.gather(
        connector.back(first, "provider", "lakeside-test", answers[0]),
        connector.back(second, "provider", "lakeside-test", answers[1]),
    )
    assert sorted(r.status_code for r in responses) == [303, 409]


@pytest.mark.rule("launch-state-unknown")
async def test_a_wrong_state_is_refused(connector: Connector) -> None:
    response = await connector.launch(connector.browser(), state="not-ours")
    assert (response.status_code, code_of(response)) == (400, "launch-state-unknown")


@pytest.mark.rule("launch-state-unknown")
async def test_a_missing_state_is_refused(connector: Connector) -> None:
    assert code_of(await connector.launch(connector.browser(), state=None)) == "launch-state-unknown"


@pytest.mark.rule("launch-state-unknown")
async def test_a_state_is_good_once(connector: Connector) -> None:
    browser = connector.browser()
    _, asked = location_of(await connector.start(browser))
    cookies = dict(browser.cookies)
    answer = connector.ehr.authorize(asked)
    assert (await connector.back(browser, "provider", "lakeside-test", answer)).status_code == 303
    browser.cookies.update(cookies)
    again = await connector.back(browser, "provider", "lakeside-test", answer)
    assert code_of(again) == "launch-state-unknown"


async def test_of_two_answers_with_one_state_at_once_one_is_heard(connector: Connector) -> None:
    browser = connector.browser()
    _, asked = location_of(await connector.start(browser))
    answers = [connector.ehr.authorize(asked) for _ in range(2)]
    responses = await asyncio.gather(*(connector.back(browser, "provider", "lakeside-test", a) for a in answers))
    assert sorted(r.status_code for r in responses) == [303, 400]


@pytest.mark.rule("launch-state-unknown")
async def test_a_state_older_than_ten_minutes_is_refused(connector: Connector) -> None:
    browser = connector.browser()
    _, asked = location_of(await connector.start(browser))
    with connector.postgres.administrator(connector.database) as database:
        left = database.execute("SELECT expires_at - now() FROM connector.launch").fetchone()
        assert left
        assert 590 < left[0].total_seconds() <= 600
        database.execute("UPDATE connector.launch SET expires_at = now() - interval '1 second'")
    response = await connector.back(browser, "provider", "lakeside-test", connector.ehr.authorize(asked))
    assert code_of(response) == "launch-state-unknown"


@pytest.mark.rule("launch-other-browser")
async def test_another_browsers_state_is_refused(connector: Connector) -> None:
    _, asked = location_of(await connector.start(connector.browser()))
    victim = connector.browser()
    await connector.start(victim)
    response = await connector.back(victim, "provider", "lakeside-test", connector.ehr.authorize(asked))
    assert (response.status_code, code_of(response)) == (403, "launch-other-browser")
    assert not [r for r in connector.ehr.requests if r.method == "POST"], "the code must not be redeemed"


@pytest.mark.parametrize(("party", "connection"), [("provider", "prairie-test"), ("patient", "lakeside-test")])
@pytest.mark.rule("launch-state-mismatch")
async def test_a_state_of_another_organisation_or_role_is_refused_on_this_callback(
    connector: Connector, party: str, connection: str
) -> None:
    browser = connector.browser()
    _, asked = location_of(await connector.start(browser))
    response = await connector.back(browser, party, connection, connector.ehr.authorize(asked))
    assert (response.status_code, code_of(response)) == (403, "launch-state-mismatch")
    assert not [r for r in connector.ehr.requests if r.method == "POST"]


@pytest.mark.rule("launch-code-refused")
async def test_a_replayed_code_is_refused(connector: Connector) -> None:
    browser = connector.browser()
    _, asked = location_of(await connector.start(browser))
    answer = connector.ehr.authorize(asked)
    await connector.back(browser, "provider", "lakeside-test", answer)
    response = await connector.launch(browser, launch="launch-2", code=answer["code"])
    assert (response.status_code, code_of(response)) == (403, "launch-code-refused")


@pytest.mark.rule("launch-code-missing")
async def test_an_answer_without_code_is_refused(connector: Connector) -> None:
    assert code_of(await connector.launch(connector.browser(), code=None)) == "launch-code-missing"


async def test_what_anybody_can_send_leaves_no_audit_row_and_a_launch_of_ours_does(connector: Connector) -> None:
    for query in ("", "?state=x&code=y", "?error=access_denied"):
        await connector.browser().get(f"/launch/provider/lakeside-test/callback{query}")
    await connector.start(connector.browser(), iss=OTHER_BASE)
    assert {row[2] for row in connector.rows("audit")} <= {"revocations-held"}, "the start's own"
    await connector.launch(connector.browser(), code=None, error="access_denied")
    refused = [row[7] for row in connector.rows("audit") if row[2] == "launch-refused"]
    assert refused == ["launch-ehr-refused"]


@pytest.mark.rule("launch-ehr-refused")
async def test_an_ehr_that_says_no_is_shown_as_that(connector: Connector) -> None:
    response = await connector.launch(connector.browser(), code=None, error="access_denied")
    assert code_of(response) == "launch-ehr-refused"


@pytest.mark.rule("launch-issuer-mismatch")
async def test_an_answer_that_names_another_issuer_is_refused(connector: Connector) -> None:
    response = await connector.launch(connector.browser(), iss=OTHER_BASE)
    assert (response.status_code, code_of(response)) == (403, "launch-issuer-mismatch")
    assert (await connector.launch(connector.browser(), launch="launch-3", iss=BASE)).status_code == 303


# --- who it is --------------------------------------------------------------------------------------------------


def _none(claims: dict[str, Any]) -> str:
    return jwt.encode(claims, "", "none")


def _no_jwt(_: dict[str, Any]) -> str:
    return "x.y.z"


def _hs256_with_the_public_key(claims: dict[str, Any]) -> str:
    head, body = (
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=")
        for part in ({"alg": "HS256", "typ": "JWT", "kid": "ehr-1"}, claims)
    )
    secret = json.dumps(jwk_of(KEY, "ehr-1")).encode()
    signature = base64.urlsafe_b64encode(hmac.digest(secret, head + b"." + body, hashlib.sha256)).rstrip(b"=")
    return (head + b"." + body + b"." + signature).decode()


def _other_key(claims: dict[str, Any]) -> str:
    return jwt.encode(claims, OTHER_KEY, "RS256", headers={"kid": "ehr-1"})


def _key_in_the_header(claims: dict[str, Any]) -> str:
    return jwt.encode(claims, OTHER_KEY, "RS256", headers={"kid": "mine", "jwk": jwk_of(OTHER_KEY, "mine")})


@pytest.mark.parametrize("sign", [_none, _hs256_with_the_public_key, _other_key, _key_in_the_header, _no_jwt])
@pytest.mark.rule("launch-id-token-refused")
async def test_an_id_token_that_the_ehrs_key_did_not_sign_is_refused(
    connector: Connector, sign: Callable[[dict[str, Any]], str]
) -> None:
    connector.ehr.sign = sign
    response = await connector.launch(connector.browser())
    assert (response.status_code, code_of(response)) == (403, "launch-id-token-refused")


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": OTHER_BASE},
        {"iss": None},
        {"aud": "lakeside-patient"},
        {"aud": ["lakeside-provider", "somebody-else"]},
        {"aud": None},
        {"nonce": "another"},
        {"nonce": None},
        {"exp": int(time.time()) - 120},
        {"exp": None},
        {"iat": int(time.time()) + 86_400},  # however long after collection it runs
        {"sub": None},
        {"sub": "U-\ud800"},
        {"nonce": "\ud800"},
        {"name": "Dr. \ud800"},
        {"fhirUser": None},
        {"fhirUser": "Device/1"},
        {"fhirUser": 7},
    ],
)
@pytest.mark.rule("launch-id-token-refused")
async def test_an_id_token_that_says_something_else_is_refused(connector: Connector, claims: dict[str, Any]) -> None:
    connector.ehr.claims = claims
    assert code_of(await connector.launch(connector.browser())) == "launch-id-token-refused"


@pytest.mark.rule("launch-ehr-answer")
async def test_a_token_response_without_id_token_is_refused(connector: Connector) -> None:
    connector.ehr.context["id_token"] = None
    assert code_of(await connector.launch(connector.browser())) == "launch-ehr-answer"


@pytest.mark.rule("launch-id-token-refused")
async def test_where_the_client_names_its_issuer_only_that_one_is_taken(place: Place) -> None:
    issuer = f"{ORIGIN}/oauth2"
    changed = organization().model_dump(mode="json", by_alias=True)
    changed["connections"][0]["clients"]["provider"]["issuer"] = issuer
    async with running_connector(place, type(organization()).model_validate(changed)) as connector:
        assert code_of(await connector.launch(connector.browser())) == "launch-id-token-refused"
        connector.ehr.claims = {"iss": issuer}
        assert (await connector.launch(connector.browser(), launch="launch-2")).status_code == 303


@pytest.mark.rule("launch-patient-as-provider")
async def test_a_patient_at_the_providers_endpoint_is_refused(connector: Connector) -> None:
    connector.ehr.fhir_user = "Patient/P-1"
    response = await connector.launch(connector.browser(), "provider")
    assert (response.status_code, code_of(response)) == (403, "launch-patient-as-provider")


@pytest.mark.rule("launch-provider-as-patient")
async def test_a_provider_at_the_patients_endpoint_is_refused(connector: Connector) -> None:
    response = await connector.launch(connector.browser(), "patient")
    assert (response.status_code, code_of(response)) == (403, "launch-provider-as-patient")


# --- which visit ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("session_id", "code"),
    by_code(
        [
            (None, "launch-session-id-missing"),
            ("", "launch-session-id-missing"),
            ("  ", "launch-session-id-missing"),
            ("%CSN%", "launch-session-id-unexpanded"),
            ("visit-%CSN%", "launch-session-id-unexpanded"),
            ("x" * 201, "launch-session-id-invalid"),
            (1000101, "launch-session-id-invalid"),
            (["1000101"], "launch-session-id-invalid"),
            ("10\n00101", "launch-session-id-invalid"),
        ]
    ),
)
@pytest.mark.parametrize("party", ["provider", "patient"])
async def test_a_session_id_that_names_no_visit_is_refused(
    connector: Connector, party: str, session_id: object, code: str
) -> None:
    connector.ehr.fhir_user = "Patient/P-1" if party == "patient" else "Practitioner/U-1"
    connector.ehr.context["sessionId"] = session_id
    response = await connector.launch(connector.browser(), party)
    assert (response.status_code, code_of(response)) == (422, code)
    assert connector.rows("visit") == []


@pytest.mark.rule("launch-session-id-missing")
async def test_the_session_id_is_read_under_the_connections_key_only(connector: Connector) -> None:
    connector.ehr.context = {"sessionid": "1", "CSN": "1", "encounter": "1", "patient": "P-1"}
    assert code_of(await connector.launch(connector.browser(), sessionId="1000101")) == "launch-session-id-missing"


@pytest.mark.rule("launch-patient-missing")
async def test_a_patients_launch_without_patient_is_refused(connector: Connector) -> None:
    connector.ehr.fhir_user, connector.ehr.context["patient"] = "Patient/P-1", None
    assert code_of(await connector.launch(connector.browser(), "patient")) == "launch-patient-missing"


@pytest.mark.rule("second-patient")
async def test_a_second_patient_in_a_one_to_one_visit_is_refused(connector: Connector) -> None:
    connector.ehr.fhir_user = "Patient/P-1"
    assert (await connector.launch(connector.browser(), "patient")).status_code == 303
    connector.ehr.fhir_user, connector.ehr.context["patient"] = "Patient/P-2", "P-2"
    response = await connector.launch(connector.browser(), "patient", launch="launch-2")
    assert (response.status_code, code_of(response)) == (403, "second-patient")
