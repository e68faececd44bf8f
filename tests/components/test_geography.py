"""What one geography is: network, state, identities and the order in which things are made."""

import re
from typing import Any

import pytest

from components.access import (
    ACR_PULL,
    KEY_VAULT_CRYPTO_USER,
    KEY_VAULT_SECRETS_OFFICER,
    KEY_VAULT_SECRETS_USER,
    STORAGE_BLOB_DATA_CONTRIBUTOR,
    STORAGE_BLOB_DATA_READER,
)
from emulators.world import load_world
from runtime.bootstrap import START_SECONDS
from schemas.vocabulary import GeographyName
from tests.support.program import Emitted, run, sample, stack_of

ROLES_THAT_SERVE = ("application", "worker", "portal")
READY = {"application": "/readyz", "worker": "/livez", "portal": "/readyz"}
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
        assert sorted(len(r.depends_on & urns) for r in subnets) == [0, 1, 1, 1]


def test_everything_of_a_geography_goes_through_its_own_provider() -> None:
    for resource in sample("local").resources:
        geography = resource.name.split("-")[0]
        if resource.type.startswith("azure-native:"):
            assert f"::pulumi:providers:azure-native::{geography}::" in resource.provider.replace(
                "teams-ehr-connector:geography:Geography$", ""
            )
    subscriptions = [r.inputs["subscriptionId"] for r in sample("local").of("pulumi:providers:azure-native")]
    assert len(set(subscriptions)) == len(subscriptions) == 3


ROLES = {
    ACR_PULL: "pulls",
    KEY_VAULT_SECRETS_OFFICER: "writes secrets",
    KEY_VAULT_SECRETS_USER: "reads secrets",
    KEY_VAULT_CRYPTO_USER: "signs",
    STORAGE_BLOB_DATA_CONTRIBUTOR: "writes",
    STORAGE_BLOB_DATA_READER: "reads",
}
IN_EVERY_STAGE = {
    ("init", "writes secrets", "vault"),
    ("application", "reads secrets", "vault"),
    ("worker", "reads secrets", "vault"),
    ("application", "pulls", "registry"),
    ("worker", "pulls", "registry"),
    ("worker", "signs", "signing-key-worker"),
    ("revokers", "signs", "signing-key-revocation"),
    ("application", "reads", "storage-revocations"),
    ("worker", "reads", "storage-revocations"),
    ("revokers", "writes", "storage-revocations"),
    ("worker", "writes", "storage-audit-heads"),
    ("auditors", "reads", "storage-audit-heads"),
}
OF_THE_PORTAL = {
    ("portal", "reads secrets", "vault"),
    ("portal", "pulls", "registry"),
    ("portal", "signs", "signing-key-portal"),
    ("portal", "reads", "storage-revocations"),
}


@pytest.mark.parametrize(("stack", "expected"), [("test", IN_EVERY_STAGE | OF_THE_PORTAL), ("prod", IN_EVERY_STAGE)])
def test_each_principal_has_the_least_role_at_the_narrowest_scope(stack: str, expected: set[tuple[str, ...]]) -> None:
    assignments = azure("authorization:RoleAssignment", stack)
    named = {v.inputs["vaultName"]: v.name for v in azure("keyvault:Vault", stack)}
    named |= {r.inputs["registryName"]: r.name for r in azure("containerregistry:Registry", stack)}
    for geography in ("americas", "emea"):
        found = [
            (
                a.name.rsplit("-", 1)[1],
                ROLES[last(a.inputs["roleDefinitionId"])],
                named.get(s := last(a.inputs["scope"]), s),
            )
            for a in assignments
            if a.name.startswith(geography) and not a.name.endswith("-entry")  # test_entry.py
        ]
        assert sorted(found) == sorted((who, role, f"{geography}-{scope}") for who, role, scope in expected)


def last(arm_id: str) -> str:
    return arm_id.rsplit("/", 1)[1]


@pytest.mark.parametrize("who", ["revokers", "auditors"])
def test_revokers_and_auditors_are_the_groups_that_the_configuration_names(who: str) -> None:
    for stack in ("test", "prod"):
        group = getattr(stack_of(stack).promotion, who)
        of_group = [a for a in azure("authorization:RoleAssignment", stack) if a.name.endswith(f"-{who}")]
        assert {(a.inputs["principalType"], a.inputs["principalId"]) for a in of_group} == {("Group", group)}


def test_without_such_groups_no_person_may_revoke_or_audit() -> None:
    stack = stack_of("local")
    nobody = stack.promotion.model_copy(update={"revokers": None, "auditors": None})
    program = run(stack.model_copy(update={"promotion": nobody}))
    found = program.of("azure-native:authorization:RoleAssignment")
    assert {a.inputs["principalType"] for a in found} == {"ServicePrincipal"}


