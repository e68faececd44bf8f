"""A private endpoint: an address in the geography's network by which one service is reached, and its DNS record.

Owns both. What is reached, and the zone in which the record stands, belong to others.
"""

from dataclasses import dataclass

import pulumi
from pulumi_azure_native import network

from components.placement import Placement
from components.private_zone import PrivateZone


@dataclass(frozen=True)
class PrivateEndpointArgs:
    placement: Placement
    resource_group_name: pulumi.Input[str]
    subnet_id: pulumi.Input[str]
    zone: PrivateZone
    service: str
    """What the endpoint is named after."""
    group: str
    """The part of the target that is reached, as Private Link names it."""
    target_id: pulumi.Input[str]


def private_endpoint(parent: pulumi.Resource, name: str, args: PrivateEndpointArgs) -> list[pulumi.Resource]:
    """Children of what they make reachable; whoever reaches it depends on these."""
    endpoint = network.PrivateEndpoint(
        f"{name}-endpoint",
        resource_group_name=args.resource_group_name,
        private_endpoint_name=args.placement.named(f"pe-{args.service}"),
        location=args.placement.location,
        subnet=network.SubnetArgs(id=args.subnet_id),
        private_link_service_connections=[
            network.PrivateLinkServiceConnectionArgs(
                name=args.group, private_link_service_id=args.target_id, group_ids=[args.group]
            )
        ],
        tags=args.placement.tags,
        opts=pulumi.ResourceOptions(parent=parent),
    )
    records = network.PrivateDnsZoneGroup(
        f"{name}-records",
        resource_group_name=args.resource_group_name,
        private_endpoint_name=endpoint.name,
        private_dns_zone_group_name="default",
        private_dns_zone_configs=[
            network.PrivateDnsZoneConfigArgs(name=args.group, private_dns_zone_id=args.zone.zone_id)
        ],
        opts=pulumi.ResourceOptions(parent=parent),
    )
    return [records, args.zone.link]
