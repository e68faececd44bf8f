"""Which of Azure's clouds a region belongs to, and the DNS zones that private access uses there.

Owns the provider's `environment` and zone names by region (Azure documentation, "Azure Private Endpoint private DNS
zone values" and "Networking overview for Azure Database for PostgreSQL with private access"), and where its registries
are ("Compare Azure Government and global Azure", "Check endpoints in Azure" of Azure operated by 21Vianet).
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class AzureCloud:
    """One of Azure's clouds: the global one, or a national one."""

    environment: str
    vault_zone: str
    blob_zone: str
    database_domain: str
    registry_domain: str

    @property
    def registry_zone(self) -> str:
        return f"privatelink.{self.registry_domain}"


PUBLIC = AzureCloud(
    "public",
    "privatelink.vaultcore.azure.net",
    "privatelink.blob.core.windows.net",
    "postgres.database.azure.com",
    "azurecr.io",
)
US_GOVERNMENT = AzureCloud(
    "usgovernment",
    "privatelink.vaultcore.usgovcloudapi.net",
    "privatelink.blob.core.usgovcloudapi.net",
    "postgres.database.usgovcloudapi.net",
    "azurecr.us",
)
CHINA = AzureCloud(
    "china",
    "privatelink.vaultcore.azure.cn",
    "privatelink.blob.core.chinacloudapi.cn",
    "postgres.database.chinacloudapi.cn",
    "azurecr.cn",
)


def cloud_of(location: str) -> AzureCloud:
    """Azure's cloud of a region."""
    if location.startswith("usgov"):
        return US_GOVERNMENT
    return CHINA if location.startswith("china") else PUBLIC
