"""Which of Azure's regions have availability zones.

Owns the list of "List of Azure regions" and, for national clouds, of "Azure regions with availability zone support". A
region that is not here is taken to have none; one that gets zones is added here.
"""

ZONES = ("1", "2", "3")
"""Each region that has zones has three ("What are availability zones?")."""

REGIONS_WITH_ZONES = frozenset(
    [
        "australiaeast",
        "brazilsouth",
        "canadacentral",
        "centralindia",
        "centralus",
        "chinanorth3",
        "eastasia",
        "eastus",
        "eastus2",
        "francecentral",
        "germanywestcentral",
        "indonesiacentral",
        "israelcentral",
        "italynorth",
        "japaneast",
        "japanwest",
        "koreacentral",
        "mexicocentral",
        "newzealandnorth",
        "northeurope",
        "norwayeast",
        "polandcentral",
        "qatarcentral",
        "southafricanorth",
        "southcentralus",
        "southeastasia",
        "spaincentral",
        "swedencentral",
        "switzerlandnorth",
        "uaenorth",
        "uksouth",
        "usgovvirginia",
        "westeurope",
        "westus2",
        "westus3",
    ]
)


def zones_of(region: str) -> tuple[str, ...]:
    """The zones of a region; none where it has none."""
    return ZONES if region in REGIONS_WITH_ZONES else ()
