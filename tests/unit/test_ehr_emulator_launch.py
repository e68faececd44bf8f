"""The emulated EHR's launches: the whole SMART flow over https, and each request that it refuses."""

from collections.abc import Iterator
from typing import Any

import jwt
import pytest

from schemas.vocabulary import Stage
from tests.support.ehr_emulator import (
    CSN,
    OTHER_PATIENT,
    PATIENT,
    PROVIDER,
    RunningEhr,
    query_of,
    running_ehr,
)

PRODUCTION = Stage.PRODUCTION


@pytest.fixture(scope="module")
def ehr(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEhr]:
    with running_ehr(tmp_path_factory.mktemp("state")) as running:
        yield running


@pytest.fixture(autouse=True)
def at_the_present(ehr: RunningEhr) -> Iterator[None]:
    yield
    ehr.clock.ahead = 0


def claims_of(ehr: RunningEhr, id_token: str, client_id: str, stage: Stage = Stage.TEST) -> dict[str, object]:
    instance = ehr.instance(stage)
    jwks = jwt.PyJWKSet.from_dict(ehr.http.get(instance.jwks_url).json())
    key = jwks[jwt.get_unverified_header(id_token)["kid"]]
    return jwt.decode(id_token, key, algorithms=["RS256"], audience=client_id, issuer=instance.issuer)


# --- what goes well ---


def test_a_provider_is_told_about_with_the_visit_that_was_open(ehr: RunningEhr) -> None:
    answer = ehr.whole_launch("tst-provider", ehr.provider_launch()["launch"])
    assert (answer["sessionId"], answer["departmentId"], answer["patient"]) == (CSN, "NONE", PATIENT)
    assert answer["encounter"] not in ("", CSN)
    assert answer["token_type"] == "Bearer"
    assert answer["scope"] == "launch openid fhirUser"
    claims = claims_of(ehr, answer["id_token"], "tst-provider")
    assert claims["sub"] == PROVIDER
    assert claims["nonce"] == "a nonce"
    assert claims["fhirUser"] == f"{ehr.instance().fhir_base_url}/Practitioner/{PROVIDER}"


def test_a_patient_is_told_about_as_patient_and_without_a_department(ehr: RunningEhr) -> None:
    answer = ehr.whole_launch("tst-patient", ehr.patient_launch()["launch"])
    assert (answer["sessionId"], answer["patient"]) == (CSN, PATIENT)
    assert "departmentId" not in answer
    claims = claims_of(ehr, answer["id_token"], "tst-patient")
    assert claims["fhirUser"] == f"{ehr.instance().fhir_base_url}/Patient/{PATIENT}"


def test_an_issuer_of_its_own_signs_where_the_environment_has_one(ehr: RunningEhr) -> None:
    answer = ehr.whole_launch("prd-provider", ehr.provider_launch(stage=PRODUCTION)["launch"], PRODUCTION)
    issuer = f"{ehr.ehr.url}/interconnect-prd/oauth2"
    assert claims_of(ehr, answer["id_token"], "prd-provider", PRODUCTION)["iss"] == issuer
    assert ehr.http.get(f"{issuer}/.well-known/openid-configuration").json()["issuer"] == issuer


def test_a_launch_url_names_the_fhir_base_url_of_its_environment(ehr: RunningEhr) -> None:
    assert ehr.provider_launch(stage=PRODUCTION)["iss"] == ehr.instance(PRODUCTION).fhir_base_url


def test_a_launch_without_an_appointment_leaves_the_mnemonic_unexpanded(ehr: RunningEhr) -> None:
    answer = ehr.whole_launch("tst-provider", ehr.provider_launch(csn="")["launch"])
    assert answer["sessionId"] == "%CSN%"
    assert "patient" not in answer


def test_the_department_of_the_appointment_reaches_the_provider_client(ehr: RunningEhr) -> None:
    form = {"provider": PROVIDER, "patient": PATIENT, "time": "15:00", "department": "10502"}
    booked = ehr.http.post("/hyperspace/appointments", data=form, headers={"Accept": "application/json"}).json()
    launch = ehr.provider_launch(csn=booked["appointments"][0]["csn"])["launch"]
    assert ehr.whole_launch("tst-provider", launch)["departmentId"] == "10502"


