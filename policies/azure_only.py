"""Where cloud is azure, nothing of an emulation is emitted: no loopback, http, own Entra or Graph, own authority.

Judged on what containers are told and on what the ingress answers to, whatever the configuration said.
"""

from collections.abc import Iterator
from urllib.parse import urlsplit

from policies.containers import containers, environments
from policies.judging import Subject, known, policy
from schemas.scalars import host_of, is_loopback
from schemas.stack_config import NATIONAL_CLOUDS
from schemas.vocabulary import Cloud

ENTRA, GRAPH = "CONNECTOR_ENTRA_URL", "CONNECTOR_GRAPH_URL"
ADDRESSES = ("CONNECTOR_KEY_VAULT_URL", "CONNECTOR_DATABASE_URL", ENTRA, GRAPH)
EMULATED_REGISTRY = "registry.local"


def judge(subject: Subject) -> Iterator[str]:
    if subject.type != "app:ContainerApp" or subject.settings.cloud is not Cloud.AZURE:
        return
    for name, environment in environments(subject):
        for problem in _environment(environment):
            yield f"{name}: {problem}, where cloud is azure"
    for name, container in containers(subject):
        if str(known(container, "image")).startswith(f"{EMULATED_REGISTRY}/"):
            yield f"{name}: image: expected a registry's, got the working tree's, where cloud is azure"
    for domain in subject.items("configuration", "ingress", "customDomains"):
        if is_loopback(host_of(str(known(domain, "name")))):
            yield f"configuration.ingress.customDomains: expected no loopback host, got {known(domain, 'name')}"


def _environment(environment: dict[str, str]) -> Iterator[str]:
    if (cloud := environment.get("CONNECTOR_CLOUD")) not in (None, Cloud.AZURE):
        yield f"CONNECTOR_CLOUD: expected azure, got {cloud}"
    if is_loopback(host_of(environment.get("CONNECTOR_PUBLIC_HOST", ""))):
        yield "CONNECTOR_PUBLIC_HOST: expected no loopback host"
    for variable in ADDRESSES:
        parts = urlsplit(environment.get(variable, ""))
        if is_loopback(parts.hostname or ""):
            yield f"{variable}: expected no loopback address"
        if parts.scheme == "http":
            yield f"{variable}: expected https"
    pair = (environment.get(ENTRA), environment.get(GRAPH))
    if any(pair) and pair not in {(c.entra_url, c.graph_url) for c in NATIONAL_CLOUDS.values()}:
        yield f"{ENTRA}, {GRAPH}: expected those of one of Microsoft's national clouds"
    if "CONNECTOR_CA_BUNDLE" in environment:
        yield "CONNECTOR_CA_BUNDLE: expected no certificate authority of one's own"


POLICY = policy("no-emulation-on-azure", "Where cloud is azure, nothing of an emulation is emitted.", judge)
