"""Rules of the two clouds: what exists only where it is emulated, and what Azure needs."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from schemas.problems import Path, shown
from schemas.rules.rule import Violation, connections_of, geographies_of, rule
from schemas.scalars import address_of, is_loopback
from schemas.stack_config import EhrConnection, StackConfig
from schemas.vocabulary import Cloud, Stage


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


@rule("replicas-in-azure")
def azure_has_replicas_by_stage(stack: StackConfig) -> Iterator[Violation]:
    for path, _, geography in geographies_of(stack):
        if stack.cloud == Cloud.AZURE and isinstance(geography.replicas, int):
            expected = "no number of replicas, because cloud is azure: the stage says how many"
            yield Violation((*path, "replicas"), expected, str(geography.replicas))


@rule("port-in-azure")
def azure_hosts_have_no_port(stack: StackConfig) -> Iterator[Violation]:
    for at, host in _public_hosts(stack):
        if stack.cloud == Cloud.AZURE and ":" in host:
            yield Violation(at, "a host name without port, because cloud is azure", shown(host))


@rule("host-in-azure")
def azure_hosts_are_public_names(stack: StackConfig) -> Iterator[Violation]:
    for at, host in _public_hosts(stack):
        name = host.partition(":")[0]
        if stack.cloud == Cloud.AZURE and (reason := _only_local(name) or (address_of(name) and "which is an address")):
            yield Violation(at, "a public host name, because cloud is azure", f"{shown(host)}, {reason}")


@rule("address-in-azure")
def azure_urls_are_of_public_hosts(stack: StackConfig) -> Iterator[Violation]:
    """Loopback, link-local and private addresses, which would lead from the cloud's network to its own inside."""
    if stack.cloud == Cloud.AZURE:
        for path, _, connection in connections_of(stack):
            for at, url in ehr_urls(connection):
                if reason := _only_local(urlsplit(url).hostname or ""):
                    yield Violation(
                        (*path, *at), "a URL of a public host, because cloud is azure", f"{shown(url)}, {reason}"
                    )


@rule("http-in-azure")
def azure_urls_are_https(stack: StackConfig) -> Iterator[Violation]:
    if stack.cloud == Cloud.AZURE:
        for path, _, connection in connections_of(stack):
            for at, url in ehr_urls(connection):
                if not url.startswith("https://"):
                    yield Violation((*path, *at), "a URL that starts with https://, because cloud is azure", shown(url))


def _public_hosts(stack: StackConfig) -> Iterator[tuple[Path, str]]:
    for path, _, geography in geographies_of(stack):
        for stage in Stage:
            host = getattr(geography.public_hosts, stage)
            if isinstance(host, str):
                yield (*path, "publicHosts", str(stage)), host
        if isinstance(geography.portal_host, str):
            yield (*path, "portalHost"), geography.portal_host


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
    address = address_of(host)
    if address is not None and ":" not in host and host.rstrip(".") != str(address):
        return "an address in an unusual form"
    if is_loopback(host):
        return "which is this machine"
    if address is not None:
        return None if address.is_global else "which is no public address"
    if host.rstrip(".").rpartition(".")[2].isdecimal():
        return "an address in an unusual form"
    return None if "." in host.rstrip(".") else "which has no domain"
