"""What Azure refuses of an application gateway and its firewall policy, and of the subnet that is the gateway's.

Owns rules as functions over the store's contents and one ARM body, as `rules.py` does. Codes are Azure's own where its
answers are known, else in its manner. Whether a gateway may read its certificates is in `certificates.py`, which knows
what a vault holds. No traffic passes the emulated gateway.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from emulators.azure.bags import leaves
from emulators.azure.documents import list_at, value_at
from emulators.azure.errors import AzureError
from emulators.azure.store import Contents

INFRASTRUCTURE = frozenset(range(65200, 65536))
GATEWAYS = "Microsoft.Network/applicationGateways"
ADDRESSES = "Microsoft.Network/publicIPAddresses"


def check_firewall_policy(contents: Contents, arm: Mapping[str, Any]) -> None:
    sets = {(s["ruleSetType"], s["ruleSetVersion"]) for s in list_at(arm, "properties.managedRules.managedRuleSets")}
    for exclusion in list_at(arm, "properties.managedRules.exclusions"):
        for scope in list_at(exclusion, "exclusionManagedRuleSets"):
            if (scope["ruleSetType"], scope["ruleSetVersion"]) not in sets:
                message = f"'{arm['name']}' excludes from {scope['ruleSetType']} {scope['ruleSetVersion']}, not used"
                raise AzureError(400, "InvalidRequestFormat", message)


def check_gateway(contents: Contents, arm: Mapping[str, Any]) -> None:
    properties = arm["properties"]
    tier = value_at(properties, "sku.tier")
    if tier != "WAF_v2" or value_at(properties, "sku.name") != tier:
        policies = [v for path, v in leaves(properties) if path[-2:] == ("firewallPolicy", "id")]
        if policies:
            message = f"'{arm['name']}' has a firewall policy and the SKU {tier}, not WAF_v2"
            raise AzureError(400, "ApplicationGatewayFirewallPolicyNotSupportedForSku", message)
        raise AzureError(501, "NotEmulated", f"gateways of SKU {tier}")
    _own_references(arm)
    subnets = [value_at(c, "subnet.id") for c in list_at(properties, "gatewayIPConfigurations")]
    if len(subnets) != 1 or not subnets[0]:
        raise AzureError(400, "ApplicationGatewaySubnetMissing", f"'{arm['name']}': expected one subnet")
    check_subnet(contents, contents.get(subnets[0]) or {}, arm)
    addresses = [value_at(c, "publicIPAddress.id") for c in list_at(properties, "frontendIPConfigurations")]
    check_addresses(contents, arm, (a for a in addresses if a))
    _rules_of(arm)


def check_alone(contents: Contents, arm: Mapping[str, Any], subnets: Iterable[str]) -> None:
    """Of anything else that is put into a gateway's subnet."""
    for subnet_id in subnets:
        if arm["type"] != GATEWAYS and list(gateways_in(contents, subnet_id)):
            message = f"'{arm['name']}' cannot be in {subnet_id}, which is a gateway's"
            raise AzureError(400, "ApplicationGatewaySubnetCannotHaveOtherResources", message)


# --- shared with the rules of networks --------------------------------------------------------------------------


def gateways_in(contents: Contents, subnet_id: str) -> Iterator[dict[str, Any]]:
    for arm in contents.of_type(GATEWAYS):
        if any(same(value_at(c, "subnet.id"), subnet_id) for c in list_at(arm, "properties.gatewayIPConfigurations")):
            yield arm


def check_subnet(contents: Contents, subnet: Mapping[str, Any], gateway: Mapping[str, Any]) -> None:
    """Nobody else's, and open for what runs a gateway."""
    if list_at(subnet, "properties.delegations"):
        message = f"the subnet '{subnet['name']}' of '{gateway['name']}' is delegated to another service"
        raise AzureError(400, "SubnetIsDelegated", message)
    others = [a for a in contents.resources.values() if a["type"] != GATEWAYS and uses(a, subnet["id"])]
    if others:
        message = f"'{gateway['name']}' cannot be in the subnet '{subnet['name']}', in which '{others[0]['name']}' is"
        raise AzureError(400, "ApplicationGatewaySubnetCannotHaveOtherResources", message)
    group = contents.get(value_at(subnet, "properties.networkSecurityGroup.id") or "")
    if group is not None:
        check_admits_infrastructure(group, gateway)


