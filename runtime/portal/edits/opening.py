"""What the edit's pages work on: the repository and the probe of this process, and the organisation at a commit."""

import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import cast

from pydantic import TypeAdapter, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from runtime.bootstrap import Services
from runtime.errors import Refusal, StartRefused
from runtime.logs import log
from runtime.portal import refusals
from runtime.portal.access import Visitor, for_signed_in, organization_of
from runtime.portal.catalogue import Role
from runtime.portal.edits.allowance import Allowance
from runtime.portal.edits.fields import Choice, people
from runtime.portal.edits.source import Source, find_source
from runtime.portal.probe import Probe
from runtime.portal.repository import Repository, RepositoryRefused, RepositoryUnavailable, open_repository
from runtime.portal.sessions import PortalSession
from schemas.stack_config import EhrConnection, Organization

_CONNECTION: TypeAdapter[EhrConnection] = TypeAdapter(EhrConnection)


class Editing:
    """The adapters that edits need, made when they are first needed."""

    def __init__(self, services: Services, repository: Repository | None = None, probe: Probe | None = None) -> None:
        self._services, self._repository = services, repository
        self.probe = probe or Probe(services.http.client, services.settings.cloud)
        self.looks = Allowance()

    @property
    def repository(self) -> Repository:
        """Raises `RepositoryRefused` where none is configured."""
        if self._repository is None:
            self._repository = repository_of(self._services)
        return self._repository


def repository_of(services: Services) -> Repository:
    """The repository that the configuration and the Handover name. Raises `StartRefused`, `RepositoryRefused`."""
    config, handover = services.configuration.document.promotion.repository, services.settings.handover
    if config is None or handover.repository_url is None:
        raise StartRefused("the configuration names no repository", "Set promotion.repository of the test stack.")
    return open_repository(config, handover.repository_url, services.http, services.vault, handover.ca_bundle)


@dataclass(frozen=True)
class Opened:
    """An organisation that the visitor may edit, as it stands in the repository at one commit."""

    visitor: Visitor
    organization: Organization
    editing: Editing
    source: Source

    @property
    def administers(self) -> bool:
        return Role.ADMINISTRATOR in self.visitor.roles(self.organization)

    @property
    def base(self) -> str:
        return base_value(self.visitor.session, self.organization.id, self.source.revision)

    @property
    def choices(self) -> list[Choice]:
        return people(self.visitor.catalogue.organizations, self.organization.tenant_id)

    @property
    def others(self) -> tuple[Organization, ...]:
        """The other deployed organisations, which ids and URLs must not collide with."""
        return tuple(o for o in self.visitor.catalogue.organizations if o.id != self.organization.id)

    def waits(self, connection_id: str) -> bool:
        """Whether the repository says something else about a connection than what is deployed."""
        deployed = next((c for c in self.organization.connections if c.id == connection_id), None)
        try:
            return _CONNECTION.validate_python(self.source.connection(connection_id), by_alias=True) != deployed
        except ValidationError:
            return True


Page = Callable[[Request, Opened], Awaitable[Response | Refusal]]


async def opened(request: Request, visitor: Visitor, revision: str | None = None) -> Opened | Refusal:
    """The organisation of the path, at a commit or as it is now. Every role in it may propose edits."""
    organization = organization_of(request, visitor)
    if isinstance(organization, Refusal):
        return organization
    settings, editing = visitor.services.settings, editing_of(request)
    try:
        source = await find_source(
            editing.repository, settings.geography, settings.public_host, organization.id, revision
        )
    except (RepositoryUnavailable, RepositoryRefused) as e:
        return repository_refusal(e)
    if isinstance(source, Refusal):
        return source
    if (source.organization.get("tenantId"), source.organization.get("geography")) != (
        organization.tenant_id,
        str(organization.geography),
    ):
        return refusals.EDIT_NOT_THERE.because("tenant-or-geography-differs")
    return Opened(visitor, organization, editing, source)


def for_editors(
    page: Callable[[Request, Opened], Awaitable[Response | Refusal]],
) -> Callable[[Request], Awaitable[Response]]:
    """A page for whoever may edit the organisation of the path, as it is in the repository now."""

    @for_signed_in
    async def endpoint(request: Request, visitor: Visitor) -> Response | Refusal:
        found = await opened(request, visitor)
        return found if isinstance(found, Refusal) else await page(request, found)

    return endpoint


def base_value(session: PortalSession, organization_id: str, revision: str) -> str:
    """A commit as a form carries it: nobody edits on top of another one than this portal offered."""
    return f"{revision}.{_base_mac(session, organization_id, revision)}"


def base_of(session: PortalSession, organization_id: str, value: str) -> str | None:
    """The commit of a form of ours."""
    revision, _, mac = value.partition(".")
    expected = _base_mac(session, organization_id, revision)
    return revision if hmac.compare_digest(mac.encode(), expected.encode()) else None


def _base_mac(session: PortalSession, organization_id: str, revision: str) -> str:
    message = f"portal-edit-base/1:{organization_id}:{revision}".encode()
    return hmac.digest(session.form_key, message, "sha256").hex()


def editing_of(request: Request) -> Editing:
    return cast(Editing, request.app.state.editing)


def repository_refusal(error: RepositoryUnavailable | RepositoryRefused) -> Refusal:
    """In words for the person; what the operator needs is logged."""
    log.error("repository", error=type(error).__name__, reason=str(error), advice=error.advice)
    if isinstance(error, RepositoryUnavailable):
        return refusals.REPOSITORY_UNAVAILABLE
    return refusals.REPOSITORY_REFUSED
