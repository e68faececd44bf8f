"""The geography's container registry, from which its apps pull their image, by identity and a private endpoint.

Owns the registry and the way to it. Images come by `tools/copy_image.sh`: Resource Manager copies a signed digest from
the platform's registry, as a trusted service. Who may pull is in `access.py`.

Retention is off: it deletes what has no tag, and an image that is copied by its digest has none. Quarantine is off: an
image is scanned and signed before it is copied, and here is nobody who would let it go. Export is off, so that an image
leaves by a pull alone. Content trust, which signs tags, is not used, because no tag is.
"""

from dataclasses import dataclass

import pulumi
from pulumi_azure_native import containerregistry

from components.placement import Placement
from components.private_endpoint import PrivateEndpointArgs, private_endpoint
from components.private_zone import PrivateZone

OFF = "disabled"


@dataclass(frozen=True)
class RegistryArgs:
    placement: Placement
    resource_group_name: pulumi.Input[str]
    subnet_id: pulumi.Input[str]
    zone: PrivateZone


class Registry(pulumi.ComponentResource):
    """Whoever pulls depends on `reachable`. Premium, because no other kind has private endpoints."""

    def __init__(self, name: str, args: RegistryArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("teams-ehr-connector:registry:Registry", name, None, opts)
        placement = args.placement
        registry = containerregistry.Registry(
            name,
            resource_group_name=args.resource_group_name,
            registry_name=placement.compact("cr"),
            location=placement.location,
            sku=containerregistry.SkuArgs(name=containerregistry.SkuName.PREMIUM),
            admin_user_enabled=False,
            anonymous_pull_enabled=False,
            public_network_access=containerregistry.PublicNetworkAccess.DISABLED,
            network_rule_set=containerregistry.NetworkRuleSetArgs(default_action=containerregistry.DefaultAction.DENY),
            network_rule_bypass_options=containerregistry.NetworkRuleBypassOptions.AZURE_SERVICES,
            zone_redundancy=containerregistry.ZoneRedundancy.ENABLED
            if placement.production
            else containerregistry.ZoneRedundancy.DISABLED,
            policies=containerregistry.PoliciesArgs(
                export_policy=containerregistry.ExportPolicyArgs(status=OFF),
                retention_policy=containerregistry.RetentionPolicyArgs(status=OFF),
                quarantine_policy=containerregistry.QuarantinePolicyArgs(status=OFF),
            ),
            tags=placement.tags,
            opts=placement.state(self),
        )
        endpoint = PrivateEndpointArgs(
            placement, args.resource_group_name, args.subnet_id, args.zone, "registry", "registry", registry.id
        )
        self.id: pulumi.Output[str] = registry.id
        self.reachable: list[pulumi.Resource] = private_endpoint(self, name, endpoint)
        self.register_outputs({})
