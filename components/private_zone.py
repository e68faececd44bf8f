"""A private DNS zone that one virtual network resolves.

Owns zone and link. The records are written by whoever uses the zone: a private endpoint's zone group, or the database.
"""

from dataclasses import dataclass

import pulumi
from pulumi_azure_native import privatedns

from components.placement import Placement

LOCATION = "global"
"""Private DNS is the one service here without a region; a zone holds names and private addresses only."""


@dataclass(frozen=True)
class PrivateZoneArgs:
    placement: Placement
    resource_group_name: pulumi.Input[str]
    zone: str
    virtual_network_id: pulumi.Input[str]


class PrivateZone(pulumi.ComponentResource):
    """Whoever needs names to resolve depends on `link`."""

    def __init__(self, name: str, args: PrivateZoneArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("teams-ehr-connector:network:PrivateZone", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        zone = privatedns.PrivateZone(
            name,
            resource_group_name=args.resource_group_name,
            private_zone_name=args.zone,
            location=LOCATION,
            tags=args.placement.tags,
            opts=child,
        )
        self.link = privatedns.VirtualNetworkLink(
            f"{name}-link",
            resource_group_name=args.resource_group_name,
            private_zone_name=zone.name,
            virtual_network_link_name=args.placement.named("vnet"),
            location=LOCATION,
            registration_enabled=False,
            virtual_network=privatedns.SubResourceArgs(id=args.virtual_network_id),
            tags=args.placement.tags,
            opts=child,
        )
        self.zone_id: pulumi.Output[str] = zone.id
        self.register_outputs({})
