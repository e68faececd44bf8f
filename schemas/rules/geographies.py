"""Rules of geographies: regions, public hosts, address ranges."""

import ipaddress
from collections import defaultdict
from collections.abc import Iterator

from schemas.availability_zones import REGIONS_WITH_ZONES
from schemas.problems import Path, shown
from schemas.rules.rule import Violation, enum_text, geographies_of, repeated, rule
from schemas.stack_config import StackConfig
from schemas.unknown import known, lacks
from schemas.vocabulary import AZURE_REGIONS, Stage


@rule("region-outside-geography")
def regions_are_in_the_geography(stack: StackConfig) -> Iterator[Violation]:
    for path, name, geography in geographies_of(stack):
        named = [((*path, "allowedRegions", i), r) for i, r in enumerate(geography.allowed_regions)]
        for at, region in [((*path, "location"), geography.location), *named]:
            if lacks(AZURE_REGIONS.get(name, frozenset([region])), region):
                yield Violation(at, f"an Azure region of {name}", enum_text(region))


@rule("location-not-allowed")
def location_is_an_allowed_region(stack: StackConfig) -> Iterator[Violation]:
    for path, _, geography in geographies_of(stack):
        if lacks(geography.allowed_regions, geography.location):
            yield Violation((*path, "location"), "one of the geography's allowedRegions", enum_text(geography.location))


@rule("region-without-zones")
def production_stands_in_several_zones(stack: StackConfig) -> Iterator[Violation]:
    """One building's failure ends no visit: database, apps, gateway and addresses span the zones of their region."""
    for path, _, geography in geographies_of(stack):
        if stack.stage == Stage.PRODUCTION and lacks(REGIONS_WITH_ZONES, geography.location):
            expected = "a region with availability zones, because stage is production"
            yield Violation((*path, "location"), expected, enum_text(geography.location))


@rule("public-host-repeated")
def public_hosts_are_distinct(stack: StackConfig) -> Iterator[Violation]:
    hosts = [
        ((*path, "publicHosts", stage), getattr(geography.public_hosts, stage))
        for path, _, geography in geographies_of(stack)
        for stage in Stage
    ]
    portals = [((*path, "portalHost"), geography.portal_host) for path, _, geography in geographies_of(stack)]
    return repeated(iter([*hosts, *(p for p in portals if isinstance(p[1], str))]), "a public host")


@rule("certificate-missing")
def the_portal_has_a_certificate(stack: StackConfig) -> Iterator[Violation]:
    """The public host's is required by itself."""
    for path, _, geography in geographies_of(stack):
        if stack.stage == Stage.TEST and geography.certificates.portal_host is None:
            expected = "the name of the vault's certificate for the portal's host, because stage is test"
            yield Violation((*path, "certificates", "portalHost"), expected, "nothing")


@rule("subnet-outside-address-space")
def subnets_are_in_the_address_space(stack: StackConfig) -> Iterator[Violation]:
    for path, space, name, subnet in _subnets(stack):
        if not subnet.subnet_of(space):
            yield Violation((*path, name), f"a range inside the address space {space}", shown(str(subnet)))


@rule("subnets-overlap")
def subnets_do_not_overlap(stack: StackConfig) -> Iterator[Violation]:
    seen: dict[Path, list[tuple[str, ipaddress.IPv4Network]]] = defaultdict(list)
    for path, _, name, subnet in _subnets(stack):
        for other, taken in seen[path]:
            if subnet.overlaps(taken):
                yield Violation((*path, name), f"a range apart from {other} ({taken})", shown(str(subnet)))
        seen[path].append((name, subnet))


@rule("operator-range-inside")
def operators_come_from_other_networks(stack: StackConfig) -> Iterator[Violation]:
    """Azure peers no networks whose ranges overlap."""
    for path, _, geography in geographies_of(stack):
        space = geography.network.address_space
        for index, theirs in enumerate(geography.network.operator_ranges):
            if known(space) and known(theirs) and ipaddress.IPv4Network(theirs).overlaps(ipaddress.IPv4Network(space)):
                at = (*path, "network", "operatorRanges", index)
                yield Violation(at, f"a range outside the address space {space}", shown(theirs))


SMALLEST_SUBNETS = {"appsSubnet": 27, "databaseSubnet": 28, "privateEndpointsSubnet": 28, "gatewaySubnet": 26}
"""Container Apps: /27 or larger for a workload-profiles environment; flexible server: /28 or larger; gateway: an
address for each instance, as many again while it is updated, and five of Azure's own.
"""


@rule("subnet-too-small")
def subnets_are_large_enough(stack: StackConfig) -> Iterator[Violation]:
    for path, _, name, subnet in _subnets(stack):
        if subnet.prefixlen > SMALLEST_SUBNETS[name]:
            yield Violation((*path, name), f"a range of /{SMALLEST_SUBNETS[name]} or larger", shown(str(subnet)))


def _subnets(stack: StackConfig) -> Iterator[tuple[Path, ipaddress.IPv4Network, str, ipaddress.IPv4Network]]:
    """Path of the network, its address space, name and range of each subnet; unknown ranges left out."""
    for path, _, geography in geographies_of(stack):
        network = geography.network
        ranges = {
            "appsSubnet": network.apps_subnet,
            "databaseSubnet": network.database_subnet,
            "privateEndpointsSubnet": network.private_endpoints_subnet,
            "gatewaySubnet": network.gateway_subnet,
        }
        for name, subnet in ranges.items():
            # An unknown address space holds every subnet.
            space = network.address_space if known(network.address_space) else "0.0.0.0/0"
            if known(subnet):
                yield (*path, "network"), ipaddress.IPv4Network(space), name, ipaddress.IPv4Network(subnet)