def test_a_scope_that_was_not_granted_is_left_out(ehr: RunningEhr) -> None:
    asked = ehr.authorize("tst-patient", ehr.patient_launch()["launch"], scope="launch user/*.*")
    answer = ehr.exchange("tst-patient", asked).json()
    assert answer["scope"] == "launch"
    assert "id_token" not in answer


# --- the approver's sign-in ---


def test_the_approval_client_gets_a_sign_in_page_and_then_an_id_token_only(ehr: RunningEhr) -> None:
    asked = ehr.authorize("tst-approval", None)
    assert asked.response.status_code == 200
    assert "Sign in" in asked.response.text
    field = asked.response.text.split('name="request" value="')[1].split('"')[0]
    form = {"request": field, "user": PROVIDER, "decision": "allow"}
    sign_in = f"{ehr.instance().authorize_url}/sign-in"
    answered = ehr.http.post(sign_in, data=form)
    assert ehr.http.post(sign_in, data=form).status_code == 400, "a sign-in page works once"
    asked = type(asked)(answered, asked.verifier)
    answer = ehr.exchange("tst-approval", asked).json()
    assert claims_of(ehr, answer["id_token"], "tst-approval")["sub"] == PROVIDER
    assert answer["scope"] == "openid"
    assert "sessionId" not in answer


def test_a_denied_sign_in_goes_back_as_access_denied(ehr: RunningEhr) -> None:
    page = ehr.authorize("tst-approval", None).response.text
    form = {"request": page.split('name="request" value="')[1].split('"')[0], "user": PROVIDER, "decision": "deny"}
    answered = ehr.http.post(f"{ehr.instance().authorize_url}/sign-in", data=form)
    assert query_of(answered) == {"error": "access_denied", "state": "a state"}


def test_the_approval_client_may_not_use_a_launch(ehr: RunningEhr) -> None:
    launch = ehr.provider_launch()["launch"]
    assert ehr.authorize("tst-approval", launch).answer["error"] == "invalid_request"


# --- authorization requests that are refused ---


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"state": None}, "invalid_request"),
        ({"aud": None}, "invalid_request"),
        ({"aud": "https://127.0.0.1/other/api/FHIR/R4"}, "invalid_request"),
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"scope": "openid fhirUser"}, "invalid_scope"),
        ({"launch": None}, "invalid_request"),
        ({"launch": "unknown"}, "invalid_request"),
    ],
    ids=lambda value: str(value),
)
def test_a_wrong_authorization_request_is_refused_by_redirect(
    ehr: RunningEhr, change: dict[str, Any], error: str
) -> None:
    asked = ehr.authorize("tst-provider", ehr.provider_launch()["launch"], **change)
    assert asked.answer["error"] == error
    assert "code" not in asked.answer


@pytest.mark.parametrize(
    "change",
    [
        {"client_id": "nobody"},
        {"client_id": "prd-provider"},
        {"client_id": "tst-backend"},
        {"redirect_uri": "https://localhost:8441/launch/provider/lakeside-test/callback/"},
        {"redirect_uri": "https://localhost:8441/launch/patient/lakeside-test/callback"},
        {"redirect_uri": None},
    ],
    ids=str,
)
def test_an_unknown_client_or_redirect_uri_gets_a_page_and_no_redirect(ehr: RunningEhr, change: dict[str, Any]) -> None:
    asked = ehr.authorize("tst-provider", ehr.provider_launch()["launch"], **change)
    assert asked.response.status_code == 400
    assert "location" not in asked.response.headers


def test_a_parameter_that_comes_twice_gets_a_page_and_no_redirect(ehr: RunningEhr) -> None:
    asked = ehr.authorize("tst-provider", ehr.provider_launch()["launch"], state=["one", "two"])
    assert asked.response.status_code == 400


def test_a_launch_code_works_once(ehr: RunningEhr) -> None:
    launch = ehr.provider_launch()["launch"]
    ehr.whole_launch("tst-provider", launch)
    assert ehr.authorize("tst-provider", launch).answer["error"] == "invalid_request"


def test_a_launch_code_ends_after_five_minutes(ehr: RunningEhr) -> None:
    launch = ehr.provider_launch()["launch"]
    ehr.clock.ahead = 301
    assert ehr.authorize("tst-provider", launch).answer["error"] == "invalid_request"


