"""The settings of one process: the Handover, and what the platform adds. The only reader of the environment.

Owns the rules that refuse a start: in Azure nothing of an emulation is accepted, whatever the stack configuration or
the policy pack let through. Nor does a process in Azure take itself for an emulated one, whose signing keys everybody
has: then everything that it is told of is on the loopback. Leaves out the organisations (`configuration.py`).
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

from runtime.errors import StartRefused
from schemas.handover import Handover, HandoverInvalid
from schemas.scalars import host_of, is_loopback
from schemas.stack_config import NATIONAL_CLOUDS
from schemas.vocabulary import Cloud, GeographyName, RuntimeRole, Stage

DEFAULT_PORT = 8000


@dataclass(frozen=True)
class Settings:
    """Everything a process is told from outside."""

    handover: Handover
    port: int
    revision: str

    @property
    def role(self) -> RuntimeRole:
        return self.handover.role

    @property
    def stage(self) -> Stage:
        return self.handover.stage

    @property
    def cloud(self) -> Cloud:
        return self.handover.cloud

    @property
    def geography(self) -> GeographyName:
        return self.handover.geography

    @property
    def public_host(self) -> str:
        """Host name, and port where it is not 443."""
        return self.handover.public_host

    @property
    def public_url(self) -> str:
        """Origin of our pages; the only base from which we build URLs of ours."""
        return f"https://{self.handover.public_host}"

    @property
    def entra_url(self) -> str:
        return self.handover.entra_url

    @property
    def graph_url(self) -> str:
        return self.handover.graph_url

    @property
    def bind_host(self) -> str:
        return "0.0.0.0" if self.cloud is Cloud.AZURE else "127.0.0.1"  # noqa: S104

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Settings":
        """Parse and judge the environment. Raises `StartRefused`, never with values."""
        try:
            handover = Handover.from_environment(environment)
        except HandoverInvalid as e:
            raise StartRefused(str(e), "The variables come from components/; redeploy with `pulumi up`.") from None
        port = environment.get("CONTAINER_APP_PORT", str(DEFAULT_PORT))
        if not (port.isdecimal() and 0 < int(port) < 65536):
            raise StartRefused("CONTAINER_APP_PORT: expected a port number")
        for name in ("IDENTITY_ENDPOINT", "IDENTITY_HEADER"):
            if not environment.get(name):
                raise StartRefused(
                    f"{name} is absent", "Assign a user-assigned managed identity to this container app."
                )
        problems = emulation_in_azure(handover)
        if problems:
            raise StartRefused("; ".join(problems), "These exist only where `cloud: emulated`.")
        if elsewhere := azure_in_emulation(handover):
            raise StartRefused("; ".join(elsewhere), "Deploy with `cloud: azure`.")
        return cls(handover, int(port), environment.get("CONTAINER_APP_REVISION", ""))


def emulation_in_azure(handover: Handover) -> list[str]:
    """What of an emulation stands in a Handover for Azure; each is a reason of its own not to start."""
    if handover.cloud is not Cloud.AZURE:
        return []
    problems: list[str] = []
    urls = {
        "CONNECTOR_PUBLIC_HOST": f"https://{handover.public_host}",
        "CONNECTOR_KEY_VAULT_URL": handover.key_vault_url,
        "CONNECTOR_DATABASE_URL": handover.database_url,
        "CONNECTOR_STORAGE_URL": handover.storage_url,
        "CONNECTOR_ENTRA_URL": handover.entra_url,
        "CONNECTOR_GRAPH_URL": handover.graph_url,
    }
    for name, url in urls.items():
        parts = urlsplit(url)
        if is_loopback(host_of(parts.netloc.rpartition("@")[2])):
            problems.append(f"{name}: a loopback address, where cloud is azure")
        if parts.scheme == "http":
            problems.append(f"{name}: http, where cloud is azure")
    if handover.repository_url is not None and not is_remote(handover.repository_url):
        problems.append("CONNECTOR_REPOSITORY_URL: a repository on this machine, where cloud is azure")
    pairs = {(cloud.entra_url, cloud.graph_url) for cloud in NATIONAL_CLOUDS.values()}
    if (handover.entra_url, handover.graph_url) not in pairs:
        problems.append("CONNECTOR_ENTRA_URL, CONNECTOR_GRAPH_URL: not those of one of Microsoft's national clouds")
    if handover.ca_bundle is not None:
        problems.append("CONNECTOR_CA_BUNDLE: an own certificate authority, where cloud is azure")
    if parse_qs(urlsplit(handover.database_url).query).get("sslmode") != ["verify-full"]:
        problems.append("CONNECTOR_DATABASE_URL: expected sslmode=verify-full, where cloud is azure")
    return problems


def azure_in_emulation(handover: Handover) -> list[str]:
    """What is not on this machine, in a Handover that says that the cloud is emulated."""
    if handover.cloud is not Cloud.EMULATED:
        return []
    urls = {
        "CONNECTOR_KEY_VAULT_URL": handover.key_vault_url,
        "CONNECTOR_DATABASE_URL": handover.database_url,
        "CONNECTOR_STORAGE_URL": handover.storage_url,
        "CONNECTOR_ENTRA_URL": handover.entra_url,
        "CONNECTOR_GRAPH_URL": handover.graph_url,
    }
    return [
        f"{name}: expected a loopback address, where cloud is emulated"
        for name, url in urls.items()
        if not is_loopback(host_of(urlsplit(url).netloc.rpartition("@")[2]))
    ]


def is_remote(url: str) -> bool:
    """Over https, and not to this machine."""
    parts = urlsplit(url)
    return parts.scheme == "https" and not is_loopback(host_of(parts.netloc.rpartition("@")[2]))


def load() -> Settings:
    """The settings of this process. Raises `StartRefused`."""
    return Settings.from_environment(os.environ)
