"""What one geography is: network, state, identities and the order in which things are made."""

from typing import Any

import pytest

from components.access import KEY_VAULT_SECRETS_OFFICER, KEY_VAULT_SECRETS_USER
from tests.support.program import Emitted, run, sample, stack_of

SERVER_CHILDREN = ("AdministratorsMicrosoftEntra", "Configuration", "Database")


def azure(type_: str, stack: str = "local") -> list[Emitted]:
    found = sample(stack).of(f"azure-native:{type_}")
    assert found, f"no {type_}"
    return found


def subnet(name: str) -> dict[str, Any]:
    return sample("local").one("azure-native:network:Subnet", name=f"emea-network-{name}").inputs


@pytest.mark.parametrize(
    ("name", "service"),
    [("apps", "Microsoft.App/environments"), ("database", "Microsoft.DBforPostgreSQL/flexibleServers")],
)
def test_a_subnet_is_delegated_to_the_service_that_stands_in_it(name: str, service: str) -> None:
    assert [d["serviceName"] for d in subnet(name)["delegations"]] == [service]


def test_the_subnet_of_private_endpoints_is_delegated_to_nobody() -> None:
    assert "delegations" not in subnet("private-endpoints")


def test_the_environment_is_internal_and_stands_in_its_own_subnet() -> None:
    for environment in azure("app:ManagedEnvironment"):
        geography = environment.name.removesuffix("-environment")
        assert environment.inputs["vnetConfiguration"] == {
            "internal": True,
            "infrastructureSubnetId": f"/azure/azure-native:network:Subnet/{geography}-network-apps",
        }


def test_the_server_is_private_and_takes_entra_identities_only() -> None:
    for server in azure("dbforpostgresql:Server"):
        assert server.inputs["network"]["publicNetworkAccess"] == "Disabled"
        assert server.inputs["network"]["delegatedSubnetResourceId"].endswith("-network-database")
        assert server.inputs["authConfig"]["passwordAuth"] == "Disabled"
        assert "administratorLoginPassword" not in server.inputs


def test_writes_to_one_server_never_overlap() -> None:
    """Of any two children of a server, one depends on the other, directly or through others."""
    resources = {r.urn: r for r in sample("prod").resources}

    def upstream(urn: str) -> set[str]:
        direct = resources[urn].depends_on
        return set(direct).union(*(upstream(u) for u in direct))

    for server in azure("dbforpostgresql:Server", "prod"):
        children = [r.urn for r in resources.values() if r.parent == server.parent and r.urn != server.urn]
        assert len(children) >= 4
        assert {r.type.rsplit(":", 1)[1] for r in map(resources.__getitem__, children)} == set(SERVER_CHILDREN)
        for a in children:
            assert all(a == b or a in upstream(b) or b in upstream(a) for b in children), a


def test_subnets_of_one_network_are_written_one_after_the_other() -> None:
    resources = sample("local").resources
    for network in azure("network:VirtualNetwork"):
        subnets = [r for r in resources if r.type == "azure-native:network:Subnet" and r.parent == network.parent]
        urns = {r.urn for r in subnets}
        assert sorted(len(r.depends_on & urns) for r in subnets) == [0, 1, 1]


def test_everything_of_a_geography_goes_through_its_own_provider() -> None:
    for resource in sample("local").resources:
        geography = resource.name.split("-")[0]
        if resource.type.startswith("azure-native:"):
            assert f"::pulumi:providers:azure-native::{geography}::" in resource.provider.replace(
                "teams-ehr-connector:geography:Geography$", ""
            )
    subscriptions = [r.inputs["subscriptionId"] for r in sample("local").of("pulumi:providers:azure-native")]
    assert len(set(subscriptions)) == len(subscriptions) == 3


def test_each_identity_has_the_least_role_on_its_own_vault() -> None:
    for assignment in azure("authorization:RoleAssignment"):
        geography, _, _, role = assignment.name.split("-")
        expected = KEY_VAULT_SECRETS_OFFICER if role == "init" else KEY_VAULT_SECRETS_USER
        assert assignment.inputs["roleDefinitionId"].endswith(f"/roleDefinitions/{expected}")
        assert assignment.inputs["scope"] == f"/azure/azure-native:keyvault:Vault/{geography}-vault"


