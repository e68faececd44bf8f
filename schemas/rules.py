"""Rules between the values of a stack: one function each, with a code, in one table.

Owns what no single value can get wrong alone. Rules are pure and see models only; a part that is missing or invalid
is `UNKNOWN`, about which every comparison answers no. So a rule states what is wrong by `==`, `!=` and `lacks`, and
reports at the path of a single value.
"""

import ipaddress
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from schemas.problems import Path, Severity, shown
from schemas.scalars import is_loopback
from schemas.stack_config import EhrConnection, Geography, Organization, StackConfig
from schemas.unknown import known, lacks
from schemas.vocabulary import AZURE_REGIONS, Cloud, EhrKind, GeographyName, Stage


@dataclass(frozen=True)
class Violation:
    """What a rule found: `expected` and `got` complete the sentence "expected ..., got ..."."""

    path: Path
    expected: str
    got: str
    code: str = ""
    severity: Severity = Severity.ERROR


Check = Callable[[StackConfig], Iterator[Violation]]


@dataclass(frozen=True)
class Rule:
    code: str
    check: Check
    severity: Severity


RULES: dict[str, Rule] = {}


def rule(code: str, severity: Severity = Severity.ERROR) -> Callable[[Check], Check]:
    def register(check: Check) -> Check:
        RULES[code] = Rule(code, check, severity)
        return check

    return register


def violations(stack: StackConfig) -> Iterator[Violation]:
    """Everything that the rules find in a stack, which may be salvaged from an invalid one."""
    for r in RULES.values():
        for violation in r.check(stack):
            yield replace(violation, code=r.code, severity=r.severity)


# --- walking --------------------------------------------------------------------------------------------------------


def _geographies(stack: StackConfig) -> Iterator[tuple[Path, GeographyName, Geography]]:
    for name, geography in stack.geographies.items():
        yield ("geographies", str(name)), name, geography


def _organizations(stack: StackConfig) -> Iterator[tuple[Path, Organization]]:
    for index, organization in enumerate(stack.organizations):
        yield ("organizations", index), organization


def _connections(stack: StackConfig) -> Iterator[tuple[Path, Organization, EhrConnection]]:
    for path, organization in _organizations(stack):
        for index, connection in enumerate(organization.connections):
            yield (*path, "connections", index), organization, connection


def _repeated(values: Iterator[tuple[Path, Any]], what: str) -> Iterator[Violation]:
    """Each value after its first use."""
    first: dict[Any, Path] = {}
    for path, value in values:
        if value in first:
            yield Violation(path, f"{what} that is used once in the stack", f"{shown(str(value))} again")
        first.setdefault(value, path)


def _enum_text(value: Any) -> str:
    return shown(str(value))


# --- geographies ----------------------------------------------------------------------------------------------------


@rule("region-outside-geography")
def regions_are_in_the_geography(stack: StackConfig) -> Iterator[Violation]:
    for path, name, geography in _geographies(stack):
        named = [((*path, "allowedRegions", i), r) for i, r in enumerate(geography.allowed_regions)]
        for at, region in [((*path, "location"), geography.location), *named]:
            if lacks(AZURE_REGIONS.get(name, frozenset([region])), region):
                yield Violation(at, f"an Azure region of {name}", _enum_text(region))


@rule("location-not-allowed")
def location_is_an_allowed_region(stack: StackConfig) -> Iterator[Violation]:
    for path, _, geography in _geographies(stack):
        if lacks(geography.allowed_regions, geography.location):
            yield Violation(
                (*path, "location"), "one of the geography's allowedRegions", _enum_text(geography.location)
            )


@rule("public-host-repeated")
def public_hosts_are_distinct(stack: StackConfig) -> Iterator[Violation]:
    hosts = (
        ((*path, "publicHosts", stage), getattr(geography.public_hosts, stage))
        for path, _, geography in _geographies(stack)
        for stage in Stage
    )
    return _repeated(((p, h) for p, h in hosts), "a public host")


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


