"""What Resource Manager refuses beyond the shape of one body: references, sizes, ranges, scopes, use by others.

Owns rules as functions over the store's contents and one ARM body; each raises `AzureError` with the code that Azure
gives. Where an Azure feature is not emulated, asking for it is refused here, so that nothing is silently ignored.
"""

import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from emulators.azure import entry_rules, governing, watching
from emulators.azure.bags import leaves
from emulators.azure.documents import list_at, object_at, value_at
from emulators.azure.errors import AzureError
from emulators.azure.gateway_rules import check_alone
from emulators.azure.registry_rules import check_pull, check_registry
from emulators.azure.roles import ROLES, role_id
from emulators.azure.store import Contents
from emulators.azure.template_rules import check_template
from schemas.vocabulary import AZURE_REGIONS

_RESOURCE = re.compile(r"/subscriptions/[^/]+/resourcegroups/", re.IGNORECASE)
MAXIMUM_VARIABLE_BYTES = 32 * 1024
MAXIMUM_SECRET_BYTES = 25 * 1024
REGIONS = frozenset(region for regions in AZURE_REGIONS.values() for region in regions)


def check_write(contents: Contents, arm: Mapping[str, Any], principals: Callable[[], set[str]]) -> None:
    """All rules of one PUT. `principals` are the object ids that the tenant knows."""
    _location(contents, arm)
    governing.check_location(contents, arm)
    named = list(references(arm))
    for reference in named:
        if contents.get(reference) is None and "/roledefinitions/" not in reference.lower():
            raise AzureError(404, "ResourceNotFound", f"'{arm['name']}' refers to {reference}, which does not exist")
    check_alone(contents, arm, named)
    rule = _BY_TYPE.get(arm["type"].lower())
    if rule is _role_assignment:
        _role_assignment(contents, arm, principals)
    elif rule is not None:
        rule(contents, arm)


def check_change(before: Mapping[str, Any], arm: Mapping[str, Any]) -> None:
    """A database's storage only grows ("Scaling Azure Database for PostgreSQL", storage)."""
    if arm["type"].lower() == "microsoft.dbforpostgresql/flexibleservers":
        had, wanted = (int(value_at(body, "properties.storage.storageSizeGB") or 0) for body in (before, arm))
        if wanted < had:
            message = f"'{arm['name']}': storage of {had} GB cannot be made smaller ({wanted} GB)"
            raise AzureError(400, "InvalidParameterValue", message)


def check_delete(contents: Contents, arm: Mapping[str, Any]) -> None:
    """Azure keeps what is locked, and what others use, such as subnets, zones and what gateways are bound to."""
    governing.check_locks(contents, arm)
    kind, key = arm["type"].lower(), arm["id"].lower()
    if kind in _IN_USE:
        for other in contents.resources.values():
            if (
                other["id"].lower() == key
                or other["type"].lower() == "microsoft.network/privatednszones/virtualnetworklinks"
            ):
                continue
            if any((r.lower() + "/").startswith(key + "/") for r in references(other)):
                raise AzureError(409, _IN_USE[kind], f"'{arm['name']}' is in use by {other['id']}")
    if kind == "microsoft.network/privatednszones" and contents.below(arm["id"]):
        raise AzureError(409, "CannotDeleteResource", f"the zone '{arm['name']}' still has links to virtual networks")


def references(arm: Mapping[str, Any]) -> Iterator[str]:
    """The ids of other resources that a body names; parts of its own are not others."""
    own = arm["id"].lower()
    yield from object_at(arm, "identity.userAssignedIdentities")
    properties = {k: v for k, v in arm["properties"].items() if k not in ("networkInterfaces", "scope")}
    for _, value in leaves(properties):
        if isinstance(value, str) and _RESOURCE.match(value) and not (value.lower() + "/").startswith(own + "/"):
            yield value


# --- one type each ----------------------------------------------------------------------------------------------


def _location(contents: Contents, arm: Mapping[str, Any]) -> None:
    row, location = contents.row(arm), arm.get("location")
    if row.located and location not in REGIONS:
        raise AzureError(400, "LocationNotAvailableForResourceType", f"expected an Azure region, got '{location}'")


def _virtual_network(contents: Contents, arm: Mapping[str, Any]) -> None:
    if arm["properties"].get("subnets"):
        raise AzureError(501, "NotEmulated", "subnets inside a virtual network: declare network:Subnet resources")
    _prefixes(arm["properties"].get("addressSpace", {}).get("addressPrefixes") or [])


def _subnet(contents: Contents, arm: Mapping[str, Any]) -> None:
    network = contents.get(arm["id"].rsplit("/subnets/", 1)[0]) or {}
    space = _prefixes(network["properties"].get("addressSpace", {}).get("addressPrefixes") or [])
    for mine in _subnet_ranges(arm):
        if not any(mine.subnet_of(range_) for range_ in space):
            raise AzureError(400, "NetcfgInvalidSubnet", f"subnet range {mine} is outside the virtual network's")
        for other in contents.of_type(arm["type"]):
            if other["id"].lower() != arm["id"].lower() and other["id"].lower().startswith(network["id"].lower() + "/"):
                for theirs in _subnet_ranges(other):
                    if mine.overlaps(theirs):
                        raise AzureError(400, "NetcfgSubnetRangesOverlap", f"{mine} overlaps with '{other['name']}'")

    entry_rules.subnet(contents, arm)


