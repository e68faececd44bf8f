"""What the emulated Resource Manager takes and refuses, before any process is behind it."""

import json
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import pytest

from emulators.azure import client, input_types
from emulators.azure.arm import TYPES
from emulators.azure.bags import UNKNOWN
from emulators.azure.errors import AzureError
from emulators.azure.operations import ResourceManager
from tests.support.azure_arm import place_of

ROOT = Path(__file__).parents[2]
SUBSCRIPTION = "4d4d4d4d-0000-4000-8000-0000000000bb"
TENANT = "1a1a1a1a-0000-4000-8000-000000000000"
GROUP = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg"
ROLE = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Authorization/roleDefinitions/"
SECRETS_USER = ROLE + "4633458b-17de-408a-b874-0445c86b69e6"

Create = Callable[..., dict[str, Any]]


def token(kind: str) -> str:
    return f"azure-native:{kind}"


@pytest.fixture
def without_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is started."""

    def reconciled(state: Path, wait: Collection[str] = ()) -> dict[str, Any]:
        return {"resources": {}, "services": {}}

    def nothing(state: Path) -> None:
        return None

    monkeypatch.setattr(client, "ensure_supervisor", nothing)
    monkeypatch.setattr(client, "reconcile", reconciled)


@pytest.fixture
def manager(tmp_path: Path, without_processes: None) -> ResourceManager:
    """A subscription whose processes are never started."""
    return ResourceManager(tmp_path, SUBSCRIPTION)


@pytest.fixture
def create(manager: ResourceManager) -> Create:
    """Creates in the group `rg`, which is there."""

    def made(kind: str, **inputs: Any) -> dict[str, Any]:
        return manager.create(token(kind), place_of(token(kind)) | inputs)

    made("resources:ResourceGroup")
    return made


def test_the_committed_input_types_are_those_of_the_sdk() -> None:
    assert json.loads(input_types.FILE.read_text()) == input_types.generate(TYPES)


def test_the_table_has_exactly_the_types_and_versions_that_the_components_emit() -> None:
    emitted = json.loads((ROOT / "components" / "emitted_types.json").read_text())
    assert {name: row.api_version for name, row in TYPES.items()} == emitted


@pytest.mark.parametrize(
    ("kind", "inputs", "path", "reason"),
    [
        ("keyvault:Vault", {"resourceGroupName": "rg"}, "properties", "missing required property"),
        ("resources:ResourceGroup", {"colour": "red"}, "colour", "unknown property"),
        ("resources:ResourceGroup", {"tags": {"a": 1}}, "tags.a", "expected a string"),
        ("network:VirtualNetwork", {"resourceGroupName": "rg", "addressSpace": []}, "addressSpace", "an object"),
        (
            "app:ContainerApp",
            {"resourceGroupName": "rg", "template": {"containers": [{"name": "a", "imagee": "b"}]}},
            "template.containers[0].imagee",
            "unknown property",
        ),
    ],
)
def test_a_bag_that_does_not_fit_the_type_is_refused_at_its_property(
    kind: str, inputs: dict[str, Any], path: str, reason: str
) -> None:
    assert any(at == path and reason in why for at, why in input_types.check(token(kind), inputs))


def test_unknown_values_fit_every_property() -> None:
    inputs = {"resourceGroupName": UNKNOWN, "template": UNKNOWN, "tags": {"a": UNKNOWN}}
    assert list(input_types.check(token("app:ContainerApp"), inputs)) == []


def test_a_resource_is_kept_as_arm_json_and_its_outputs_are_flat(create: Create, manager: ResourceManager) -> None:
    arm = create("operationalinsights:Workspace", workspaceName="log-one", retentionInDays=30)
    assert arm["id"] == f"{GROUP}/providers/Microsoft.OperationalInsights/workspaces/log-one"
    assert arm["properties"]["retentionInDays"] == 30
    outputs = manager.outputs(token("operationalinsights:Workspace"), arm)
    assert outputs["retentionInDays"] == 30
    assert outputs["customerId"]
    assert outputs["azureApiVersion"] == "2023-09-01"
    assert "resourceGroupName" not in outputs


def test_an_update_keeps_what_was_computed(create: Create, manager: ResourceManager) -> None:
    before = create("managedidentity:UserAssignedIdentity", resourceName="id-one")
    inputs = {"resourceGroupName": "rg", "resourceName": "id-one", "location": "eastus2", "tags": {"a": "b"}}
    after = manager.update(token("managedidentity:UserAssignedIdentity"), before["id"], inputs)
    assert after["properties"]["principalId"] == before["properties"]["principalId"]
    assert after["tags"] == {"a": "b"}


def identity(create: Create, name: str = "id-one") -> str:
    return create("managedidentity:UserAssignedIdentity", resourceName=name)["properties"]["principalId"]


def assign(create: Create, **inputs: Any) -> dict[str, Any]:
    base = {
        "scope": GROUP,
        "roleDefinitionId": SECRETS_USER,
        "roleAssignmentName": "0" * 8 + "-0000-4000-8000-" + "0" * 12,
    }
    return create("authorization:RoleAssignment", **(base | inputs))


def test_a_taken_name_is_refused(create: Create) -> None:
    create("managedidentity:UserAssignedIdentity", resourceName="id-one")
    with pytest.raises(AzureError, match="already existing"):
        create("managedidentity:UserAssignedIdentity", resourceName="ID-ONE")


def test_a_vaults_name_is_taken_for_everybody(create: Create, manager: ResourceManager) -> None:
    properties = {"tenantId": TENANT, "sku": {"name": "standard", "family": "A"}}
    create("keyvault:Vault", vaultName="kv-one", properties=properties)
    create("resources:ResourceGroup", resourceGroupName="other")
    with pytest.raises(AzureError, match="NameAlreadyExists"):
        create("keyvault:Vault", resourceGroupName="other", vaultName="kv-one", properties=properties)


def test_nothing_is_made_where_the_parent_is_absent(create: Create) -> None:
    with pytest.raises(AzureError, match="ResourceGroupNotFound"):
        create("managedidentity:UserAssignedIdentity", resourceGroupName="absent", resourceName="id-one")
    with pytest.raises(AzureError, match="ParentResourceNotFound"):
        create("network:Subnet", virtualNetworkName="absent", subnetName="s", addressPrefix="10.0.0.0/24")


def test_a_reference_to_what_is_not_there_is_refused(create: Create) -> None:
    subnet = f"{GROUP}/providers/Microsoft.Network/virtualNetworks/v/subnets/absent"
    with pytest.raises(AzureError, match="ResourceNotFound"):
        create("network:PrivateEndpoint", privateEndpointName="pe", subnet={"id": subnet})


def test_a_role_is_assigned_to_a_known_principal_once_at_a_scope_of_this_subscription(create: Create) -> None:
    principal = identity(create)
    assign(create, principalId=principal)
    with pytest.raises(AzureError, match="RoleAssignmentExists"):
        assign(create, principalId=principal, roleAssignmentName="1" * 8 + "-0000-4000-8000-" + "0" * 12)
    with pytest.raises(AzureError, match="PrincipalNotFound"):
        assign(
            create,
            principalId="2" * 8 + "-0000-4000-8000-" + "0" * 12,
            roleAssignmentName="a" * 8 + "-0000-4000-8000-" + "0" * 12,
        )
    with pytest.raises(AzureError, match="outside this provider's subscription"):
        assign(create, principalId=principal, scope="/subscriptions/5d5d5d5d-0000-4000-8000-000000000000")
    with pytest.raises(AzureError, match="RoleDefinitionDoesNotExist"):
        assign(
            create,
            principalId=principal,
            scope=GROUP,
            roleDefinitionId=ROLE + "f" * 8 + "-0000-4000-8000-" + "0" * 12,
            roleAssignmentName="b" * 8 + "-0000-4000-8000-" + "0" * 12,
        )


@pytest.mark.parametrize(
    ("prefix", "code"),
    [
        ("10.2.0.0/24", "NetcfgInvalidSubnet"),
        ("10.1.0.0/25", "NetcfgSubnetRangesOverlap"),
        ("10.1.0.1/24", "InvalidCIDR"),
    ],
)
def test_a_subnet_lies_in_its_network_beside_others(create: Create, prefix: str, code: str) -> None:
    create("network:VirtualNetwork", virtualNetworkName="vnet", addressSpace={"addressPrefixes": ["10.1.0.0/16"]})
    create("network:Subnet", virtualNetworkName="vnet", subnetName="one", addressPrefix="10.1.0.0/24")
    with pytest.raises(AzureError, match=code):
        create("network:Subnet", virtualNetworkName="vnet", subnetName="two", addressPrefix=prefix)


def test_a_secret_over_25_kb_is_refused_and_a_smaller_one_is_not_given_back(create: Create) -> None:
    properties = {"tenantId": TENANT, "sku": {"name": "standard", "family": "A"}}
    create("keyvault:Vault", vaultName="kv-one", properties=properties)
    with pytest.raises(AzureError, match="25 KB"):
        create("keyvault:Secret", vaultName="kv-one", secretName="big", properties={"value": "x" * 25 * 1024 + "x"})
    arm = create("keyvault:Secret", vaultName="kv-one", secretName="small", properties={"value": "do-not-tell"})
    assert "do-not-tell" not in json.dumps(arm)


def test_what_is_in_a_group_goes_with_it(
    create: Create, manager: ResourceManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    create("managedidentity:UserAssignedIdentity", resourceName="id-one")
    manager.delete(token("resources:ResourceGroup"), GROUP)
    assert manager.store.read().resources == {}


def test_a_subnet_in_use_stays(create: Create, manager: ResourceManager) -> None:
    create("network:VirtualNetwork", virtualNetworkName="vnet", addressSpace={"addressPrefixes": ["10.1.0.0/16"]})
    subnet = create("network:Subnet", virtualNetworkName="vnet", subnetName="one", addressPrefix="10.1.0.0/24")
    create("network:PrivateEndpoint", privateEndpointName="pe", subnet={"id": subnet["id"]})
    with pytest.raises(AzureError, match="ResourceInUse"):
        manager.delete(token("network:Subnet"), subnet["id"])


def test_an_environment_keeps_its_network_whatever_an_update_says(create: Create, manager: ResourceManager) -> None:
    create("network:VirtualNetwork", virtualNetworkName="vnet", addressSpace={"addressPrefixes": ["10.1.0.0/16"]})
    delegation = [{"name": "apps", "serviceName": "Microsoft.App/environments"}]
    subnet = create(
        "network:Subnet",
        virtualNetworkName="vnet",
        subnetName="one",
        addressPrefix="10.1.0.0/24",
        delegations=delegation,
    )
    network = {"infrastructureSubnetId": subnet["id"], "internal": True}
    arm = create("app:ManagedEnvironment", environmentName="cae", vnetConfiguration=network)
    inputs = {"resourceGroupName": "rg", "environmentName": "cae", "location": "eastus2"}
    after = manager.update(
        token("app:ManagedEnvironment"), arm["id"], inputs | {"vnetConfiguration": {"internal": False}}
    )
    assert after["properties"]["vnetConfiguration"] == network
