"""Each rule of the policy pack refuses what it is there for; every row is one change to what the components emit."""

import re
from collections.abc import Iterable
from typing import Any

import pytest
from pulumi_policy import ResourceValidationArgs, ResourceValidationPolicy

from policies import (
    azure_only,
    containers,
    database_login,
    evidence,
    known_types,
    least_access,
    locations,
    public_access,
    secret_references,
    tags,
    transport,
)
from schemas.configuration_document import ConfigurationDocument, pack
from schemas.vocabulary import GeographyName
from tests.support.judged import OPTIONS, UNKNOWN, changed, emitted, variable, violations
from tests.support.program import sample
from tests.support.samples import load

APP = ("app:ContainerApp", "americas-application")
ENVIRONMENT = ("app:ManagedEnvironment", "americas-environment")
INIT_IDENTITY = (
    "/subscriptions/s/providers/Microsoft.ManagedIdentity/userAssignedIdentities/id-init-americas-production"
)
DIGEST = "teams-ehr-connector@sha256:" + 64 * "0"
REGISTRY = ("containerregistry:Registry", "americas-registry")
PULL_ROLE = ("authorization:RoleAssignment", "americas-registry-access-worker")
PARAMETER = ("dbforpostgresql:Configuration", "americas-database-require-secure-transport")
SECRET = "keyvault:Secret"
STORAGE = ("storage:StorageAccount", "americas-storage-account")
CONTAINER = ("storage:BlobContainer", "americas-storage-revocations")
IMMUTABLE = ("storage:BlobContainerImmutabilityPolicy", "americas-storage-immutable")
KEY = ("keyvault:Key", "americas-signing-key-worker")
KEY_ROLE = ("authorization:RoleAssignment", "americas-key-access-worker")
BLOB_ROLE = ("authorization:RoleAssignment", "americas-storage-access-audit-heads-worker")
SUBSCRIPTION = "/subscriptions/4d4d4d4d-0000-4000-8000-000000000001"
ACCOUNT = f"{SUBSCRIPTION}/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/s"
OWNER = f"{SUBSCRIPTION}/providers/Microsoft.Authorization/roleDefinitions/8e3af657-a8ff-443c-a75c-2fe8c4bcb635"
SERVER = ("dbforpostgresql:Server", "americas-database-server")
VAULT = ("keyvault:Vault", "americas-vault")
WORKSPACE = ("operationalinsights:Workspace", "americas-logs-workspace")
ZONE = ("privatedns:PrivateZone", "americas-network-vault-zone")