@pytest.mark.parametrize(
    ("stack", "expected"),
    [
        ("test", ["portal-signing", "revocation-signing", "worker-signing"]),
        ("prod", ["revocation-signing", "worker-signing"]),
    ],
)
def test_signing_keys_sign_and_nothing_else_and_are_never_deleted_from_outside(stack: str, expected: list[str]) -> None:
    keys = [k for k in azure("keyvault:Key", stack) if k.name.startswith("americas-")]
    assert sorted(k.inputs["keyName"] for k in keys) == expected
    for key in keys:
        assert key.inputs["properties"] == {"kty": "EC", "curveName": "P-256", "keyOps": ["sign", "verify"]}
        assert key.retain_on_delete
    assert [len(k.depends_on & {o.urn for o in keys}) for k in keys] == [0, *[1] * (len(keys) - 1)]


def test_storage_is_reached_by_identity_through_the_network_alone() -> None:
    for account in azure("storage:StorageAccount", "prod"):
        inputs = account.inputs
        assert (inputs["publicNetworkAccess"], inputs["minimumTlsVersion"]) == ("Disabled", "TLS1_2")
        assert not inputs["allowSharedKeyAccess"]
        assert not inputs["allowBlobPublicAccess"]
        geography = account.name.split("-")[0]
        endpoint = sample("prod").one("azure-native:network:PrivateEndpoint", name=f"{geography}-storage-endpoint")
        (connection,) = endpoint.inputs["privateLinkServiceConnections"]
        assert connection["groupIds"] == ["blob"]
        assert connection["privateLinkServiceId"].endswith(f"/{account.name}")
    zones = {z.inputs["privateZoneName"] for z in azure("privatedns:PrivateZone", "prod")}
    assert "privatelink.blob.core.windows.net" in zones


@pytest.mark.parametrize(("stack", "sku"), [("prod", "Standard_ZRS"), ("test", "Standard_LRS")])
def test_copies_of_storage_stay_in_the_region(stack: str, sku: str) -> None:
    assert {a.inputs["sku"]["name"] for a in azure("storage:StorageAccount", stack)} == {sku}


@pytest.mark.parametrize(("stack", "days", "kept"), [("prod", 2192, True), ("test", 30, True), ("local", 30, False)])
def test_audit_heads_are_written_once(stack: str, days: int, kept: bool) -> None:
    """On Azure they go with the account: Pulumi could delete neither the policy nor a container that is not empty."""
    for policy in azure("storage:BlobContainerImmutabilityPolicy", stack):
        assert policy.inputs["containerName"] == "audit-heads"
        assert policy.inputs["immutabilityPeriodSinceCreationInDays"] == days
        assert policy.inputs["allowProtectedAppendWrites"] is False
        container = sample(stack).one(
            "azure-native:storage:BlobContainer", name=policy.name.replace("immutable", "audit-heads")
        )
        assert (policy.retain_on_delete, container.retain_on_delete) == (kept, kept)


def test_the_portal_stands_in_the_test_stage_alone_and_answers_to_its_own_host() -> None:
    assert [a.name for a in azure("app:ContainerApp", "prod") if "portal" in a.name] == []
    portal = sample("test").one("azure-native:app:ContainerApp", name="emea-portal")
    (domain,) = configuration(portal)["ingress"]["customDomains"]
    assert domain["name"] == "approvals.emea.connector.example.org"


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
        "azure-native:storage:BlobContainerImmutabilityPolicy",
    }
    by_urn = {r.urn: r.type for r in sample("local").resources}
    for app in azure("app:ContainerApp"):
        assert types <= {by_urn[u] for u in app.depends_on}


@pytest.mark.parametrize("stack", ["test", "prod", "local-prod"])
def test_names_fit_azures_limits_and_carry_geography_and_stage(stack: str) -> None:
    short = {"test": "tst"}.get(stack, "prd")
    for vault in azure("keyvault:Vault", stack):
        name = vault.inputs["vaultName"]
        assert len(name) <= 24
        assert name == name.lower()
        assert name.startswith(f"kv-{vault.name.split('-')[0]}-{short}-")
    for account in azure("storage:StorageAccount", stack):
        name = account.inputs["accountName"]
        assert re.fullmatch(f"st{account.name.split('-')[0]}{short}[0-9a-f]{{6}}", name)
        assert len(name) <= 24
    for registry in azure("containerregistry:Registry", stack):
        name = registry.inputs["registryName"]
        assert re.fullmatch(f"cr{registry.name.split('-')[0]}{short}[0-9a-f]{{6}}", name)
        assert 5 <= len(name) <= 50
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


