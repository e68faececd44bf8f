"""Whatever can be audited is: its logs go to the workspace of its own geography."""

import json

import pytest

from components.database import PARAMETERS
from components.diagnostics import CATEGORIES
from emulators.azure.arm import TYPES
from emulators.azure.watching import LOG_CATEGORIES
from tests.support.program import Emitted, sample
from tests.support.samples import ROOT

SETTING = "azure-native:monitor:DiagnosticSetting"
NOTHING_TO_AUDIT = {
    "app:Certificate": "part of an environment",
    "app:ContainerApp": "prints to its environment's logs",
    "authorization:ManagementLockByScope": "the activity log has it",
    "authorization:PolicyAssignment": "the activity log has it",
    "authorization:RoleAssignment": "the activity log has it",
    "consumption:Budget": "the activity log has it",
    "dbforpostgresql:AdministratorsMicrosoftEntra": "part of a server",
    "dbforpostgresql:Configuration": "part of a server",
    "dbforpostgresql:Database": "part of a server",
    "keyvault:Key": "part of a vault",
    "keyvault:Secret": "part of a vault",
    "managedidentity:UserAssignedIdentity": "Entra's sign-in logs have it",
    "monitor:ActionGroup": "the activity log has it",
    "monitor:DiagnosticSetting": "the activity log has it",
    "monitor:MetricAlert": "the activity log has it",
    "monitor:ScheduledQueryRule": "the activity log has it",
    "network:NatGateway": "has metrics only",
    "network:PrivateDnsZoneGroup": "part of an endpoint",
    "network:PrivateEndpoint": "has metrics only",
    "network:Subnet": "part of a network",
    "network:WebApplicationFirewallPolicy": "its gateway has the logs",
    "privatedns:PrivateZone": "has metrics only",
    "privatedns:VirtualNetworkLink": "part of a zone",
    "resources:ResourceGroup": "the activity log has it",
    "storage:BlobContainer": "part of a blob service",
    "storage:BlobContainerImmutabilityPolicy": "part of a blob service",
    "storage:StorageAccount": "its blob service has the logs",
}
"""Types of which Azure keeps no resource logs ("Supported logs" has no page of them), or those of a part of them."""


def geography_of(resource: Emitted) -> str:
    return resource.name.split("-")[0]


@pytest.mark.parametrize("stack", ["local", "local-prod", "test", "prod"])
def test_every_resource_that_can_be_audited_logs_to_its_own_geography(stack: str) -> None:
    settings = {s.inputs["resourceUri"]: s for s in sample(stack).of(SETTING)}
    workspaces = {
        geography_of(w): f"/azure/{w.type}/{w.name}"
        for w in sample(stack).of("azure-native:operationalinsights:Workspace")
    }
    audited = [r for r in sample(stack).resources if r.type.removeprefix("azure-native:") in CATEGORIES]
    assert len(audited) >= 6 * len(workspaces)
    assert len(settings) == len(audited)
    for resource in audited:
        (setting,) = [s for uri, s in settings.items() if uri.endswith((f"/{resource.name}", name_in_azure(resource)))]
        assert setting.inputs["workspaceId"] == workspaces[geography_of(resource)]
        kept = {log["category"] for log in setting.inputs["logs"] if log["enabled"]}
        assert kept == set(CATEGORIES[resource.type.removeprefix("azure-native:")])


def name_in_azure(resource: Emitted) -> str:
    """The end of a vault's id, or of a registry's, which has its name in Azure."""
    names = [resource.inputs[name] for name in ("vaultName", "registryName") if name in resource.inputs]
    return f"/{names[0]}" if names else "/neither"


def test_of_every_emitted_type_it_is_known_whether_it_can_be_audited() -> None:
    types = json.loads((ROOT / "components" / "emitted_types.json").read_text())
    emitted = {t.removeprefix("azure-native:") for t in types}
    assert not CATEGORIES.keys() & NOTHING_TO_AUDIT.keys()
    assert emitted <= CATEGORIES.keys() | NOTHING_TO_AUDIT.keys()


def test_the_categories_are_those_that_azure_has_for_the_type() -> None:
    for type_, categories in CATEGORIES.items():
        row = TYPES.get(f"azure-native:{type_}")
        if row is not None:
            assert set(categories) <= LOG_CATEGORIES[row.arm_type.lower()], type_


def test_apps_run_when_what_they_print_is_kept() -> None:
    for app in sample("prod").of("azure-native:app:ContainerApp"):
        setting = sample("prod").one(SETTING, name=f"{geography_of(app)}-diagnostics-environment")
        assert setting.urn in app.depends_on


def test_the_server_logs_who_comes_and_who_changes_tables_and_roles_but_no_data() -> None:
    assert PARAMETERS["shared_preload_libraries"].split(",")[-1] == PARAMETERS["azure.extensions"] == "pgaudit"
    assert set(PARAMETERS["pgaudit.log"].split(",")) == {"ddl", "role"}
    assert PARAMETERS["pgaudit.log_parameter"] == "off"
    for parameter in ("log_connections", "log_disconnections", "connection_throttle.enable"):
        assert PARAMETERS[parameter] == "on"


def test_parameters_that_need_a_restart_are_written_before_the_database_is_made() -> None:
    resources = {r.urn: r for r in sample("prod").resources}

    def upstream(urn: str) -> set[str]:
        direct = resources[urn].depends_on
        return set(direct).union(*(upstream(u) for u in direct))

    for database in sample("prod").of("azure-native:dbforpostgresql:Database"):
        before = {resources[u].inputs.get("configurationName") for u in upstream(database.urn)}
        assert PARAMETERS.keys() <= before
    assert next(iter(PARAMETERS)) == "azure.extensions"


@pytest.mark.parametrize("stack", ["local", "local-prod", "test", "prod"])
def test_no_log_with_query_strings_is_kept(stack: str) -> None:
    """They carry launch tickets and authorization codes; what the firewall logs is scrubbed of values."""
    kept = {log["category"] for s in sample(stack).of(SETTING) for log in s.inputs["logs"]}
    assert "ApplicationGatewayFirewallLog" in kept
    assert "ApplicationGatewayAccessLog" not in kept
