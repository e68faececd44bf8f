"""What the emulated Azure refuses of diagnostic settings, as Azure does."""

from pathlib import Path
from typing import Any

import pytest

from emulators.azure.errors import AzureError
from emulators.azure.operations import ResourceManager
from tests.support.azure_arm import account, create, vault, without_processes

AUDIT = [{"category": "AuditEvent", "enabled": True}]


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ResourceManager:
    return without_processes(tmp_path, monkeypatch)


def workspace(manager: ResourceManager, name: str = "log-one") -> dict[str, Any]:
    return create(manager, "operationalinsights:Workspace", workspaceName=name, sku={"name": "PerGB2018"})


def setting(manager: ResourceManager, target: str, name: str = "to-workspace", **inputs: Any) -> dict[str, Any]:
    return create(manager, "monitor:DiagnosticSetting", resourceUri=target, name=name, **inputs)


def test_a_diagnostic_setting_stands_below_what_it_is_about(manager: ResourceManager) -> None:
    kept, target = workspace(manager), vault(manager)
    made = setting(manager, target["id"], workspaceId=kept["id"], logs=AUDIT)
    assert made["id"] == f"{target['id']}/providers/Microsoft.Insights/diagnosticSettings/to-workspace"
    manager.delete("azure-native:monitor:DiagnosticSetting", made["id"])
    assert manager.store.read().get(made["id"]) is None


def test_a_category_that_the_type_does_not_have_is_refused(manager: ResourceManager) -> None:
    kept, target = workspace(manager), vault(manager)
    logs = [{"category": "StorageRead", "enabled": True}]
    with pytest.raises(AzureError, match=r"Category 'StorageRead' is not supported for Microsoft.KeyVault/vaults"):
        setting(manager, target["id"], workspaceId=kept["id"], logs=logs)


def test_a_type_without_logs_takes_no_setting(manager: ResourceManager) -> None:
    kept, target = workspace(manager), account(manager)
    with pytest.raises(AzureError, match="storageaccounts' does not support diagnostic settings"):
        setting(manager, target["id"], workspaceId=kept["id"], logs=AUDIT)


def test_a_setting_names_a_workspace_that_exists(manager: ResourceManager) -> None:
    target = vault(manager)
    with pytest.raises(AzureError, match="At least one data sink"):
        setting(manager, target["id"], logs=AUDIT)
    absent = target["id"].replace("Microsoft.KeyVault/vaults/kv-one", "Microsoft.OperationalInsights/workspaces/none")
    with pytest.raises(AzureError, match="which does not exist"):
        setting(manager, target["id"], workspaceId=absent, logs=AUDIT)
    other = account(manager)
    with pytest.raises(AzureError, match=r"expected a microsoft.operationalinsights/workspaces, got Microsoft.Storage"):
        setting(manager, target["id"], workspaceId=other["id"], logs=AUDIT)


def test_a_category_goes_to_a_destination_once(manager: ResourceManager) -> None:
    one, two, target = workspace(manager), workspace(manager, "log-two"), vault(manager)
    first = setting(manager, target["id"], workspaceId=one["id"], logs=AUDIT)
    setting(manager, target["id"], "to-another", workspaceId=two["id"], logs=AUDIT)
    with pytest.raises(AzureError, match="is already used in diagnostic setting 'to-workspace'") as refused:
        setting(manager, target["id"], "again", workspaceId=one["id"], logs=AUDIT)
    assert (refused.value.status, refused.value.code) == (409, "Conflict")
    again = {"resourceUri": target["id"], "name": "to-workspace", "workspaceId": one["id"], "logs": AUDIT}
    manager.update("azure-native:monitor:DiagnosticSetting", first["id"], again)


@pytest.mark.parametrize(
    "inputs",
    [
        {"metrics": [{"category": "AllMetrics", "enabled": True}]},
        {"logs": [{"categoryGroup": "allLogs", "enabled": True}]},
    ],
)
def test_what_is_not_emulated_is_said(manager: ResourceManager, inputs: dict[str, Any]) -> None:
    kept, target = workspace(manager), vault(manager)
    with pytest.raises(AzureError, match="NotEmulated"):
        setting(manager, target["id"], workspaceId=kept["id"], **inputs)


def test_a_parameter_that_needs_a_restart_says_so(manager: ResourceManager) -> None:
    login = {"activeDirectoryAuth": "Enabled", "passwordAuth": "Disabled"}
    create(manager, "dbforpostgresql:Server", serverName="psql-one", authConfig=login)
    pending = {}
    for name, value in (("shared_preload_libraries", "pgaudit"), ("pgaudit.log", "ddl")):
        made = create(
            manager, "dbforpostgresql:Configuration", serverName="psql-one", configurationName=name, value=value
        )
        pending[name] = made["properties"]["isConfigPendingRestart"]
    assert pending == {"shared_preload_libraries": True, "pgaudit.log": False}


def told(manager: ResourceManager, **inputs: Any) -> dict[str, Any]:
    email = [{"name": "on-call", "emailAddress": "on-call@example.org"}]
    given: dict[str, Any] = {"actionGroupName": "ag", "groupShortName": "short", "enabled": True}
    given |= {"location": "global", "emailReceivers": email}
    return create(manager, "monitor:ActionGroup", **(given | inputs))


