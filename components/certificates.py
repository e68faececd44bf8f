"""The certificates of a geography's public hosts: in its own vault, read by an identity that reads nothing else.

Owns that identity, its role at exactly those secrets, and their URIs, without a version, so that a renewed certificate
is picked up. The certificates themselves are made in the vault by whoever runs the platform (docs/certificates.md):
Resource Manager makes none, and none passes through Pulumi. Gateway and environment serve the same ones, so that TLS is
verified from the caller to the app.
"""

from dataclasses import dataclass

import pulumi
from pulumi_azure_native import managedidentity

from components.access import CertificateAccess, CertificateAccessArgs
from components.placement import Placement
from components.vault import Vault


@dataclass(frozen=True)
class CertificatesArgs:
    placement: Placement
    resource_group_name: pulumi.Input[str]
    vault: Vault
    names: tuple[str, ...]
    """Of the vault's certificates, each once."""


class Certificates(pulumi.ComponentResource):
    """Whoever reads a certificate depends on `readable`. `uris`: of the secrets that hold them, by their names."""

    def __init__(self, name: str, args: CertificatesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("teams-ehr-connector:entry:Certificates", name, None, opts)
        identity = managedidentity.UserAssignedIdentity(
            f"{name}-identity",
            resource_group_name=args.resource_group_name,
            resource_name_=args.placement.named("id-entry"),
            location=args.placement.location,
            tags=args.placement.tags,
            opts=pulumi.ResourceOptions(parent=self),
        )
        access = CertificateAccess(
            f"{name}-access",
            CertificateAccessArgs(args.placement, args.vault.id, args.names, identity.principal_id),
            pulumi.ResourceOptions(parent=self),
        )
        self.identity_id: pulumi.Output[str] = identity.id
        self.uris = {name: pulumi.Output.concat(args.vault.url, "secrets/", name) for name in args.names}
        self.readable: list[pulumi.Resource] = [*access.assignments, *args.vault.reachable]
        self.register_outputs({})
