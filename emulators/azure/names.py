"""Which names Azure takes: length and characters, a type at a time.

Owns the patterns of "Naming rules and restrictions for Azure resources" (azure-resource-manager/management/
resource-name-rules); where that page is silent, those of the type's reference. A type without a pattern takes no name.
"""

import re

from emulators.azure.errors import AzureError

_NETWORK = r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,78}[A-Za-z0-9_])?"
"""1-80 alphanumerics, underscores, periods and hyphens; starts with an alphanumeric, ends with one or an underscore."""
_NETWORK_64 = r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,62}[A-Za-z0-9_])"
_GUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"


def _without(characters: str, most: int) -> str:
    """Anything but these and control characters; no space or period at the end."""
    return rf"(?!.*[ .]\Z)[^{re.escape(characters)}\x00-\x1f]{{1,{most}}}"


NAMES: dict[str, str] = {
    "microsoft.resources/resourcegroups": r"[-\w.()]{0,89}[-\w()]",
    "microsoft.network/virtualnetworks": _NETWORK_64,
    "microsoft.network/virtualnetworks/subnets": _NETWORK,
    "microsoft.network/privateendpoints": _NETWORK_64,
    "microsoft.network/privateendpoints/privatednszonegroups": _NETWORK,
    "microsoft.network/privatednszones": r"[a-z0-9-]+(?:\.[a-z0-9-]+)+",
    "microsoft.network/privatednszones/virtualnetworklinks": _NETWORK,
    "microsoft.network/networksecuritygroups": _NETWORK,
    "microsoft.network/natgateways": _NETWORK,
    "microsoft.network/publicipaddresses": _NETWORK,
    "microsoft.network/applicationgateways": _NETWORK,
    "microsoft.network/applicationgatewaywebapplicationfirewallpolicies": _NETWORK,
    "microsoft.managedidentity/userassignedidentities": r"[A-Za-z0-9][A-Za-z0-9_-]{2,127}",
    "microsoft.authorization/roleassignments": _GUID,
    "microsoft.authorization/locks": r"[A-Za-z0-9_.()-]{0,89}[A-Za-z0-9_()-]",
    "microsoft.authorization/policyassignments": _without(r"<>*%&:\?.+/", 64),
    "microsoft.consumption/budgets": r"[A-Za-z0-9_-]{1,63}",
    "microsoft.containerregistry/registries": r"[A-Za-z0-9]{5,50}",
    "microsoft.keyvault/vaults": r"[A-Za-z](?!.*--)[A-Za-z0-9-]{1,22}[A-Za-z0-9]",
    "microsoft.keyvault/vaults/secrets": r"[A-Za-z0-9-]{1,127}",
    "microsoft.keyvault/vaults/keys": r"[A-Za-z0-9-]{1,127}",
    "microsoft.storage/storageaccounts": r"[a-z0-9]{3,24}",
    "microsoft.storage/storageaccounts/blobservices": "default",
    "microsoft.storage/storageaccounts/blobservices/containers": r"(?!.*--)[a-z0-9][a-z0-9-]{1,61}[a-z0-9]",
    "microsoft.storage/storageaccounts/blobservices/containers/immutabilitypolicies": "default",
    "microsoft.operationalinsights/workspaces": r"[A-Za-z0-9][A-Za-z0-9-]{2,61}[A-Za-z0-9]",
    "microsoft.insights/actiongroups": _without(r"/&%\?", 260),
    "microsoft.insights/components": _without(r"%&\?/", 260),
    "microsoft.insights/diagnosticsettings": _without(r"<>*%&:\?+/", 260),
    "microsoft.insights/metricalerts": _without(r"*#&+:<>?@%{}\/|", 260),
    "microsoft.insights/scheduledqueryrules": _without(r"*<>%{}&:\?/#", 260),
    "microsoft.dbforpostgresql/flexibleservers": r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]",
    "microsoft.dbforpostgresql/flexibleservers/administrators": _GUID,
    "microsoft.dbforpostgresql/flexibleservers/configurations": r"[a-z_][a-z0-9_.]{0,62}",
    "microsoft.dbforpostgresql/flexibleservers/databases": r"[A-Za-z][A-Za-z0-9_-]{0,62}",
    "microsoft.app/managedenvironments/certificates": r"[A-Za-z0-9](?!.*--)[A-Za-z0-9-]{0,58}[A-Za-z0-9]",
    "microsoft.app/managedenvironments": r"[A-Za-z](?!.*--)[A-Za-z0-9-]{1,58}[A-Za-z0-9]",
    "microsoft.app/containerapps": r"[a-z](?!.*--)[a-z0-9-]{0,30}[a-z0-9]",
}


def check(arm_type: str, name: str) -> None:
    """Raises AzureError where Azure would not take a resource's name."""
    pattern = NAMES[arm_type.lower()]
    if not re.fullmatch(pattern, name):
        raise AzureError(400, "InvalidResourceName", f"the name '{name}' of a {arm_type} does not match {pattern}")