def test_role_assignments_have_the_same_names_in_every_run() -> None:
    def names(assignments: list[Emitted]) -> set[str]:
        return {a.inputs["roleAssignmentName"] for a in assignments}

    once = azure("authorization:RoleAssignment")
    assert len(names(once)) == len(once)
    assert names(run(stack_of("local")).of("azure-native:authorization:RoleAssignment")) == names(once)


def test_only_init_containers_may_use_the_identity_of_init() -> None:
    for app in azure("app:ContainerApp"):
        settings = {s["identity"].rsplit("-", 1)[1]: s["lifecycle"] for s in configuration(app)["identitySettings"]}
        assert settings == {"init": "Init", app.name.split("-")[1]: "Main"}


def configuration(app: Emitted) -> dict[str, Any]:
    return app.inputs["configuration"]


def test_the_ingress_answers_to_the_public_host_of_the_stage_and_never_in_clear() -> None:
    apps = {a.name: configuration(a) for a in azure("app:ContainerApp", "local-prod")}
    ingress: dict[str, Any] = {name: c["ingress"] for name, c in apps.items() if "ingress" in c}
    assert set(ingress) == {name for name in apps if name.endswith("-application")}
    assert [d["name"] for d in ingress["apac-application"]["customDomains"]] == ["localhost:8453"]
    assert ingress["apac-application"]["allowInsecure"] is False


def test_apps_start_after_access_records_configuration_and_database() -> None:
    types = {
        "azure-native:authorization:RoleAssignment",
        "azure-native:network:PrivateDnsZoneGroup",
        "azure-native:keyvault:Secret",
        "azure-native:dbforpostgresql:Database",
    }
    by_urn = {r.urn: r.type for r in sample("local").resources}
    for app in azure("app:ContainerApp"):
        assert types <= {by_urn[u] for u in app.depends_on}


@pytest.mark.parametrize(("stack", "kept"), [("prod", True), ("test", False), ("local", False), ("local-prod", False)])
def test_state_is_protected_where_it_serves_patients_on_azure(stack: str, kept: bool) -> None:
    state = {"resources:ResourceGroup", "keyvault:Vault", "dbforpostgresql:Server", "dbforpostgresql:Database"}
    for type_ in state:
        assert {(r.protect, r.retain_on_delete) for r in azure(type_, stack)} == {(kept, kept)}, type_


@pytest.mark.parametrize("stack", ["test", "prod", "local-prod"])
def test_names_fit_azures_limits_and_carry_geography_and_stage(stack: str) -> None:
    short = {"test": "tst"}.get(stack, "prd")
    for vault in azure("keyvault:Vault", stack):
        name = vault.inputs["vaultName"]
        assert len(name) <= 24
        assert name == name.lower()
        assert name.startswith(f"kv-{vault.name.split('-')[0]}-{short}-")
    for app in azure("app:ContainerApp", stack):
        assert len(app.inputs["containerAppName"]) <= 32
    servers = {s.inputs["serverName"] for s in azure("dbforpostgresql:Server", stack)}
    assert len(servers) == len(azure("dbforpostgresql:Server", stack))


def test_production_on_azure_runs_replicas_and_the_local_stack_one() -> None:
    def replicas(stack: str) -> list[int]:
        apps = azure("app:ContainerApp", stack)
        return sorted({int(a.inputs["template"]["scale"]["minReplicas"]) for a in apps})

    assert replicas("prod") == [2, 3]
    assert replicas("local-prod") == [1]


def test_identities_have_the_names_that_the_app_registration_trusts() -> None:
    names = {i.inputs["resourceName"] for i in azure("managedidentity:UserAssignedIdentity")}
    roles, geographies = ("init", "application", "worker"), ("americas", "emea", "apac")
    assert names == {f"id-{r}-{g}-test" for r in roles for g in geographies}
