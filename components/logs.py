"""The geography's own log workspace: logs of a geography are kept, and read, in that geography.

Local authentication is off, so there is no shared key to keep: writing and reading need an Entra identity.
"""

from dataclasses import dataclass

import pulumi
from pulumi_azure_native import operationalinsights

from components.placement import Placement


@dataclass(frozen=True)
class LogsArgs:
    placement: Placement
    resource_group_name: pulumi.Input[str]


class Logs(pulumi.ComponentResource):
    def __init__(self, name: str, args: LogsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("teams-ehr-connector:logs:Logs", name, None, opts)
        workspace = operationalinsights.Workspace(
            f"{name}-workspace",
            resource_group_name=args.resource_group_name,
            workspace_name=args.placement.named("log"),
            location=args.placement.location,
            sku=operationalinsights.WorkspaceSkuArgs(name="PerGB2018"),
            retention_in_days=args.placement.sizes.log_days,
            features=operationalinsights.WorkspaceFeaturesArgs(disable_local_auth=True),
            tags=args.placement.tags,
            opts=args.placement.state(self),
        )
        self.workspace_id: pulumi.Output[str] = workspace.id
        self.register_outputs({})