def check_admits_infrastructure(group: Mapping[str, Any], gateway: Mapping[str, Any]) -> None:
    """The first inbound rule that concerns GatewayManager on 65200-65535 must allow it."""
    rules = [r for r in list_at(group, "properties.securityRules") if r["direction"] == "Inbound"]
    for rule in sorted(rules, key=lambda r: r["priority"]):
        sources = [rule.get("sourceAddressPrefix"), *list_at(rule, "sourceAddressPrefixes")]
        ports = [rule.get("destinationPortRange"), *list_at(rule, "destinationPortRanges")]
        if not {"*", "Internet", "GatewayManager"} & set(sources) or not any(map(_covers, ports)):
            continue
        if rule["access"] == "Allow":
            return
        break
    else:
        rule = {"name": "DenyAllInBound"}
    message = (
        f"security group '{group['name']}' blocks incoming traffic on ports 65200 - 65535 to the subnet of the gateway "
        f"'{gateway['name']}' (rule '{rule['name']}')"
    )
    raise AzureError(400, "ApplicationGatewaySubnetInboundTrafficBlockedByNetworkSecurityGroup", message)


def _covers(ports: str | None) -> bool:
    first, _, last = (ports or "").partition("-")
    return ports == "*" or (
        first.isdecimal() and last.isdecimal() and {*INFRASTRUCTURE} <= {*range(int(first), int(last) + 1)}
    )


def check_addresses(contents: Contents, arm: Mapping[str, Any], addresses: Iterable[str]) -> None:
    """Standard, and nobody else's."""
    for address_id in addresses:
        address = contents.get(address_id) or {}
        if value_at(address, "sku.name") != "Standard":
            message = f"'{arm['name']}' needs a Standard address; '{address['name']}' is none"
            raise AzureError(400, "PublicIPAddressSkuMismatch", message)
        for other in contents.resources.values():
            if not same(other["id"], arm["id"]) and other["type"] != ADDRESSES and uses(other, address_id):
                message = f"'{address['name']}' is used by '{other['name']}' already"
                raise AzureError(400, "PublicIPAddressInUse", message)


def uses(arm: Mapping[str, Any], subnet_id: str) -> bool:
    return any(same(value, subnet_id) for _, value in leaves(dict(arm["properties"])))


def same(one: object, other: object) -> bool:
    return isinstance(one, str) and isinstance(other, str) and one.lower() == other.lower()


# --- parts of a gateway -----------------------------------------------------------------------------------------


def _own_references(arm: Mapping[str, Any]) -> None:
    """What parts of a gateway say of each other."""
    own = arm["id"].lower() + "/"
    parts = {
        f"{own}{kind}/{part['name']}".lower()
        for kind in arm["properties"]
        for part in list_at(arm["properties"], kind)
        if "name" in part
    }
    for path, value in leaves(arm["properties"]):
        if isinstance(value, str) and value.lower().startswith(own) and value.lower() not in parts:
            message = f"{value}, referenced by {'.'.join(map(str, path))} of '{arm['name']}', was not found"
            raise AzureError(400, "InvalidResourceReference", message)


def _rules_of(arm: Mapping[str, Any]) -> None:
    """Each listener is one rule's, and priorities differ."""
    taken: dict[object, str] = {}
    rules = list_at(arm, "properties.requestRoutingRules")
    for rule in rules:
        for value in (rule.get("priority"), value_at(rule, "httpListener.id")):
            if taken.setdefault(value, rule["name"]) != rule["name"]:
                message = f"'{rule['name']}' and '{taken[value]}' share a priority or a listener"
                raise AzureError(400, "ApplicationGatewayRequestRoutingRulePriorityOrListenerConflict", message)
    unused = {p["name"] for p in list_at(arm, "properties.httpListeners")} - {
        str(value_at(r, "httpListener.id")).rsplit("/", 1)[-1] for r in rules
    }
    if unused:
        message = f"'{arm['name']}': no rule uses the listener {sorted(unused)[0]}"
        raise AzureError(400, "ApplicationGatewayHttpListenerNotUsed", message)
