"""How a geography calls out: from one fixed address, which hospitals put on their allow-lists.

Owns the public address and the NAT gateway; `network.py` binds it to the subnet of the apps, which alone call out, and
turns Azure's default outbound access off everywhere. The address spans the region's zones. The gateway names none:
Azure places it in one, and one zone's failure can stop calls until it is moved ("NAT gateway and availability zones").
"""

from dataclasses import dataclass

import pulumi
from pulumi_azure_native import network

from components.placement import Placement
from components.public_address import PublicAddress, PublicAddressArgs


@dataclass(frozen=True)
class EgressArgs:
    placement: Placement
    resource_group_name: pulumi.Input[str]


class Egress(pulumi.ComponentResource):
    """`address` is what an EHR sees as the caller."""

    def __init__(self, name: str, args: EgressArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("teams-ehr-connector:network:Egress", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        address = PublicAddress(
            f"{name}-address", PublicAddressArgs(args.placement, args.resource_group_name, "pip-egress"), child
        )
        gateway = network.NatGateway(
            f"{name}-nat",
            resource_group_name=args.resource_group_name,
            nat_gateway_name=args.placement.named("ng"),
            location=args.placement.location,
            sku=network.NatGatewaySkuArgs(name="Standard"),
            idle_timeout_in_minutes=4,
            public_ip_addresses=[network.SubResourceArgs(id=address.id)],
            tags=args.placement.tags,
            opts=child,
        )
        self.nat_gateway_id: pulumi.Output[str] = gateway.id
        self.address: pulumi.Output[str] = address.address
        self.address_id: pulumi.Output[str] = address.id
        self.register_outputs({})
