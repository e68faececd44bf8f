"""The virtual network of a geography: subnets for the gateway, apps and database (delegated), and private endpoints.

Owns address ranges, what each subnet is bound to, and private DNS. Leaves out the private endpoints themselves, which
stand beside what they reach, the rules of the security groups (`security_groups.py`) and the way out (`egress.py`).

The subnets are chained: Resource Manager writes one subnet of a network at a time (`AnotherOperationInProgress`). The
database's subnet keeps the service endpoint that Azure itself adds for its log archive ("Network with private access
for Azure Database for PostgreSQL"): each update of a subnet writes the whole of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
from pulumi_azure_native import network

from components.placement import Placement
from components.private_zone import PrivateZone, PrivateZoneArgs
from components.security_groups import APPS, DATABASE, GATEWAY, PRIVATE_ENDPOINTS
from schemas.stack_config import Network as AddressRanges

APPS_DELEGATION = "Microsoft.App/environments"
DATABASE_DELEGATION = "Microsoft.DBforPostgreSQL/flexibleServers"


@dataclass(frozen=True)
class NetworkArgs:
    placement: Placement
    resource_group_name: pulumi.Input[str]
    ranges: AddressRanges
    security_groups: Mapping[str, pulumi.Input[str]]
    """The security group of each subnet, by the subnet's name."""
    nat_gateway_id: pulumi.Input[str]


class Network(pulumi.ComponentResource):
    """What is inside is reached from inside, but for the gateway; only the apps call out, through the NAT gateway."""

    def __init__(self, name: str, args: NetworkArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("teams-ehr-connector:network:Network", name, None, opts)
        self._name, self._args = name, args
        child = pulumi.ResourceOptions(parent=self)
        self._network = network.VirtualNetwork(
            f"{name}-vnet",
            resource_group_name=args.resource_group_name,
            virtual_network_name=args.placement.named("vnet"),
            location=args.placement.location,
            address_space=network.AddressSpaceArgs(address_prefixes=[args.ranges.address_space]),
            tags=args.placement.tags,
            opts=child,
        )
        self.id: pulumi.Output[str] = self._network.id
        apps = self._subnet(APPS, args.ranges.apps_subnet, None, APPS_DELEGATION)
        database = self._subnet(DATABASE, args.ranges.database_subnet, apps, DATABASE_DELEGATION)
        endpoints = self._subnet(PRIVATE_ENDPOINTS, args.ranges.private_endpoints_subnet, database)
        gateway = self._subnet(GATEWAY, args.ranges.gateway_subnet, endpoints)
        self.apps_subnet_id: pulumi.Output[str] = apps.id
        self.database_subnet_id: pulumi.Output[str] = database.id
        self.private_endpoints_subnet_id: pulumi.Output[str] = endpoints.id
        self.gateway_subnet_id: pulumi.Output[str] = gateway.id
        azure = args.placement.azure_cloud
        self.vault_zone = self._zone(f"{name}-vault-zone", azure.vault_zone)
        self.blob_zone = self._zone(f"{name}-blob-zone", azure.blob_zone)
        self.registry_zone = self._zone(f"{name}-registry-zone", azure.registry_zone)
        self.database_zone = self._zone(
            f"{name}-database-zone",
            f"{args.placement.geography}-{args.placement.stage}.private.{azure.database_domain}",
        )
        self.register_outputs({})

    def _subnet(
        self, subnet: str, prefix: str, after: network.Subnet | None, delegation: str | None = None
    ) -> network.Subnet:
        args = self._args
        storage = network.ServiceEndpointPropertiesFormatArgs(
            service="Microsoft.Storage", locations=[args.placement.location]
        )
        return network.Subnet(
            f"{self._name}-{subnet}",
            resource_group_name=args.resource_group_name,
            virtual_network_name=self._network.name,
            subnet_name=subnet,
            address_prefix=prefix,
            network_security_group=network.NetworkSecurityGroupArgs(id=args.security_groups[subnet]),
            nat_gateway=network.SubResourceArgs(id=args.nat_gateway_id) if subnet == APPS else None,
            default_outbound_access=False,
            private_endpoint_network_policies="NetworkSecurityGroupEnabled" if subnet == PRIVATE_ENDPOINTS else None,
            service_endpoints=[storage] if subnet == DATABASE else None,
            delegations=[network.DelegationArgs(name=subnet, service_name=delegation)] if delegation else None,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[after] if after else None),
        )

    def _zone(self, name: str, zone: str) -> PrivateZone:
        args = PrivateZoneArgs(self._args.placement, self._args.resource_group_name, zone, self._network.id)
        return PrivateZone(name, args, pulumi.ResourceOptions(parent=self))