@pytest.mark.parametrize(
    ("stack", "role", "replicas", "rule"),
    [
        ("prod", "application", (3, 10), "30"),
        ("prod", "worker", (2, 2), None),
        ("test", "application", (1, 1), "30"),
        ("test", "portal", (1, 1), "30"),
        ("test", "worker", (1, 1), None),
        ("local-prod", "application", (1, 1), "30"),
    ],
)
def test_replicas_follow_http_requests_where_there_are_any(
    stack: str, role: str, replicas: tuple[int, int], rule: str | None
) -> None:
    scale = sample(stack).one("azure-native:app:ContainerApp", name=f"emea-{role}").inputs["template"]["scale"]
    assert (scale["minReplicas"], scale["maxReplicas"]) == replicas
    rules = [r["http"]["metadata"]["concurrentRequests"] for r in scale.get("rules", [])]
    assert rules == ([rule] if rule else [])


def test_a_geography_of_the_emulated_cloud_runs_as_many_replicas_as_it_says() -> None:
    stack = stack_of("local")
    three = stack.geographies[GeographyName.EMEA].model_copy(update={"replicas": 3})
    geographies = {**stack.geographies, GeographyName.EMEA: three}
    program = run(stack.model_copy(update={"geographies": geographies}))
    apps = program.of("azure-native:app:ContainerApp")
    found = {a.name: a.inputs["template"]["scale"]["minReplicas"] for a in apps}
    assert {n for n, replicas in found.items() if replicas == 3} == {f"emea-{r}" for r in ROLES_THAT_SERVE}
    assert {n for n, replicas in found.items() if replicas != 3} == {n for n in found if not n.startswith("emea-")}


@pytest.mark.parametrize(
    ("stack", "machine", "high_availability", "backup_days", "log_days"),
    [
        ("prod", ("GeneralPurpose", "Standard_D2ds_v5", 128), "ZoneRedundant", 35, 90),
        ("test", ("Burstable", "Standard_B2s", 32), "Disabled", 7, 30),
        ("local-prod", ("GeneralPurpose", "Standard_D2ds_v5", 128), "ZoneRedundant", 35, 90),
    ],
)
def test_databases_and_logs_are_sized_by_stage(
    stack: str, machine: tuple[str, str, int], high_availability: str, backup_days: int, log_days: int
) -> None:
    for server in azure("dbforpostgresql:Server", stack):
        sku, storage = server.inputs["sku"], server.inputs["storage"]
        assert (sku["tier"], sku["name"], storage["storageSizeGB"]) == machine
        assert server.ignore_changes == ("storage.storageSizeGB",), "storage has grown by itself since"
        assert server.inputs["highAvailability"]["mode"] == high_availability
        assert server.inputs["backup"] == {"backupRetentionDays": backup_days, "geoRedundantBackup": "Disabled"}
    retention = {w.inputs["retentionInDays"] for w in azure("operationalinsights:Workspace", stack)}
    assert retention == {log_days}


@pytest.mark.parametrize("role", ["application", "worker", "portal"])
def test_each_role_starts_lives_and_is_ready_by_a_probe(role: str) -> None:
    """A first start waits for roles to be known to the vault: longer than that before it is started again."""
    app = sample("test").one("azure-native:app:ContainerApp", name=f"emea-{role}")
    probes = {p["type"]: p for p in app.inputs["template"]["containers"][0]["probes"]}
    paths = {kind: probe["httpGet"]["path"] for kind, probe in probes.items()}
    assert paths == {"Startup": "/livez", "Liveness": "/livez", "Readiness": READY[role]}
    assert probes["Startup"]["periodSeconds"] * probes["Startup"]["failureThreshold"] > START_SECONDS


def test_a_worker_outlives_a_database_that_fails_over() -> None:
    """Within 60 to 120 seconds (Azure documentation, "High availability in Azure Database for PostgreSQL")."""
    app = sample("prod").one("azure-native:app:ContainerApp", name="emea-worker")
    (liveness,) = [p for p in app.inputs["template"]["containers"][0]["probes"] if p["type"] == "Liveness"]
    assert liveness["periodSeconds"] * liveness["failureThreshold"] > 120


def test_identities_have_the_names_that_the_app_registration_trusts() -> None:
    names = {i.inputs["resourceName"] for i in azure("managedidentity:UserAssignedIdentity")}
    roles, geographies = ("init", "application", "worker", "portal"), ("americas", "emea", "apac")
    assert names == {f"id-{r}-{g}-test" for r in (*roles, "entry") for g in geographies}
    trusted = {name for r in load_world().entra.registrations for name in r.federated_identities}
    assert {n for n in names if not n.startswith(("id-init-", "id-entry-"))} <= trusted
