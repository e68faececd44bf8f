"""A public IPv4 address that stays: Standard, static, spanning the zones of its region.

Owns the address. What stands behind it is beside it: the NAT gateway (`egress.py`), the gateway (`gateway.py`).
"""

from dataclasses import dataclass

import pulumi
from pulumi_azure_native import network

from components.placement import Placement


@dataclass(frozen=True)
class PublicAddressArgs:
    placement: Placement
    resource_group_name: pulumi.Input[str]
    prefix: str
    """Of the name in Azure."""


class PublicAddress(pulumi.ComponentResource):
    """Hospitals and DNS know it by its number, so it is state: production never loses it by a change here."""

    def __init__(self, name: str, args: PublicAddressArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("teams-ehr-connector:network:PublicAddress", name, None, opts)
        made = network.PublicIPAddress(
            name,
            resource_group_name=args.resource_group_name,
            public_ip_address_name=args.placement.named(args.prefix),
            location=args.placement.location,
            sku=network.PublicIPAddressSkuArgs(name="Standard", tier="Regional"),
            public_ip_allocation_method="Static",
            public_ip_address_version="IPv4",
            zones=args.placement.zones,
            tags=args.placement.tags,
            opts=args.placement.state(self),
        )
        self.id: pulumi.Output[str] = made.id
        self.address: pulumi.Output[str] = made.ip_address.apply(lambda address: address or "")
        self.register_outputs({})