def test_a_patients_launch_is_refused_at_the_provider_client(ehr: RunningEhr) -> None:
    assert ehr.authorize("tst-provider", ehr.patient_launch()["launch"]).answer["error"] == "invalid_request"


def test_a_providers_launch_is_refused_at_the_patient_client(ehr: RunningEhr) -> None:
    assert ehr.authorize("tst-patient", ehr.provider_launch()["launch"]).answer["error"] == "invalid_request"


def test_a_launch_of_another_environment_is_refused(ehr: RunningEhr) -> None:
    launch = ehr.provider_launch(stage=PRODUCTION)["launch"]
    assert ehr.authorize("tst-provider", launch).answer["error"] == "invalid_request"


def test_a_refused_request_does_not_use_the_launch_up(ehr: RunningEhr) -> None:
    launch = ehr.provider_launch()["launch"]
    assert "error" in ehr.authorize("tst-provider", launch, code_challenge=None).answer
    assert "code" in ehr.authorize("tst-provider", launch).answer


def test_a_patient_cannot_begin_somebody_elses_visit(ehr: RunningEhr) -> None:
    form = {"csn": CSN, "patient": OTHER_PATIENT, "environment": "test"}
    assert ehr.http.post("/mychart/launch", data=form).status_code == 404


# --- codes ---


def test_a_code_works_once_and_its_second_use_revokes_its_tokens(ehr: RunningEhr) -> None:
    asked = ehr.authorize("tst-patient", ehr.patient_launch()["launch"], scope="launch patient/Patient.read")
    token = ehr.exchange("tst-patient", asked).json()["access_token"]
    patient = f"{ehr.instance().fhir_base_url}/Patient/{PATIENT}"
    authorization = {"Authorization": f"Bearer {token}"}
    assert ehr.http.get(patient, headers=authorization).json()["resourceType"] == "Patient"
    assert ehr.exchange("tst-patient", asked).json() == {"error": "invalid_grant", "error_description": None}
    assert ehr.http.get(patient, headers=authorization).status_code == 401


def test_a_code_ends_after_a_minute(ehr: RunningEhr) -> None:
    asked = ehr.authorize("tst-patient", ehr.patient_launch()["launch"])
    ehr.clock.ahead = 61
    assert ehr.exchange("tst-patient", asked).json()["error"] == "invalid_grant"


@pytest.mark.parametrize(
    "change",
    [
        {"code": "unknown"},
        {"redirect_uri": "https://localhost:8441/launch/provider/lakeside-test/callback"},
        {"redirect_uri": None},
        {"code_verifier": None},
        {"code_verifier": "another-verifier-of-forty-three-characters-ok"},
    ],
    ids=str,
)
def test_a_code_with_anything_else_than_was_asked_is_an_invalid_grant(ehr: RunningEhr, change: dict[str, Any]) -> None:
    asked = ehr.authorize("tst-patient", ehr.patient_launch()["launch"])
    response = ehr.exchange("tst-patient", asked, **change)
    assert (response.status_code, response.json()["error"]) == (400, "invalid_grant")


def test_a_code_of_another_client_is_an_invalid_grant(ehr: RunningEhr) -> None:
    asked = ehr.authorize("tst-provider", ehr.provider_launch()["launch"])
    assert ehr.exchange("tst-patient", asked).json()["error"] == "invalid_grant"


def test_a_code_is_unknown_to_the_other_environment(ehr: RunningEhr) -> None:
    asked = ehr.authorize("tst-patient", ehr.patient_launch()["launch"])
    assert ehr.exchange("prd-patient", asked, PRODUCTION).json()["error"] == "invalid_grant"


@pytest.mark.parametrize(
    ("grant_type", "error"), [("client_credentials", "unauthorized_client"), ("password", "unsupported_grant_type")]
)
def test_a_launch_client_has_no_other_grant(ehr: RunningEhr, grant_type: str, error: str) -> None:
    asked = ehr.authorize("tst-patient", ehr.patient_launch()["launch"])
    assert ehr.exchange("tst-patient", asked, grant_type=grant_type).json()["error"] == error
