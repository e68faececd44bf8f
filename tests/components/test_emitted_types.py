"""Which types the program emits, with which API versions and under which names: none changes silently."""

import importlib
import inspect
import json
import re

import pytest

from tests.support.program import Emitted, sample
from tests.support.samples import ROOT

COMMITTED: dict[str, str] = json.loads((ROOT / "components" / "emitted_types.json").read_text())
API_VERSION = re.compile(r"Uses Azure REST API version ([0-9a-z-]+?)\.(?:\s|$)")


def api_version(token: str) -> str:
    """The API version that the installed SDK documents for a type."""
    _, module, name = token.split(":")
    resource = getattr(importlib.import_module(f"pulumi_azure_native.{module}"), name)
    found = API_VERSION.search(inspect.getsource(resource))
    assert found, f"{token} documents no API version"
    return found[1]


@pytest.mark.parametrize("stack", ["local", "local-prod", "test", "prod"])
def test_the_program_emits_exactly_the_committed_types(stack: str) -> None:
    emitted = {r.type for r in sample(stack).resources if r.type.startswith("azure-native:")}
    assert emitted == set(COMMITTED)


def test_the_sdk_uses_the_committed_api_versions() -> None:
    assert {token: api_version(token) for token in COMMITTED} == COMMITTED


def test_no_resource_changes_its_urn() -> None:
    """A new URN is a replacement: of state, that loses it. Rename only with an alias."""
    emitted = sorted(shown(r) for r in sample("local").resources if r.name.startswith("americas"))
    assert emitted == sorted(URNS.split())


def test_geographies_differ_in_nothing_but_their_name() -> None:
    def urns(geography: str) -> set[str]:
        mine = [r for r in sample("local").resources if r.name.startswith(geography)]
        return {shown(r).replace(geography, "GEOGRAPHY") for r in mine}

    assert urns("americas") == urns("emea") == urns("apac")


def shown(resource: Emitted) -> str:
    """The URN below the project; the digest of the document, which the secret's name carries, is left out."""
    path = resource.urn.split("::", 2)[2].replace("teams-ehr-connector:", "").replace("azure-native:", "")
    return re.sub(r"-[0-9a-f]{16}$", "-DIGEST", path)


