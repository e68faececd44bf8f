"""The visit's addresses: the provider's page and stream, the patient's page, stream and way to the meeting.

Owns who gets in: a session of that side, for the visit that the page shows. A page names its visit by a pseudonym, so
that a tab left open never shows, or joins, the visit that the same browser launched later. Leaves out what is shown
(`snapshot.py`) and the streams (`streams.py`).
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.datastructures import State
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from runtime.audit import Action, AuditRow
from runtime.bootstrap import Services, services_of
from runtime.configuration import Served
from runtime.errors import Refusal
from runtime.identity.routes import from_our_page
from runtime.launch.model import Party, VisitSession
from runtime.pages.rendering import page, refusal_page
from runtime.sessions import session_of, start_session
from runtime.visit import tickets
from runtime.visit.context import VisitContext
from runtime.visit.rows import HEARTBEAT_SECONDS, VisitRow, heartbeat, load_roster, load_visit, patient_gone
from runtime.visit.snapshot import PatientState, patient_state, provider_snapshot, read_patient_state
from runtime.visit.streams import patient_stream, provider_stream, words_of
from runtime.visit.watch import Watch

NO_SESSION = Refusal(
    "no-session",
    401,
    "Please start your visit again",
    "This page has lost its visit, or another visit was started in this browser. Open it from your health record.",
)
VISIT_GONE = Refusal("visit-gone", 410, "This visit is over", "You can close this page.")


def routes() -> list[Route]:
    return [
        Route("/visit/provider", provider_page),
        Route("/visit/provider/events", provider_events),
        Route("/visit/provider/state", provider_state),
        Route("/visit/patient", patient_page),
        Route("/visit/patient/events", patient_events),
        Route("/visit/patient/state", patient_state_),
        Route("/visit/patient/ticket", patient_ticket, methods=["POST"]),
        Route("/visit/patient/join", patient_join),
        Route("/visit/patient/continue", patient_continue, methods=["POST"]),
    ]


@dataclass(frozen=True)
class _Inside:
    """Somebody with a session, the connection that it is for, and its visit; None once that was purged."""

    services: Services
    session: VisitSession
    served: Served
    visit: VisitRow | None


def page_id(visit_key: bytes) -> str:
    """How a page names its visit in the addresses that it calls."""
    return hashlib.sha256(b"page:" + visit_key).hexdigest()[:32]


async def provider_page(request: Request) -> Response:
    inside = await _inside(request, Party.PROVIDER)
    if inside is None:
        return refusal_page(NO_SESSION)
    if inside.visit is None:
        return refusal_page(VISIT_GONE, inside.served.connection)
    async with inside.services.database.connection() as connection:
        snapshot = await provider_snapshot(inside.services, connection, inside.visit, inside.session.participant_hash)
    return page(
        "visit_provider.html",
        frame_of=inside.served.connection,
        visit=page_id(inside.session.visit_key),
        organization=inside.served.organization.name,
        snapshot=snapshot.as_json(),
        words=words_of(snapshot),
    )


async def provider_events(request: Request) -> Response:
    """Live participants, for a provider of this visit only."""
    inside = await _inside(request, Party.PROVIDER)
    if inside is None or not _same_visit(request, inside.session):
        return PlainTextResponse("", 403)
    key, reader = inside.session.visit_key, inside.session.participant_hash
    return _events(provider_stream(inside.services, _watch(request), key, reader, _still(request, inside.session)))


async def provider_state(request: Request) -> Response:
    return await _state(request, Party.PROVIDER)


async def patient_state_(request: Request) -> Response:
    return await _state(request, Party.PATIENT)


async def _state(request: Request, party: Party) -> Response:
    """Whether the page may go on: its script cannot see why its stream was refused."""
    inside = await _inside(request, party)
    if inside is None or not _same_visit(request, inside.session):
        return PlainTextResponse("", 403)
    return Response(status_code=204 if inside.visit else 410)


async def patient_page(request: Request) -> Response:
    """The waiting room. Asking for it is a sign of life, so that it works by refresh alone."""
    inside = await _inside(request, Party.PATIENT)
    if inside is None:
        return refusal_page(NO_SESSION)
    services, key = inside.services, inside.session.visit_key
    async with services.database.transaction() as connection:
        await heartbeat(connection, key)
    state = await read_patient_state(services, key)
    response = page(
        "visit_patient.html",
        frame_of=inside.served.connection,
        camera=True,
        visit=page_id(key),
        organization=inside.served.organization.name,
        state=state.value,
        refresh_seconds=HEARTBEAT_SECONDS,
    )
    response.headers["referrer-policy"] = "same-origin"  # so that its form has an origin where there is no Sec-Fetch-*
    return response


async def patient_events(request: Request) -> Response:
    """The state of the visit and nothing else."""
    inside = await _inside(request, Party.PATIENT)
    if inside is None or not _same_visit(request, inside.session):
        return PlainTextResponse("", 403)
    still = _still(request, inside.session)
    return _events(patient_stream(inside.services, _watch(request), inside.session.visit_key, still))


async def patient_join(request: Request) -> Response:
    """On to the meeting, once the lobby holds. The link is read here and was never in an address or a page of ours."""
    inside = await _inside(request, Party.PATIENT)
    if inside is None or not _same_visit(request, inside.session):
        return refusal_page(NO_SESSION)
    services, session = inside.services, inside.session
    async with services.database.transaction() as connection:
        visit = await load_visit(connection, session.visit_key)
        if visit is None:
            return RedirectResponse("/visit/patient", 303)
        context, roster = visit.context(services.seal), await load_roster(connection, visit)
        if patient_state(visit.phase, context, roster) is not PatientState.GO:
            return RedirectResponse("/visit/patient", 303)
        await patient_gone(connection, session.visit_key)
        await services.audit.record(
            connection,
            AuditRow(
                Action.JOIN_GIVEN,
                session.organization_id,
                session.connection_id,
                session.participant_hash,
                session.visit_key,
            ),
        )
    return RedirectResponse(context.patient_url or "", 303)


async def patient_ticket(request: Request) -> Response:
    """The framed page's way into a tab, asked for when its button is pressed: each press has a ticket of its own."""
    inside = await _inside(request, Party.PATIENT)
    if inside is None or not _same_visit(request, inside.session) or not from_our_page(request):
        return PlainTextResponse("", 403)
    async with inside.services.database.transaction() as connection:
        await heartbeat(connection, inside.session.visit_key)
        ticket = await tickets.issue(connection, inside.session.visit_key)
    return PlainTextResponse(ticket)


