"""The geography's Key Vault: keys and credentials, reached only through a private endpoint, by identity.

Owns the vault and the way to it. Who may read it is in `access.py`. Secrets come in through Resource Manager
(`configuration.py`), from init (the geography's own keys) and from operators inside the network (client credentials);
none passes through Pulumi.
"""

from dataclasses import dataclass

import pulumi
from pulumi_azure_native import keyvault

from components.placement import Placement
from components.private_endpoint import PrivateEndpointArgs, private_endpoint
from components.private_zone import PrivateZone


@dataclass(frozen=True)
class VaultArgs:
    placement: Placement
    resource_group_name: pulumi.Input[str]
    tenant_id: str
    subnet_id: pulumi.Input[str]
    zone: PrivateZone


class Vault(pulumi.ComponentResource):
    """Whoever reads secrets depends on `reachable`."""

    def __init__(self, name: str, args: VaultArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("teams-ehr-connector:vault:Vault", name, None, opts)
        vault = keyvault.Vault(
            name,
            resource_group_name=args.resource_group_name,
            vault_name=args.placement.unique("kv"),
            location=args.placement.location,
            properties=keyvault.VaultPropertiesArgs(
                tenant_id=args.tenant_id,
                sku=keyvault.SkuArgs(family=keyvault.SkuFamily.A, name=keyvault.SkuName.STANDARD),
                enable_rbac_authorization=True,
                enable_soft_delete=True,
                enable_purge_protection=True,
                soft_delete_retention_in_days=90,
                public_network_access="Disabled",
                network_acls=keyvault.NetworkRuleSetArgs(
                    default_action=keyvault.NetworkRuleAction.DENY,
                    # Lets Resource Manager write the configuration document's chunks.
                    bypass=keyvault.NetworkRuleBypassOptions.AZURE_SERVICES,
                ),
            ),
            tags=args.placement.tags,
            opts=args.placement.state(self),
        )
        endpoint = PrivateEndpointArgs(
            args.placement, args.resource_group_name, args.subnet_id, args.zone, "vault", "vault", vault.id
        )
        self.id: pulumi.Output[str] = vault.id
        self.name: pulumi.Output[str] = vault.name
        self.url: pulumi.Output[str] = vault.properties.apply(lambda p: p.vault_uri or "")
        self.reachable: list[pulumi.Resource] = private_endpoint(self, name, endpoint)
        self.register_outputs({})
