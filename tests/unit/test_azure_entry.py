"""What the emulated Resource Manager refuses of security groups, addresses and the way out, as Azure does."""

from pathlib import Path
from typing import Any

import pytest

from emulators.azure.errors import AzureError
from emulators.azure.operations import ResourceManager
from tests.support.azure_arm import create, place_of, without_processes

DENIED = {
    "name": "DenyAllInbound",
    "priority": 4096,
    "direction": "Inbound",
    "access": "Deny",
    "protocol": "*",
    "sourceAddressPrefix": "*",
    "sourcePortRange": "*",
    "destinationAddressPrefix": "*",
    "destinationPortRange": "*",
}


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ResourceManager:
    made = without_processes(tmp_path, monkeypatch)
    create(made, "network:VirtualNetwork", virtualNetworkName="vnet", addressSpace={"addressPrefixes": ["10.1.0.0/16"]})
    return made


def group(manager: ResourceManager, *rules: dict[str, Any], name: str = "nsg") -> dict[str, Any]:
    rows = [*rules, DENIED]
    return create(manager, "network:NetworkSecurityGroup", networkSecurityGroupName=name, securityRules=rows)


def address(manager: ResourceManager, name: str = "pip", sku: str = "Standard") -> dict[str, Any]:
    return create(
        manager,
        "network:PublicIPAddress",
        publicIpAddressName=name,
        sku={"name": sku},
        publicIPAllocationMethod="Static",
    )


def nat(manager: ResourceManager, address_id: str, name: str = "ng", **inputs: Any) -> dict[str, Any]:
    given = {"sku": {"name": "Standard"}, "publicIpAddresses": [{"id": address_id}]} | inputs
    return create(manager, "network:NatGateway", natGatewayName=name, **given)


def subnet(manager: ResourceManager, **inputs: Any) -> dict[str, Any]:
    given = {"virtualNetworkName": "vnet", "subnetName": "one", "addressPrefix": "10.1.0.0/24"} | inputs
    return create(manager, "network:Subnet", **given)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"name": "Two"}, "SecurityRuleConflict"),
        ({"priority": 99}, "SecurityRuleInvalidPriority"),
        ({"priority": 4097}, "SecurityRuleInvalidPriority"),
        ({"priority": 200, "sourceAddressPrefix": "Intranet"}, "cannot be 'Intranet'"),
        ({"priority": 200, "destinationAddressPrefix": "10.1.0.1/24"}, "cannot be '10.1.0.1/24'"),
        ({"priority": 200, "destinationPortRange": "70000"}, "cannot be '70000'"),
        ({"priority": 200, "destinationPortRange": "90-80"}, "cannot be '90-80'"),
        ({"priority": 200, "destinationPortRanges": ["443"]}, "destinationPortRange or destinationPortRanges"),
        ({"priority": 200, "sourceAddressPrefix": None}, "sourceAddressPrefix or sourceAddressPrefixes"),
    ],
)
def test_a_rule_that_azure_does_not_take(manager: ResourceManager, changes: dict[str, Any], code: str) -> None:
    with pytest.raises(AzureError, match=code) as refused:
        group(manager, DENIED | changes)
    assert refused.value.status == 400


def test_rules_of_both_directions_may_share_a_priority(manager: ResourceManager) -> None:
    assert group(manager, DENIED | {"name": "DenyAllOutbound", "direction": "Outbound"})


def test_a_group_stays_while_a_subnet_has_it(manager: ResourceManager) -> None:
    made = group(manager)
    bound = subnet(manager, networkSecurityGroup={"id": made["id"]})
    token = "azure-native:network:NetworkSecurityGroup"
    with pytest.raises(AzureError, match="InUseNetworkSecurityGroupCannotBeDeleted"):
        manager.delete(token, made["id"])
    manager.delete("azure-native:network:Subnet", bound["id"])
    manager.delete(token, made["id"])
    assert manager.store.read().get(made["id"]) is None


def test_a_subnet_has_a_group_that_exists(manager: ResourceManager) -> None:
    made = group(manager)
    with pytest.raises(AzureError, match="ResourceNotFound"):
        subnet(manager, networkSecurityGroup={"id": made["id"] + "absent"})


def test_an_address_gets_a_number_of_nobody_and_keeps_it(manager: ResourceManager) -> None:
    made = address(manager)
    number = made["properties"]["ipAddress"]
    assert number.startswith(("192.0.2.", "198.51.100.", "203.0.113."))
    inputs = place_of("azure-native:network:PublicIPAddress") | {"publicIpAddressName": "pip", "tags": {"a": "b"}}
    inputs |= {"sku": {"name": "Standard"}, "publicIPAllocationMethod": "Static"}
    after = manager.update("azure-native:network:PublicIPAddress", made["id"], inputs)
    assert after["properties"]["ipAddress"] == number


def test_a_standard_address_is_static(manager: ResourceManager) -> None:
    with pytest.raises(AzureError, match="allocated Static"):
        create(
            manager,
            "network:PublicIPAddress",
            publicIpAddressName="pip",
            sku={"name": "Standard"},
            publicIPAllocationMethod="Dynamic",
        )


def test_a_nat_gateway_takes_no_basic_address(manager: ResourceManager) -> None:
    with pytest.raises(AzureError, match="PublicIPAddressSkuMismatch"):
        nat(manager, address(manager, sku="Basic")["id"])


def test_a_nat_gateway_stands_in_one_zone_at_most(manager: ResourceManager) -> None:
    made = address(manager)["id"]
    with pytest.raises(AzureError, match="one zone at most"):
        nat(manager, made, zones=["1", "2"])
    assert nat(manager, made, zones=["1"])


def test_an_address_is_one_resources_and_stays_while_it_is(manager: ResourceManager) -> None:
    made = address(manager)
    user = nat(manager, made["id"])
    with pytest.raises(AzureError, match="PublicIPAddressInUse"):
        nat(manager, made["id"], name="other")
    with pytest.raises(AzureError, match="PublicIPAddressCannotBeDeleted"):
        manager.delete("azure-native:network:PublicIPAddress", made["id"])
    manager.delete("azure-native:network:NatGateway", user["id"])
    manager.delete("azure-native:network:PublicIPAddress", made["id"])
    assert manager.store.read().get(made["id"]) is None


def test_a_nat_gateway_stays_while_a_subnet_goes_out_by_it(manager: ResourceManager) -> None:
    made = nat(manager, address(manager)["id"])
    subnet(manager, natGateway={"id": made["id"]})
    with pytest.raises(AzureError, match="ResourceInUse"):
        manager.delete("azure-native:network:NatGateway", made["id"])
