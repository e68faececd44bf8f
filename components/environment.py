"""The Container Apps environment: internal, in its own delegated subnet.

Its network is chosen at creation: Azure silently ignores a later change of `vnetConfiguration`. Logs go to Azure
Monitor, not straight to a workspace, which would need the workspace's shared key, here and in Pulumi's state.
"""

from dataclasses import dataclass

import pulumi
from pulumi_azure_native import app

from components.placement import Placement

WORKLOAD_PROFILE = "Consumption"


@dataclass(frozen=True)
class EnvironmentArgs:
    placement: Placement
    resource_group_name: pulumi.Input[str]
    subnet_id: pulumi.Input[str]


class Environment(pulumi.ComponentResource):
    def __init__(self, name: str, args: EnvironmentArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("teams-ehr-connector:apps:Environment", name, None, opts)
        environment = app.ManagedEnvironment(
            name,
            resource_group_name=args.resource_group_name,
            environment_name=args.placement.named("cae"),
            location=args.placement.location,
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
        self.register_outputs({})
