"""What Resource Manager refuses of what watches and governs other resources: diagnostic settings.

Owns the log categories of each type, from "Supported logs" of the Azure Monitor reference (a page a type), and rules as
functions over the store's contents and one ARM body, as in `rules.py`.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from emulators.azure.documents import list_at
from emulators.azure.errors import AzureError
from emulators.azure.store import Contents

LOG_CATEGORIES: dict[str, frozenset[str]] = {
    "microsoft.app/managedenvironments": frozenset(
        {
            "ContainerAppConsoleLogs",
            "ContainerAppSystemLogs",
            "AppEnvSpringAppConsoleLogs",
            "AppEnvSessionConsoleLogs",
            "AppEnvSessionLifeCycleLogs",
            "AppEnvSessionPoolEventLogs",
        }
    ),
    "microsoft.containerregistry/registries": frozenset(
        {"ContainerRegistryLoginEvents", "ContainerRegistryRepositoryEvents"}
    ),
    "microsoft.dbforpostgresql/flexibleservers": frozenset(
        {
            "PostgreSQLLogs",
            "PostgreSQLFlexDatabaseXacts",
            "PostgreSQLFlexPGBouncer",
            "PostgreSQLFlexQueryStoreRuntime",
            "PostgreSQLFlexQueryStoreWaitStats",
            "PostgreSQLFlexSessions",
            "PostgreSQLFlexTableStats",
        }
    ),
    "microsoft.keyvault/vaults": frozenset({"AuditEvent", "AzurePolicyEvaluationDetails"}),
    "microsoft.network/applicationgateways": frozenset(
        {"ApplicationGatewayAccessLog", "ApplicationGatewayFirewallLog", "ApplicationGatewayPerformanceLog"}
    ),
    "microsoft.network/networksecuritygroups": frozenset(
        {"NetworkSecurityGroupEvent", "NetworkSecurityGroupRuleCounter"}
    ),
    "microsoft.network/publicipaddresses": frozenset(
        {"DDoSMitigationFlowLogs", "DDoSMitigationReports", "DDoSProtectionNotifications"}
    ),
    "microsoft.network/virtualnetworks": frozenset({"VMProtectionAlerts"}),
    "microsoft.operationalinsights/workspaces": frozenset({"Audit", "Jobs", "SummaryLogs"}),
    "microsoft.storage/storageaccounts/blobservices": frozenset({"StorageRead", "StorageWrite", "StorageDelete"}),
}
DESTINATIONS = ("workspaceId", "storageAccountId", "eventHubAuthorizationRuleId", "marketplacePartnerId")
WORKSPACE = "microsoft.operationalinsights/workspaces"


def scope_of(arm: Mapping[str, Any]) -> str:
    """What an extension resource is about: the id before its own provider."""
    return str(arm["id"]).rsplit("/providers/", 1)[0]


def diagnostic_setting(contents: Contents, arm: Mapping[str, Any]) -> None:
    target = contents.get(scope_of(arm)) or {"type": ""}
    known = LOG_CATEGORIES.get(target["type"].lower())
    properties = arm["properties"]
    if known is None:
        message = f"The resource type '{target['type'].lower()}' does not support diagnostic settings."
        raise AzureError(400, "BadRequest", message)
    for category in _categories(arm):
        if category not in known:
            raise AzureError(400, "BadRequest", f"Category '{category}' is not supported for {target['type']}.")
    if list_at(properties, "metrics") or any(entry.get("categoryGroup") for entry in list_at(properties, "logs")):
        raise AzureError(501, "NotEmulated", "metrics and groups of categories: name the log categories")
    sinks = [properties[d] for d in DESTINATIONS if properties.get(d)]
    if not sinks:
        raise AzureError(400, "BadRequest", "At least one data sink needs to be specified.")
    if properties.get("workspaceId") not in sinks or len(sinks) > 1:
        raise AzureError(501, "NotEmulated", "other destinations than a workspace")
    _of_type(contents, properties["workspaceId"], WORKSPACE)
    _used_once(contents, arm)


def _used_once(contents: Contents, arm: Mapping[str, Any]) -> None:
    """A category of a resource goes to a destination by one setting."""
    sink = arm["properties"]["workspaceId"].lower()
    for other in contents.of_type(arm["type"]):
        if other["id"].lower() == arm["id"].lower() or scope_of(other).lower() != scope_of(arm).lower():
            continue
        shared = sorted(set(_categories(arm)) & set(_categories(other)))
        if shared and other["properties"]["workspaceId"].lower() == sink:
            message = (
                f"Data sink '{arm['properties']['workspaceId']}' is already used in diagnostic setting "
                f"'{other['name']}' for category '{shared[0]}'. Data sinks can't be reused in different settings on "
                "the same category for the same resource."
            )
            raise AzureError(409, "Conflict", message)


def _categories(arm: Mapping[str, Any]) -> Iterator[str]:
    for entry in list_at(arm["properties"], "logs"):
        if entry.get("category") and entry.get("enabled"):
            yield entry["category"]


def _of_type(contents: Contents, arm_id: str, arm_type: str) -> None:
    found = contents.get(arm_id) or {"type": "nothing"}
    if found["type"].lower() != arm_type:
        raise AzureError(400, "BadRequest", f"expected a {arm_type}, got {found['type']}: {arm_id}")
