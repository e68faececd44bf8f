"""What is refused of a container registry, and of an app that pulls from one.

Owns who may pull: an app names the registry and an identity of its own, and that identity has the role AcrPull at the
registry or above it (Azure documentation, "Azure Container Apps image pull with managed identity"). What is in a
registry is `images.py`.
"""

from collections.abc import Mapping
from typing import Any

from emulators.azure.documents import list_at, object_at, value_at
from emulators.azure.errors import AzureError
from emulators.azure.roles import ACR_PULL, role_id
from emulators.azure.store import Contents

REGISTRIES = "Microsoft.ContainerRegistry/registries"
INVALID = "InvalidParameterValueInContainerTemplate"


def check_registry(contents: Contents, arm: Mapping[str, Any]) -> None:
    properties = arm["properties"]
    if value_at(arm, "sku.name") != "Premium":
        raise AzureError(501, "NotEmulated", "registries that are not Premium: only those have private endpoints")
    if properties.get("adminUserEnabled") or properties.get("anonymousPullEnabled"):
        raise AzureError(501, "NotEmulated", "an admin user and anonymous pull: images are pulled by identity")
    public = properties.get("publicNetworkAccess") != "Disabled"
    if public and value_at(properties, "policies.exportPolicy.status") == "disabled":
        raise AzureError(400, "CannotDisableExport", "exports can be disabled where public network access is, no else")
    for policy in ("quarantinePolicy", "trustPolicy", "retentionPolicy", "softDeletePolicy"):
        if value_at(properties, f"policies.{policy}.status") == "enabled":
            raise AzureError(501, "NotEmulated", policy)


def check_pull(contents: Contents, arm: Mapping[str, Any]) -> None:
    """Of every image of an app's template."""
    template = object_at(arm, "properties.template")
    identities = {
        str(r.get("server")).lower(): str(r.get("identity") or "")
        for r in list_at(arm, "properties.configuration.registries")
    }
    assigned = {arm_id.lower() for arm_id in object_at(arm, "identity.userAssignedIdentities")}
    registries = {r["properties"]["loginServer"]: r for r in contents.of_type(REGISTRIES)}
    for container in [*list_at(template, "containers"), *list_at(template, "initContainers")]:
        image = str(container["image"])
        server = image.partition("/")[0].lower()
        registry, identity = registries.get(server), identities.get(server, "")
        if registry is None:
            raise AzureError(400, INVALID, f"'{image}': no registry of this cloud has the log-in server '{server}'")
        if identity.lower() not in assigned:
            raise AzureError(400, INVALID, f"'{image}': UNAUTHORIZED: no identity of the app is named for '{server}'")
        if not _may_pull(contents, registry["id"], identity):
            name = identity.rpartition("/")[2]
            raise AzureError(400, INVALID, f"'{image}': UNAUTHORIZED: '{name}' lacks the role AcrPull at '{server}'")


def _may_pull(contents: Contents, registry_id: str, identity_id: str) -> bool:
    identity = contents.get(identity_id) or {}
    principal = value_at(identity, "properties.principalId")
    return any(
        properties["principalId"] == principal
        and role_id(properties["roleDefinitionId"]) == ACR_PULL
        and f"{registry_id}/".lower().startswith(arm_id.lower().rsplit("/providers/", 1)[0] + "/")
        for arm_id, properties in (
            (a["id"], a["properties"]) for a in contents.of_type("Microsoft.Authorization/roleAssignments")
        )
    )
