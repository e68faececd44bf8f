"""Where a component stands: geography, stage, cloud and region, and what follows from them alone.

Owns names in Azure, tags, and which resources are protected as state. Names are deterministic and lower-case, carry
geography and stage, and end in a short hash of the subscription where Azure wants them unique in the world
(Azure documentation, "Naming rules and restrictions for Azure resources").
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import pulumi

from components.azure_clouds import AzureCloud, cloud_of
from components.sizes import Sizes, sizes_of
from schemas.availability_zones import zones_of
from schemas.stack_config import PROJECT, Geography
from schemas.vocabulary import Cloud, GeographyName, RuntimeRole, Stage

STAGE_ABBREVIATIONS = {Stage.TEST: "tst", Stage.PRODUCTION: "prd"}


@dataclass(frozen=True)
class Placement:
    """One geography of one stage, somewhere."""

    geography: GeographyName
    stage: Stage
    cloud: Cloud
    subscription_id: str
    location: str
    sizes: Sizes

    @classmethod
    def of(cls, geography: GeographyName, config: Geography, stage: Stage, cloud: Cloud) -> "Placement":
        sizes = sizes_of(stage, cloud, config.replicas)
        return cls(geography, stage, cloud, config.subscription_id, config.location, sizes)

    @property
    def production(self) -> bool:
        return self.stage is Stage.PRODUCTION

    @property
    def has_portal(self) -> bool:
        """Approvers decide in the test stage, for both."""
        return self.stage is Stage.TEST

    @property
    def tags(self) -> dict[str, str]:
        return {
            "application": PROJECT,
            "geography": str(self.geography),
            "stage": str(self.stage),
            "managed-by": "pulumi",
        }

    @property
    def azure_cloud(self) -> AzureCloud:
        return cloud_of(self.location)

    @property
    def zones(self) -> list[str] | None:
        """The availability zones of the region; None where it has none."""
        return list(zones_of(self.location)) or None

    # --- names --------------------------------------------------------------------------------------------------

    def named(self, prefix: str) -> str:
        """`<prefix>-<geography>-<stage>`."""
        return f"{prefix}-{self.geography}-{self.stage}"

    def unique(self, prefix: str) -> str:
        """A name that is unique in the world and at most 24 characters long for a prefix of two."""
        digest = hashlib.sha256(f"{PROJECT}/{self.subscription_id}/{self.geography}/{self.stage}".encode()).hexdigest()
        return f"{prefix}-{self.geography}-{STAGE_ABBREVIATIONS[self.stage]}-{digest[:6]}"

    def compact(self, prefix: str) -> str:
        """The same without hyphens, for a storage account (3 to 24 lower-case letters and digits) or a registry."""
        return self.unique(prefix).replace("-", "")

    @property
    def registry(self) -> str:
        """Where the geography's images are: its registry's log-in server."""
        return f"{self.compact('cr')}.{self.azure_cloud.registry_domain}"

    def identity(self, role: RuntimeRole) -> str:
        """The name by which the app registration's federated credentials know an identity."""
        return self.named(f"id-{role}")

    def container_app(self, role: RuntimeRole) -> str:
        """Without a prefix: a container app's name has at most 32 characters."""
        return self.named(role)

    # --- options ------------------------------------------------------------------------------------------------

    def state(self, parent: pulumi.Resource, depends_on: Sequence[pulumi.Resource] = ()) -> pulumi.ResourceOptions:
        """Options of a resource that holds data: kept whatever the program says, where it serves real patients.

        The emulated cloud is exempt, so that `pulumi destroy` leaves nothing on the machine.
        """
        kept = self.production and self.cloud is Cloud.AZURE
        return pulumi.ResourceOptions(parent=parent, protect=kept, retain_on_delete=kept, depends_on=list(depends_on))

    def let_go(self, parent: pulumi.Resource, depends_on: Sequence[pulumi.Resource] = ()) -> pulumi.ResourceOptions:
        """Options of state that Pulumi cannot delete from outside in any stage: it goes with what it is part of."""
        return pulumi.ResourceOptions.merge(
            self.state(parent, depends_on), pulumi.ResourceOptions(retain_on_delete=True)
        )
