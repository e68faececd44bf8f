"""What a process refuses to start with, each on its own."""

from typing import Any

import pytest

from runtime.configuration import checked
from runtime.errors import StartRefused
from runtime.settings import Settings
from schemas.configuration_document import ConfigurationDocument
from schemas.handover import Handover
from schemas.stack_config import NATIONAL_CLOUDS, Organization
from schemas.vocabulary import Cloud, GeographyName, RuntimeRole, Stage
from tests.support.smart_server import organization

PLATFORM = {"IDENTITY_ENDPOINT": "http://localhost/msi/token", "IDENTITY_HEADER": "x", "CONTAINER_APP_PORT": "8000"}
AZURE: dict[str, Any] = {
    "role": RuntimeRole.APPLICATION,
    "stage": Stage.PRODUCTION,
    "cloud": Cloud.AZURE,
    "geography": GeographyName.EMEA,
    "public_host": "visits.emea.example.org",
    "managed_identity_client_id": "6e6e6e6e-0000-4000-8000-000000000002",
    "managed_identity_principal_id": "6e6e6e6e-0000-4000-8000-000000000003",
    "key_vault_url": "https://kv-emea.vault.azure.net/",
    "database_url": "postgresql://connector_application@db.postgres.database.azure.com/connector?sslmode=verify-full",
    "configuration_sha256": "0" * 64,
    "configuration_secret": "configuration-0000",
    "configuration_chunks": 1,
    "entra_url": "https://login.microsoftonline.com",
    "graph_url": "https://graph.microsoft.com",
    "application_id": "2b2b2b2b-0000-4000-8000-000000000002",
    "home_tenant_id": "1a1a1a1a-0000-4000-8000-000000000000",
}


def settings(**changes: Any) -> Settings:
    handover = Handover.model_validate({**AZURE, **changes})
    return Settings.from_environment({**handover.environment(), **PLATFORM})


@pytest.mark.parametrize("cloud", NATIONAL_CLOUDS.values(), ids=NATIONAL_CLOUDS.keys())
def test_every_national_cloud_starts(cloud: Any) -> None:
    assert (
        settings(entra_url=cloud.entra_url, graph_url=cloud.graph_url).public_url == "https://visits.emea.example.org"
    )


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"public_host": "localhost:8441"}, ["CONNECTOR_PUBLIC_HOST"]),
        ({"public_host": "app.localhost"}, ["CONNECTOR_PUBLIC_HOST"]),
        ({"key_vault_url": "https://2130706433/"}, ["CONNECTOR_KEY_VAULT_URL"]),
        ({"database_url": "postgresql://a@127.1/c?sslmode=verify-full"}, ["CONNECTOR_DATABASE_URL"]),
        ({"key_vault_url": "https://127.0.0.1:9000/"}, ["CONNECTOR_KEY_VAULT_URL"]),
        ({"database_url": "postgresql://a@127.0.0.1:5432/c?sslmode=verify-full"}, ["CONNECTOR_DATABASE_URL"]),
        ({"entra_url": "https://127.0.0.1:8461"}, ["CONNECTOR_ENTRA_URL"]),
        ({"entra_url": "https://login.evil.example"}, ["CONNECTOR_ENTRA_URL"]),
        ({"graph_url": "https://graph.evil.example"}, ["CONNECTOR_GRAPH_URL"]),
        ({"graph_url": "https://graph.microsoft.us"}, ["CONNECTOR_GRAPH_URL"]),
        ({"ca_bundle": "/etc/own-ca.pem"}, ["CONNECTOR_CA_BUNDLE"]),
        *(
            ({"database_url": f"postgresql://a@db.example.net/c?sslmode={mode}"}, ["CONNECTOR_DATABASE_URL"])
            for mode in ("disable", "prefer", "require", "verify-ca")
        ),
    ],
)
def test_azure_refuses_each_part_of_an_emulation_on_its_own(changes: dict[str, str], names: list[str]) -> None:
    with pytest.raises(StartRefused) as refused:
        settings(**changes)
    assert all(name in str(refused.value) for name in names)
    assert not any(value in str(refused.value) for value in changes.values()), "values are never repeated"


def test_the_same_starts_where_the_cloud_is_emulated() -> None:
    given = settings(
        cloud=Cloud.EMULATED,
        public_host="localhost:8441",
        key_vault_url="https://127.0.0.1:9000/",
        database_url="postgresql://a@127.0.0.1:5432/c?sslmode=disable",
        entra_url="https://127.0.0.1:8461",
        graph_url="https://127.0.0.1:8462",
        ca_bundle="/tmp/ca.pem",
    )
    assert given.bind_host == "127.0.0.1"


@pytest.mark.parametrize("name", ["IDENTITY_ENDPOINT", "IDENTITY_HEADER"])
def test_a_process_without_managed_identity_does_not_start(name: str) -> None:
    environment = {**Handover.model_validate(AZURE).environment(), **PLATFORM}
    del environment[name]
    with pytest.raises(StartRefused, match=name):
        Settings.from_environment(environment)


def test_an_unknown_variable_of_ours_is_refused() -> None:
    environment = {**Handover.model_validate(AZURE).environment(), **PLATFORM, "CONNECTOR_TEST_MODE": "1"}
    with pytest.raises(StartRefused, match="CONNECTOR_TEST_MODE"):
        Settings.from_environment(environment)


# --- the configuration document -----------------------------------------------------------------------------------


def document(**changes: Any) -> ConfigurationDocument:
    given = {"stage": Stage.TEST, "cloud": Cloud.AZURE, "geography": GeographyName.AMERICAS}
    return ConfigurationDocument.model_validate({**given, "organizations": (organization(),), **changes})


def for_test_in_americas() -> Settings:
    return settings(stage=Stage.TEST, geography=GeographyName.AMERICAS)


def test_a_document_for_this_process_is_taken() -> None:
    assert checked(document(), for_test_in_americas()).connection("lakeside-test") is not None


@pytest.mark.parametrize(
    "changes", [{"stage": Stage.PRODUCTION}, {"cloud": Cloud.EMULATED}, {"geography": GeographyName.APAC}]
)
def test_a_document_for_another_stage_cloud_or_geography_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(StartRefused):
        checked(document(**changes), for_test_in_americas())


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/api/FHIR/R4", "https://127.0.0.1:9/api/FHIR/R4"])
def test_azure_refuses_a_loopback_or_http_ehr(url: str) -> None:
    with pytest.raises(StartRefused):
        checked(document(organizations=(organization(base=url),)), for_test_in_americas())


@pytest.mark.parametrize("client", ["provider", "patient", "approval"])
def test_azure_refuses_an_issuer_on_the_loopback(client: str) -> None:
    given = organization().model_dump(mode="json", by_alias=True, exclude_none=True)
    given["connections"][0]["clients"][client]["issuer"] = "https://127.0.0.1:9/oauth2"
    with pytest.raises(StartRefused):
        checked(document(organizations=(Organization.model_validate(given),)), for_test_in_americas())


def test_two_connections_of_one_id_are_refused() -> None:
    with pytest.raises(StartRefused):
        checked(document(organizations=(organization(), organization())), for_test_in_americas())
