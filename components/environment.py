"""The Container Apps environment: internal, in its own delegated subnet, with the certificates of the public hosts.

Its network is chosen at creation: Azure silently ignores a later change of `vnetConfiguration`. Logs go to Azure
Monitor, not straight to a workspace, which would need the workspace's shared key, here and in Pulumi's state.

The certificates are resources of their own, made after the environment: before it has its network it cannot reach a
vault that is private (Azure/azure-rest-api-specs#37960).
"""

from dataclasses import dataclass

import pulumi
from pulumi_azure_native import app

from components.certificates import Certificates
from components.placement import Placement

WORKLOAD_PROFILE = "Consumption"


@dataclass(frozen=True)
class EnvironmentArgs:
    placement: Placement
    resource_group_name: pulumi.Input[str]
    subnet_id: pulumi.Input[str]
    certificates: Certificates


class Environment(pulumi.ComponentResource):
    """`certificate_ids` by the name of the vault's certificate; `address` is where its ingress answers, inside."""

    def __init__(self, name: str, args: EnvironmentArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("teams-ehr-connector:apps:Environment", name, None, opts)
        environment = app.ManagedEnvironment(
            name,
            resource_group_name=args.resource_group_name,
            environment_name=args.placement.named("cae"),
            location=args.placement.location,
            identity=app.ManagedServiceIdentityArgs(
                type="UserAssigned", user_assigned_identities=[args.certificates.identity_id]
            ),
            vnet_configuration=app.VnetConfigurationArgs(infrastructure_subnet_id=args.subnet_id, internal=True),
            public_network_access="Disabled",
            zone_redundant=args.placement.production,
            peer_traffic_configuration=app.ManagedEnvironmentPeerTrafficConfigurationArgs(
                encryption=app.ManagedEnvironmentEncryptionArgs(enabled=True)
            ),
            app_logs_configuration=app.AppLogsConfigurationArgs(destination="azure-monitor"),
            workload_profiles=[app.WorkloadProfileArgs(name=WORKLOAD_PROFILE, workload_profile_type=WORKLOAD_PROFILE)],
            tags=args.placement.tags,
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.id: pulumi.Output[str] = environment.id
        self.address: pulumi.Output[str] = environment.static_ip
        self.certificate_ids = {
            certificate: self._certificate(f"{name}-{certificate}", certificate, environment, args).id
            for certificate in args.certificates.uris
        }
        self.register_outputs({})

    def _certificate(
        self, name: str, certificate: str, environment: app.ManagedEnvironment, args: EnvironmentArgs
    ) -> app.Certificate:
        return app.Certificate(
            name,
            resource_group_name=args.resource_group_name,
            environment_name=environment.name,
            certificate_name=certificate,
            location=args.placement.location,
            properties=app.CertificatePropertiesArgs(
                certificate_type="ServerSSLCertificate",
                certificate_key_vault_properties=app.CertificateKeyVaultPropertiesArgs(
                    identity=args.certificates.identity_id, key_vault_url=args.certificates.uris[certificate]
                ),
            ),
            tags=args.placement.tags,
            opts=pulumi.ResourceOptions(parent=self, depends_on=args.certificates.readable),
        )
