"""A network security group for each subnet: nothing comes in but what is named here.

Owns the rules. Each group ends with a rule that denies what comes in (Azure's own rules would admit the whole virtual
network); where Azure says what a service calls, another denies everything else that goes out. Sources:

    gateway            "Application Gateway infrastructure configuration": 443 from the internet, Azure itself from
                       GatewayManager on 65200-65535, AzureLoadBalancer. It may call everywhere: Azure forbids rules
                       that deny a gateway's outbound traffic
    apps               "Securing a virtual network in Azure Container Apps" (workload profiles): the gateway on 443 and
                       on 31443, where the environment's proxy listens behind its internal load balancer; that
                       balancer on 30000-32767; the apps among themselves. Outbound: registry (which needs
                       AzureFrontDoor.FirstParty), Entra, Azure Monitor, time, name resolution, the subnets of database
                       and endpoints, and the internet on the ports that the configured EHRs and repository have
    database           "Network with private access for Azure Database for PostgreSQL": 5432 from apps, from operators'
                       networks (audit, restore) and within the subnet, which high availability needs; outbound within
                       the subnet, to Storage and to Entra
    private-endpoints  443 from apps, from the gateway, which reads its certificates, and from operators' networks. The
                       group counts because the subnet has network policies on ("Manage network policies for private
                       endpoints")
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pulumi
from pulumi_azure_native import network

from components.placement import Placement
from schemas.stack_config import Network as AddressRanges

GATEWAY, APPS, DATABASE, PRIVATE_ENDPOINTS = "gateway", "apps", "database", "private-endpoints"
INFRASTRUCTURE_PORTS = "65200-65535"
LOWEST_PRIORITY = 4096
ANY = "*"


@dataclass(frozen=True)
class Allowed:
    """Traffic that is let through. Sources and destinations are ranges, service tags or `*`."""

    name: str
    source: str
    destination: str
    ports: Sequence[str]
    protocol: str = "Tcp"
    outbound: bool = False


@dataclass(frozen=True)
class SecurityGroupsArgs:
    placement: Placement
    resource_group_name: pulumi.Input[str]
    ranges: AddressRanges
    called_ports: Sequence[int]
    """TCP ports that the apps may call on the internet."""


class SecurityGroups(pulumi.ComponentResource):
    """`ids` has the group of each subnet, by the subnet's name."""

    def __init__(self, name: str, args: SecurityGroupsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("teams-ehr-connector:network:SecurityGroups", name, None, opts)
        self._name, self._args = name, args
        ranges = args.ranges
        self.ids: dict[str, pulumi.Output[str]] = {
            GATEWAY: self._group(GATEWAY, _gateway(ranges), closed=False),
            APPS: self._group(APPS, _apps(ranges, args.called_ports)),
            DATABASE: self._group(DATABASE, _database(ranges)),
            PRIVATE_ENDPOINTS: self._group(PRIVATE_ENDPOINTS, _private_endpoints(ranges)),
        }
        self.register_outputs({})

    def _group(self, subnet: str, allowed: Iterable[Allowed], *, closed: bool = True) -> pulumi.Output[str]:
        """`closed`: whether what goes out is denied unless it is allowed."""
        placement = self._args.placement
        rules = [_rule(100 + 10 * index, one) for index, one in enumerate(allowed)]
        rules.append(_denial("DenyAllInbound", "Inbound"))
        if closed:
            rules.append(_denial("DenyAllOutbound", "Outbound"))
        return network.NetworkSecurityGroup(
            f"{self._name}-{subnet}",
            resource_group_name=self._args.resource_group_name,
            network_security_group_name=placement.named(f"nsg-{subnet}"),
            location=placement.location,
            security_rules=rules,
            tags=placement.tags,
            opts=pulumi.ResourceOptions(parent=self),
        ).id


def _gateway(ranges: AddressRanges) -> list[Allowed]:
    return [
        Allowed("AllowHttpsFromInternet", "Internet", ranges.gateway_subnet, ["443"]),
        Allowed("AllowGatewayManager", "GatewayManager", ANY, [INFRASTRUCTURE_PORTS]),
        Allowed("AllowLoadBalancer", "AzureLoadBalancer", ANY, [ANY], ANY),
    ]


def _apps(ranges: AddressRanges, called_ports: Sequence[int]) -> list[Allowed]:
    mine = ranges.apps_subnet
    return [
        Allowed("AllowGateway", ranges.gateway_subnet, mine, ["443", "31443"]),
        Allowed("AllowLoadBalancer", "AzureLoadBalancer", mine, ["30000-32767"]),
        Allowed("AllowAppsInbound", mine, mine, [ANY], ANY),
        Allowed("AllowApps", mine, mine, [ANY], ANY, outbound=True),
        Allowed("AllowDatabase", mine, ranges.database_subnet, ["5432"], outbound=True),
        Allowed("AllowPrivateEndpoints", mine, ranges.private_endpoints_subnet, ["443"], outbound=True),
        Allowed("AllowContainerRegistry", mine, "MicrosoftContainerRegistry", ["443"], outbound=True),
        Allowed("AllowRegistryFrontDoor", mine, "AzureFrontDoor.FirstParty", ["443"], outbound=True),
        Allowed("AllowEntra", mine, "AzureActiveDirectory", ["443"], outbound=True),
        Allowed("AllowAzureMonitor", mine, "AzureMonitor", ["443"], outbound=True),
        Allowed("AllowNameResolution", mine, "AzurePlatformDNS", ["53"], ANY, outbound=True),
        Allowed("AllowTime", mine, ANY, ["123"], "Udp", outbound=True),
        Allowed("AllowInternet", mine, "Internet", [str(port) for port in called_ports], outbound=True),
    ]


def _database(ranges: AddressRanges) -> list[Allowed]:
    mine = ranges.database_subnet
    return [
        Allowed("AllowApps", ranges.apps_subnet, mine, ["5432"]),
        *(Allowed(f"AllowOperators{i}", range_, mine, ["5432"]) for i, range_ in enumerate(ranges.operator_ranges)),
        Allowed("AllowReplicationInbound", mine, mine, ["5432"]),
        Allowed("AllowReplication", mine, mine, ["5432"], outbound=True),
        Allowed("AllowStorage", mine, "Storage", ["443"], outbound=True),
        Allowed("AllowEntra", mine, "AzureActiveDirectory", ["443"], outbound=True),
    ]


def _private_endpoints(ranges: AddressRanges) -> list[Allowed]:
    mine = ranges.private_endpoints_subnet
    return [
        Allowed("AllowApps", ranges.apps_subnet, mine, ["443"]),
        Allowed("AllowGateway", ranges.gateway_subnet, mine, ["443"]),
        *(Allowed(f"AllowOperators{i}", range_, mine, ["443"]) for i, range_ in enumerate(ranges.operator_ranges)),
    ]


def _rule(priority: int, allowed: Allowed) -> network.SecurityRuleArgs:
    one = allowed.ports[0] if len(allowed.ports) == 1 else None
    return network.SecurityRuleArgs(
        name=allowed.name,
        priority=priority,
        direction="Outbound" if allowed.outbound else "Inbound",
        access="Allow",
        protocol=allowed.protocol,
        source_address_prefix=allowed.source,
        source_port_range=ANY,
        destination_address_prefix=allowed.destination,
        destination_port_range=one,
        destination_port_ranges=None if one else list(allowed.ports),
    )


def _denial(name: str, direction: str) -> network.SecurityRuleArgs:
    return network.SecurityRuleArgs(
        name=name,
        priority=LOWEST_PRIORITY,
        direction=direction,
        access="Deny",
        protocol=ANY,
        source_address_prefix=ANY,
        source_port_range=ANY,
        destination_address_prefix=ANY,
        destination_port_range=ANY,
    )
