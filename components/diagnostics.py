"""What a resource logs goes to its geography's own workspace: a diagnostic setting on everything that can be audited.

Owns which log categories of a type are kept ("Supported logs" of the Azure Monitor reference, a page a type). Other
components' resources join in `geography.py`, by one line each. Metrics stay where Azure keeps them: the alerts of
`alerts.py` read them there.

The gateway's access log is not kept: it holds every query string (`requestQuery`), and ours carry launch tickets and
authorization codes. Its firewall log is scrubbed of them (`firewall.py`), and the apps print each launch and refusal.

The Container Apps environment needs its setting more than others: with the destination `azure-monitor` nothing that a
container prints is kept anywhere else.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
from pulumi_azure_native import monitor

CATEGORIES: dict[str, tuple[str, ...]] = {
    "app:ManagedEnvironment": ("ContainerAppConsoleLogs", "ContainerAppSystemLogs"),
    "containerregistry:Registry": ("ContainerRegistryLoginEvents", "ContainerRegistryRepositoryEvents"),
    "dbforpostgresql:Server": ("PostgreSQLLogs", "PostgreSQLFlexSessions"),
    "keyvault:Vault": ("AuditEvent", "AzurePolicyEvaluationDetails"),
    "network:ApplicationGateway": ("ApplicationGatewayFirewallLog",),
    "network:NetworkSecurityGroup": ("NetworkSecurityGroupEvent", "NetworkSecurityGroupRuleCounter"),
    "network:PublicIPAddress": ("DDoSMitigationFlowLogs", "DDoSMitigationReports", "DDoSProtectionNotifications"),
    "network:VirtualNetwork": ("VMProtectionAlerts",),
    "operationalinsights:Workspace": ("Audit",),
    "storage:BlobServiceProperties": ("StorageRead", "StorageWrite", "StorageDelete"),
}
"""Log categories by type of resource: who did what, and what the containers print. Performance logs are left out."""

NAME = "to-workspace"


@dataclass(frozen=True)
class Audited:
    """A resource whose logs are kept; `type` is one of CATEGORIES."""

    type: str
    id: pulumi.Input[str]


@dataclass(frozen=True)
class DiagnosticsArgs:
    workspace_id: pulumi.Input[str]
    resources: Mapping[str, Audited]
    """By the name that the setting gets in the program."""


class Diagnostics(pulumi.ComponentResource):
    """Whoever must not run unheard depends on `settings`."""

    def __init__(self, name: str, args: DiagnosticsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("teams-ehr-connector:logs:Diagnostics", name, None, opts)
        self.settings: list[pulumi.Resource] = [
            monitor.DiagnosticSetting(
                f"{name}-{key}",
                name=NAME,
                resource_uri=resource.id,
                workspace_id=args.workspace_id,
                logs=[monitor.DiagnosticsLogSettingsArgs(category=c, enabled=True) for c in CATEGORIES[resource.type]],
                opts=pulumi.ResourceOptions(parent=self),
            )
            for key, resource in args.resources.items()
        ]
        self.register_outputs({})
