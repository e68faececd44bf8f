"""The configuration document that the Handover names: fetched from the vault, verified, looked up by connection.

Owns fetching the chunks by identity and refusing any document but the one named, or one of another stage, cloud,
geography or host. Leaves out its format (`schemas/configuration_document.py`), and whom of it to serve (`promotion/`).
"""

import asyncio
from collections.abc import Iterable
from typing import NamedTuple

from runtime.errors import StartRefused
from runtime.http import origin_of
from runtime.settings import Settings
from runtime.vault import Vault
from schemas.configuration_document import (
    ConfigurationDocument,
    ConfigurationDocumentInvalid,
    chunk_names,
    unpack,
)
from schemas.scalars import host_of, is_loopback
from schemas.stack_config import EhrConnection, LaunchClient, Organization
from schemas.vocabulary import Cloud, RuntimeRole, Stage


class Served(NamedTuple):
    """A connection with its organisation."""

    organization: Organization
    connection: EhrConnection


class Configuration:
    """The organisations of this geography."""

    def __init__(self, document: ConfigurationDocument) -> None:
        self.document = document
        self._served = {c.id: Served(o, c) for o in document.organizations for c in o.connections}
        if len(self._served) != sum(len(o.connections) for o in document.organizations):
            raise StartRefused("two connections of the configuration document have one id")

    def connection(self, connection_id: str) -> Served | None:
        return self._served.get(connection_id)

    @property
    def served(self) -> tuple[Served, ...]:
        return tuple(self._served.values())

    def organization(self, organization_id: str) -> Organization | None:
        return next((o for o in self.document.organizations if o.id == organization_id), None)


def ehr_origins(connection: EhrConnection) -> frozenset[str]:
    """Where calls for a connection may go: its FHIR base URL's origin, and those that the configuration adds."""
    return frozenset({origin_of(connection.fhir_base_url), *map(origin_of, connection.token_endpoint_origins)})


def expected_issuer(connection: EhrConnection, client: LaunchClient) -> str:
    """The OpenID issuer of a client's id_tokens: its own where the configuration names one, else the FHIR base URL."""
    return client.issuer or connection.fhir_base_url


def checked(document: ConfigurationDocument, settings: Settings) -> Configuration:
    """The document, once it is meant for this process. Raises `StartRefused`."""
    expected = (settings.stage, settings.cloud, settings.geography)
    if (document.stage, document.cloud, document.geography) != expected:
        raise StartRefused("the configuration document is for another stage, cloud or geography than this process")
    if _host(document, settings) != settings.public_host:
        raise StartRefused("the configuration document is for another public host than this process")
    _check_promotion(document, settings)
    _check_organizations(document.organizations, settings.stage, settings)
    _check_organizations(document.proposals, Stage.PRODUCTION, settings)
    return Configuration(document)


def _host(document: ConfigurationDocument, settings: Settings) -> str | None:
    """Approvals are about this host: a launch arrives at it, or nowhere."""
    portal = settings.role is RuntimeRole.PORTAL
    return document.portal_host if portal else document.public_hosts.of(settings.stage)


def _check_promotion(document: ConfigurationDocument, settings: Settings) -> None:
    promotion = document.promotion
    key_ids = [pin.key_id for pin in promotion.trusted_keys]
    if len(set(key_ids)) != len(key_ids):
        raise StartRefused("the configuration document pins one key twice")
    if document.proposals and settings.stage is not Stage.TEST:
        raise StartRefused("the configuration document has proposals, which only a test stack has")
    repository = promotion.repository
    if settings.cloud is Cloud.AZURE and repository is not None:
        urls = [u for u in (repository.url, repository.github.api_url if repository.github else None) if u]
        if repository.folder is not None or any(_is_local(url) for url in urls):
            raise StartRefused("promotion.repository is on this machine, where cloud is azure")


def _check_organizations(organizations: Iterable[Organization], stage: Stage, settings: Settings) -> None:
    for organization in organizations:
        for connection in organization.connections:
            if organization.geography is not settings.geography or connection.stage is not stage:
                raise StartRefused(f"{connection.id} is not at home in this geography and stage")
            if settings.cloud is Cloud.AZURE and any(_is_local(url) for url in _urls(connection)):
                raise StartRefused(f"{connection.id} names an http or loopback address, where cloud is azure")


def _urls(connection: EhrConnection) -> list[str]:
    clients = connection.clients
    issuers = (clients.provider.issuer, clients.patient.issuer, clients.approval.issuer)
    urls = [connection.fhir_base_url, *connection.token_endpoint_origins, *connection.frame_origins]
    return [*urls, *(i for i in issuers if i)]


def _is_local(url: str) -> bool:
    return url.startswith("http://") or is_loopback(host_of(url.partition("://")[2].partition("/")[0]))


async def fetch_configuration(vault: Vault, settings: Settings) -> Configuration:
    """Read, verify and check the document. Raises `StartRefused`, `VaultUnavailable`."""
    handover = settings.handover
    names = chunk_names(handover.configuration_secret, handover.configuration_chunks)
    limit = asyncio.Semaphore(8)

    async def read(name: str) -> str:
        async with limit:
            value = await vault.secret(name)
        if value is None:
            raise StartRefused(
                f"the vault has no secret {name}", "Run `pulumi up`: it writes the chunks before the apps."
            )
        return value

    values = await asyncio.gather(*map(read, names))
    try:
        document = unpack(values, handover.configuration_sha256)
    except ConfigurationDocumentInvalid as e:
        raise StartRefused(str(e)) from None
    return checked(document, settings)