URNS = """
apps:Environment$app:ManagedEnvironment::americas-environment
apps:RuntimeApp$app:ContainerApp::americas-application
apps:RuntimeApp$app:ContainerApp::americas-portal
apps:RuntimeApp$app:ContainerApp::americas-worker
configuration:Configuration$keyvault:Secret::americas-configuration-DIGEST
database:Database$dbforpostgresql:AdministratorsMicrosoftEntra::americas-database-administrator
database:Database$dbforpostgresql:Configuration::americas-database-azure-extensions
database:Database$dbforpostgresql:Configuration::americas-database-connection-throttle-enable
database:Database$dbforpostgresql:Configuration::americas-database-log-connections
database:Database$dbforpostgresql:Configuration::americas-database-log-disconnections
database:Database$dbforpostgresql:Configuration::americas-database-pgaudit-log
database:Database$dbforpostgresql:Configuration::americas-database-pgaudit-log-parameter
database:Database$dbforpostgresql:Configuration::americas-database-require-secure-transport
database:Database$dbforpostgresql:Configuration::americas-database-shared-preload-libraries
database:Database$dbforpostgresql:Configuration::americas-database-ssl-min-protocol-version
database:Database$dbforpostgresql:Database::americas-database-database
database:Database$dbforpostgresql:Server::americas-database-server
geography:Geography$apps:Environment::americas-environment
geography:Geography$apps:RuntimeApp::americas-application
geography:Geography$apps:RuntimeApp::americas-portal
geography:Geography$apps:RuntimeApp::americas-worker
geography:Geography$configuration:Configuration::americas-configuration
geography:Geography$database:Database::americas-database
geography:Geography$governance:Governance::americas-governance
geography:Geography$identity:Identities::americas-identity
geography:Geography$logs:Alerts::americas-alerts
geography:Geography$logs:Diagnostics::americas-diagnostics
geography:Geography$logs:Logs::americas-logs
geography:Geography$network:Network::americas-network
geography:Geography$pulumi:providers::americas
geography:Geography$resources:ResourceGroup::americas-group
geography:Geography$storage:Storage::americas-storage
geography:Geography$storage:StorageAccess::americas-storage-access
geography:Geography$vault:KeyAccess::americas-key-access
geography:Geography$vault:SigningKeys::americas-signing-key
geography:Geography$vault:Vault::americas-vault
geography:Geography$vault:VaultAccess::americas-vault-access
governance:Governance$authorization:ManagementLockByScope::americas-governance-database
governance:Governance$authorization:ManagementLockByScope::americas-governance-storage
governance:Governance$authorization:ManagementLockByScope::americas-governance-vault
governance:Governance$authorization:ManagementLockByScope::americas-governance-workspace
governance:Governance$authorization:PolicyAssignment::americas-governance-locations
governance:Governance$consumption:Budget::americas-governance-budget
identity:Identities$managedidentity:UserAssignedIdentity::americas-identity-application
identity:Identities$managedidentity:UserAssignedIdentity::americas-identity-init
identity:Identities$managedidentity:UserAssignedIdentity::americas-identity-portal
identity:Identities$managedidentity:UserAssignedIdentity::americas-identity-worker
logs:Alerts$monitor:ActionGroup::americas-alerts-group
logs:Alerts$monitor:MetricAlert::americas-alerts-application-gone
logs:Alerts$monitor:MetricAlert::americas-alerts-database-fills
logs:Alerts$monitor:ScheduledQueryRule::americas-alerts-approvals-end
logs:Alerts$monitor:ScheduledQueryRule::americas-alerts-audit-contradicted
logs:Alerts$monitor:ScheduledQueryRule::americas-alerts-certificate-ends
logs:Alerts$monitor:ScheduledQueryRule::americas-alerts-launches-refused
logs:Alerts$monitor:ScheduledQueryRule::americas-alerts-processes-restart
logs:Alerts$monitor:ScheduledQueryRule::americas-alerts-revocations-stale
logs:Alerts$monitor:ScheduledQueryRule::americas-alerts-subscriptions-fail
logs:Alerts$monitor:ScheduledQueryRule::americas-alerts-write-backs-dead
logs:Alerts$monitor:ScheduledQueryRule::americas-alerts-write-backs-late
logs:Diagnostics$monitor:DiagnosticSetting::americas-diagnostics-blobs
logs:Diagnostics$monitor:DiagnosticSetting::americas-diagnostics-database
logs:Diagnostics$monitor:DiagnosticSetting::americas-diagnostics-environment
logs:Diagnostics$monitor:DiagnosticSetting::americas-diagnostics-network
logs:Diagnostics$monitor:DiagnosticSetting::americas-diagnostics-vault
logs:Diagnostics$monitor:DiagnosticSetting::americas-diagnostics-workspace
logs:Logs$operationalinsights:Workspace::americas-logs-workspace
network:Network$network:PrivateZone::americas-network-blob-zone
network:Network$network:PrivateZone::americas-network-database-zone
network:Network$network:PrivateZone::americas-network-vault-zone
network:Network$network:Subnet::americas-network-apps
network:Network$network:Subnet::americas-network-database
network:Network$network:Subnet::americas-network-private-endpoints
network:Network$network:VirtualNetwork::americas-network-vnet
network:PrivateZone$privatedns:PrivateZone::americas-network-blob-zone
network:PrivateZone$privatedns:PrivateZone::americas-network-database-zone
network:PrivateZone$privatedns:PrivateZone::americas-network-vault-zone
network:PrivateZone$privatedns:VirtualNetworkLink::americas-network-blob-zone-link
network:PrivateZone$privatedns:VirtualNetworkLink::americas-network-database-zone-link
network:PrivateZone$privatedns:VirtualNetworkLink::americas-network-vault-zone-link
pulumi:pulumi:Stack$geography:Geography::americas
storage:Storage$network:PrivateDnsZoneGroup::americas-storage-records
storage:Storage$network:PrivateEndpoint::americas-storage-endpoint
storage:Storage$storage:BlobContainer::americas-storage-audit-heads
storage:Storage$storage:BlobContainer::americas-storage-revocations
storage:Storage$storage:BlobContainerImmutabilityPolicy::americas-storage-immutable
storage:Storage$storage:BlobServiceProperties::americas-storage-blobs
storage:Storage$storage:StorageAccount::americas-storage-account
storage:StorageAccess$authorization:RoleAssignment::americas-storage-access-audit-heads-auditors
storage:StorageAccess$authorization:RoleAssignment::americas-storage-access-audit-heads-worker
storage:StorageAccess$authorization:RoleAssignment::americas-storage-access-revocations-application
storage:StorageAccess$authorization:RoleAssignment::americas-storage-access-revocations-portal
storage:StorageAccess$authorization:RoleAssignment::americas-storage-access-revocations-revokers
storage:StorageAccess$authorization:RoleAssignment::americas-storage-access-revocations-worker
vault:KeyAccess$authorization:RoleAssignment::americas-key-access-portal
vault:KeyAccess$authorization:RoleAssignment::americas-key-access-revokers
vault:KeyAccess$authorization:RoleAssignment::americas-key-access-worker
vault:SigningKeys$keyvault:Key::americas-signing-key-portal
vault:SigningKeys$keyvault:Key::americas-signing-key-revocation
vault:SigningKeys$keyvault:Key::americas-signing-key-worker
vault:Vault$keyvault:Vault::americas-vault
vault:Vault$network:PrivateDnsZoneGroup::americas-vault-records
vault:Vault$network:PrivateEndpoint::americas-vault-endpoint
vault:VaultAccess$authorization:RoleAssignment::americas-vault-access-application
vault:VaultAccess$authorization:RoleAssignment::americas-vault-access-init
vault:VaultAccess$authorization:RoleAssignment::americas-vault-access-portal
vault:VaultAccess$authorization:RoleAssignment::americas-vault-access-worker
"""
