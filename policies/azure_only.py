"""Where cloud is azure, nothing of an emulation is emitted: no loopback, http, own Entra or Graph, own authority.

Judged on what containers are told, on what the ingress answers to and on the URLs of the configuration document,
whatever the configuration said. Of a document in several chunks the first can be read here (some fifty organisations);
the runtime judges the whole at its start.
"""

import base64
import binascii
import lzma
import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from policies.containers import containers, environments
from policies.judging import Subject, each, known, policy
from schemas.configuration_document import MAXIMUM_BYTES, decompressing
from schemas.scalars import host_of, is_loopback
from schemas.stack_config import NATIONAL_CLOUDS
from schemas.vocabulary import Cloud

ENTRA, GRAPH = "CONNECTOR_ENTRA_URL", "CONNECTOR_GRAPH_URL"
ADDRESSES = (
    "CONNECTOR_KEY_VAULT_URL",
    "CONNECTOR_STORAGE_URL",
    "CONNECTOR_DATABASE_URL",
    "CONNECTOR_REPOSITORY_URL",
    ENTRA,
    GRAPH,
)
AUTHORITIES = frozenset(
    {"CONNECTOR_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"}
)


def judge(subject: Subject) -> Iterator[str]:
    if subject.settings.cloud is not Cloud.AZURE:
        return
    match subject.type:
        case "app:ContainerApp":
            yield from _container_app(subject)
        case "keyvault:Secret":
            for url in _urls_of_document(subject.get("properties", "value")):
                parts = urlsplit(url)
                if parts.scheme == "http" or is_loopback(parts.hostname or ""):
                    yield f"properties.value: expected https and no loopback address, got {url}, where cloud is azure"
        case _:
            return


def _urls_of_document(value: object) -> list[str]:
    """The URLs in a chunk of the configuration document that can be read by itself: the first."""
    try:
        plain = decompressing().decompress(base64.b64decode(str(value), validate=True), MAXIMUM_BYTES)
    except (binascii.Error, lzma.LZMAError):
        return []
    return re.findall(r'"(https?://[^"\\]*)\\?"', plain.decode("utf-8", "ignore"))


def _container_app(subject: Subject) -> Iterator[str]:
    for name, environment in environments(subject):
        for problem in _environment(environment):
            yield f"{name}: {problem}, where cloud is azure"
    for name, container in containers(subject):
        for variable in each(known(container, "env")):
            # By its name, however its value comes: known yet or not, literal or from a secret.
            if (key := known(variable, "name")) in AUTHORITIES:
                yield f"{name}: {key}: expected no certificate authority of one's own, where cloud is azure"
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
        if parts.scheme in ("http", "file"):
            yield f"{variable}: expected https"
    pair = (environment.get(ENTRA), environment.get(GRAPH))
    if any(pair) and pair not in {(c.entra_url, c.graph_url) for c in NATIONAL_CLOUDS.values()}:
        yield f"{ENTRA}, {GRAPH}: expected those of one of Microsoft's national clouds"


POLICY = policy("no-emulation-on-azure", "Where cloud is azure, nothing of an emulation is emitted.", judge)
