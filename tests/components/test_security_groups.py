"""The network of a geography: which traffic its subnets let through, and from which address it calls out."""

from ipaddress import IPv4Network
from typing import Any

import pytest

from tests.support.program import run, sample, stack_of

SUBNETS = ("apps", "database", "private-endpoints", "gateway")
RANGES = {
    "10.42.0.0/23": "apps",
    "10.42.2.0/28": "database",
    "10.42.3.0/27": "private-endpoints",
    "10.42.4.0/24": "gateway",
}


def rules(subnet: str, stack: str = "prod", geography: str = "emea") -> list[dict[str, Any]]:
    group = sample(stack).one("azure-native:network:NetworkSecurityGroup", name=f"{geography}-security-{subnet}")
    return sorted(group.inputs["securityRules"], key=lambda r: (r["direction"], r["priority"]))


def allowed(subnet: str, direction: str) -> set[tuple[str, str, str, str]]:
    """(source, destination, protocol, ports) of what is let through, ranges by their subnet's name."""

    def ports(rule: dict[str, Any]) -> str:
        return ",".join(rule.get("destinationPortRanges") or [rule["destinationPortRange"]])

    def end(value: str) -> str:
        return RANGES.get(value, value)

    return {
        (end(r["sourceAddressPrefix"]), end(r["destinationAddressPrefix"]), r["protocol"], ports(r))
        for r in rules(subnet)
        if r["access"] == "Allow" and r["direction"] == direction
    }


INBOUND = {
    "gateway": {
        ("Internet", "gateway", "Tcp", "443"),
        ("GatewayManager", "*", "Tcp", "65200-65535"),
        ("AzureLoadBalancer", "*", "*", "*"),
    },
    "apps": {
        ("gateway", "apps", "Tcp", "443,31443"),
        ("AzureLoadBalancer", "apps", "Tcp", "30000-32767"),
        ("apps", "apps", "*", "*"),
    },
    "database": {("apps", "database", "Tcp", "5432"), ("database", "database", "Tcp", "5432")},
    "private-endpoints": {
        ("apps", "private-endpoints", "Tcp", "443"),
        ("gateway", "private-endpoints", "Tcp", "443"),
    },
}


@pytest.mark.parametrize("subnet", SUBNETS)
def test_a_subnet_admits_what_it_needs_and_nothing_else(subnet: str) -> None:
    assert allowed(subnet, "Inbound") == INBOUND[subnet]
    last = [r for r in rules(subnet) if r["direction"] == "Inbound"][-1]
    assert (last["name"], last["access"], last["priority"]) == ("DenyAllInbound", "Deny", 4096)
    assert {last[k] for k in ("protocol", "sourceAddressPrefix", "destinationPortRange")} == {"*"}


@pytest.mark.parametrize("subnet", ["apps", "database", "private-endpoints"])
def test_a_subnet_sends_nothing_that_is_not_named(subnet: str) -> None:
    last = [r for r in rules(subnet) if r["direction"] == "Outbound"][-1]
    assert (last["name"], last["access"]) == ("DenyAllOutbound", "Deny")


def test_the_gateways_outbound_traffic_is_denied_by_no_rule() -> None:
    """Azure forbids it: the gateway must reach its own management."""
    assert {r["direction"] for r in rules("gateway")} == {"Inbound"}


def test_the_database_calls_itself_storage_and_entra() -> None:
    assert allowed("database", "Outbound") == {
        ("database", "database", "Tcp", "5432"),
        ("database", "Storage", "Tcp", "443"),
        ("database", "AzureActiveDirectory", "Tcp", "443"),
    }


def test_the_apps_call_the_internet_on_the_ports_that_the_configured_ehrs_have() -> None:
    def internet(stack: str, geography: str) -> list[str]:
        (rule,) = [r for r in rules("apps", stack, geography) if r["destinationAddressPrefix"] == "Internet"]
        return rule.get("destinationPortRanges") or [rule["destinationPortRange"]]

    assert internet("prod", "emea") == ["443"]
    assert internet("local", "emea") == ["443", "8473"]


