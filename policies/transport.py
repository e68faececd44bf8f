"""Everything in transit is encrypted: TLS 1.2 or newer at the ingress, between apps, to database and storage.

Where cloud is azure the database's certificate is verified too (`sslmode=verify-full`); the emulated server has no TLS.
"""

from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

from policies.containers import environments
from policies.judging import Subject, policy
from schemas.vocabulary import Cloud

SERVER_PARAMETERS = {
    "require_secure_transport": frozenset({"on"}),
    "ssl_min_protocol_version": frozenset({"TLSv1.2", "TLSv1.3"}),
}
TLS_VERSIONS = frozenset({"TLS1_2", "TLS1_3"})


def judge(subject: Subject) -> Iterator[str]:
    match subject.type:
        case "app:ContainerApp":
            ingress = subject.get("configuration", "ingress")
            if ingress is not None and (got := subject.get("configuration", "ingress", "allowInsecure")) is not False:
                yield f"configuration.ingress.allowInsecure: expected false, got {got}"
            if subject.settings.cloud is Cloud.AZURE:
                yield from _database_url(subject)
        case "app:ManagedEnvironment":
            if (got := subject.get("peerTrafficConfiguration", "encryption", "enabled")) is not True:
                yield f"peerTrafficConfiguration.encryption.enabled: expected true, got {got}"
        case "storage:StorageAccount":
            if (got := subject.get("enableHttpsTrafficOnly")) is not True:
                yield f"enableHttpsTrafficOnly: expected true, got {got}"
            if (got := subject.get("minimumTlsVersion")) not in TLS_VERSIONS:
                yield f"minimumTlsVersion: expected {' or '.join(sorted(TLS_VERSIONS))}, got {got}"
        case "dbforpostgresql:Configuration":
            name = subject.get("configurationName")
            allowed = SERVER_PARAMETERS.get(str(name))
            if allowed is not None and (got := subject.get("value")) not in allowed:
                yield f"{name}: expected {' or '.join(sorted(allowed))}, got {got}"
        case _:
            return


def _database_url(subject: Subject) -> Iterator[str]:
    for container, environment in environments(subject):
        url = environment.get("CONNECTOR_DATABASE_URL")
        if url is not None and parse_qs(urlsplit(url).query).get("sslmode") != ["verify-full"]:
            yield f"{container}: CONNECTOR_DATABASE_URL: expected sslmode=verify-full"


POLICY = policy(
    "encrypted-transport", "Traffic is encrypted at the ingress, between apps, to database and storage.", judge
)
