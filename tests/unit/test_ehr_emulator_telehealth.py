"""The emulated EHR's SetExternalConnectionStatus: what it takes, and everything else that it refuses."""

from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import pytest

from emulators.ehr.instance import TELEHEALTH_PATH
from schemas.vocabulary import Stage
from tests.support.ehr_emulator import CSN, OTHER_CSN, OTHER_PATIENT, PATIENT, PROVIDER, RunningEhr, running_ehr

JSON = {"Accept": "application/json"}


@pytest.fixture(scope="module")
def ehr(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEhr]:
    with running_ehr(tmp_path_factory.mktemp("state")) as running:
        yield running


def parameters(**changes: str | None) -> dict[str, str]:
    given = {
        "ConferenceID": CSN,
        "ExternalID": "participant-1",
        "ExternalIDType": "Provider",
        "VendorName": "TeamsEhrConnector",
        "ConnectionStatus": "Connected",
        **changes,
    }
    return {name: value for name, value in given.items() if value is not None}


def headers(ehr: RunningEhr, stage: Stage = Stage.TEST, **changes: str | None) -> dict[str, str]:
    given = {
        "Epic-Client-ID": {Stage.TEST: "tst-backend", Stage.PRODUCTION: "prd-backend"}[stage],
        "Authorization": f"Bearer {ehr.backend_token(stage).json()['access_token']}",
        **{name.replace("_", "-"): value for name, value in changes.items()},
    }
    return {name: value for name, value in given.items() if value is not None}


def call(ehr: RunningEhr, query: Mapping[str, Any], sent: dict[str, str] | None = None) -> httpx.Response:
    url = f"{ehr.instance().root}/{TELEHEALTH_PATH}"
    return ehr.http.get(url, params=dict(query), headers=headers(ehr) if sent is None else sent)


def status(ehr: RunningEhr, csn: str, stage: Stage = Stage.TEST) -> dict[str, str]:
    listed = ehr.http.get("/hyperspace/appointments", params={"environment": stage}, headers=JSON).json()
    return next(a["status"] for a in listed["appointments"] if a["csn"] == csn)


def test_a_connection_shows_in_hyperspace_for_its_side_and_environment_only(ehr: RunningEhr) -> None:
    assert call(ehr, parameters()).status_code == 200
    assert status(ehr, CSN) == {"Provider": "Connected", "Patient": ""}
    assert status(ehr, CSN, Stage.PRODUCTION) == {"Provider": "", "Patient": ""}


def test_a_side_is_disconnected_when_its_last_participant_is(ehr: RunningEhr) -> None:
    for external_id in ("a", "b"):
        call(ehr, parameters(ConferenceID=OTHER_CSN, ExternalID=external_id))
    call(ehr, parameters(ConferenceID=OTHER_CSN, ExternalID="a", ConnectionStatus="Disconnected"))
    assert status(ehr, OTHER_CSN)["Provider"] == "Connected"
    call(ehr, parameters(ConferenceID=OTHER_CSN, ExternalID="b", ConnectionStatus="Disconnected"))
    assert status(ehr, OTHER_CSN)["Provider"] == "Disconnected"


@pytest.mark.parametrize("body", ["data", "json", "params"])
def test_post_takes_a_form_json_or_a_query(ehr: RunningEhr, body: str) -> None:
    url = f"{ehr.instance().root}/{TELEHEALTH_PATH}"
    kept: dict[str, Any] = {body: parameters(ExternalIDType="Patient", ExternalID=PATIENT)}
    assert ehr.http.post(url, headers=headers(ehr), **kept).status_code == 200
    assert status(ehr, CSN)["Patient"] == "Connected"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"EventTime": "2026-01-05T14:00:00Z"}, 400),
        ({"IdempotencyKey": "1"}, 400),
        ({"conferenceid": CSN, "ConferenceID": None}, 400),
        ({"ConferenceID": None}, 400),
        ({"ConferenceID": "999"}, 404),
        ({"ConferenceID": "%CSN%"}, 404),
        ({"ExternalID": ""}, 400),
        ({"ExternalID": "x" * 201}, 400),
        ({"ExternalID": OTHER_PATIENT, "ExternalIDType": "Patient"}, 400),
        ({"ExternalIDType": "Guest"}, 400),
        ({"VendorName": ""}, 400),
        ({"ConnectionStatus": "connected"}, 400),
        ({"ConnectionStatus": "Waiting"}, 400),
    ],
    ids=str,
)
def test_anything_but_the_five_parameters_is_refused(ehr: RunningEhr, change: dict[str, Any], code: int) -> None:
    assert call(ehr, parameters(**change)).status_code == code


def test_a_parameter_that_comes_twice_is_refused(ehr: RunningEhr) -> None:
    assert call(ehr, {**parameters(), "ConnectionStatus": ["Connected", "Disconnected"]}).status_code == 400


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"Authorization": None}, 401),
        ({"Authorization": "Bearer unknown"}, 401),
        ({"Authorization": "Basic dXNlcjpwYXNzd29yZA=="}, 401),
        ({"Epic_Client_ID": None}, 403),
        ({"Epic_Client_ID": "prd-backend"}, 403),
        ({"Epic_Client_ID": "tst-provider"}, 403),
    ],
    ids=str,
)
def test_a_call_without_its_headers_is_refused(ehr: RunningEhr, change: dict[str, Any], code: int) -> None:
    assert call(ehr, parameters(), headers(ehr, **change)).status_code == code


def test_a_token_of_the_other_environment_is_refused(ehr: RunningEhr) -> None:
    other = headers(ehr, Stage.PRODUCTION)["Authorization"]
    assert call(ehr, parameters(), headers(ehr, Authorization=other)).status_code == 401


def test_a_token_of_a_launch_is_refused(ehr: RunningEhr) -> None:
    token = ehr.whole_launch("tst-provider", ehr.provider_launch(user=PROVIDER)["launch"])["access_token"]
    assert call(ehr, parameters(), headers(ehr, Authorization=f"Bearer {token}")).status_code == 401


def test_an_expired_token_is_refused(ehr: RunningEhr) -> None:
    sent = headers(ehr)
    ehr.clock.ahead = 3601
    try:
        assert call(ehr, parameters(), sent).status_code == 401
    finally:
        ehr.clock.ahead = 0


def test_a_refused_call_changes_nothing(ehr: RunningEhr) -> None:
    before = status(ehr, CSN)
    call(ehr, parameters(ConnectionStatus="Disconnected", EventTime="now"))
    call(ehr, parameters(ConnectionStatus="Disconnected"), headers(ehr, Authorization=None))
    assert status(ehr, CSN) == before


def test_the_raw_log_holds_each_call_as_it_came(ehr: RunningEhr) -> None:
    call(ehr, parameters(ExternalID="to-be-found"))
    record = ehr.raw_requests(f"{ehr.instance().path}/{TELEHEALTH_PATH}")[-1]
    assert "ExternalID=to-be-found" in record["query"]
    assert record["method"] == "GET"
    assert record["status"] == 200
    assert record["headers"] == {"epic-client-id": "tst-backend"}
    assert record["time"].endswith("Z")
