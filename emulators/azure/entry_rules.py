"""What Azure refuses of security groups, public addresses and the way out, and of the subnets that are bound to them.

Owns rules as functions over the store's contents and one ARM body, as `rules.py` does, which calls them, and what is
kept while others use it. Codes are Azure's own where its answers are known, else in its manner. The gateway's are in
`gateway_rules.py`.
"""

import ipaddress
from collections.abc import Callable, Mapping
from typing import Any

from emulators.azure.documents import list_at, value_at
from emulators.azure.errors import AzureError
from emulators.azure.gateway_rules import (
    check_addresses,
    check_admits_infrastructure,
    check_firewall_policy,
    check_gateway,
    check_subnet,
    gateways_in,
    same,
)
from emulators.azure.store import Contents

SUBNETS = "Microsoft.Network/virtualNetworks/subnets"
SERVICE_TAGS = frozenset(
    {
        "AzureActiveDirectory",
        "AzureFrontDoor.FirstParty",
        "AzureLoadBalancer",
        "AzureMonitor",
        "AzurePlatformDNS",
        "GatewayManager",
        "Internet",
        "MicrosoftContainerRegistry",
        "Storage",
        "VirtualNetwork",
    }
)
"""Those that are used here, of "Virtual network service tags"."""


def security_group(contents: Contents, arm: Mapping[str, Any]) -> None:
    taken: dict[tuple[str, int], str] = {}
    for rule in list_at(arm, "properties.securityRules"):
        name, priority = rule["name"], rule["priority"]
        if not 100 <= priority <= 4096:
            raise AzureError(400, "SecurityRuleInvalidPriority", f"'{name}' has priority {priority}, not 100 to 4096")
        other = taken.setdefault((rule["direction"], priority), name)
        if other != name:
            message = f"'{name}' conflicts with '{other}': rules cannot have the same priority and direction"
            raise AzureError(400, "SecurityRuleConflict", message)
        for end in ("source", "destination"):
            _ends(rule, f"{end}AddressPrefix", f"{end}AddressPrefixes", _address)
            _ends(rule, f"{end}PortRange", f"{end}PortRanges", _ports)
    for subnet in contents.of_type(SUBNETS):
        if same(value_at(subnet, "properties.networkSecurityGroup.id"), arm["id"]):
            for gateway in gateways_in(contents, subnet["id"]):
                check_admits_infrastructure(arm, gateway)


def subnet(contents: Contents, arm: Mapping[str, Any]) -> None:
    for gateway in gateways_in(contents, arm["id"]):
        check_subnet(contents, arm, gateway)


def public_address(contents: Contents, arm: Mapping[str, Any]) -> None:
    if value_at(arm, "sku.name") == "Standard" and value_at(arm, "properties.publicIPAllocationMethod") != "Static":
        raise AzureError(400, "InvalidRequestFormat", f"'{arm['name']}': a Standard address is allocated Static")


def nat_gateway(contents: Contents, arm: Mapping[str, Any]) -> None:
    if value_at(arm, "sku.name") != "Standard":
        raise AzureError(400, "InvalidRequestFormat", f"'{arm['name']}': expected the SKU Standard")
    if len(arm.get("zones") or []) > 1:
        raise AzureError(400, "InvalidRequestFormat", f"'{arm['name']}': a NAT gateway stands in one zone at most")
    check_addresses(contents, arm, (a["id"] for a in list_at(arm, "properties.publicIpAddresses")))


BY_TYPE: dict[str, Callable[[Contents, Mapping[str, Any]], None]] = {
    "microsoft.network/networksecuritygroups": security_group,
    "microsoft.network/publicipaddresses": public_address,
    "microsoft.network/natgateways": nat_gateway,
    "microsoft.network/applicationgatewaywebapplicationfirewallpolicies": check_firewall_policy,
    "microsoft.network/applicationgateways": check_gateway,
}

IN_USE: dict[str, str] = {
    "microsoft.network/networksecuritygroups": "InUseNetworkSecurityGroupCannotBeDeleted",
    "microsoft.network/publicipaddresses": "PublicIPAddressCannotBeDeleted",
    "microsoft.network/natgateways": "ResourceInUse",
    "microsoft.network/applicationgatewaywebapplicationfirewallpolicies": "ResourceInUse",
    "microsoft.app/managedenvironments/certificates": "ResourceInUse",
}
"""What is kept while others use it, with the code of the refusal."""


# --- parts of a rule --------------------------------------------------------------------------------------------


def _ends(rule: Mapping[str, Any], one: str, several: str, check: Callable[[str], bool]) -> None:
    """A prefix or port: given once, or as a list."""
    single, listed = rule.get(one), list_at(rule, several)
    if (single is None) == (not listed):
        raise AzureError(400, "SecurityRuleInvalidParameter", f"'{rule['name']}': expected {one} or {several}")
    for value in [single] if single is not None else listed:
        if not check(value):
            raise AzureError(400, "SecurityRuleInvalidParameter", f"'{rule['name']}': {one} cannot be '{value}'")


def _address(value: str) -> bool:
    if value in ("*", *SERVICE_TAGS):
        return True
    try:
        ipaddress.IPv4Network(value)
    except ValueError:
        return False
    return True


def _ports(value: str) -> bool:
    first, _, last = value.partition("-")
    numbers = [first, last or first]
    return value == "*" or (all(n.isdecimal() and int(n) <= 65535 for n in numbers) and int(first) <= int(numbers[1]))
