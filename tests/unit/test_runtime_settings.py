"""What a process refuses to start with, each on its own."""

from pathlib import Path
from typing import Any

import pytest

from runtime.bootstrap import anchors
from runtime.configuration import checked
from runtime.errors import StartRefused
from runtime.settings import Settings
from schemas.configuration_document import ConfigurationDocument
from schemas.handover import Handover
from schemas.promotion_config import Promotion, Repository, TrustedKey
from schemas.stack_config import NATIONAL_CLOUDS, Organization, PublicHosts
from schemas.vocabulary import Cloud, GeographyName, RuntimeRole, Stage, StatementType
from tests.support.smart_server import organization
from tests.support.statements import IMAGE

PLATFORM = {"IDENTITY_ENDPOINT": "http://localhost/msi/token", "IDENTITY_HEADER": "x", "CONTAINER_APP_PORT": "8000"}
AZURE: dict[str, Any] = {
    "role": RuntimeRole.APPLICATION,
    "stage": Stage.PRODUCTION,
    "cloud": Cloud.AZURE,
    "geography": GeographyName.EMEA,
    "image": IMAGE,
    "public_host": "visits.emea.example.org",
    "managed_identity_client_id": "6e6e6e6e-0000-4000-8000-000000000002",
    "managed_identity_principal_id": "6e6e6e6e-0000-4000-8000-000000000003",
    "key_vault_url": "https://kv-emea.vault.azure.net/",
    "database_url": "postgresql://connector_application@db.postgres.database.azure.com/connector?sslmode=verify-full",
    "storage_url": "https://stemea.blob.core.windows.net/",
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
        ({"storage_url": "https://127.0.0.1:9100/"}, ["CONNECTOR_STORAGE_URL"]),
        ({"repository_url": "https://127.0.0.1:9100/connector.git"}, ["CONNECTOR_REPOSITORY_URL"]),
        ({"repository_url": "file:///var/connector.git"}, ["CONNECTOR_REPOSITORY_URL"]),
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


EMULATED: dict[str, Any] = {
    "cloud": Cloud.EMULATED,
    "public_host": "localhost:8441",
    "key_vault_url": "https://127.0.0.1:9000/",
    "database_url": "postgresql://a@127.0.0.1:5432/c?sslmode=disable",
    "storage_url": "https://127.0.0.1:9100/",
    "repository_url": "file:///var/connector.git",
    "entra_url": "https://127.0.0.1:8461",
    "graph_url": "https://127.0.0.1:8462",
    "ca_bundle": "/tmp/ca.pem",
}


def test_the_same_starts_where_the_cloud_is_emulated() -> None:
    assert settings(**EMULATED).bind_host == "127.0.0.1"


@pytest.mark.parametrize("name", ["key_vault_url", "database_url", "storage_url", "entra_url", "graph_url"])
def test_a_process_in_azure_does_not_take_itself_for_an_emulated_one(name: str) -> None:
    """There everybody has the keys by which statements are signed."""
    with pytest.raises(StartRefused, match=f"CONNECTOR_{name.upper()}: expected a loopback address"):
        settings(**{**EMULATED, name: AZURE[name]})


@pytest.mark.parametrize("name", ["IDENTITY_ENDPOINT", "IDENTITY_HEADER"])
def test_a_process_without_managed_identity_does_not_start(name: str) -> None:
    environment = {**Handover.model_validate(AZURE).environment(), **PLATFORM}
    del environment[name]
    with pytest.raises(StartRefused, match=name):
        Settings.from_environment(environment)


@pytest.mark.parametrize("name", ["TEST_MODE", "TRUSTED_KEYS", "TRUST_ANCHORS", "PROMOTION", "REVOCATIONS"])
def test_an_unknown_variable_of_ours_is_refused(name: str) -> None:
    """So no key comes to be trusted, and no list to be held, by a variable of a process."""
    environment = {**Handover.model_validate(AZURE).environment(), **PLATFORM, f"CONNECTOR_{name}": "1"}
    with pytest.raises(StartRefused, match=f"CONNECTOR_{name}"):
        Settings.from_environment(environment)


# --- trust anchors ------------------------------------------------------------------------------------------------


def test_azure_knows_none_of_the_emulated_clouds_keys() -> None:
    emulated = {key.key_id for key in anchors(Cloud.EMULATED).keys}
    assert emulated
    assert not emulated & {key.key_id for key in anchors(Cloud.AZURE).keys}


@pytest.mark.parametrize("content", [None, b"", b"{}", b'{"version": 1, "keys": [], "more": 1}'])
def test_an_image_whose_anchors_cannot_be_read_does_not_start(
    content: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "anchors").mkdir()
    if content is not None:
        (tmp_path / "anchors" / "azure.json").write_bytes(content)

    def files(_: str) -> Path:
        return tmp_path

    monkeypatch.setattr("runtime.bootstrap.files", files)
    with pytest.raises(StartRefused, match="trust anchors"):
        anchors(Cloud.AZURE)


# --- the configuration document -----------------------------------------------------------------------------------


HOSTS = PublicHosts(test="visits.test.example.org", production="visits.example.org")


def document(**changes: Any) -> ConfigurationDocument:
    given: dict[str, Any] = {
        "stage": Stage.TEST,
        "cloud": Cloud.AZURE,
        "geography": GeographyName.AMERICAS,
        "public_hosts": HOSTS,
        "portal_host": "portal.example.org",
        "promotion": Promotion(trusted_keys=(PIN,)),
        "organizations": (organization(),),
    }
    return ConfigurationDocument.model_validate({**given, **changes})


def pin(**changes: Any) -> TrustedKey:
    given = {"key_id": "a" * 64, "name": "portal-signing", "version": "0" * 32, "geography": GeographyName.AMERICAS}
    return TrustedKey.model_validate({**given, "statement_types": (StatementType.APPROVAL,), **changes})


PIN = pin()


def for_test_in_americas(**changes: Any) -> Settings:
    given = {"stage": Stage.TEST, "geography": GeographyName.AMERICAS, "public_host": HOSTS.test}
    return settings(**{**given, **changes})


def proposed(base: str = "https://ehr.example.org/api/FHIR/R4", stage: Stage = Stage.PRODUCTION) -> Organization:
    """The organisation with a production connection only."""
    given = organization(base=base).model_dump(mode="json", by_alias=True, exclude_none=True)
    given["connections"][0] |= {"id": "lakeside-production", "stage": stage.value}
    return Organization.model_validate(given)


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


def test_the_portal_is_told_its_own_host_and_the_others_the_stages() -> None:
    portal = for_test_in_americas(role=RuntimeRole.PORTAL, public_host="portal.example.org")
    assert checked(document(), portal).connection("lakeside-test") is not None
    for other in (
        for_test_in_americas(public_host=HOSTS.production),
        for_test_in_americas(public_host="portal.example.org"),
        for_test_in_americas(role=RuntimeRole.PORTAL),
    ):
        with pytest.raises(StartRefused, match="public host"):
            checked(document(), other)


def test_production_connections_are_proposed_in_the_test_stage_and_not_served() -> None:
    configuration = checked(document(proposals=(proposed(),)), for_test_in_americas())
    assert configuration.connection("lakeside-production") is None


@pytest.mark.parametrize(
    "changes",
    [
        {"proposals": (proposed(stage=Stage.TEST),)},
        {"proposals": (proposed("https://127.0.0.1:9/api/FHIR/R4"),)},
        {"proposals": (proposed("http://127.0.0.1:9/api/FHIR/R4"),)},
        {"promotion": Promotion(trusted_keys=(PIN, pin(name="another")))},
        {"promotion": Promotion(trusted_keys=(PIN,), repository=Repository(folder="remote.git"))},
        {"promotion": Promotion(trusted_keys=(PIN,), repository=Repository(url="https://localhost:9/connector.git"))},
    ],
)
def test_a_document_whose_promotion_does_not_fit_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(StartRefused):
        checked(document(**changes), for_test_in_americas())


def test_production_refuses_proposals() -> None:
    production = for_test_in_americas(stage=Stage.PRODUCTION, public_host=HOSTS.production)
    given = document(stage=Stage.PRODUCTION, organizations=(proposed(),))
    assert checked(given, production).connection("lakeside-production") is not None
    with pytest.raises(StartRefused, match="proposals"):
        checked(given.model_copy(update={"proposals": (proposed(),)}), production)


def test_two_connections_of_one_id_are_refused() -> None:
    with pytest.raises(StartRefused):
        checked(document(organizations=(organization(), organization())), for_test_in_americas())