SMALLEST_SUBNETS = {"appsSubnet": 27, "databaseSubnet": 28, "privateEndpointsSubnet": 28}
"""Container Apps: /27 or larger for a workload-profiles environment; flexible server: /28 or larger."""


@rule("subnet-too-small")
def subnets_are_large_enough(stack: StackConfig) -> Iterator[Violation]:
    for path, _, name, subnet in _subnets(stack):
        if subnet.prefixlen > SMALLEST_SUBNETS[name]:
            yield Violation((*path, name), f"a range of /{SMALLEST_SUBNETS[name]} or larger", shown(str(subnet)))


def _subnets(stack: StackConfig) -> Iterator[tuple[Path, ipaddress.IPv4Network, str, ipaddress.IPv4Network]]:
    """Path of the network, its address space, name and range of each subnet; unknown ranges left out."""
    for path, _, geography in _geographies(stack):
        network = geography.network
        ranges = {
            "appsSubnet": network.apps_subnet,
            "databaseSubnet": network.database_subnet,
            "privateEndpointsSubnet": network.private_endpoints_subnet,
        }
        for name, subnet in ranges.items():
            # An unknown address space holds every subnet.
            space = network.address_space if known(network.address_space) else "0.0.0.0/0"
            if known(subnet):
                yield (*path, "network"), ipaddress.IPv4Network(space), name, ipaddress.IPv4Network(subnet)


# --- organisations --------------------------------------------------------------------------------------------------


@rule("organization-id-repeated")
def organization_ids_are_unique(stack: StackConfig) -> Iterator[Violation]:
    return _repeated(((((*p, "id")), o.id) for p, o in _organizations(stack)), "an organisation id")


@rule("organization-geography-missing")
def geography_of_an_organization_is_configured(stack: StackConfig) -> Iterator[Violation]:
    for path, organization in _organizations(stack):
        if lacks(stack.geographies, organization.geography):
            expected = "one of the stack's geographies: " + ", ".join(map(str, stack.geographies))
            yield Violation((*path, "geography"), expected, _enum_text(organization.geography))


@rule("guest-account")
def people_are_of_the_organizations_tenant(stack: StackConfig) -> Iterator[Violation]:
    for path, organization in _organizations(stack):
        people = [((*path, "administrators", i), p) for i, p in enumerate(organization.administrators)]
        people += [((*path, "connections", i, "approver"), c.approver) for i, c in enumerate(organization.connections)]
        for at, person in people:
            if person.tenant_id != organization.tenant_id:
                expected = f"an account of the organisation's tenant {organization.tenant_id}, not a guest"
                yield Violation((*at, "tenantId"), expected, shown(str(person.tenant_id)))


# --- connections ----------------------------------------------------------------------------------------------------


@rule("connection-id-repeated")
def connection_ids_are_unique(stack: StackConfig) -> Iterator[Violation]:
    return _repeated((((*p, "id"), c.id) for p, _, c in _connections(stack)), "a connection id")


@rule("stage-mixed")
def production_has_production_connections_only(stack: StackConfig) -> Iterator[Violation]:
    if stack.stage == Stage.PRODUCTION:
        for path, _, connection in _connections(stack):
            if connection.stage != Stage.PRODUCTION:
                yield Violation((*path, "stage"), '"production", as the stack\'s stage', _enum_text(connection.stage))


@rule("fhir-url-not-shared")
def fhir_base_urls_are_unique_or_shared_on_both_sides(stack: StackConfig) -> Iterator[Violation]:
    users: dict[tuple[Stage, str], list[tuple[Path, Organization, EhrConnection]]] = defaultdict(list)
    for path, organization, connection in _connections(stack):
        if known(connection.fhir_base_url) and known(connection.stage):
            users[connection.stage, _comparable(connection.fhir_base_url)].append((path, organization, connection))
    for same in users.values():
        for n, (path, organization, connection) in enumerate(same):
            for m, (_, other, others) in enumerate(same):
                if m < n and organization.id == other.id:
                    expected = f"a FHIR base URL that {others.id} of the same organisation has not"
                    yield Violation((*path, "fhirBaseUrl"), expected, shown(connection.fhir_base_url))
                elif m != n and organization.id != other.id and lacks(connection.shared_with, other.id):
                    expected = (
                        f"a FHIR base URL of its own, or {other.id} in sharedWith (and {organization.id} in theirs)"
                    )
                    yield Violation((*path, "fhirBaseUrl"), expected, shown(connection.fhir_base_url))


