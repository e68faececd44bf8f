"""Every resource stands in a region of its geography: among those that the stack allows, and in that part of the world.

The geography is the resource's own tag. Private DNS zones, metric alerts and action groups have no region (`global`):
they hold names, private addresses and ids of resources only.
"""

from collections.abc import Iterator

from policies.judging import Subject, policy
from policies.tags import GEOGRAPHY, TAGGED
from schemas.vocabulary import AZURE_REGIONS, GeographyName

WITHOUT_REGION = frozenset(
    {"monitor:ActionGroup", "monitor:MetricAlert", "privatedns:PrivateZone", "privatedns:VirtualNetworkLink"}
)
WITH_PARENT_REGION = frozenset({"keyvault:Key", "keyvault:Secret"})


def judge(subject: Subject) -> Iterator[str]:
    location = subject.get("location")
    if subject.type in WITHOUT_REGION:
        if location not in (None, "global"):
            yield f"location: expected global, got {location}"
        return
    if location is None:
        if subject.type in TAGGED - WITH_PARENT_REGION:
            yield "location: expected a region, so that no default decides where data is"
        return
    region = str(location).lower().replace(" ", "")
    geography = subject.get("tags", GEOGRAPHY)
    if region not in subject.settings.allowed_regions.get(str(geography), frozenset()):
        yield f"location: expected one of the allowed regions of geography {geography}, got {region}"
    if geography not in set(GeographyName) or region not in AZURE_REGIONS[GeographyName(geography)]:
        yield f"location: expected a region in geography {geography}, got {region}"


POLICY = policy(
    "location-in-geography",
    "An organisation's runtime data never leaves its geography: resources stand in its allowed regions.",
    judge,
)