def _subnet_ranges(arm: Mapping[str, Any]) -> list[ipaddress.IPv4Network]:
    properties = arm["properties"]
    return _prefixes(properties.get("addressPrefixes") or [properties.get("addressPrefix")])


def _prefixes(values: list[Any]) -> list[ipaddress.IPv4Network]:
    try:
        return [ipaddress.IPv4Network(value) for value in values]
    except ValueError as e:
        raise AzureError(400, "InvalidCIDRNotation", f"expected IPv4 ranges: {e}") from None


def _role_assignment(contents: Contents, arm: Mapping[str, Any], principals: Callable[[], set[str]]) -> None:
    properties = arm["properties"]
    role, principal = role_id(properties["roleDefinitionId"]), properties["principalId"]
    if role not in ROLES:
        raise AzureError(404, "RoleDefinitionDoesNotExist", f"no built-in role of this cloud has the id '{role}'")
    if principal not in principals():
        raise AzureError(400, "PrincipalNotFound", f"principal {principal} does not exist in the directory")
    scope = arm["id"].rsplit("/providers/", 1)[0].lower()
    for other in contents.of_type(arm["type"]):
        same = (
            other["properties"]["principalId"] == principal and role_id(other["properties"]["roleDefinitionId"]) == role
        )
        if (
            same
            and other["id"].lower() != arm["id"].lower()
            and other["id"].rsplit("/providers/", 1)[0].lower() == scope
        ):
            raise AzureError(409, "RoleAssignmentExists", f"the role assignment already exists: {other['name']}")


def check_secret(value: str) -> None:
    if len(value.encode()) > MAXIMUM_SECRET_BYTES:
        raise AzureError(400, "BadParameter", "the value of a secret may hold 25 KB at most")


def _key(contents: Contents, arm: Mapping[str, Any]) -> None:
    properties = arm["properties"]
    if properties.get("kty") not in ("EC", "RSA"):
        raise AzureError(400, "BadParameter", "expected a key of type EC or RSA in a standard vault")
    if not set(list_at(properties, "keyOps")) <= {"sign", "verify"}:
        raise AzureError(501, "NotEmulated", "keys that do anything but sign and verify")
    if properties.get("releasePolicy") or properties.get("rotationPolicy"):
        raise AzureError(501, "NotEmulated", "release and rotation of keys")


def _storage_account(contents: Contents, arm: Mapping[str, Any]) -> None:
    properties = arm["properties"]
    if arm.get("kind") != "StorageV2":
        raise AzureError(501, "NotEmulated", f"storage accounts of kind {arm.get('kind')}")
    if properties.get("allowSharedKeyAccess") is not False or properties.get("allowBlobPublicAccess") is not False:
        raise AzureError(501, "NotEmulated", "shared keys and public access: blobs are reached by identity")
    for feature in ("isHnsEnabled", "enableNfsV3", "isSftpEnabled", "customDomain", "immutableStorageWithVersioning"):
        if properties.get(feature):
            raise AzureError(501, "NotEmulated", feature)


def _container(contents: Contents, arm: Mapping[str, Any]) -> None:
    properties = arm["properties"]
    if properties.get("publicAccess") not in (None, "None"):
        raise AzureError(409, "PublicAccessNotPermitted", "Public access is not permitted on this storage account.")
    if properties.get("immutableStorageWithVersioning"):
        raise AzureError(501, "NotEmulated", "immutability of versions: use a policy of the container")


def _immutability(contents: Contents, arm: Mapping[str, Any]) -> None:
    properties = arm["properties"]
    days = properties.get("immutabilityPeriodSinceCreationInDays")
    if not isinstance(days, int) or not 1 <= days <= 146_000:
        raise AzureError(400, "InvalidRequestPropertyValue", f"expected between 1 and 146000 days, got {days}")
    if properties.get("allowProtectedAppendWrites") or properties.get("allowProtectedAppendWritesAll"):
        raise AzureError(501, "NotEmulated", "append blobs")


def _server(contents: Contents, arm: Mapping[str, Any]) -> None:
    properties = arm["properties"]
    login = properties.get("authConfig", {})
    if login.get("passwordAuth", "Enabled") == "Enabled" and not properties.get("administratorLogin"):
        raise AzureError(400, "InvalidParameterValue", "administratorLogin is required while password login is on")
    available = properties.get("highAvailability", {}).get("mode") not in ("Disabled", None)
    if available and arm.get("sku", {}).get("tier") == "Burstable":
        raise AzureError(400, "HANotSupportedForBurstable", "high availability needs another tier than Burstable")