@rule("sharing-without-partner")
def sharing_names_an_organization_with_the_same_url(stack: StackConfig) -> Iterator[Violation]:
    for path, organization, connection in _connections(stack):
        for index, partner in enumerate(connection.shared_with):
            at = (*path, "sharedWith", index)
            if partner == organization.id:
                yield Violation(at, "another organisation", "this one")
            elif not any(_shares(partner, connection, o, c) for _, o, c in _connections(stack)):
                yield Violation(at, "an organisation with the same FHIR base URL in this stage", _enum_text(partner))


def _shares(partner: str, connection: EhrConnection, other: Organization, others: EhrConnection) -> bool:
    return not (
        other.id != partner
        or others.stage != connection.stage
        or (
            known(others.fhir_base_url)
            and known(connection.fhir_base_url)
            and _comparable(others.fhir_base_url) != _comparable(connection.fhir_base_url)
        )
    )


def _comparable(url: str) -> str:
    """One spelling for uniqueness: without case, without https's own port, without the root's dot."""
    parts = urlsplit(url.lower())
    host = (parts.hostname or "").rstrip(".")
    port = "" if parts.port in (None, 443) else f":{parts.port}"
    return f"{parts.scheme}://{host}{port}{parts.path}"


@rule("epic-url-unusual", Severity.WARNING)
def fhir_base_url_of_epic_ends_as_usual(stack: StackConfig) -> Iterator[Violation]:
    for path, _, connection in _connections(stack):
        url = connection.fhir_base_url
        usual = not known(url) or re.search(r"/api/FHIR/(?:R4|DSTU2|STU3)$", url, re.IGNORECASE)
        if connection.ehr == EhrKind.EPIC and not usual:
            yield Violation((*path, "fhirBaseUrl"), "an end usual for Epic, such as /api/FHIR/R4", shown(url))


@rule("backend-client-missing")
def epic_has_a_backend_client(stack: StackConfig) -> Iterator[Violation]:
    for path, _, connection in _connections(stack):
        if connection.ehr == EhrKind.EPIC and connection.clients.backend is None:
            yield Violation((*path, "clients", "backend"), "a backend client: Epic's write-backs need one", "nothing")


@rule("frame-origins-missing")
def epic_names_the_origins_that_frame(stack: StackConfig) -> Iterator[Violation]:
    for path, _, connection in _connections(stack):
        if connection.ehr == EhrKind.EPIC and connection.frame_origins == ():
            expected = "at least one origin: Hyperspace shows the visit page in a frame"
            yield Violation((*path, "frameOrigins"), expected, "an empty list")


@rule("external-connection-status-unused")
def only_epic_has_an_external_connection_status(stack: StackConfig) -> Iterator[Violation]:
    for path, _, connection in _connections(stack):
        if connection.ehr == EhrKind.SMART and connection.external_connection_status is not None:
            expected = "no such settings: write-backs to an EHR of kind smart are not supported"
            yield Violation((*path, "externalConnectionStatus"), expected, "a mapping")


@rule("context-keys-repeated")
def launch_context_keys_differ(stack: StackConfig) -> Iterator[Violation]:
    for path, _, connection in _connections(stack):
        keys = connection.launch_context_keys
        if keys.department_id == keys.session_id:
            expected = "another parameter than sessionId"
            yield Violation((*path, "launchContextKeys", "departmentId"), expected, shown(str(keys.department_id)))


# --- clients --------------------------------------------------------------------------------------------------------