ROWS: list[tuple[ResourceValidationPolicy, tuple[str, str], str, Any, str]] = [
    (locations.POLICY, VAULT, "location", "westeurope", "expected a region in geography americas"),
    (locations.POLICY, VAULT, "location", "westus3", "expected one of the allowed regions"),
    (locations.POLICY, SERVER, "location", ..., "expected a region, so that no default"),
    (locations.POLICY, WORKSPACE, "tags.geography", "emea", "expected a region in geography emea"),
    (locations.POLICY, WORKSPACE, "tags.geography", "atlantis", "expected a region in geography atlantis"),
    (locations.POLICY, ZONE, "location", "eastus2", "expected global"),
    (tags.POLICY, VAULT, "tags", ..., "tags.application: expected teams-ehr-connector, got nothing"),
    (tags.POLICY, VAULT, "tags.stage", "test", "tags.stage: expected production, got test"),
    (tags.POLICY, VAULT, "tags.geography", "apac", "tags.geography: expected americas or emea, got apac"),
    (tags.POLICY, APP, "tags.managed-by", "hand", "tags.managed-by: expected pulumi, got hand"),
    (public_access.POLICY, VAULT, "properties.publicNetworkAccess", "Enabled", "expected Disabled, got Enabled"),
    (public_access.POLICY, VAULT, "properties.publicNetworkAccess", ..., "expected Disabled, got None"),
    (public_access.POLICY, VAULT, "properties.networkAcls.defaultAction", "Allow", "expected Deny, got Allow"),
    (public_access.POLICY, VAULT, "properties.networkAcls.ipRules", [{"value": "0.0.0.0/0"}], "expected none"),
    (public_access.POLICY, SERVER, "network.publicNetworkAccess", "Enabled", "expected Disabled, got Enabled"),
    (public_access.POLICY, SERVER, "network.delegatedSubnetResourceId", ..., "expected the delegated subnet"),
    (public_access.POLICY, ENVIRONMENT, "vnetConfiguration.internal", False, "expected true, got False"),
    (public_access.POLICY, ENVIRONMENT, "publicNetworkAccess", "Enabled", "expected Disabled, got Enabled"),
    (public_access.POLICY, STORAGE, "publicNetworkAccess", "Enabled", "expected Disabled, got Enabled"),
    (public_access.POLICY, STORAGE, "publicNetworkAccess", ..., "expected Disabled, got None"),
    (public_access.POLICY, STORAGE, "networkRuleSet.defaultAction", "Allow", "expected Deny, got Allow"),
    (public_access.POLICY, STORAGE, "networkRuleSet.resourceAccessRules", [{"tenantId": "t"}], "expected none"),
    (public_access.POLICY, STORAGE, "allowSharedKeyAccess", True, "allowSharedKeyAccess: expected false, got True"),
    (public_access.POLICY, STORAGE, "allowSharedKeyAccess", ..., "allowSharedKeyAccess: expected false, got None"),
    (public_access.POLICY, STORAGE, "allowBlobPublicAccess", True, "allowBlobPublicAccess: expected false, got True"),
    (public_access.POLICY, CONTAINER, "publicAccess", "Blob", "publicAccess: expected None, got Blob"),
    (locations.POLICY, STORAGE, "location", "westeurope", "expected a region in geography americas"),
    (locations.POLICY, STORAGE, "location", ..., "expected a region, so that no default"),
    (tags.POLICY, KEY, "tags", ..., "tags.application: expected teams-ehr-connector, got nothing"),
    (transport.POLICY, STORAGE, "minimumTlsVersion", "TLS1_1", "expected TLS1_2 or TLS1_3, got TLS1_1"),
    (transport.POLICY, STORAGE, "enableHttpsTrafficOnly", False, "expected true, got False"),
    (evidence.POLICY, KEY, "properties.kty", "RSA", "properties.kty: expected EC or EC-HSM, got RSA"),
    (evidence.POLICY, KEY, "properties.curveName", "P-384", "properties.curveName: expected P-256, got P-384"),
    (evidence.POLICY, KEY, "properties.keyOps", ["sign", "verify", "decrypt"], "expected sign and verify"),
    (evidence.POLICY, KEY, "properties.keyOps", ..., "expected sign and verify, got nothing"),
    (evidence.POLICY, KEY, "properties.attributes", {"exportable": True}, "no key that leaves its vault"),
    (evidence.POLICY, IMMUTABLE, "immutabilityPeriodSinceCreationInDays", 0, "expected at least a day"),
    (evidence.POLICY, IMMUTABLE, "allowProtectedAppendWrites", True, "a head is written once"),
    (least_access.POLICY, VAULT, "properties.enableRbacAuthorization", False, "expected true, got False"),
    (least_access.POLICY, VAULT, "properties.enableRbacAuthorization", ..., "expected true, got None"),
    (least_access.POLICY, VAULT, "properties.accessPolicies", [{"objectId": "o"}], "accessPolicies: expected none"),
    (least_access.POLICY, KEY_ROLE, "scope", f"{SUBSCRIPTION}/resourceGroups/g", "expected one key for"),
    (least_access.POLICY, KEY_ROLE, "scope", ..., "scope: expected a resource, got nothing"),
    (least_access.POLICY, KEY_ROLE, "roleDefinitionId", OWNER, "one of the roles that the connector needs"),
    (least_access.POLICY, BLOB_ROLE, "scope", ACCOUNT, "expected one container for Storage Blob Data Contributor"),
    (
        containers.POLICY,
        APP,
        "template.containers.0.env.4.value",
        f"r/c@sha256:{'0' * 64}",
        "the container's own image",
    ),
    (transport.POLICY, APP, "configuration.ingress.allowInsecure", True, "expected false, got True"),
    (transport.POLICY, APP, "configuration.ingress.allowInsecure", ..., "expected false, got None"),
    (transport.POLICY, ENVIRONMENT, "peerTrafficConfiguration", ..., "expected true, got None"),
    (transport.POLICY, PARAMETER, "value", "off", "require_secure_transport: expected on, got off"),
    (database_login.POLICY, SERVER, "authConfig.passwordAuth", "Enabled", "expected Disabled, got Enabled"),
    (database_login.POLICY, SERVER, "authConfig.activeDirectoryAuth", "Disabled", "expected Enabled, got Disabled"),
    (database_login.POLICY, SERVER, "authConfig", ..., "authConfig.passwordAuth: expected Disabled, got None"),
    (database_login.POLICY, SERVER, "administratorLoginPassword", "hunter2", "Password: expected nothing"),
    (database_login.POLICY, SERVER, "administratorLoginPassword", UNKNOWN, "Password: expected nothing"),
    (containers.POLICY, APP, "template.containers.0.image", "registry.example.org/connector:latest", "by digest"),
    (containers.POLICY, APP, "template.initContainers.0.image", "busybox", "init: image: expected one by digest"),
    (
        containers.POLICY,
        APP,
        "template.containers.0.image",
        f"registry.example.org/{DIGEST}",
        "own registry",
    ),
    (containers.POLICY, APP, "template.initContainers.0.image", f"cremeaprd012345.azurecr.io/{DIGEST}", "own registry"),
    (containers.POLICY, APP, "configuration.registries.0.server", "cramericas.example.org", "registries: expected"),
    (public_access.POLICY, REGISTRY, "publicNetworkAccess", "Enabled", "expected Disabled, got Enabled"),
    (public_access.POLICY, REGISTRY, "networkRuleSet.defaultAction", "Allow", "expected Deny, got Allow"),
    (public_access.POLICY, REGISTRY, "adminUserEnabled", True, "adminUserEnabled: expected false, got True"),
    (public_access.POLICY, REGISTRY, "anonymousPullEnabled", ..., "anonymousPullEnabled: expected false, got None"),
    (public_access.POLICY, REGISTRY, "policies.exportPolicy", ..., "expected disabled, got None"),
    (least_access.POLICY, PULL_ROLE, "scope", f"{SUBSCRIPTION}/resourceGroups/g", "expected a registry for AcrPull"),
    (containers.POLICY, APP, "template.containers.0.command", ["sh", "-c", "env"], "expected python -m runtime"),
    (containers.POLICY, APP, "template.initContainers.0.command", ..., "init: command: expected python -m runtime"),
    (containers.POLICY, APP, "template.containers.0.args", ["--help"], "expected python -m runtime"),
    (containers.POLICY, APP, "template.volumes", [{"name": "code"}], "template.volumes: expected none"),
    (containers.POLICY, APP, "configuration.identitySettings", ..., "expected a life cycle for each identity"),
    (containers.POLICY, APP, "configuration.identitySettings.0.lifecycle", "All", "expected life cycle Init or Main"),
    (
        containers.POLICY,
        APP,
        "configuration.identitySettings.1.identity",
        INIT_IDENTITY,
        "expected life cycle Init for",
    ),
    (
        secret_references.POLICY,
        APP,
        "template.containers.0.env.0",
        {"name": "EHR_CLIENT_SECRET", "value": "s3cret"},
        "application: EHR_CLIENT_SECRET: expected a variable of the Handover, or a secretRef",
    ),
    (
        secret_references.POLICY,
        APP,
        "template.containers.0.env.0",
        {"name": "EHR_CLIENT_SECRET", "value": UNKNOWN},
        "application: EHR_CLIENT_SECRET",
    ),
    (
        secret_references.POLICY,
        APP,
        "configuration.secrets",
        [{"name": "ehr", "value": "s3cret"}],
        "configuration.secrets: ehr: expected keyVaultUrl",
    ),
    (
        secret_references.POLICY,
        APP,
        "configuration.registries",
        [{"server": "r.example.org", "passwordSecretRef": "password"}],
        "r.example.org: expected an identity",
    ),
    (azure_only.POLICY, APP, "configuration.ingress.customDomains.0.name", "localhost:8441", "no loopback host"),
]

