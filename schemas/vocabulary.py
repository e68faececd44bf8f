"""The closed vocabularies: stage, cloud, geography, roles, kinds.

Owns the enumerations that several packages share, each with one meaning (`README.md`). Rules over them live with
the models that use them.
"""

from enum import StrEnum


class Stage(StrEnum):
    """Whether real patients are served; a value of the configuration, never a stack's name."""

    TEST = "test"
    PRODUCTION = "production"


class Cloud(StrEnum):
    """Where a stack runs. Loopback addresses, http and own certificate authorities exist only in EMULATED."""

    AZURE = "azure"
    EMULATED = "emulated"


class GeographyName(StrEnum):
    """The boundary that an organisation's runtime data never crosses."""

    AMERICAS = "americas"
    EMEA = "emea"
    APAC = "apac"


class EhrKind(StrEnum):
    """Which adapter speaks to the EHR beyond SMART App Launch."""

    EPIC = "epic"
    SMART = "smart"


class ClientRole(StrEnum):
    """Who an OAuth client of the EHR stands for (an EHR registers each one separately)."""

    PROVIDER = "provider"
    PATIENT = "patient"
    BACKEND = "backend"
    APPROVAL = "approval"


class RuntimeRole(StrEnum):
    """What one process of the image does."""

    INIT = "init"
    APPLICATION = "application"
    WORKER = "worker"
    PORTAL = "portal"


class StatementType(StrEnum):
    """What a signed statement says; a trusted key lists the types that it may sign."""

    APPROVAL = "approval"
    REHEARSAL = "rehearsal"
    REVOCATION = "revocation"
    BREAK_GLASS = "break-glass"
    AUDIT_HEAD = "audit-head"


class RehearsalPolicy(StrEnum):
    """What a production connection needs of rehearsals."""

    EACH_IMAGE = "each-image"
    """A visit in test with this configuration and this image."""
    ONCE = "once"
    """A visit in test with this configuration."""


class VisitKind(StrEnum):
    """A field of the visit key, so that two kinds of session never share a visit."""

    ONE_TO_ONE = "one-to-one"


AZURE_REGIONS: dict[GeographyName, frozenset[str]] = {
    GeographyName.AMERICAS: frozenset(
        [
            "brazilsouth",
            "brazilsoutheast",
            "canadacentral",
            "canadaeast",
            "centralus",
            "chilecentral",
            "eastus",
            "eastus2",
            "mexicocentral",
            "northcentralus",
            "southcentralus",
            "westcentralus",
            "westus",
            "westus2",
            "westus3",
            "usgovarizona",
            "usgovtexas",
            "usgovvirginia",
        ]
    ),
    GeographyName.EMEA: frozenset(
        [
            "austriaeast",
            "belgiumcentral",
            "francecentral",
            "francesouth",
            "germanynorth",
            "germanywestcentral",
            "israelcentral",
            "italynorth",
            "northeurope",
            "norwayeast",
            "norwaywest",
            "polandcentral",
            "qatarcentral",
            "southafricanorth",
            "southafricawest",
            "spaincentral",
            "swedencentral",
            "switzerlandnorth",
            "switzerlandwest",
            "uaecentral",
            "uaenorth",
            "uksouth",
            "ukwest",
            "westeurope",
        ]
    ),
    GeographyName.APAC: frozenset(
        [
            "australiacentral",
            "australiacentral2",
            "australiaeast",
            "australiasoutheast",
            "centralindia",
            "eastasia",
            "indonesiacentral",
            "japaneast",
            "japanwest",
            "jioindiacentral",
            "jioindiawest",
            "koreacentral",
            "koreasouth",
            "malaysiawest",
            "newzealandnorth",
            "southeastasia",
            "southindia",
            "westindia",
            "chinaeast2",
            "chinaeast3",
            "chinanorth2",
            "chinanorth3",
        ]
    ),
}
"""Azure regions by geography (Azure "List of regions", names as Resource Manager spells them)."""