def _client_ids(path: Path, connection: EhrConnection) -> Iterator[tuple[Path, str]]:
    for role in ("provider", "patient", "backend", "approval"):
        client = getattr(connection.clients, role)
        if client is not None:
            yield (*path, "clients", role, "clientId"), client.client_id


@rule("client-id-in-both-stages")
def client_ids_of_test_and_production_differ(stack: StackConfig) -> Iterator[Violation]:
    """An EHR's test and production environments register the connector separately."""
    for path, organization in _organizations(stack):
        of_test: set[str] = set()
        ids = [
            (connection.stage, *found)
            for index, connection in enumerate(organization.connections)
            for found in _client_ids((*path, "connections", index), connection)
        ]
        of_test = {client_id for stage, _, client_id in ids if stage == Stage.TEST}
        for stage, at, client_id in ids:
            if stage == Stage.PRODUCTION and any(client_id == other for other in of_test):
                yield Violation(
                    at, "a client id that no test connection of the organisation has", _enum_text(client_id)
                )


@rule("client-id-repeated")
def clients_of_an_epic_connection_differ(stack: StackConfig) -> Iterator[Violation]:
    """Epic registers a client for one kind of user: a patient's token must never pass as a provider's."""
    for path, _, connection in _connections(stack):
        if connection.ehr != EhrKind.EPIC:
            continue
        seen: set[str] = set()
        for at, client_id in _client_ids(path, connection):
            if client_id in seen:
                yield Violation(at, "a client id of its own for each kind of access", _enum_text(client_id))
            seen.add(client_id)


def _credentials(stack: StackConfig) -> Iterator[tuple[Path, Organization, EhrConnection, str]]:
    for path, organization, connection in _connections(stack):
        for role in ("provider", "patient", "backend"):
            authentication = getattr(getattr(connection.clients, role), "authentication", None)
            for field in ("secret", "key"):
                name = getattr(authentication, field, None)
                if isinstance(name, str):
                    yield (*path, "clients", role, "authentication", field), organization, connection, name


@rule("credential-shared")
def credentials_are_of_one_organization_and_stage(stack: StackConfig) -> Iterator[Violation]:
    first: dict[str, tuple[Any, Any]] = {}
    for path, organization, connection, name in _credentials(stack):
        owner = first.setdefault(name.lower(), (organization.id, connection.stage))
        if owner[0] != organization.id or owner[1] != connection.stage:
            expected = "the name of a secret that no other organisation and no other stage uses"
            yield Violation(path, expected, f"a name that {owner[0]} uses in {owner[1]}")


RESERVED_SECRETS = frozenset({"visit-key", "user-hash-key", "sealing-key", "notification-certificate"})


@rule("credential-name-reserved")
def credentials_have_names_of_their_own(stack: StackConfig) -> Iterator[Violation]:
    for path, _, _, name in _credentials(stack):
        if name.lower() in RESERVED_SECRETS or name.lower().startswith("configuration-"):
            yield Violation(path, "a name that the connector does not use for its own secrets", "such a name")


# --- azure and emulated ---------------------------------------------------------------------------------------------


@rule("emulation-missing")
def emulated_cloud_names_its_emulators(stack: StackConfig) -> Iterator[Violation]:
    if stack.cloud == Cloud.EMULATED and stack.microsoft365.emulation is None:
        expected = "entraUrl, graphUrl and caBundle of the emulators, because cloud is emulated"
        yield Violation(("microsoft365", "emulation"), expected, "nothing")


@rule("national-cloud-with-emulation")
def emulated_cloud_is_no_national_cloud(stack: StackConfig) -> Iterator[Violation]:
    if stack.cloud == Cloud.EMULATED and isinstance(stack.microsoft365.national_cloud, str):
        expected = "no national cloud, because cloud is emulated"
        yield Violation(("microsoft365", "nationalCloud"), expected, shown(stack.microsoft365.national_cloud))