VARIABLES: list[tuple[ResourceValidationPolicy, str, str, str]] = [
    (azure_only.POLICY, "CONNECTOR_CLOUD", "emulated", "expected azure, got emulated"),
    (containers.POLICY, "CONNECTOR_STAGE", "test", "CONNECTOR_STAGE: expected production, the stack's, got test"),
    (azure_only.POLICY, "CONNECTOR_PUBLIC_HOST", "localhost:8441", "PUBLIC_HOST: expected no loopback host"),
    (azure_only.POLICY, "CONNECTOR_PUBLIC_HOST", "127.0.0.2", "PUBLIC_HOST: expected no loopback host"),
    (azure_only.POLICY, "CONNECTOR_PUBLIC_HOST", "0x7f.1", "PUBLIC_HOST: expected no loopback host"),
    (azure_only.POLICY, "CONNECTOR_KEY_VAULT_URL", "https://2130706433/", "VAULT_URL: expected no loopback address"),
    (azure_only.POLICY, "CONNECTOR_KEY_VAULT_URL", "https://[::ffff:7f00:1]/", "VAULT_URL: expected no loopback"),
    (azure_only.POLICY, "CONNECTOR_KEY_VAULT_URL", "https://127.0.0.1:9/", "VAULT_URL: expected no loopback address"),
    (azure_only.POLICY, "CONNECTOR_KEY_VAULT_URL", "http://kv.example.org/", "VAULT_URL: expected https"),
    (
        azure_only.POLICY,
        "CONNECTOR_DATABASE_URL",
        "postgresql://r@127.0.0.1:5432/connector?sslmode=verify-full",
        "DATABASE_URL: expected no loopback address",
    ),
    (azure_only.POLICY, "CONNECTOR_STORAGE_URL", "https://127.0.0.1:9/", "STORAGE_URL: expected no loopback address"),
    (azure_only.POLICY, "CONNECTOR_REPOSITORY_URL", "file:///srv/repository.git", "REPOSITORY_URL: expected https"),
    (azure_only.POLICY, "CONNECTOR_ENTRA_URL", "https://entra.example.org", "Microsoft's national clouds"),
    (azure_only.POLICY, "CONNECTOR_GRAPH_URL", "https://graph.microsoft.us", "Microsoft's national clouds"),
    (azure_only.POLICY, "CONNECTOR_CA_BUNDLE", "/tmp/ca.pem", "no certificate authority of one's own"),
    (
        transport.POLICY,
        "CONNECTOR_DATABASE_URL",
        "postgresql://r@db.example.org/connector?sslmode=require",
        "expected sslmode=verify-full",
    ),
    (
        secret_references.POLICY,
        "CONNECTOR_DATABASE_URL",
        "postgresql://r:pw@db.example.org/connector?sslmode=verify-full",
        "expected no password",
    ),
]