def test_operators_reach_private_endpoints_and_the_database_from_the_networks_that_are_configured() -> None:
    stack = stack_of("prod")
    name = next(iter(stack.geographies))
    geography = stack.geographies[name]
    changed = geography.network.model_copy(update={"operator_ranges": ("10.90.0.0/24",)})
    geographies = {name: geography.model_copy(update={"network": changed})}
    program = run(stack.model_copy(update={"geographies": geographies, "organizations": ()}))
    for subnet, ports in (("private-endpoints", ["443"]), ("apps", []), ("database", ["5432"]), ("gateway", [])):
        group = program.one("azure-native:network:NetworkSecurityGroup", name=f"{name}-security-{subnet}")
        theirs = [r for r in group.inputs["securityRules"] if r["sourceAddressPrefix"] == "10.90.0.0/24"]
        assert [(r["destinationPortRange"], r["access"]) for r in theirs] == [(port, "Allow") for port in ports]


def test_every_subnet_has_its_own_security_group_and_no_way_out_by_default() -> None:
    for stack in ("local", "prod"):
        subnets = sample(stack).of("azure-native:network:Subnet")
        groups = [s.inputs["networkSecurityGroup"]["id"] for s in subnets]
        assert len(set(groups)) == len(groups)
        for subnet, group in zip(subnets, groups, strict=True):
            assert group.endswith(subnet.name.replace("-network-", "-security-"))
            assert subnet.inputs["defaultOutboundAccess"] is False


def test_security_groups_count_for_private_endpoints() -> None:
    subnet = sample("prod").one("azure-native:network:Subnet", name="emea-network-private-endpoints")
    assert subnet.inputs["privateEndpointNetworkPolicies"] == "NetworkSecurityGroupEnabled"


def test_the_database_keeps_its_way_to_storage() -> None:
    subnet = sample("prod").one("azure-native:network:Subnet", name="emea-network-database")
    assert subnet.inputs["serviceEndpoints"] == [{"service": "Microsoft.Storage", "locations": ["westeurope"]}]


def test_only_the_apps_call_out_and_from_one_fixed_address_which_is_an_output() -> None:
    program = sample("prod")
    for geography in ("americas", "emea"):
        address = program.one("azure-native:network:PublicIPAddress", name=f"{geography}-egress-address")
        nat = program.one("azure-native:network:NatGateway", name=f"{geography}-egress-nat")
        assert address.inputs["sku"] == {"name": "Standard", "tier": "Regional"}
        assert address.inputs["publicIPAllocationMethod"] == "Static"
        assert address.protect
        assert [a["id"].rsplit("/", 1)[1] for a in nat.inputs["publicIpAddresses"]] == [address.name]
        bound = {s.name for s in program.of("azure-native:network:Subnet") if "natGateway" in s.inputs}
        assert bound == {"americas-network-apps", "emea-network-apps"}


def test_addresses_span_the_zones_of_their_region_and_name_none_where_there_are_none() -> None:
    stack = stack_of("test")
    name = next(iter(stack.geographies))

    def zones(location: str) -> object:
        geography = stack.geographies[name].model_copy(update={"location": location})
        program = run(stack.model_copy(update={"geographies": {name: geography}, "organizations": ()}))
        return program.one("azure-native:network:PublicIPAddress", name=f"{name}-egress-address").inputs.get("zones")

    assert zones("eastus2") == ["1", "2", "3"]
    assert zones("westus") is None


def test_the_ranges_of_this_test_are_those_of_the_sample() -> None:
    ranges = next(g for n, g in stack_of("prod").geographies.items() if n == "emea").network
    assert [
        ranges.apps_subnet,
        ranges.database_subnet,
        ranges.private_endpoints_subnet,
        ranges.gateway_subnet,
    ] == [*RANGES]
    assert all(IPv4Network(r).subnet_of(IPv4Network(ranges.address_space)) for r in RANGES)