def _administrator(contents: Contents, arm: Mapping[str, Any]) -> None:
    server = contents.get(arm["id"].rsplit("/administrators/", 1)[0]) or {}
    if server["properties"].get("authConfig", {}).get("activeDirectoryAuth") != "Enabled":
        raise AzureError(400, "AadAuthNotEnabled", "Microsoft Entra login is not enabled on this server")
    if not arm["properties"].get("principalName"):
        raise AzureError(400, "InvalidParameterValue", "principalName is required")


def _environment(contents: Contents, arm: Mapping[str, Any]) -> None:
    subnet_id = arm["properties"].get("vnetConfiguration", {}).get("infrastructureSubnetId")
    if not subnet_id:
        return
    subnet = contents.get(subnet_id) or {}
    delegated = [d.get("serviceName") for d in list_at(subnet, "properties.delegations")]
    if "Microsoft.App/environments" not in delegated:
        raise AzureError(
            400, "ManagedEnvironmentInvalidSubnet", "the subnet is not delegated to Microsoft.App/environments"
        )
    if any(r.prefixlen > 27 for r in _subnet_ranges(subnet)):
        raise AzureError(400, "ManagedEnvironmentInvalidSubnetSize", "the subnet must be /27 or larger")


def _app(contents: Contents, arm: Mapping[str, Any]) -> None:
    properties = arm["properties"]
    template = object_at(properties, "template")
    environment = contents.get(properties.get("managedEnvironmentId") or properties.get("environmentId") or "")
    if environment is None:
        raise AzureError(400, "InvalidParameterValueInContainerTemplate", "managedEnvironmentId is required")
    if environment["location"] != arm["location"]:
        raise AzureError(400, "LocationMismatch", f"expected the environment's location, {environment['location']}")
    if len(list_at(template, "containers")) != 1:
        raise AzureError(501, "NotEmulated", "a container app runs exactly one container here")
    if template.get("volumes") or template.get("serviceBinds") or value_at(properties, "configuration.dapr"):
        raise AzureError(501, "NotEmulated", "volumes, service binds and Dapr")
    for container in [*list_at(template, "containers"), *list_at(template, "initContainers")]:
        if not container.get("image") or not container.get("name"):
            raise AzureError(400, "ContainerAppInvalidTemplate", "a container needs a name and an image")
        for variable in list_at(container, "env"):
            if variable.get("secretRef"):
                raise AzureError(501, "NotEmulated", "secretRef: secrets are read from the vault by identity")
            if len(str(variable.get("value") or "").encode()) > MAXIMUM_VARIABLE_BYTES:
                raise AzureError(
                    400, "ContainerAppInvalidEnvVar", f"environment variable {variable.get('name')} is over 32 KiB"
                )
    check_template(template)
    check_pull(contents, arm)
    assigned = {arm_id.lower() for arm_id in object_at(arm, "identity.userAssignedIdentities")}
    for setting in list_at(properties, "configuration.identitySettings"):
        if setting["identity"].lower() not in assigned:
            raise AzureError(400, "InvalidIdentitySettings", f"{setting['identity']} is not assigned to the app")
        if setting.get("lifecycle", "All") not in ("Init", "Main", "None", "All"):
            raise AzureError(400, "InvalidIdentitySettings", "expected the life cycle Init, Main, None or All")


_BY_TYPE: dict[str, Callable[..., None]] = {
    "microsoft.network/virtualnetworks": _virtual_network,
    "microsoft.network/virtualnetworks/subnets": _subnet,
    "microsoft.authorization/roleassignments": _role_assignment,
    "microsoft.authorization/locks": governing.lock,
    "microsoft.authorization/policyassignments": governing.policy_assignment,
    "microsoft.consumption/budgets": governing.budget,
    "microsoft.insights/actiongroups": watching.action_group,
    "microsoft.insights/diagnosticsettings": watching.diagnostic_setting,
    "microsoft.insights/metricalerts": watching.metric_alert,
    "microsoft.insights/scheduledqueryrules": watching.query_rule,
    "microsoft.containerregistry/registries": check_registry,
    "microsoft.keyvault/vaults/keys": _key,
    "microsoft.storage/storageaccounts": _storage_account,
    "microsoft.storage/storageaccounts/blobservices/containers": _container,
    "microsoft.storage/storageaccounts/blobservices/containers/immutabilitypolicies": _immutability,
    "microsoft.dbforpostgresql/flexibleservers": _server,
    "microsoft.dbforpostgresql/flexibleservers/administrators": _administrator,
    "microsoft.app/managedenvironments": _environment,
    "microsoft.app/containerapps": _app,
    **entry_rules.BY_TYPE,
}

_IN_USE = {
    "microsoft.network/virtualnetworks/subnets": "ResourceInUse",
    "microsoft.network/virtualnetworks": "ResourceInUse",
    "microsoft.app/managedenvironments": "ResourceInUse",
    **entry_rules.IN_USE,
}
