"""Who is signed in, and what they may see: the questions that every page of the portal asks first.

Owns the way from a request to a session and an organisation. What a person has no role in does not exist for them
(404), whether or not it exists.
"""

import functools
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import cast
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from runtime.bootstrap import Services, services_of
from runtime.configuration import Served
from runtime.errors import Refusal
from runtime.portal import refusals
from runtime.portal.catalogue import Catalogue, Role, is_person, roles_of
from runtime.portal.rendering import refused
from runtime.portal.sessions import PortalSession, session_of
from schemas.stack_config import EhrConnection, Organization

_OWN_PATH = re.compile(r"(/[a-z0-9-]+)+(\.[a-z]+)?")


@dataclass(frozen=True)
class Visitor:
    """A signed-in person, with what they may see."""

    services: Services
    session: PortalSession
    catalogue: Catalogue

    @property
    def organizations(self) -> tuple[Organization, ...]:
        return self.catalogue.of_account(self.session.account)

    def organization(self, organization_id: str) -> Organization | None:
        return next((o for o in self.organizations if o.id == organization_id), None)

    def connection(self, connection_id: str) -> Served | None:
        found = self.catalogue.connection(connection_id)
        return found if found and self.roles(found.organization) else None

    def roles(self, organization: Organization) -> frozenset[Role]:
        return roles_of(self.session.account, organization)

    def is_approver_of(self, connection: EhrConnection) -> bool:
        return is_person(self.session.account, connection.approver)


Page = Callable[[Request, Visitor], Awaitable[Response | Refusal]]


def catalogue_of(request: Request) -> Catalogue:
    return cast(Catalogue, request.app.state.catalogue)


async def signed_in(request: Request) -> Visitor | Refusal:
    """Who sends this request. Raises `DatabaseUnavailable`."""
    session = await session_of(request)
    if session is None:
        return refusals.SIGNED_OUT
    return Visitor(services_of(request), session, catalogue_of(request))


def for_signed_in(page: Page) -> Callable[[Request], Awaitable[Response]]:
    """An endpoint for signed-in people only: others are sent to the sign-in (GET) or refused; a refusal is a page."""

    @functools.wraps(page)
    async def endpoint(request: Request) -> Response:
        visitor = await signed_in(request)
        if isinstance(visitor, Refusal):
            return to_sign_in(request) if request.method == "GET" else refused(visitor)
        answer = await page(request, visitor)
        return refused(answer, visitor.session) if isinstance(answer, Refusal) else answer

    return endpoint


def to_sign_in(request: Request) -> Response:
    return RedirectResponse("/sign-in?" + urlencode({"next": own_path(request.url.path)}), 303)


def own_path(path: str) -> str:
    """A path of this portal to return to, never another site's: `/` where it is none."""
    return path if len(path) <= 200 and _OWN_PATH.fullmatch(path) else "/"


def organization_of(request: Request, visitor: Visitor) -> Organization | Refusal:
    """The organisation of the path, or `NOT_FOUND`."""
    return visitor.organization(request.path_params["organization"]) or refusals.NOT_FOUND


def connection_of(request: Request, visitor: Visitor) -> Served | Refusal:
    """The connection of the path with its organisation, or `NOT_FOUND`."""
    return visitor.connection(request.path_params["connection"]) or refusals.NOT_FOUND