async def patient_continue(request: Request) -> Response:
    """The waiting room in a tab of its own, by the one-time ticket of a framed page, whose cookie a tab cannot see."""
    services = services_of(request)
    if not from_our_page(request):
        return refusal_page(NO_SESSION)
    form = await request.form(max_files=0, max_fields=4, max_part_size=1024)
    ticket = form.get("ticket")
    async with services.database.transaction() as connection:
        session = await tickets.redeem(connection, services.seal, ticket) if isinstance(ticket, str) else None
    if session is None:
        return refusal_page(NO_SESSION)
    response = RedirectResponse("/visit/patient", 303)
    (await start_session(services, request, session)).attach(services, response)
    return response


# --- who gets in ------------------------------------------------------------------------------------------------


async def _inside(request: Request, party: Party) -> _Inside | None:
    """The session of this browser on this side, where its visit is still the session's.

    A session may outlive its visit, and a later visit may have the same key: only who was admitted to the visit that
    is there now gets in.
    """
    services = services_of(request)
    async with services.database.connection() as connection:
        session = await session_of(request, connection, party)
        served = services.configuration.connection(session.connection_id) if session else None
        if session is None or served is None or served.organization.id != session.organization_id:
            return None
        visit = await load_visit(connection, session.visit_key)
    if visit and not _admitted(session, visit, visit.context(services.seal)):
        return None
    return _Inside(services, session, served, visit)


def _admitted(session: VisitSession, visit: VisitRow, context: VisitContext) -> bool:
    if (visit.organization_id, visit.connection_id) != (session.organization_id, session.connection_id):
        return False
    if session.party is Party.PATIENT:
        return context.patient == session.participant_hash.hex()
    return context.is_staff(session.participant_hash)


def _same_visit(request: Request, session: VisitSession) -> bool:
    return hmac.compare_digest(request.query_params.get("visit", "").encode(), page_id(session.visit_key).encode())


def _still(request: Request, session: VisitSession) -> Callable[[], Awaitable[bool]]:
    """Whether the browser's session is still the one that opened the stream, and its visit too."""

    async def still() -> bool:
        inside = await _inside(request, session.party)
        return inside is not None and inside.session == session

    return still


def _watch(request: Request) -> Watch:
    state: State = request.app.state
    if not hasattr(state, "watch"):
        state.watch = Watch(services_of(request).database)
    return state.watch


def _events(stream: AsyncGenerator[ServerSentEvent]) -> Response:
    return EventSourceResponse(stream, ping=HEARTBEAT_SECONDS, ping_message_factory=_ping, send_timeout=30)


def _ping() -> ServerSentEvent:
    return ServerSentEvent(comment=f"still here {datetime.now(UTC):%H:%M:%S}")
