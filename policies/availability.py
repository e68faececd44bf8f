"""In production what serves spans its region's zones: database, environment, gateway, addresses, storage, registry.

Not so the NAT gateway: it is of one zone, and what the apps call fails with that zone until Azure moves it
(`components/egress.py`). Where cloud is emulated one replica is enough: there is one machine, and no zone.
"""

from collections.abc import Iterator

from policies.judging import Subject, policy
from schemas.availability_zones import zones_of
from schemas.vocabulary import Cloud

ZONE_REDUNDANT_SKUS = frozenset({"Standard_ZRS", "Premium_ZRS"})
"""Copies in three zones of one region; those that add a second region may leave the geography."""
LEAST_REPLICAS = 2


def judge(subject: Subject) -> Iterator[str]:
    if not subject.settings.production:
        return
    match subject.type:
        case "dbforpostgresql:Server":
            if (got := subject.get("highAvailability", "mode")) != "ZoneRedundant":
                yield f"highAvailability.mode: expected ZoneRedundant, got {got or 'nothing'}"
        case "app:ManagedEnvironment":
            if (got := subject.get("zoneRedundant")) is not True:
                yield f"zoneRedundant: expected true, got {got}"
        case "storage:StorageAccount":
            if (got := subject.get("sku", "name")) not in ZONE_REDUNDANT_SKUS:
                yield f"sku.name: expected {' or '.join(sorted(ZONE_REDUNDANT_SKUS))}, got {got}"
        case "containerregistry:Registry":
            if (got := subject.get("zoneRedundancy")) != "Enabled":
                yield f"zoneRedundancy: expected Enabled, got {got or 'nothing'}"
        case "network:ApplicationGateway" | "network:PublicIPAddress":
            expected, got = zones_of(str(subject.get("location"))), tuple(map(str, subject.get("zones") or ()))
            if sorted(got) != sorted(expected):
                yield f"zones: expected {', '.join(expected) or 'none'}, got {', '.join(got) or 'none'}"
        case "app:ContainerApp":
            got = subject.get("template", "scale", "minReplicas") or 0
            if subject.settings.cloud is Cloud.AZURE and got < LEAST_REPLICAS:
                yield f"template.scale.minReplicas: expected at least {LEAST_REPLICAS}, got {got:.0f}"
        case _:
            return


POLICY = policy("zone-redundancy", "In production what serves spans the zones of its region, but for NAT.", judge)