def of_policies(rows: Iterable[tuple[Any, ...]]) -> list[Any]:
    """Rows whose first value is their policy."""
    return [pytest.param(*row, marks=pytest.mark.rule(row[0].name)) for row in rows]


@pytest.mark.parametrize(("policy", "resource", "path", "value", "message"), of_policies(ROWS))
def test_a_resource_that_breaks_a_rule_is_refused(
    policy: ResourceValidationPolicy, resource: tuple[str, str], path: str, value: Any, message: str
) -> None:
    type_, name = resource
    good = emitted("prod", type_, name)
    assert not violations(policy, "prod", type_, good)
    found = violations(policy, "prod", type_, changed(good, path, value))
    assert any(message in v for v in found), found


@pytest.mark.parametrize(("policy", "name", "value", "message"), of_policies(VARIABLES))
def test_a_variable_that_breaks_a_rule_is_refused(
    policy: ResourceValidationPolicy, name: str, value: str, message: str
) -> None:
    good = emitted("prod", *APP)
    assert not violations(policy, "prod", APP[0], good)
    found = violations(policy, "prod", APP[0], variable(good, name, value))
    assert any(message in v for v in found), found


@pytest.mark.rule(azure_only.POLICY.name)
@pytest.mark.parametrize("name", ["CONNECTOR_CA_BUNDLE", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"])
@pytest.mark.parametrize("value", [{"value": "/tmp/ca.pem"}, {"value": UNKNOWN}, {"secretRef": "ca"}])
def test_a_certificate_authority_of_ones_own_is_refused_however_it_is_named(name: str, value: dict[str, str]) -> None:
    good = emitted("prod", *APP)
    env = good["template"]["initContainers"][0]["env"]
    found = violations(
        azure_only.POLICY,
        "prod",
        APP[0],
        changed(good, "template.initContainers.0.env", [*env, {"name": name, **value}]),
    )
    assert any(f"init: {name}: expected no certificate authority" in v for v in found), found


@pytest.mark.rule(azure_only.POLICY.name)
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("fhir_base_url", "https://127.0.0.1:8471/api/FHIR/R4"),
        ("fhir_base_url", "http://ehr.example.org/api/FHIR/R4"),
        ("frame_origins", ("https://localhost:8471",)),
        ("token_endpoint_origins", ("https://2130706433",)),
    ],
)
def test_a_document_that_names_an_address_of_an_emulation_is_refused(field: str, value: Any) -> None:
    (name,) = {r.name for r in sample("prod").resources if re.fullmatch("americas-configuration-[0-9a-f]{16}", r.name)}
    good = emitted("prod", SECRET, name)
    assert not violations(azure_only.POLICY, "prod", SECRET, good)
    stack = load("Pulumi.prod.yaml").stack
    assert stack is not None
    document = ConfigurationDocument.of(stack, GeographyName.AMERICAS)
    organization = document.organizations[0]
    connections = (organization.connections[0].model_copy(update={field: value}),)
    organizations = (organization.model_copy(update={"connections": connections}),)
    (chunk,) = pack(document.model_copy(update={"organizations": organizations})).values
    found = violations(azure_only.POLICY, "prod", SECRET, changed(good, "properties.value", chunk))
    assert any("expected https and no loopback address" in v for v in found), found


