"""How the emulated EHR knows its OAuth clients: any way but the registered one is `invalid_client`, and no more."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from emulators.ehr.client_authentication import ASSERTION_TYPE
from schemas.vocabulary import Stage
from tests.support.ehr_emulator import RunningEhr, running_ehr

OPAQUE = {"error": "invalid_client", "error_description": None}


@pytest.fixture(scope="module")
def ehr(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEhr]:
    with running_ehr(tmp_path_factory.mktemp("state")) as running:
        yield running


@pytest.fixture(autouse=True)
def at_the_present(ehr: RunningEhr) -> Iterator[None]:
    yield
    ehr.clock.ahead = 0


def asserted(ehr: RunningEhr, **assertion: Any) -> httpx.Response:
    return ehr.backend_token(client_assertion=ehr.assertion(assertion.pop("client_id", "tst-backend"), **assertion))


def provider_exchange(ehr: RunningEhr, stage: Stage, auth: tuple[str, str] | None, **form: Any) -> httpx.Response:
    client_id = {Stage.TEST: "tst-provider", Stage.PRODUCTION: "prd-provider"}[stage]
    asked = ehr.authorize(client_id, ehr.provider_launch(stage=stage)["launch"], stage)
    body = {
        "grant_type": "authorization_code",
        "code": asked.answer["code"],
        "redirect_uri": ehr.client(client_id).redirect_uris[0],
        "code_verifier": asked.verifier,
        **form,
    }
    return ehr.http.post(ehr.instance(stage).token_url, data=body, auth=auth or httpx.USE_CLIENT_DEFAULT)


# --- private_key_jwt ---


def test_a_backend_client_gets_a_token_by_its_assertion(ehr: RunningEhr) -> None:
    answer = asserted(ehr).json()
    assert answer["token_type"] == "Bearer"
    assert answer["expires_in"] == 3600
    assert "id_token" not in answer


def test_es384_is_taken_as_well_as_rs384(ehr: RunningEhr) -> None:
    assert asserted(ehr, kid="ec", algorithm="ES384").status_code == 200


def test_an_assertion_works_once(ehr: RunningEhr) -> None:
    assertion = ehr.assertion("tst-backend")
    assert ehr.backend_token(client_assertion=assertion).status_code == 200
    assert ehr.backend_token(client_assertion=assertion).json() == OPAQUE
    assert "jti was used before" in ehr.reasons()[-1]


def test_the_same_jti_in_a_new_assertion_is_refused(ehr: RunningEhr) -> None:
    assert asserted(ehr, jti="chosen").status_code == 200
    assert asserted(ehr, jti="chosen").json() == OPAQUE


@pytest.mark.parametrize(("ahead", "status"), [(300, 200), (302, 400), (0, 400), (-1, 400)])
def test_an_assertion_lives_at_most_300_seconds(ehr: RunningEhr, ahead: int, status: int) -> None:
    assert asserted(ehr, exp=int(ehr.clock()) + ahead).status_code == status


@pytest.mark.parametrize(
    ("claim", "value"),
    [
        ("exp", None),
        ("jti", None),
        ("jti", ""),
        ("jti", "j" * 152),
        ("sub", None),
        ("sub", "tst-provider"),
        ("iss", "nobody"),
        ("aud", None),
    ],
)
def test_an_assertion_without_its_claims_is_refused(ehr: RunningEhr, claim: str, value: str | None) -> None:
    assert asserted(ehr, **{claim: value}).json() == OPAQUE


def test_a_list_as_audience_is_refused(ehr: RunningEhr) -> None:
    assert asserted(ehr, aud=[ehr.instance().token_url]).json() == OPAQUE


def test_the_token_url_of_the_other_environment_is_another_audience(ehr: RunningEhr) -> None:
    assert asserted(ehr, aud=ehr.instance(Stage.PRODUCTION).token_url).json() == OPAQUE


def test_the_client_of_the_other_environment_is_unknown(ehr: RunningEhr) -> None:
    assert asserted(ehr, client_id="prd-backend").json() == OPAQUE


def test_a_key_that_is_not_in_the_key_set_is_refused(ehr: RunningEhr) -> None:
    ehr.keys.add_rsa("unpublished")
    ehr.keys.published.discard("unpublished")
    assert asserted(ehr, kid="unpublished").json() == OPAQUE


def test_a_signature_of_another_key_than_the_kid_names_is_refused(ehr: RunningEhr) -> None:
    ehr.keys.add_rsa("second")
    assert asserted(ehr, kid="rsa", signed_by="second").json() == OPAQUE


@pytest.mark.parametrize("header", [{"typ": "at+jwt"}, {"kid": None}, {"jku": "https://localhost/other.json"}], ids=str)
def test_an_assertion_with_another_header_is_refused(ehr: RunningEhr, header: dict[str, Any]) -> None:
    assert asserted(ehr, header=header).json() == OPAQUE


def test_rs256_is_refused(ehr: RunningEhr) -> None:
    assert asserted(ehr, algorithm="RS256").json() == OPAQUE


def test_a_key_set_is_read_again_when_a_new_key_turns_up_and_only_then(ehr: RunningEhr) -> None:
    asserted(ehr)
    before = ehr.keys.reads
    asserted(ehr)
    assert ehr.keys.reads == before
    ehr.keys.add_rsa("rotated")
    assert asserted(ehr, kid="rotated").status_code == 200
    assert ehr.keys.reads == before + 1


def test_another_assertion_type_is_refused(ehr: RunningEhr) -> None:
    assert ehr.backend_token(client_assertion_type="jwt").json() == OPAQUE


def test_a_backend_client_has_no_codes(ehr: RunningEhr) -> None:
    assert ehr.backend_token(grant_type="authorization_code").json()["error"] == "unauthorized_client"


def test_a_key_client_without_its_assertion_is_refused(ehr: RunningEhr) -> None:
    assert provider_exchange(ehr, Stage.TEST, None, client_id="tst-provider").json() == OPAQUE


# --- client_secret_basic ---


def test_a_client_with_a_secret_is_known_by_basic_authentication(ehr: RunningEhr) -> None:
    credentials = ("prd-provider", ehr.secret("prd-provider"))
    assert provider_exchange(ehr, Stage.PRODUCTION, credentials).status_code == 200


def test_a_wrong_secret_is_answered_401_and_no_more(ehr: RunningEhr) -> None:
    response = provider_exchange(ehr, Stage.PRODUCTION, ("prd-provider", "wrong"))
    assert response.status_code == 401
    assert response.json() == OPAQUE
    assert "basic" in response.headers["www-authenticate"].lower()


def test_a_secret_in_the_body_is_refused(ehr: RunningEhr) -> None:
    form = {"client_id": "prd-provider", "client_secret": ehr.secret("prd-provider")}
    assert provider_exchange(ehr, Stage.PRODUCTION, None, **form).json() == OPAQUE


def test_two_ways_of_authentication_at_once_are_refused(ehr: RunningEhr) -> None:
    form = {"client_assertion_type": ASSERTION_TYPE, "client_assertion": ehr.assertion("prd-backend")}
    credentials = ("prd-provider", ehr.secret("prd-provider"))
    assert provider_exchange(ehr, Stage.PRODUCTION, credentials, **form).json() == OPAQUE


def test_secrets_are_made_per_run_and_readable_by_their_owner_only(ehr: RunningEhr) -> None:
    folder = ehr.emulated.folder / "clients"
    assert [path.name for path in folder.iterdir()] == ["prd-provider.secret"]
    assert (folder / "prd-provider.secret").stat().st_mode & 0o777 == 0o600
    assert len(ehr.secret("prd-provider")) >= 43


# --- public clients, and requests that are no token requests ---


def test_a_public_client_may_not_bring_credentials(ehr: RunningEhr) -> None:
    asked = ehr.authorize("tst-patient", ehr.patient_launch()["launch"])
    form = {"grant_type": "authorization_code", "code": asked.answer["code"], "code_verifier": asked.verifier}
    response = ehr.http.post(ehr.instance().token_url, data=form, auth=("tst-patient", "secret"))
    assert response.json() == OPAQUE


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        ("{}", "application/json"),
        ("grant_type=a&grant_type=b", "application/x-www-form-urlencoded"),
        ("grant_type=" + "a" * 70000, "application/x-www-form-urlencoded"),
    ],
    ids=["json", "a parameter twice", "too long"],
)
def test_anything_but_a_small_form_is_an_invalid_request(ehr: RunningEhr, content: str, kind: str) -> None:
    response = ehr.http.post(ehr.instance().token_url, content=content, headers={"Content-Type": kind})
    assert (response.status_code, response.json()["error"]) == (400, "invalid_request")