def query_rule(manager: ResourceManager, **inputs: Any) -> dict[str, Any]:
    given: dict[str, Any] = {"ruleName": "rule", "severity": 1, "criteria": {}}
    given |= {"windowSize": "PT15M", "evaluationFrequency": "PT5M"}
    return create(manager, "monitor:ScheduledQueryRule", **(given | inputs))


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({"groupShortName": "thirteen-long"}, "expected at most 12 characters"),
        ({"emailReceivers": [{"name": "n", "emailAddress": "nobody"}]}, "'nobody' is no e-mail address"),
        ({"location": "eastus2"}, "action groups of a region"),
    ],
)
def test_an_action_group_that_reaches_nobody_is_refused(
    manager: ResourceManager, inputs: dict[str, Any], said: str
) -> None:
    with pytest.raises(AzureError, match=said):
        told(manager, **inputs)


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({"evaluationFrequency": "PT1H"}, "longer than the window"),
        ({"windowSize": "PT16M"}, "a frequency and window that Azure has"),
        ({"muteActionsDuration": "PT1H", "autoMitigate": True}, "when auto mitigate is on"),
        ({"location": "centralus"}, "must be the same as its workspace's"),
    ],
)
def test_a_query_rule_that_azure_does_not_take(manager: ResourceManager, inputs: dict[str, Any], said: str) -> None:
    scope = workspace(manager)["id"]
    assert query_rule(manager, scopes=[scope])["properties"]["scopes"] == [scope]
    with pytest.raises(AzureError, match=said):
        query_rule(manager, ruleName="other", scopes=[scope], **inputs)


def test_a_rule_watches_a_workspace_and_tells_a_group(manager: ResourceManager) -> None:
    kept, group, other = workspace(manager), told(manager), account(manager)
    with pytest.raises(AzureError, match=r"expected a microsoft.operationalinsights/workspaces, got Microsoft.Storage"):
        query_rule(manager, scopes=[other["id"]])
    with pytest.raises(AzureError, match=r"expected a microsoft.insights/actiongroups, got Microsoft.Storage"):
        query_rule(manager, scopes=[kept["id"]], actions={"actionGroups": [other["id"]]})
    with pytest.raises(AzureError, match="which does not exist"):
        query_rule(manager, scopes=[kept["id"]], actions={"actionGroups": [f"{group['id']}-absent"]})
    query_rule(manager, scopes=[kept["id"]], actions={"actionGroups": [group["id"]]})


@pytest.mark.parametrize(
    ("criterion", "inputs", "said"),
    [
        ({"metricName": "storage_used"}, {}, "Couldn't find a metric named storage_used"),
        ({"metricNamespace": "Microsoft.KeyVault/vaults"}, {}, "Couldn't find a metric"),
        ({}, {"location": "eastus2"}, "expected the location 'global'"),
    ],
)
def test_a_metric_alert_is_about_a_metric_of_its_type(
    manager: ResourceManager, criterion: dict[str, Any], inputs: dict[str, Any], said: str
) -> None:
    server = create(manager, "dbforpostgresql:Server", serverName="psql-one", authConfig={"passwordAuth": "Disabled"})[
        "id"
    ]

    def alert(criterion: dict[str, Any], name: str, **inputs: Any) -> dict[str, Any]:
        one = {
            "criterionType": "StaticThresholdCriterion",
            "name": "c",
            "metricName": "storage_percent",
            "metricNamespace": "Microsoft.DBforPostgreSQL/flexibleServers",
            "operator": "GreaterThan",
            "threshold": 80,
            "timeAggregation": "Average",
        }
        given: dict[str, Any] = {
            "ruleName": name,
            "location": "global",
            "enabled": True,
            "severity": 1,
            "scopes": [server],
            "windowSize": "PT15M",
            "evaluationFrequency": "PT5M",
            "criteria": {
                "odataType": "Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria",
                "allOf": [one | criterion],
            },
        }
        return create(manager, "monitor:MetricAlert", **(given | inputs))

    assert alert({}, "good")["name"] == "good"
    with pytest.raises(AzureError, match=said):
        alert(criterion, "other", **inputs)


def test_a_setting_on_a_server_is_made_while_the_server_is_busy(manager: ResourceManager) -> None:
    kept = workspace(manager)
    login = {"activeDirectoryAuth": "Enabled", "passwordAuth": "Disabled"}
    server = create(manager, "dbforpostgresql:Server", serverName="psql-one", authConfig=login)
    with manager.store.transaction() as contents:
        contents.hold(server["id"])
    logs = [{"category": "PostgreSQLLogs", "enabled": True}]
    made = setting(manager, server["id"], workspaceId=kept["id"], logs=logs)
    assert manager.store.read().get(made["id"]) is not None
    with pytest.raises(AzureError, match="ServerIsBusy"):
        create(manager, "dbforpostgresql:Database", serverName="psql-one", databaseName="one")
