"""What Resource Manager refuses of what watches other resources: diagnostic settings, alert rules, action groups.

Owns the log categories of each type, from "Supported logs" of the Azure Monitor reference (a page a type), and rules as
functions over the store's contents and one ARM body, as in `rules.py`.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from emulators.azure.documents import list_at, object_at
from emulators.azure.errors import AzureError
from emulators.azure.governing import scope_of
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
ACTION_GROUP = "microsoft.insights/actiongroups"
METRICS: dict[str, frozenset[str]] = {
    "microsoft.app/containerapps": frozenset({"Replicas", "Requests", "RestartCount", "UsageNanoCores"}),
    "microsoft.dbforpostgresql/flexibleservers": frozenset(
        {"active_connections", "connections_failed", "cpu_percent", "memory_percent", "storage_percent"}
    ),
}
"""Metrics that alerts may be about, a part of "Supported metrics" of the Azure Monitor reference."""
_HOURS = ("PT1H", "PT2H", "PT3H", "PT4H", "PT5H", "PT6H", "P1D")
FREQUENCIES = ("PT1M", "PT5M", "PT10M", "PT15M", "PT30M", "PT45M", *_HOURS)
WINDOWS = (*FREQUENCIES, "P2D")
"""Of log search alerts, shortest first (hashicorp/terraform-provider-azurerm,
monitor_scheduled_query_rules_alert_v2.html.markdown: evaluation_frequency, window_duration)."""
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")


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


def action_group(contents: Contents, arm: Mapping[str, Any]) -> None:
    if arm.get("location") not in ("global", "Global"):
        raise AzureError(501, "NotEmulated", "action groups of a region")
    for receiver in list_at(arm["properties"], "emailReceivers"):
        if not _EMAIL.fullmatch(receiver["emailAddress"]):
            raise AzureError(400, "InvalidEmailAddress", f"'{receiver['emailAddress']}' is no e-mail address.")


def query_rule(contents: Contents, arm: Mapping[str, Any]) -> None:
    """A log search alert over one workspace of its region, by a measured column."""
    properties = arm["properties"]
    frequency, window = properties.get("evaluationFrequency"), properties.get("windowSize")
    if frequency not in FREQUENCIES or window not in WINDOWS:
        raise AzureError(
            400, "BadRequest", f"expected a frequency and window that Azure has, got {frequency}, {window}"
        )
    if WINDOWS.index(frequency) > WINDOWS.index(window):
        raise AzureError(400, "BadRequest", f"the frequency {frequency} is longer than the window {window}")
    if properties.get("muteActionsDuration") and properties.get("autoMitigate"):
        raise AzureError(400, "BadRequest", "Mute actions duration cannot be set when auto mitigate is on.")
    for scope in _scopes(arm):
        _of_type(contents, scope, WORKSPACE)
        if (contents.get(scope) or {})["location"] != arm["location"]:
            raise AzureError(400, "BadRequest", "The rule's location must be the same as its workspace's.")
    for group in list_at(properties, "actions.actionGroups"):
        _of_type(contents, group, ACTION_GROUP)


def metric_alert(contents: Contents, arm: Mapping[str, Any]) -> None:
    properties = arm["properties"]
    if arm.get("location") != "global":
        raise AzureError(
            400, "BadRequest", f"expected the location 'global' of a metric alert, got {arm.get('location')}"
        )
    (scope,) = _scopes(arm)
    of = (contents.get(scope) or {"type": ""})["type"].lower()
    for criterion in list_at(object_at(properties, "criteria"), "allOf"):
        if criterion["metricName"] not in METRICS.get(of, ()) or criterion["metricNamespace"].lower() != of:
            raise AzureError(400, "BadRequest", f"Couldn't find a metric named {criterion['metricName']} of {of}.")
    for action in list_at(properties, "actions"):
        _of_type(contents, action["actionGroupId"], ACTION_GROUP)


def _scopes(arm: Mapping[str, Any]) -> list[str]:
    scopes = list_at(arm["properties"], "scopes")
    if len(scopes) != 1:
        raise AzureError(501, "NotEmulated", f"expected one scope of an alert, got {len(scopes)}")
    return scopes


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
