"""Nothing comes in from outside but https to the gateway, and nothing goes out by a way that Azure gives by default.

Every subnet has a security group; each group ends in a rule that denies what comes in, whatever stands before it.
Azure's own platform may send, and private ranges; a whole virtual network is more than that.
"""

import ipaddress
import re
from collections.abc import Iterator, Mapping
from typing import Any

from policies.judging import Subject, known, policy
from schemas.scalars import RFC_1918

GATEWAY_GROUP = re.compile(r"nsg-gateway-")
PLATFORM = frozenset({"AzureLoadBalancer", "GatewayManager"})
EVERYTHING = ("sourceAddressPrefix", "destinationAddressPrefix", "destinationPortRange", "protocol")


def judge(subject: Subject) -> Iterator[str]:
    match subject.type:
        case "network:Subnet":
            if subject.get("networkSecurityGroup", "id") is None and not subject.waits_for(
                "networkSecurityGroup", "id"
            ):
                yield "networkSecurityGroup: expected a security group, got nothing"
            if (got := subject.get("defaultOutboundAccess")) is not False:
                yield f"defaultOutboundAccess: expected false, got {got}"
        case "network:NetworkSecurityGroup":
            yield from _security_group(subject)
        case _:
            return


def _security_group(subject: Subject) -> Iterator[str]:
    gateways = GATEWAY_GROUP.match(str(subject.get("networkSecurityGroupName"))) is not None
    inbound = [r for r in subject.items("securityRules") if known(r, "direction") == "Inbound"]
    for rule in inbound:
        if known(rule, "access") == "Allow" and _from_outside(rule) and not (gateways and _is_https(rule)):
            yield f"securityRules: {known(rule, 'name')}: expected nobody from outside but https at the gateway"
    last = max(inbound, key=lambda r: int(known(r, "priority") or 0), default=None)
    if last is None or known(last, "access") != "Deny" or any(known(last, key) != "*" for key in EVERYTHING):
        yield "securityRules: expected a last inbound rule that denies everything"


def _from_outside(rule: Mapping[str, Any]) -> bool:
    sources = [known(rule, "sourceAddressPrefix"), *(known(rule, "sourceAddressPrefixes") or ())]
    return any(source is not None and source not in PLATFORM and not _is_private(str(source)) for source in sources)


def _is_private(source: str) -> bool:
    try:
        network = ipaddress.IPv4Network(source)
    except ValueError:
        return False
    return any(network.subnet_of(private) for private in RFC_1918)


def _is_https(rule: Mapping[str, Any]) -> bool:
    several = known(rule, "destinationPortRanges")
    return known(rule, "protocol") == "Tcp" and known(rule, "destinationPortRange") == "443" and several is None


POLICY = policy("network-edge", "Nothing comes in but https to the gateway; nothing goes out by default.", judge)
