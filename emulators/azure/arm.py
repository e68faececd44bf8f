"""The resource types that this project emits, one row each: what Resource Manager knows about them.

Owns type token, ARM type, API version, id template and what a row's body becomes. A type that is not here does not
exist in this cloud. What a body may hold and what of it can change is in `definitions/`; how a row is used in
`operations.py`; what is computed in `computed.py`; names in `names.py`; rules between resources in `rules.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from emulators.azure import computed
from emulators.azure.computed import Computed
from emulators.azure.definitions import reading, shape
from emulators.azure.documents import list_at, object_at


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
    write_only: tuple[str, ...] = ()
    """Property paths that Azure takes and never gives back."""
    spelled: Mapping[str, str] = field(default_factory=dict[str, str])
    """Inputs that have another name in the body, at any depth: input to property."""
    located: bool = True
    globally_named: bool = False
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

    @property
    def definition(self) -> reading.Body:
        """Azure's definition of the body, from the committed extract."""
        return reading.committed().body(self.arm_type, self.api_version)

    def body_path(self, path: str) -> str:
        """Where an input's dotted path is in the body: `sku.name` beside `properties`, others inside."""
        head, dot, rest = path.partition(".")
        head = self.spelled.get(head, head)
        return f"{head}{dot}{rest}" if self.definition.has(head) else f"properties.{head}{dot}{rest}"

    def put_body(self, name: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """What azure-native sends: the body of the PUT, as Azure's definition has it."""
        return shape.put_back(self.definition, self._flat(name, inputs), self.spelled)

    def to_arm(self, arm_id: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """What this cloud keeps of a PUT: below its `properties` as flat as azure-native's inputs and outputs are."""
        body: dict[str, Any] = {"id": arm_id, "type": self.arm_type, "apiVersion": self.api_version, "properties": {}}
        body |= self._flat(arm_id.rsplit("/", 1)[1], inputs)
        return without(body, [f"properties.{p}" for p in self.write_only])

    def _flat(self, name: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """An input is a property of the body itself or of its `properties`; path inputs are in neither."""
        body: dict[str, Any] = {"name": name}
        properties: dict[str, Any] = {}
        for key, value in inputs.items():
            if key in self.path_inputs or value is None:
                continue
            spelled = self.spelled.get(key, key)
            if spelled == "properties":
                properties |= value
            else:
                (body if self.definition.has(spelled) else properties)[spelled] = value
        if properties:
            body["properties"] = properties
        ids = list_at(body, "identity.userAssignedIdentities")
        if ids:
            body["identity"] = object_at(body, "identity") | {"userAssignedIdentities": {i: {} for i in ids}}
        return body

    def to_outputs(self, arm: Mapping[str, Any], *, nested: bool) -> dict[str, Any]:
        """What Pulumi sees of an ARM body; `nested` where the SDK keeps `properties` as one output."""
        inputs = {body: given for given, body in self.spelled.items()}
        outputs = {k: v for k, v in arm.items() if k not in ("id", "properties", "apiVersion")}
        properties = {inputs.get(k, k): v for k, v in cast(dict[str, Any], arm["properties"]).items()}
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


_GROUP = "resourceGroups/{resourceGroupName}"
_NET = f"{_GROUP}/providers/Microsoft.Network"
_ACCOUNT = f"{_GROUP}/providers/Microsoft.Storage/storageAccounts/{{accountName}}"
_CONTAINER = f"{_ACCOUNT}/blobServices/default/containers/{{containerName}}"
_PG = f"{_GROUP}/providers/Microsoft.DBforPostgreSQL/flexibleServers/{{serverName}}"

TYPES: dict[str, Row] = {
    "azure-native:resources:ResourceGroup": Row(
        "Microsoft.Resources/resourceGroups", "2024-03-01", _GROUP, "resourceGroupName", computed.succeeded
    ),
    "azure-native:network:NetworkSecurityGroup": Row(
        "Microsoft.Network/networkSecurityGroups",
        "2024-05-01",
        f"{_NET}/networkSecurityGroups/{{networkSecurityGroupName}}",
        "networkSecurityGroupName",
        computed.network,
    ),
    "azure-native:network:PublicIPAddress": Row(
        "Microsoft.Network/publicIPAddresses",
        "2024-05-01",
        f"{_NET}/publicIPAddresses/{{publicIpAddressName}}",
        "publicIpAddressName",
        computed.public_address,
    ),
    "azure-native:network:NatGateway": Row(
        "Microsoft.Network/natGateways",
        "2024-05-01",
        f"{_NET}/natGateways/{{natGatewayName}}",
        "natGatewayName",
        computed.network,
    ),
    "azure-native:network:WebApplicationFirewallPolicy": Row(
        "Microsoft.Network/ApplicationGatewayWebApplicationFirewallPolicies",
        "2024-05-01",
        f"{_NET}/ApplicationGatewayWebApplicationFirewallPolicies/{{policyName}}",
        "policyName",
        computed.firewall_policy,
    ),
    "azure-native:network:ApplicationGateway": Row(
        "Microsoft.Network/applicationGateways",
        "2024-05-01",
        f"{_NET}/applicationGateways/{{applicationGatewayName}}",
        "applicationGatewayName",
        computed.gateway,
    ),
    "azure-native:network:VirtualNetwork": Row(
        "Microsoft.Network/virtualNetworks",
        "2024-05-01",
        f"{_NET}/virtualNetworks/{{virtualNetworkName}}",
        "virtualNetworkName",
        computed.network,
    ),
    "azure-native:network:Subnet": Row(
        "Microsoft.Network/virtualNetworks/subnets",
        "2024-05-01",
        f"{_NET}/virtualNetworks/{{virtualNetworkName}}/subnets/{{subnetName}}",
        "subnetName",
        computed.succeeded,
        located=False,
    ),
    "azure-native:network:PrivateEndpoint": Row(
        "Microsoft.Network/privateEndpoints",
        "2024-05-01",
        f"{_NET}/privateEndpoints/{{privateEndpointName}}",
        "privateEndpointName",
        computed.endpoint,
    ),
    "azure-native:network:PrivateDnsZoneGroup": Row(
        "Microsoft.Network/privateEndpoints/privateDnsZoneGroups",
        "2024-05-01",
        f"{_NET}/privateEndpoints/{{privateEndpointName}}/privateDnsZoneGroups/{{privateDnsZoneGroupName}}",
        "privateDnsZoneGroupName",
        computed.succeeded,
        located=False,
    ),
    "azure-native:privatedns:PrivateZone": Row(
        "Microsoft.Network/privateDnsZones",
        "2024-06-01",
        f"{_NET}/privateDnsZones/{{privateZoneName}}",
        "privateZoneName",
        computed.zone,
        autonamed=None,
        located=False,
    ),
    "azure-native:privatedns:VirtualNetworkLink": Row(
        "Microsoft.Network/privateDnsZones/virtualNetworkLinks",
        "2024-06-01",
        f"{_NET}/privateDnsZones/{{privateZoneName}}/virtualNetworkLinks/{{virtualNetworkLinkName}}",
        "virtualNetworkLinkName",
        computed.link,
        located=False,
    ),
    "azure-native:managedidentity:UserAssignedIdentity": Row(
        "Microsoft.ManagedIdentity/userAssignedIdentities",
        "2023-01-31",
        f"{_GROUP}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{{resourceName}}",
        "resourceName",
        computed.identity,
    ),
    "azure-native:authorization:RoleAssignment": Row(
        "Microsoft.Authorization/roleAssignments",
        "2022-04-01",
        "{scope}/providers/Microsoft.Authorization/roleAssignments/{roleAssignmentName}",
        "roleAssignmentName",
        computed.scoped,
        autonamed="guid",
        located=False,
    ),
    "azure-native:keyvault:Vault": Row(
        "Microsoft.KeyVault/vaults",
        "2024-11-01",
        f"{_GROUP}/providers/Microsoft.KeyVault/vaults/{{vaultName}}",
        "vaultName",
        computed.vault,
        globally_named=True,
        process=True,
    ),
    "azure-native:keyvault:Secret": Row(
        "Microsoft.KeyVault/vaults/secrets",
        "2024-11-01",
        f"{_GROUP}/providers/Microsoft.KeyVault/vaults/{{vaultName}}/secrets/{{secretName}}",
        "secretName",
        computed.secret,
        write_only=("value",),
        located=False,
    ),
    "azure-native:keyvault:Key": Row(
        "Microsoft.KeyVault/vaults/keys",
        "2024-11-01",
        f"{_GROUP}/providers/Microsoft.KeyVault/vaults/{{vaultName}}/keys/{{keyName}}",
        "keyName",
        computed.key,
        autonamed=None,
        located=False,
        written_once=True,
    ),
    "azure-native:containerregistry:Registry": Row(
        "Microsoft.ContainerRegistry/registries",
        "2023-01-01-preview",
        f"{_GROUP}/providers/Microsoft.ContainerRegistry/registries/{{registryName}}",
        "registryName",
        computed.registry,
        autonamed=None,
        globally_named=True,
    ),
    "azure-native:storage:StorageAccount": Row(
        "Microsoft.Storage/storageAccounts",
        "2024-01-01",
        _ACCOUNT,
        "accountName",
        computed.account,
        autonamed=None,
        # x-ms-client-name of the API's description: azure-native names the input after it.
        spelled={"networkRuleSet": "networkAcls", "enableHttpsTrafficOnly": "supportsHttpsTrafficOnly"},
        globally_named=True,
        process=True,
    ),
    "azure-native:storage:BlobServiceProperties": Row(
        "Microsoft.Storage/storageAccounts/blobServices",
        "2024-01-01",
        f"{_ACCOUNT}/blobServices/{{blobServicesName}}",
        "blobServicesName",
        computed.nothing,
        autonamed=None,
        located=False,
    ),
    "azure-native:storage:BlobContainer": Row(
        "Microsoft.Storage/storageAccounts/blobServices/containers",
        "2024-01-01",
        _CONTAINER,
        "containerName",
        computed.container,
        autonamed=None,
        located=False,
        levels=2,
    ),
    "azure-native:storage:BlobContainerImmutabilityPolicy": Row(
        "Microsoft.Storage/storageAccounts/blobServices/containers/immutabilityPolicies",
        "2024-01-01",
        f"{_CONTAINER}/immutabilityPolicies/{{immutabilityPolicyName}}",
        "immutabilityPolicyName",
        computed.immutability,
        autonamed=None,
        located=False,
    ),
    "azure-native:operationalinsights:Workspace": Row(
        "Microsoft.OperationalInsights/workspaces",
        "2023-09-01",
        f"{_GROUP}/providers/Microsoft.OperationalInsights/workspaces/{{workspaceName}}",
        "workspaceName",
        computed.workspace,
    ),
    "azure-native:monitor:DiagnosticSetting": Row(
        "Microsoft.Insights/diagnosticSettings",
        "2021-05-01-preview",
        "{resourceUri}/providers/Microsoft.Insights/diagnosticSettings/{name}",
        "name",
        computed.nothing,
        located=False,
    ),
    "azure-native:monitor:ActionGroup": Row(
        "Microsoft.Insights/actionGroups",
        "2024-10-01-preview",
        f"{_GROUP}/providers/Microsoft.Insights/actionGroups/{{actionGroupName}}",
        "actionGroupName",
        computed.nothing,
        located=False,
    ),
    "azure-native:monitor:ScheduledQueryRule": Row(
        "Microsoft.Insights/scheduledQueryRules",
        "2025-01-01-preview",
        f"{_GROUP}/providers/Microsoft.Insights/scheduledQueryRules/{{ruleName}}",
        "ruleName",
        computed.nothing,
    ),
    "azure-native:monitor:MetricAlert": Row(
        "Microsoft.Insights/metricAlerts",
        "2018-03-01",
        f"{_GROUP}/providers/Microsoft.Insights/metricAlerts/{{ruleName}}",
        "ruleName",
        computed.nothing,
        spelled={"odataType": "odata.type"},
        located=False,
    ),
    "azure-native:authorization:ManagementLockByScope": Row(
        "Microsoft.Authorization/locks",
        "2020-05-01",
        "{scope}/providers/Microsoft.Authorization/locks/{lockName}",
        "lockName",
        computed.nothing,
        located=False,
    ),
    "azure-native:authorization:PolicyAssignment": Row(
        "Microsoft.Authorization/policyAssignments",
        "2025-01-01",
        "{scope}/providers/Microsoft.Authorization/policyAssignments/{policyAssignmentName}",
        "policyAssignmentName",
        computed.scoped,
        located=False,
    ),
    "azure-native:consumption:Budget": Row(
        "Microsoft.Consumption/budgets",
        "2024-08-01",
        "{scope}/providers/Microsoft.Consumption/budgets/{budgetName}",
        "budgetName",
        computed.nothing,
        located=False,
    ),
    "azure-native:dbforpostgresql:Server": Row(
        "Microsoft.DBforPostgreSQL/flexibleServers",
        "2025-08-01",
        _PG,
        "serverName",
        computed.server,
        write_only=("administratorLoginPassword", "createMode", "pointInTimeUTC"),
        globally_named=True,
        process=True,
    ),
    "azure-native:dbforpostgresql:AdministratorsMicrosoftEntra": Row(
        "Microsoft.DBforPostgreSQL/flexibleServers/administrators",
        "2025-08-01",
        f"{_PG}/administrators/{{objectId}}",
        "objectId",
        computed.administrator,
        autonamed=None,
        write_only=("tenantId",),
        located=False,
        process=True,
    ),
    "azure-native:dbforpostgresql:Configuration": Row(
        "Microsoft.DBforPostgreSQL/flexibleServers/configurations",
        "2025-08-01",
        f"{_PG}/configurations/{{configurationName}}",
        "configurationName",
        computed.configuration,
        autonamed=None,
        located=False,
        process=True,
    ),
    "azure-native:dbforpostgresql:Database": Row(
        "Microsoft.DBforPostgreSQL/flexibleServers/databases",
        "2025-08-01",
        f"{_PG}/databases/{{databaseName}}",
        "databaseName",
        computed.nothing,
        located=False,
        process=True,
    ),
    "azure-native:app:ManagedEnvironment": Row(
        "Microsoft.App/managedEnvironments",
        "2025-02-02-preview",
        f"{_GROUP}/providers/Microsoft.App/managedEnvironments/{{environmentName}}",
        "environmentName",
        computed.environment,
        write_only=("appLogsConfiguration.logAnalyticsConfiguration.sharedKey",),
    ),
    "azure-native:app:Certificate": Row(
        "Microsoft.App/managedEnvironments/certificates",
        "2025-02-02-preview",
        f"{_GROUP}/providers/Microsoft.App/managedEnvironments/{{environmentName}}/certificates/{{certificateName}}",
        "certificateName",
        computed.certificate,
    ),
    "azure-native:app:ContainerApp": Row(
        "Microsoft.App/containerApps",
        "2025-02-02-preview",
        f"{_GROUP}/providers/Microsoft.App/containerApps/{{containerAppName}}",
        "containerAppName",
        computed.app,
        process=True,
    ),
}

BY_ARM_TYPE: dict[str, Row] = {row.arm_type.lower(): row for row in TYPES.values()}
NESTED_PROPERTIES = frozenset(
    {"azure-native:app:Certificate", "azure-native:keyvault:Vault", "azure-native:keyvault:Secret"}
)