@pytest.mark.rule(containers.POLICY.name)
@pytest.mark.parametrize("again", [{"value": "0" * 64}, {"secretRef": "other"}])
def test_a_variable_that_comes_twice_is_refused(again: dict[str, str]) -> None:
    """Which of the two counts is the platform's choice, and the other policies look at one."""
    name = "CONNECTOR_CONFIGURATION_SHA256"
    good = emitted("prod", *APP)
    env = good["template"]["containers"][0]["env"]
    found = violations(
        containers.POLICY,
        "prod",
        APP[0],
        changed(good, "template.containers.0.env", [{"name": name, **again}, *env]),
    )
    assert found == [f"application: {name}: expected it once, got it 2 times"]


@pytest.mark.rule(containers.POLICY.name)
def test_production_is_not_deployed_by_a_stack_that_says_it_is_test() -> None:
    """There the pack asks for no approval."""
    app = emitted("prod", *APP)
    found = violations(containers.POLICY, "test", APP[0], app)
    assert any("CONNECTOR_STAGE: expected test, the stack's, got production" in v for v in found), found


@pytest.mark.rule(secret_references.POLICY.name)
def test_nothing_but_the_configuration_document_is_written_into_a_vault() -> None:
    credential = {"properties": {"value": "s3cret"}, "vaultName": "kv", "secretName": "lamna-prd-provider-secret"}
    found = violations(secret_references.POLICY, "prod", SECRET, credential)
    assert any("contentType" in v for v in found)


@pytest.mark.rule(public_access.POLICY.name)
def test_a_firewall_rule_of_the_database_is_refused() -> None:
    assert violations(public_access.POLICY, "prod", "dbforpostgresql:FirewallRule", {"startIpAddress": "192.0.2.1"})


@pytest.mark.rule(azure_only.POLICY.name)
def test_an_emulated_stack_may_emit_its_own_addresses() -> None:
    app = emitted("local", *APP)
    assert not violations(azure_only.POLICY, "local", APP[0], app)
    assert violations(azure_only.POLICY, "prod", APP[0], app)


@pytest.mark.rule(known_types.POLICY.name)
@pytest.mark.parametrize(
    "type_",
    [
        "azure-native:resources:Deployment",
        "azure-native:resources:Resource",
        "azure-native:app:Job",
        "azure-native:app/v20250101:ContainerApp",
        "azure-native:App:ContainerApp",
        "azure-native_app_v20250101:app:ContainerApp",
        "command:local:Command",
        "pulumi-python:dynamic:Resource",
        "pulumi:providers:command",
    ],
)
def test_what_no_policy_would_judge_is_not_made(type_: str) -> None:
    assert of_type(type_) == [f"expected a type that the components emit, got {type_}"]


def test_what_a_program_is_made_of_is_known() -> None:
    made = {r.type for r in sample("prod").resources}
    assert "azure-native:app:ContainerApp" in made
    for type_ in {*made, "pulumi:pulumi:Stack", "pulumi:providers:azure-native"}:
        assert not of_type(type_), type_


def of_type(type_: str) -> list[str]:
    """What the pack says of a resource by its type alone."""
    found: list[str] = []
    args = ResourceValidationArgs(type_, {}, f"urn:pulumi:prod::p::{type_}::name", "name", OPTIONS, None)
    known_types.POLICY.validate(  # pyright: ignore[reportUnknownMemberType]
        args, lambda message, urn=None: found.append(message)
    )
    return found
