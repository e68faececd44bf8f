"""The virtual network of a geography: a delegated subnet for apps, one for the database, one for private endpoints.

Owns address ranges and private DNS. Leaves out the private endpoints themselves, which stand beside what they reach.

The subnets are chained: Resource Manager writes one subnet of a network at a time (`AnotherOperationInProgress`).
"""

from dataclasses import dataclass

import pulumi
from pulumi_azure_native import network

from components.placement import Placement
from components.private_zone import PrivateZone, PrivateZoneArgs
from schemas.stack_config import Network as AddressRanges

APPS_DELEGATION = "Microsoft.App/environments"
DATABASE_DELEGATION = "Microsoft.DBforPostgreSQL/flexibleServers"


@dataclass(frozen=True)
class NetworkArgs:
    placement: Placement
    resource_group_name: pulumi.Input[str]
    ranges: AddressRanges


class Network(pulumi.ComponentResource):
    """What is inside is reached from inside; nothing here has a public address."""

    def __init__(self, name: str, args: NetworkArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("teams-ehr-connector:network:Network", name, None, opts)
        self._args = args
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
        apps = self._subnet(f"{name}-apps", "apps", args.ranges.apps_subnet, APPS_DELEGATION, after=None)
        database = self._subnet(f"{name}-database", "database", args.ranges.database_subnet, DATABASE_DELEGATION, apps)
        endpoints = self._subnet(
            f"{name}-private-endpoints", "private-endpoints", args.ranges.private_endpoints_subnet, None, database
        )
        self.id: pulumi.Output[str] = self._network.id
        self.apps_subnet_id: pulumi.Output[str] = apps.id
        self.database_subnet_id: pulumi.Output[str] = database.id
        self.private_endpoints_subnet_id: pulumi.Output[str] = endpoints.id
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
        self, name: str, subnet: str, prefix: str, delegation: str | None, after: network.Subnet | None
    ) -> network.Subnet:
        return network.Subnet(
            name,
            resource_group_name=self._args.resource_group_name,
            virtual_network_name=self._network.name,
            subnet_name=subnet,
            address_prefix=prefix,
            delegations=[network.DelegationArgs(name=subnet, service_name=delegation)] if delegation else None,
            # Only apps call out (EHRs, Entra, Graph).
            default_outbound_access=None if delegation == APPS_DELEGATION else False,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[after] if after else None),
        )

    def _zone(self, name: str, zone: str) -> PrivateZone:
        args = PrivateZoneArgs(self._args.placement, self._args.resource_group_name, zone, self._network.id)
        return PrivateZone(name, args, pulumi.ResourceOptions(parent=self))
