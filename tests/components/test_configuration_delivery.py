"""How organisations reach the runtime: by one document per geography, in chunks, and by no other way."""

import random
from functools import cache
from typing import Any

import pytest

from components.program import approvals_of
from schemas.configuration_document import CHUNK_CHARACTERS, ConfigurationDocument, chunk_names, unpack
from schemas.handover import Handover
from schemas.stack_config import StackConfig
from schemas.vocabulary import GeographyName, RuntimeRole
from tests.support.program import Emitted, Program, run, sample, stack_of
from tests.support.samples import ROOT

MANY = 1_500


@cache
def many_organizations() -> StackConfig:
    """The stack with so many organisations in one geography that its document exceeds 2 MB."""
    stack = stack_of("local")
    rng = random.Random(7)
    model = next(o for o in stack.organizations if o.geography is GeographyName.AMERICAS)
    made = tuple(
        model.model_copy(
            update={
                "id": f"hospital-{i}",
                "name": "".join(rng.choices("abcdefghijklmnopqrstuvwxyz ", k=190)).strip(),
            }
        )
        for i in range(MANY)
    )
    return stack.model_copy(update={"organizations": (*stack.organizations, *made)})


@cache
def large() -> Program:
    return run(many_organizations())


def environments(app: Emitted) -> list[dict[str, str]]:
    template: dict[str, Any] = app.inputs["template"]
    return [{v["name"]: v["value"] for v in c["env"]} for k in ("initContainers", "containers") for c in template[k]]


def delivered(program: Program, geography: str, handover: Handover) -> ConfigurationDocument:
    """The document as the runtime would fetch it: from the vault, by the names in the Handover."""
    secrets = [s for s in program.of("azure-native:keyvault:Secret") if s.name.startswith(f"{geography}-")]
    first, *rest = sorted(secrets, key=lambda s: s.name)
    held = {f"{first.name}0a1b2c3d": first} | {s.inputs["secretName"]: s for s in rest}
    names = chunk_names(handover.configuration_secret, handover.configuration_chunks)
    assert set(held) == set(names)
    return unpack([held[n].inputs["properties"]["value"] for n in names], handover.configuration_sha256)


@pytest.mark.parametrize("stack", ["local", "local-prod", "test", "prod"])
def test_every_container_is_told_a_handover_that_the_runtime_reads(stack: str) -> None:
    program = sample(stack)
    for app in program.of("azure-native:app:ContainerApp"):
        geography, role = app.name.split("-")
        init, main = map(Handover.from_environment, environments(app))
        assert (init.role, main.role) == (RuntimeRole.INIT, RuntimeRole(role))
        assert {init.geography, main.geography} == {GeographyName(geography)}
        assert init.database_roles is not None
        assert main.database_roles is None
        assert f"//connector_{role}@" in main.database_url
        assert "//connector_init@" in init.database_url
        assert init.managed_identity_client_id != main.managed_identity_client_id
        assert {init.image, main.image} == {app.inputs["template"]["containers"][0]["image"]}
        assert main.storage_url.endswith("/")
        assert delivered(program, geography, main) == ConfigurationDocument.of(
            stack_of(stack), main.geography, approvals_of(ROOT)
        )


def test_the_portal_is_told_its_own_host_registration_and_repository() -> None:
    stack = stack_of("test")
    for app in sample("test").of("azure-native:app:ContainerApp"):
        geography, role = app.name.split("-")
        init, main = map(Handover.from_environment, environments(app))
        assert "connector_portal=" in (init.database_roles or "")
        told = (main.public_host, main.application_id, main.repository_url)
        config = stack.geographies[GeographyName(geography)]
        if role == "portal":
            repository = "https://github.com/contoso-health/teams-ehr-connector-config"
            assert told == (config.portal_host, stack.microsoft365.portal_application_id, repository)
        else:
            assert told == (config.public_hosts.test, stack.microsoft365.application_id, None)


def test_a_repository_in_a_folder_of_the_project_is_told_by_its_absolute_path() -> None:
    app = sample("local").one("azure-native:app:ContainerApp", name="apac-portal")
    main = Handover.from_environment(environments(app)[1])
    assert main.repository_url == f"file://{ROOT}/.local/repository.git"


@pytest.mark.parametrize(("stack", "sslmode"), [("prod", "verify-full"), ("test", "verify-full"), ("local", "disable")])
def test_the_database_certificate_is_verified_wherever_cloud_is_azure(stack: str, sslmode: str) -> None:
    for app in sample(stack).of("azure-native:app:ContainerApp"):
        assert {e["CONNECTOR_DATABASE_URL"].partition("?")[2] for e in environments(app)} == {f"sslmode={sslmode}"}


def test_two_megabytes_arrive_in_chunks_that_a_vault_takes() -> None:
    stack = many_organizations()
    document = ConfigurationDocument.of(stack, GeographyName.AMERICAS, approvals_of(ROOT))
    assert len(document.model_dump_json(by_alias=True)) > 2_000_000
    program = large()
    secrets = [s for s in program.of("azure-native:keyvault:Secret") if s.name.startswith("americas-")]
    assert len(secrets) > 5
    assert all(len(s.inputs["properties"]["value"]) <= CHUNK_CHARACTERS for s in secrets)
    (app,) = [a for a in program.of("azure-native:app:ContainerApp") if a.name == "americas-worker"]
    handover = Handover.from_environment(environments(app)[1])
    assert delivered(program, "americas", handover) == document


def test_the_chunks_of_one_vault_are_written_one_after_the_other_and_never_deleted_from_outside() -> None:
    program = large()
    secrets = [s for s in program.of("azure-native:keyvault:Secret") if s.name.startswith("americas-")]
    urns = {s.urn for s in secrets}
    assert all(s.depends_on & urns for s in secrets[1:])
    assert all(s.retain_on_delete for s in secrets)


def test_nothing_that_grows_with_organisations_is_in_variables_or_outputs() -> None:
    few, many = sample("local"), large()

    def size(program: Program) -> int:
        apps = program.of("azure-native:app:ContainerApp")
        return sum(len(str(e)) for a in apps for e in environments(a)) + len(str(program.outputs))

    assert abs(size(many) - size(few)) <= 50
    for geography, outputs in few.outputs.items():
        assert set(outputs) == {
            "public_host",
            "location",
            "gateway_address",
            "egress_address",
            "alerts_go_to",
            "consent_urls",
            "federated_credentials",
        }, geography


def test_no_value_of_an_organisation_is_in_a_variable_or_an_output() -> None:
    stack = stack_of("local")
    program = sample("local")
    shown = str(program.outputs) + "".join(str(environments(a)) for a in program.of("azure-native:app:ContainerApp"))
    for organization in stack.organizations:
        connections = organization.connections
        values = [organization.id, organization.name, organization.tenant_id, *(c.id for c in connections)]
        values += [c.fhir_base_url for c in connections] + [c.clients.provider.client_id for c in connections]
        assert not [v for v in values if v in shown]
