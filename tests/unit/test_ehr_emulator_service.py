"""The emulated EHR's pages, FHIR reads, scheduling, faults, and what survives a restart."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from emulators import tls
from emulators.ehr.ehr import EmulatedEhr
from emulators.ehr.grants import Kind
from emulators.ehr.instance import TELEHEALTH_PATH
from emulators.hosting import STATE_VARIABLE
from emulators.world import DEFAULT_WORLD, WORLD_VARIABLE
from schemas.vocabulary import Stage
from tests.support.ehr_emulator import (
    CONNECTOR,
    CSN,
    OTHER_PATIENT,
    PATIENT,
    PROVIDER,
    RunningEhr,
    query_of,
    running_ehr,
)
from tests.support.ports import free_port

JSON = {"Accept": "application/json"}


@pytest.fixture(scope="module")
def ehr(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEhr]:
    with running_ehr(tmp_path_factory.mktemp("state")) as running:
        yield running


@pytest.fixture(autouse=True)
def as_nobody(ehr: RunningEhr) -> Iterator[None]:
    yield
    ehr.http.cookies.clear()
    (ehr.emulated.folder / "faults.json").unlink(missing_ok=True)


# --- pages ---


def test_hyperspace_asks_who_it_is_and_then_shows_that_providers_day(ehr: RunningEhr) -> None:
    assert "Who are you?" in ehr.http.get("/hyperspace").text
    signed_in = ehr.http.post("/hyperspace/sign-in", data={"user": PROVIDER}, follow_redirects=True).text
    assert "Rosa Delgado" in signed_in
    assert "Tom Whitfield" not in signed_in.split("Schedule an appointment")[0]
    everybody = ehr.http.get("/hyperspace", params={"provider": "all"}).text
    assert "Tom Whitfield" in everybody.split("Schedule an appointment")[0]


def test_signing_in_to_test_is_not_signing_in_to_production(ehr: RunningEhr) -> None:
    ehr.http.post("/hyperspace/sign-in", data={"user": PROVIDER})
    assert "Who are you?" in ehr.http.get("/hyperspace", params={"environment": "production"}).text


def test_logging_out_ends_the_session_on_the_server(ehr: RunningEhr) -> None:
    ehr.http.post("/mychart/sign-in", data={"patient": PATIENT})
    kept = dict(ehr.http.cookies)
    ehr.http.post("/mychart/sign-out", data={"environment": "test"})
    ehr.http.cookies.update(kept)
    assert "Who are you?" in ehr.http.get("/mychart").text


def test_a_visit_is_framed_with_camera_and_microphone(ehr: RunningEhr) -> None:
    page = ehr.http.post("/hyperspace/launch", data={"csn": CSN, "user": PROVIDER, "display": "frame"})
    assert 'allow="camera; microphone"' in page.text
    assert f'src="{CONNECTOR}/launch/provider/lakeside-test?iss=' in page.text
    assert "frame-ancestors 'none'" in page.headers["content-security-policy"]


def test_a_launch_needs_no_user_field_once_somebody_is_signed_in(ehr: RunningEhr) -> None:
    assert ehr.http.post("/hyperspace/launch", data={"csn": CSN}).status_code == 400
    ehr.http.post("/hyperspace/sign-in", data={"user": PROVIDER})
    launch = query_of(ehr.http.post("/hyperspace/launch", data={"csn": CSN}))["launch"]
    found = ehr.emulated.grants.find(Kind.LAUNCH, launch)
    assert found is not None
    assert found["person"] == PROVIDER


def test_mychart_shows_a_patient_their_own_visits_only(ehr: RunningEhr) -> None:
    own = ehr.http.post("/mychart/sign-in", data={"patient": PATIENT}, follow_redirects=True).text
    assert "09:30" in own
    assert "10:30" not in own


def test_a_form_of_another_site_is_refused(ehr: RunningEhr) -> None:
    response = ehr.http.post("/hyperspace/sign-in", data={"user": PROVIDER}, headers={"Origin": CONNECTOR})
    assert response.status_code == 403
    assert not ehr.http.cookies


def test_a_host_that_is_not_configured_is_misdirected(ehr: RunningEhr) -> None:
    assert ehr.http.get("/hyperspace", headers={"Host": "ehr.example"}).status_code == 421


def test_every_configured_page_origin_is_served(ehr: RunningEhr) -> None:
    for origin in ehr.ehr.page_origins:
        assert ehr.http.get(f"{origin}/hyperspace").status_code == 200


@pytest.mark.parametrize("path", ["/hyperspace", "/mychart"])
def test_an_unknown_environment_is_not_found(ehr: RunningEhr, path: str) -> None:
    assert ehr.http.get(path, params={"environment": "staging"}).status_code == 404


# --- scheduling ---


def test_any_number_of_appointments_for_a_new_patient_can_be_scheduled(ehr: RunningEhr) -> None:
    form = {"provider": PROVIDER, "patient": "P-CANARY", "patient_name": "Zoë <Canary>", "time": "16:00", "count": "3"}
    booked = ehr.http.post("/hyperspace/appointments", data=form, headers=JSON)
    csns = {a["csn"] for a in booked.json()["appointments"]}
    assert booked.status_code == 201
    assert len(csns) == 3
    assert {ehr.patient_launch(csn=csn, patient="P-CANARY")["iss"] for csn in csns} == {ehr.instance().fhir_base_url}
    page = ehr.http.get("/mychart").text
    assert "Zoë &lt;Canary&gt;" in page
    assert "Zoë <Canary>" not in page


def test_an_appointment_exists_in_its_own_environment_only(ehr: RunningEhr) -> None:
    form = {"provider": PROVIDER, "patient": PATIENT, "time": "17:00", "environment": "production"}
    csn = ehr.http.post("/hyperspace/appointments", data=form, headers=JSON).json()["appointments"][0]["csn"]
    assert ehr.http.post("/hyperspace/launch", data={"csn": csn, "user": PROVIDER}).status_code == 404


@pytest.mark.parametrize(
    "change",
    [
        {"provider": "nobody"},
        {"patient": "nobody"},
        {"patient": ""},
        {"time": "25:00"},
        {"count": "0"},
        {"count": "501"},
        {"department": "1"},
        {"patient": "", "patient_name": "New", "birth_date": "31.1.1980"},
    ],
    ids=str,
)
def test_an_appointment_that_makes_no_sense_is_refused(ehr: RunningEhr, change: dict[str, str]) -> None:
    form = {"provider": PROVIDER, "patient": PATIENT, "time": "16:00", **change}
    assert ehr.http.post("/hyperspace/appointments", data=form, headers=JSON).status_code == 400


# --- live status ---


def test_a_changed_status_reaches_watching_pages_at_once(ehr: RunningEhr) -> None:
    token = ehr.backend_token().json()["access_token"]
    sent = {"Authorization": f"Bearer {token}", "Epic-Client-ID": "tst-backend"}
    query = {"ConferenceID": CSN, "ExternalID": "p", "ExternalIDType": "Provider", "VendorName": "v"}
    url = f"{ehr.instance().root}/{TELEHEALTH_PATH}"
    with ehr.http.stream("GET", "/hyperspace/events", timeout=10) as stream:
        lines = stream.iter_lines()
        assert next(lines).startswith("retry:")
        caller = httpx.Client(verify=tls.client_context(ehr.state), trust_env=False)
        with caller:
            caller.get(url, params={**query, "ConnectionStatus": "Connected"}, headers=sent)
        event = json.loads(next(line for line in lines if line.startswith("data:")).removeprefix("data:"))
    assert event["csn"] == CSN
    assert event["status"]["Provider"] == "Connected"
    assert "Rosa" not in str(event)


# --- FHIR ---


def test_discovery_names_this_instances_endpoints(ehr: RunningEhr) -> None:
    instance = ehr.instance(Stage.PRODUCTION)
    smart = ehr.http.get(f"{instance.fhir_base_url}/.well-known/smart-configuration").json()
    assert smart["token_endpoint"] == instance.token_url
    assert smart["authorization_endpoint"] == instance.authorize_url
    assert smart["code_challenge_methods_supported"] == ["S256"]
    assert smart["issuer"] == instance.issuer


def test_the_capability_statement_has_software_and_oauth_uris(ehr: RunningEhr) -> None:
    statement = ehr.http.get(f"{ehr.instance().fhir_base_url}/metadata").json()
    assert statement["software"] == {"name": "Epic", "version": ehr.ehr.software_version}
    uris = {e["url"]: e["valueUri"] for e in statement["rest"][0]["security"]["extension"][0]["extension"]}
    assert uris == {"authorize": ehr.instance().authorize_url, "token": ehr.instance().token_url}


def patient_token(ehr: RunningEhr, scope: str) -> dict[str, str]:
    asked = ehr.authorize("tst-patient", ehr.patient_launch()["launch"], scope=scope)
    return {"Authorization": f"Bearer {ehr.exchange('tst-patient', asked).json()['access_token']}"}


def test_a_patient_token_reads_that_patient_only(ehr: RunningEhr) -> None:
    sent = patient_token(ehr, "launch patient/Patient.read patient/Appointment.read")
    base = ehr.instance().fhir_base_url
    assert ehr.http.get(f"{base}/Patient/{PATIENT}", headers=sent).json()["id"] == PATIENT
    assert ehr.http.get(f"{base}/Patient/{OTHER_PATIENT}", headers=sent).status_code == 404
    found = ehr.http.get(f"{base}/Appointment", params={"patient": PATIENT}, headers=sent).json()
    assert found["resourceType"] == "Bundle"
    assert CSN in json.dumps(found)
    assert ehr.http.get(f"{base}/Appointment", params={"patient": OTHER_PATIENT}, headers=sent).status_code == 403


@pytest.mark.parametrize(
    ("path", "status"), [("Patient/P-1", 403), ("Appointment?patient=P-1", 403), ("Encounter", 404)]
)
def test_other_reads_are_answered_by_an_operation_outcome(ehr: RunningEhr, path: str, status: int) -> None:
    response = ehr.http.get(f"{ehr.instance().fhir_base_url}/{path}", headers=patient_token(ehr, "launch openid"))
    assert (response.status_code, response.json()["resourceType"]) == (status, "OperationOutcome")


def test_a_read_without_a_token_of_this_instance_is_unauthorized(ehr: RunningEhr) -> None:
    sent = patient_token(ehr, "launch patient/Patient.read")
    assert ehr.http.get(f"{ehr.instance().fhir_base_url}/Patient/{PATIENT}").status_code == 401
    other = ehr.instance(Stage.PRODUCTION).fhir_base_url
    assert ehr.http.get(f"{other}/Patient/{PATIENT}", headers=sent).status_code == 401


# --- faults ---


def test_a_fault_is_answered_as_often_as_it_says_and_on_its_paths_only(ehr: RunningEhr) -> None:
    faults = [{"path_prefix": "/interconnect-tst/oauth2", "status": 503, "times": 2}]
    (ehr.emulated.folder / "faults.json").write_text(json.dumps(faults))
    statuses = [ehr.http.get(ehr.instance().jwks_url).status_code for _ in range(3)]
    assert statuses == [503, 503, 200]
    assert ehr.http.get("/hyperspace").status_code == 200


def test_a_fault_without_a_status_only_delays(ehr: RunningEhr) -> None:
    (ehr.emulated.folder / "faults.json").write_text(json.dumps([{"path_prefix": "/", "delay_seconds": 0.2}]))
    began = time.monotonic()
    assert ehr.http.get(ehr.instance().jwks_url).status_code == 200
    assert time.monotonic() - began >= 0.2


# --- the process ---


def test_a_restarted_ehr_remembers_what_a_running_visit_needs(ehr: RunningEhr) -> None:
    form = {"provider": PROVIDER, "patient": PATIENT, "time": "18:00"}
    csn = ehr.http.post("/hyperspace/appointments", data=form, headers=JSON).json()["appointments"][0]["csn"]
    token, launch = ehr.backend_token().json()["access_token"], ehr.provider_launch(csn=csn)["launch"]
    again = EmulatedEhr(ehr.ehr, ehr.state, ehr.clock, ehr.log)
    assert again.schedule.appointment(Stage.TEST, csn) is not None
    assert again.grants.find(Kind.ACCESS_TOKEN, token)
    assert again.grants.find(Kind.LAUNCH, launch)
    assert again.signing_key.kid == ehr.emulated.signing_key.kid


def test_nothing_handed_out_is_stored_in_clear(ehr: RunningEhr) -> None:
    token = ehr.backend_token().json()["access_token"]
    stored = b"".join(path.read_bytes() for path in ehr.emulated.folder.glob("ehr.sqlite3*"))
    assert token.encode() not in stored


def test_the_command_serves_an_organisation_of_the_world_and_no_other(tmp_path: Path) -> None:
    sample = DEFAULT_WORLD.read_text()
    port = free_port()
    (tmp_path / "world.yaml").write_text(sample.replace(":8471", f":{port}"))
    tls.ensure_leaf(tmp_path, ["127.0.0.1", "ehr.lakeside.example"])
    environment = {**os.environ, STATE_VARIABLE: str(tmp_path), WORLD_VARIABLE: str(tmp_path / "world.yaml")}
    command = [sys.executable, "-m", "emulators.ehr"]
    assert subprocess.run([*command, "nobody"], env=environment, capture_output=True, timeout=60).returncode == 2
    process = subprocess.Popen([*command, "lakeside"], env=environment, stdout=subprocess.PIPE, text=True)
    stop = threading.Timer(60, process.kill)
    stop.start()
    try:
        assert process.stdout is not None
        assert '"listening"' in process.stdout.readline()
        url = f"https://127.0.0.1:{port}"
        assert httpx.get(f"{url}/healthz", verify=tls.client_context(tmp_path), trust_env=False).status_code == 200
    finally:
        stop.cancel()
        process.terminate()
        process.wait(10)
    folder = tmp_path / "ehr" / "lakeside"
    assert [path.name for path in folder.rglob("*") if path.stat().st_mode & 0o077] == []
