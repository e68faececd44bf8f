"""The Epic adapter: what one write-back looks like, with every name a setting."""

import pytest

from runtime.visit.presence import Connection, Side
from runtime.writeback.epic import ConnectionChange, InterconnectRootUnknown, interconnect_root, status_request
from schemas.stack_config import ExternalConnectionStatus

CHANGE = ConnectionChange("csn-1", "PSEUDONYM", Side.PATIENT, Connection.DISCONNECTED)


@pytest.mark.parametrize(
    ("base", "root"),
    [
        ("https://ehr.example/interconnect-prd/api/FHIR/R4", "https://ehr.example/interconnect-prd"),
        (
            "https://lamnahealthcare.org/fihr/auth/connect-ocurprd-oauth/api/FHDST",
            "https://lamnahealthcare.org/fihr/auth/connect-ocurprd-oauth",
        ),
        ("https://ehr.example/api/x/api/FHIR/R4", "https://ehr.example/api/x"),
    ],
)
def test_epics_services_are_beside_its_fhir_server(base: str, root: str) -> None:
    assert interconnect_root(base) == root


@pytest.mark.parametrize("base", ["https://ehr.example/fhir/r4", "https://ehr.example/apis/FHIR"])
def test_a_base_url_of_another_shape_is_not_guessed_at(base: str) -> None:
    with pytest.raises(InterconnectRootUnknown):
        interconnect_root(base)


def test_every_name_and_value_is_a_setting() -> None:
    settings = ExternalConnectionStatus(
        method="POST",
        path="api/epic/2030/Other",
        vendor_name="Vendor",
        conference_id_parameter="C",
        external_id_parameter="E",
        external_id_type_parameter="T",
        vendor_name_parameter="V",
        connection_status_parameter="S",
        patient_external_id_type="Person",
        disconnected="Gone",
    )
    request = status_request(settings, "https://ehr.example/i/api/FHIR/R4", "client-1", CHANGE)
    assert (request.method, request.url) == ("POST", "https://ehr.example/i/api/epic/2030/Other")
    assert request.parameters == {"C": "csn-1", "E": "PSEUDONYM", "T": "Person", "V": "Vendor", "S": "Gone"}
    assert request.headers == {"Epic-Client-ID": "client-1"}
