"""The resource types that this project emits, one row each: what Resource Manager knows about them.

Owns type token, ARM type, API version, id template, names, create-only properties and computed outputs. A type that is
not here does not exist in this cloud. How a row is used is in `operations.py`; rules between resources in `rules.py`.
"""

import hashlib
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from emulators.azure.documents import list_at, object_at

BODY = ("location", "tags", "identity", "kind", "managedBy", "extendedLocation")
"""Inputs that stand beside `properties` in an ARM body; every other one is a path parameter or inside `properties`."""


@dataclass(frozen=True)
class Assigned:
    """What the emulated cloud gives to a new resource."""

    tenant_id: Callable[[], str]
    reserve_port: Callable[[], int]
    identities: Callable[[str], Mapping[str, str] | None]
    """Principal and client id of a user-assigned identity by its ARM id."""


Computed = Callable[[str, Mapping[str, Any], Mapping[str, Any] | None, Assigned], dict[str, Any]]
"""(ARM id, body, body before this write or None, what the cloud gives) -> read-only properties."""


@dataclass(frozen=True)
class Row:
    """One type. `path` is the id below the resource group (or scope), `{x}` standing for the path input x."""

    arm_type: str
    api_version: str
    path: str
    name_input: str
    computed: Computed
    autonamed: str | None = "random"
    """How a missing name is made: "random" (logical name and 8 hex digits), "guid", or None (refused)."""
    create_only: tuple[str, ...] = ()
    """Property paths whose change replaces the resource; path inputs and location always do."""
    frozen: tuple[str, ...] = ()
    """Properties that cannot change after creation, where Azure silently ignores an update."""
    write_only: tuple[str, ...] = ()
    """Property paths that Azure takes and never gives back."""
    body: tuple[str, ...] = ()
    """Inputs beside `properties`, in addition to BODY."""
    located: bool = True
    globally_named: bool = False
    identity_is_list: bool = False
    process: bool = False
    """Whether a real process or listener stands behind it."""
    written_once: bool = False
    """Whether a PUT over it changes nothing and answers what is there."""
    levels: int = 1
    """How many names up its parent is; what stands between is there from the start."""
    path_inputs: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        inputs = tuple(part[1:-1] for part in self.path.split("/") if part.startswith("{"))
        object.__setattr__(self, "path_inputs", inputs)

    def id_of(self, subscription_id: str, inputs: Mapping[str, Any]) -> str:
        filled = "/".join(
            str(inputs[part[1:-1]]).strip("/") if part.startswith("{") else part for part in self.path.split("/")
        )
        return (
            f"/{filled}"
            if filled.lower().startswith("subscriptions/")
            else f"/subscriptions/{subscription_id}/{filled}"
        )

    def parent_of(self, arm_id: str) -> str:
        """The id that must exist first: the resource that this one is nested in, its group, scope or subscription."""
        if "/providers/" not in arm_id:
            return arm_id.rsplit("/", 2)[0]
        head, _, tail = arm_id.rpartition("/providers/")
        kinds = tail.split("/")
        return head if len(kinds) == 3 else "/".join([head, "providers", *kinds[: -2 * self.levels]])

    def to_arm(self, arm_id: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """The body of a PUT, as Resource Manager keeps it."""
        beside = (*BODY, *self.body)
        body: dict[str, Any] = {
            "id": arm_id,
            "name": arm_id.rsplit("/", 1)[1],
            "type": self.arm_type,
            "apiVersion": self.api_version,
            "properties": {},
        }
        for key, value in inputs.items():
            if key in self.path_inputs and key != "scope":
                continue
            if key in beside:
                body[key] = value
            elif key == "properties":
                body["properties"] |= value
            else:
                body["properties"][key] = value
        ids = list_at(body, "identity.userAssignedIdentities")
        if ids:
            body["identity"] = object_at(body, "identity") | {"userAssignedIdentities": {i: {} for i in ids}}
        return without(body, [f"properties.{p}" for p in self.write_only])

    def to_outputs(self, arm: Mapping[str, Any], *, nested: bool) -> dict[str, Any]:
        """What Pulumi sees of an ARM body; `nested` where the SDK keeps `properties` as one output."""
        outputs = {k: v for k, v in arm.items() if k not in ("id", "properties", "apiVersion")}
        properties = cast(dict[str, Any], arm["properties"])
        outputs |= {"properties": properties} if nested else properties
        return outputs | {"azureApiVersion": arm["apiVersion"]}


def without(body: dict[str, Any], paths: list[str]) -> dict[str, Any]:
    """A copy that lacks the given dotted paths."""
    for path in paths:
        head, _, rest = path.partition(".")
        if head not in body:
            continue
        if rest:
            body = body | {head: without(cast(dict[str, Any], body[head]), [rest])}
        else:
            body = {k: v for k, v in body.items() if k != head}
    return body


# --- computed properties ----------------------------------------------------------------------------------------


def _succeeded(
    arm_id: str, body: Mapping[str, Any], before: Mapping[str, Any] | None, given: Assigned
) -> dict[str, Any]:
    return {"provisioningState": "Succeeded"}


def _nothing(arm_id: str, body: Mapping[str, Any], before: Mapping[str, Any] | None, given: Assigned) -> dict[str, Any]:
    return {}


def _network(arm_id: str, body: Mapping[str, Any], before: Mapping[str, Any] | None, given: Assigned) -> dict[str, Any]:
    return {"provisioningState": "Succeeded", "resourceGuid": _kept(before, "resourceGuid", _guid)}


def _endpoint(
    arm_id: str, body: Mapping[str, Any], before: Mapping[str, Any] | None, given: Assigned
) -> dict[str, Any]:
    name = body["name"]
    card = arm_id.rsplit("/", 1)[0].rsplit("/", 1)[0] + f"/networkInterfaces/{name}.nic.{short_hash(arm_id)}"
    return {"provisioningState": "Succeeded", "networkInterfaces": [{"id": card}]}


def _zone(arm_id: str, body: Mapping[str, Any], before: Mapping[str, Any] | None, given: Assigned) -> dict[str, Any]:
    return {
        "provisioningState": "Succeeded",
        "maxNumberOfRecordSets": 25000,
        "numberOfRecordSets": 1,
        "maxNumberOfVirtualNetworkLinks": 1000,
        "maxNumberOfVirtualNetworkLinksWithRegistration": 100,
    }


def _link(arm_id: str, body: Mapping[str, Any], before: Mapping[str, Any] | None, given: Assigned) -> dict[str, Any]:
    return {"provisioningState": "Succeeded", "virtualNetworkLinkState": "Completed"}


def _identity(
    arm_id: str, body: Mapping[str, Any], before: Mapping[str, Any] | None, given: Assigned
) -> dict[str, Any]:
    return {
        "tenantId": given.tenant_id(),
        "principalId": _kept(before, "principalId", _guid),
        "clientId": _kept(before, "clientId", _guid),
    }


def _workspace(
    arm_id: str, body: Mapping[str, Any], before: Mapping[str, Any] | None, given: Assigned
) -> dict[str, Any]:
    return {"provisioningState": "Succeeded", "customerId": _kept(before, "customerId", _guid)}


def _vault(arm_id: str, body: Mapping[str, Any], before: Mapping[str, Any] | None, given: Assigned) -> dict[str, Any]:
    return {
        "provisioningState": "Succeeded",
        "vaultUri": _kept(before, "vaultUri", lambda: f"https://127.0.0.1:{given.reserve_port()}/"),
    }


def _server(arm_id: str, body: Mapping[str, Any], before: Mapping[str, Any] | None, given: Assigned) -> dict[str, Any]:
    return {
        "state": "Ready",
        "minorVersion": "0",
        "fullyQualifiedDomainName": _kept(
            before, "fullyQualifiedDomainName", lambda: f"127.0.0.1:{given.reserve_port()}"
        ),
    }


def _administrator(
    arm_id: str, body: Mapping[str, Any], before: Mapping[str, Any] | None, given: Assigned
) -> dict[str, Any]:
    return {"objectId": body["name"]}


def _configuration(
    arm_id: str, body: Mapping[str, Any], before: Mapping[str, Any] | None, given: Assigned
) -> dict[str, Any]:
    return {"isConfigPendingRestart": False, "isReadOnly": False}


def _environment(
    arm_id: str, body: Mapping[str, Any], before: Mapping[str, Any] | None, given: Assigned
) -> dict[str, Any]:
    domain = f"{short_hash(arm_id)}.{body.get('location', 'unknown')}.azurecontainerapps.io"
    return {
        "provisioningState": "Succeeded",
        "defaultDomain": domain,
        "staticIp": "127.0.0.1",
        "eventStreamEndpoint": f"https://{body.get('location')}.azurecontainerapps.dev{arm_id}/eventstream",
    }


def _app(arm_id: str, body: Mapping[str, Any], before: Mapping[str, Any] | None, given: Assigned) -> dict[str, Any]:
    """`operations.py` adds the ingress's FQDN, which needs the environment's domain."""
    revision = f"{body['name']}--{short_hash(repr(body.get('properties', {}).get('template')))[:7]}"
    return {
        "provisioningState": "InProgress",
        "runningStatus": "Running",
        "latestRevisionName": revision,
        "latestReadyRevisionName": (before or {}).get("properties", {}).get("latestReadyRevisionName", ""),
        "customDomainVerificationId": hashlib.sha256(given.tenant_id().encode()).hexdigest().upper(),
        "outboundIpAddresses": ["127.0.0.1"],
    }


def _secret(arm_id: str, body: Mapping[str, Any], before: Mapping[str, Any] | None, given: Assigned) -> dict[str, Any]:
    """`operations.py` fills in the URIs once the value is in the vault."""
    return {"secretUri": "", "secretUriWithVersion": ""}


def _key(arm_id: str, body: Mapping[str, Any], before: Mapping[str, Any] | None, given: Assigned) -> dict[str, Any]:
    """`operations.py` fills in the URIs once the key is in the vault."""
    return {"keyUri": "", "keyUriWithVersion": ""}


def _account(arm_id: str, body: Mapping[str, Any], before: Mapping[str, Any] | None, given: Assigned) -> dict[str, Any]:
    location = body.get("location")
    blob = object_at(before, "properties.primaryEndpoints").get("blob")
    return {
        "provisioningState": "Succeeded",
        "primaryEndpoints": {"blob": blob or f"https://127.0.0.1:{given.reserve_port()}/"},
        "primaryLocation": location,
        "statusOfPrimary": "available",
    }


def _container(
    arm_id: str, body: Mapping[str, Any], before: Mapping[str, Any] | None, given: Assigned
) -> dict[str, Any]:
    return {"leaseState": "Available", "leaseStatus": "Unlocked"}


def _immutability(
    arm_id: str, body: Mapping[str, Any], before: Mapping[str, Any] | None, given: Assigned
) -> dict[str, Any]:
    return {"state": "Unlocked"}


def _kept(before: Mapping[str, Any] | None, key: str, make: Callable[[], str]) -> str:
    return (before or {}).get("properties", {}).get(key) or make()


def _guid() -> str:
    return str(uuid.uuid4())


def short_hash(text: str) -> str:
    return hashlib.sha256(text.lower().encode()).hexdigest()[:16]


_GROUP = "resourceGroups/{resourceGroupName}"
_NET = f"{_GROUP}/providers/Microsoft.Network"
_ACCOUNT = f"{_GROUP}/providers/Microsoft.Storage/storageAccounts/{{accountName}}"
_CONTAINER = f"{_ACCOUNT}/blobServices/default/containers/{{containerName}}"
_PG = f"{_GROUP}/providers/Microsoft.DBforPostgreSQL/flexibleServers/{{serverName}}"

TYPES: dict[str, Row] = {
    "azure-native:resources:ResourceGroup": Row(
        "Microsoft.Resources/resourceGroups", "2024-03-01", _GROUP, "resourceGroupName", _succeeded
    ),
    "azure-native:network:VirtualNetwork": Row(
        "Microsoft.Network/virtualNetworks",
        "2024-05-01",
        f"{_NET}/virtualNetworks/{{virtualNetworkName}}",
        "virtualNetworkName",
        _network,
    ),
    "azure-native:network:Subnet": Row(
        "Microsoft.Network/virtualNetworks/subnets",
        "2024-05-01",
        f"{_NET}/virtualNetworks/{{virtualNetworkName}}/subnets/{{subnetName}}",
        "subnetName",
        _succeeded,
        located=False,
    ),
    "azure-native:network:PrivateEndpoint": Row(
        "Microsoft.Network/privateEndpoints",
        "2024-05-01",
        f"{_NET}/privateEndpoints/{{privateEndpointName}}",
        "privateEndpointName",
        _endpoint,
        create_only=("subnet", "privateLinkServiceConnections", "customNetworkInterfaceName"),
    ),
    "azure-native:network:PrivateDnsZoneGroup": Row(
        "Microsoft.Network/privateEndpoints/privateDnsZoneGroups",
        "2024-05-01",
        f"{_NET}/privateEndpoints/{{privateEndpointName}}/privateDnsZoneGroups/{{privateDnsZoneGroupName}}",
        "privateDnsZoneGroupName",
        _succeeded,
        located=False,
    ),
    "azure-native:privatedns:PrivateZone": Row(
        "Microsoft.Network/privateDnsZones",
        "2024-06-01",
        f"{_NET}/privateDnsZones/{{privateZoneName}}",
        "privateZoneName",
        _zone,
        autonamed=None,
        located=False,
    ),
    "azure-native:privatedns:VirtualNetworkLink": Row(
        "Microsoft.Network/privateDnsZones/virtualNetworkLinks",
        "2024-06-01",
        f"{_NET}/privateDnsZones/{{privateZoneName}}/virtualNetworkLinks/{{virtualNetworkLinkName}}",
        "virtualNetworkLinkName",
        _link,
        create_only=("virtualNetwork",),
        located=False,
    ),
    "azure-native:managedidentity:UserAssignedIdentity": Row(
        "Microsoft.ManagedIdentity/userAssignedIdentities",
        "2023-01-31",
        f"{_GROUP}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{{resourceName}}",
        "resourceName",
        _identity,
    ),
    "azure-native:authorization:RoleAssignment": Row(
        "Microsoft.Authorization/roleAssignments",
        "2022-04-01",
        "{scope}/providers/Microsoft.Authorization/roleAssignments/{roleAssignmentName}",
        "roleAssignmentName",
        _nothing,
        autonamed="guid",
        create_only=("principalId", "roleDefinitionId", "principalType", "delegatedManagedIdentityResourceId"),
        located=False,
    ),
    "azure-native:keyvault:Vault": Row(
        "Microsoft.KeyVault/vaults",
        "2024-11-01",
        f"{_GROUP}/providers/Microsoft.KeyVault/vaults/{{vaultName}}",
        "vaultName",
        _vault,
        create_only=("properties.tenantId",),
        globally_named=True,
        process=True,
    ),
    "azure-native:keyvault:Secret": Row(
        "Microsoft.KeyVault/vaults/secrets",
        "2024-11-01",
        f"{_GROUP}/providers/Microsoft.KeyVault/vaults/{{vaultName}}/secrets/{{secretName}}",
        "secretName",
        _secret,
        write_only=("value",),
        located=False,
    ),
    "azure-native:keyvault:Key": Row(
        "Microsoft.KeyVault/vaults/keys",
        "2024-11-01",
        f"{_GROUP}/providers/Microsoft.KeyVault/vaults/{{vaultName}}/keys/{{keyName}}",
        "keyName",
        _key,
        autonamed=None,
        # Given as `properties`, answered beside them.
        write_only=("properties",),
        located=False,
        written_once=True,
    ),
    "azure-native:storage:StorageAccount": Row(
        "Microsoft.Storage/storageAccounts",
        "2024-01-01",
        _ACCOUNT,
        "accountName",
        _account,
        autonamed=None,
        create_only=("dnsEndpointType", "immutableStorageWithVersioning"),
        body=("sku",),
        globally_named=True,
        process=True,
    ),
    "azure-native:storage:BlobServiceProperties": Row(
        "Microsoft.Storage/storageAccounts/blobServices",
        "2024-01-01",
        f"{_ACCOUNT}/blobServices/{{blobServicesName}}",
        "blobServicesName",
        _nothing,
        autonamed=None,
        located=False,
    ),
    "azure-native:storage:BlobContainer": Row(
        "Microsoft.Storage/storageAccounts/blobServices/containers",
        "2024-01-01",
        _CONTAINER,
        "containerName",
        _container,
        autonamed=None,
        create_only=("defaultEncryptionScope", "denyEncryptionScopeOverride"),
        located=False,
        levels=2,
    ),
    "azure-native:storage:BlobContainerImmutabilityPolicy": Row(
        "Microsoft.Storage/storageAccounts/blobServices/containers/immutabilityPolicies",
        "2024-01-01",
        f"{_CONTAINER}/immutabilityPolicies/{{immutabilityPolicyName}}",
        "immutabilityPolicyName",
        _immutability,
        autonamed=None,
        located=False,
    ),
    "azure-native:operationalinsights:Workspace": Row(
        "Microsoft.OperationalInsights/workspaces",
        "2023-09-01",
        f"{_GROUP}/providers/Microsoft.OperationalInsights/workspaces/{{workspaceName}}",
        "workspaceName",
        _workspace,
    ),
    "azure-native:dbforpostgresql:Server": Row(
        "Microsoft.DBforPostgreSQL/flexibleServers",
        "2025-08-01",
        _PG,
        "serverName",
        _server,
        create_only=(
            "administratorLogin",
            "availabilityZone",
            "network.delegatedSubnetResourceId",
            "sourceServerResourceId",
        ),
        write_only=("administratorLoginPassword", "createMode", "pointInTimeUTC"),
        body=("sku",),
        globally_named=True,
        process=True,
    ),
    "azure-native:dbforpostgresql:AdministratorsMicrosoftEntra": Row(
        "Microsoft.DBforPostgreSQL/flexibleServers/administrators",
        "2025-08-01",
        f"{_PG}/administrators/{{objectId}}",
        "objectId",
        _administrator,
        autonamed=None,
        create_only=("principalName", "principalType", "tenantId"),
        write_only=("tenantId",),
        located=False,
        process=True,
    ),
    "azure-native:dbforpostgresql:Configuration": Row(
        "Microsoft.DBforPostgreSQL/flexibleServers/configurations",
        "2025-08-01",
        f"{_PG}/configurations/{{configurationName}}",
        "configurationName",
        _configuration,
        autonamed=None,
        located=False,
        process=True,
    ),
    "azure-native:dbforpostgresql:Database": Row(
        "Microsoft.DBforPostgreSQL/flexibleServers/databases",
        "2025-08-01",
        f"{_PG}/databases/{{databaseName}}",
        "databaseName",
        _nothing,
        create_only=("charset", "collation"),
        located=False,
        process=True,
    ),
    "azure-native:app:ManagedEnvironment": Row(
        "Microsoft.App/managedEnvironments",
        "2025-02-02-preview",
        f"{_GROUP}/providers/Microsoft.App/managedEnvironments/{{environmentName}}",
        "environmentName",
        _environment,
        frozen=("vnetConfiguration",),
        create_only=("zoneRedundant", "infrastructureResourceGroup"),
        write_only=("appLogsConfiguration.logAnalyticsConfiguration.sharedKey",),
    ),
    "azure-native:app:ContainerApp": Row(
        "Microsoft.App/containerApps",
        "2025-02-02-preview",
        f"{_GROUP}/providers/Microsoft.App/containerApps/{{containerAppName}}",
        "containerAppName",
        _app,
        create_only=("managedEnvironmentId", "environmentId"),
        process=True,
    ),
}

BY_ARM_TYPE: dict[str, Row] = {row.arm_type.lower(): row for row in TYPES.values()}
NESTED_PROPERTIES = frozenset({"azure-native:keyvault:Vault", "azure-native:keyvault:Secret"})
