"""The gateway takes and passes on https alone, of TLS 1.2 or newer, behind a firewall, with certificates of the vault.

A certificate is named by its URI without a version, so that a renewed one is picked up, and is never itself in what is
emitted.
"""

import re
from collections.abc import Iterator

from policies.judging import Subject, is_unknown, known, policy

TLS_POLICIES = frozenset({"AppGwSslPolicy20220101", "AppGwSslPolicy20220101S"})
"""Those of 2022: TLS 1.2 and 1.3 ("TLS policy overview for Application Gateway")."""
UNVERSIONED = re.compile(r"https://[^/]+/secrets/[0-9A-Za-z-]+/?")


def judge(subject: Subject) -> Iterator[str]:
    match subject.type:
        case "network:ApplicationGateway":
            yield from _gateway(subject)
            yield from _certificates(subject)
        case "app:Certificate":
            reference = ("properties", "certificateKeyVaultProperties", "keyVaultUrl")
            if not subject.waits_for(*reference):
                yield from _unversioned(".".join(reference), subject.get(*reference))
            for key in ("value", "password"):
                if subject.get("properties", key) is not None or subject.waits_for("properties", key):
                    yield f"properties.{key}: expected nothing: the certificate is the vault's"
        case _:
            return


def _gateway(subject: Subject) -> Iterator[str]:
    for key in ("name", "tier"):
        if (got := subject.get("sku", key)) != "WAF_v2":
            yield f"sku.{key}: expected WAF_v2, got {got}"
    if subject.get("firewallPolicy", "id") is None and not subject.waits_for("firewallPolicy", "id"):
        yield "firewallPolicy: expected a firewall policy, got nothing"
    kind, name = subject.get("sslPolicy", "policyType"), subject.get("sslPolicy", "policyName")
    if kind != "Predefined" or name not in TLS_POLICIES:
        yield f"sslPolicy: expected {' or '.join(sorted(TLS_POLICIES))}, got {name or kind or 'nothing'}"
    for parts in ("httpListeners", "backendHttpSettingsCollection", "probes"):
        for part in subject.items(parts):
            if (got := known(part, "protocol")) != "Https":
                yield f"{parts}: {known(part, 'name')}: expected Https, got {got}"


def _certificates(subject: Subject) -> Iterator[str]:
    for certificate in subject.items("sslCertificates"):
        for key in ("data", "password"):
            if known(certificate, key) is not None or is_unknown(certificate, key):
                yield f"sslCertificates: {key}: expected nothing: the certificate is the vault's"
        if not is_unknown(certificate, "keyVaultSecretId"):
            yield from _unversioned("sslCertificates", known(certificate, "keyVaultSecretId"))


def _unversioned(where: str, uri: object) -> Iterator[str]:
    if UNVERSIONED.fullmatch(str(uri)) is None:
        yield f"{where}: expected the URI of a vault's secret without a version, got {uri or 'nothing'}"


POLICY = policy("entry", "The gateway speaks TLS 1.2 or newer on both sides, with certificates of the vault.", judge)