@rule("national-cloud-missing")
def azure_names_its_national_cloud(stack: StackConfig) -> Iterator[Violation]:
    if stack.cloud == Cloud.AZURE and stack.microsoft365.national_cloud is None:
        yield Violation(
            ("microsoft365", "nationalCloud"), "one of Microsoft's national clouds, such as global", "nothing"
        )


@rule("emulation-in-azure")
def azure_has_no_emulation(stack: StackConfig) -> Iterator[Violation]:
    """No Entra or Graph of one's own, and no certificate authority of one's own."""
    if stack.cloud == Cloud.AZURE and stack.microsoft365.emulation is not None:
        yield Violation(("microsoft365", "emulation"), "no emulation, because cloud is azure", "a mapping")


@rule("working-tree-in-azure")
def azure_runs_an_image(stack: StackConfig) -> Iterator[Violation]:
    if stack.cloud == Cloud.AZURE and stack.image == "working-tree":
        yield Violation(("image",), "an image by digest, because cloud is azure", '"working-tree"')


@rule("port-in-azure")
def azure_hosts_have_no_port(stack: StackConfig) -> Iterator[Violation]:
    for at, host in _public_hosts(stack):
        if stack.cloud == Cloud.AZURE and ":" in host:
            yield Violation(at, "a host name without port, because cloud is azure", shown(host))


@rule("host-in-azure")
def azure_hosts_are_public_names(stack: StackConfig) -> Iterator[Violation]:
    for at, host in _public_hosts(stack):
        if stack.cloud == Cloud.AZURE and (reason := _only_local(host.partition(":")[0])):
            yield Violation(at, "a public host name, because cloud is azure", f"{shown(host)}, {reason}")


@rule("address-in-azure")
def azure_urls_are_of_public_hosts(stack: StackConfig) -> Iterator[Violation]:
    """Loopback, link-local and private addresses, which would lead from the cloud's network to its own inside."""
    if stack.cloud == Cloud.AZURE:
        for path, _, connection in _connections(stack):
            for at, url in ehr_urls(connection):
                if reason := _only_local(urlsplit(url).hostname or ""):
                    yield Violation(
                        (*path, *at), "a URL of a public host, because cloud is azure", f"{shown(url)}, {reason}"
                    )


@rule("http-in-azure")
def azure_urls_are_https(stack: StackConfig) -> Iterator[Violation]:
    if stack.cloud == Cloud.AZURE:
        for path, _, connection in _connections(stack):
            for at, url in ehr_urls(connection):
                if not url.startswith("https://"):
                    yield Violation((*path, *at), "a URL that starts with https://, because cloud is azure", shown(url))


def _public_hosts(stack: StackConfig) -> Iterator[tuple[Path, str]]:
    for path, _, geography in _geographies(stack):
        for stage in Stage:
            host = getattr(geography.public_hosts, stage)
            if isinstance(host, str):
                yield (*path, "publicHosts", str(stage)), host


def ehr_urls(connection: EhrConnection) -> Iterator[tuple[Path, str]]:
    """Every URL and origin of a connection's EHR, with its path in the connection; unknown ones left out."""
    found: list[tuple[Path, Any]] = [(("fhirBaseUrl",), connection.fhir_base_url)]
    found += [(("tokenEndpointOrigins", i), o) for i, o in enumerate(connection.token_endpoint_origins)]
    found += [(("frameOrigins", i), o) for i, o in enumerate(connection.frame_origins)]
    for role in ("provider", "patient", "approval"):
        found.append((("clients", role, "issuer"), getattr(connection.clients, role).issuer))
    return ((path, url) for path, url in found if isinstance(url, str))


def _only_local(host: str) -> str | None:
    """Why a host can only be this machine or this network, or None."""
    if is_loopback(host):
        return "which is this machine"
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        if re.fullmatch(r"(?:0x[0-9a-f]+|[0-9]+)(?:\.(?:0x[0-9a-f]+|[0-9]+))*\.?", host):
            return "an address in an unusual form"
        return None if "." in host.rstrip(".") else "which has no domain"
    return None if address.is_global else "which is no public address"
