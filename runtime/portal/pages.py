"""What people look at: their organisations, each with the state of its URLs; a connection with reasons and history."""

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from runtime.configuration import Served
from runtime.errors import Refusal
from runtime.portal.access import Visitor, connection_of, for_signed_in, organization_of
from runtime.portal.catalogue import Role
from runtime.portal.configuration_view import sections
from runtime.portal.decision import obstacle
from runtime.portal.departure import ANYWHERE
from runtime.portal.forms import form_token
from runtime.portal.rendering import portal_page
from runtime.portal.state import MEANING, State, history_of, state_of, verified_of
from runtime.portal.subject import subject_of
from runtime.promotion.standing import why_not_served
from schemas.integration_records import are_shown
from schemas.promotion.decide import Approved, Decision
from schemas.promotion.reasons import Reason
from schemas.stack_config import EhrConnection, Organization


def routes() -> list[BaseRoute]:
    return [
        Route("/", organizations),
        Route("/organizations/{organization}", organization),
        Route("/connections/{connection}", connection),
    ]


@dataclass(frozen=True)
class Line:
    """A connection in a list."""

    connection: EhrConnection
    state: State
    reasons: tuple[Reason, ...]
    warnings: tuple[Reason, ...]
    is_mine: bool
    has_records: bool


@for_signed_in
async def organizations(request: Request, visitor: Visitor) -> Response | Refusal:
    await visitor.services.standing.catch_up(visitor.services)
    mine = [(o, sorted(visitor.roles(o)), lines_of(visitor, o)) for o in visitor.organizations]
    return portal_page("portal_organizations.html", visitor.session, organizations=mine)


@for_signed_in
async def organization(request: Request, visitor: Visitor) -> Response | Refusal:
    found = organization_of(request, visitor)
    if isinstance(found, Refusal):
        return found
    await visitor.services.standing.catch_up(visitor.services)
    return portal_page(
        "portal_organization.html",
        visitor.session,
        organization=found,
        lines=lines_of(visitor, found),
        meaning=MEANING,
        roles=sorted(visitor.roles(found)),
        administers=Role.ADMINISTRATOR in visitor.roles(found),
    )


@for_signed_in
async def connection(request: Request, visitor: Visitor) -> Response | Refusal:
    served = connection_of(request, visitor)
    if isinstance(served, Refusal):
        return served
    services = visitor.services
    await services.standing.catch_up(services)
    subject = subject_of(services.configuration.document, visitor.catalogue, served)
    counting, others = verified_of(served.organization.id, services.standing.statements, services.trust)
    prefix = f"approvals/{served.organization.id}/{served.connection.id}/"
    return portal_page(
        "portal_connection.html",
        visitor.session,
        form_action=ANYWHERE,
        served=served,
        subject=subject,
        line=line_of(visitor, served),
        meaning=MEANING,
        obstacle=obstacle(subject),
        sections=sections(served.organization, served.connection, subject.launch_host),
        history=history_of(served.organization, served.connection, subject.sha256, counting),
        rejected=[(path, reason) for path, reason in others if path.startswith(prefix)],
        token=form_token(visitor.session, f"prove:{served.connection.id}"),
    )


def lines_of(visitor: Visitor, organization: Organization) -> list[Line]:
    return [line_of(visitor, Served(organization, c)) for c in organization.connections]


def line_of(visitor: Visitor, served: Served) -> Line:
    found = visitor.services.standing.decision(served.connection.id)
    return Line(
        served.connection,
        state_in(visitor, served),
        why_not_served(found),
        warnings_of(found),
        visitor.is_approver_of(served.connection),
        are_shown(found),
    )


def state_in(visitor: Visitor, served: Served) -> State:
    """The connection's state by what stands now."""
    services = visitor.services
    counting, _ = verified_of(served.organization.id, services.standing.statements, services.trust)
    decision = services.standing.decision(served.connection.id)
    promoted = services.configuration.document.promoted
    return state_of(served.connection, decision, counting, promoted, services.clock())


def warnings_of(decision: Decision | None) -> tuple[Reason, ...]:
    return decision.warnings if isinstance(decision, Approved) else ()
