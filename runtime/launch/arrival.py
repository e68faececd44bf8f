"""What follows a finished launch: a visit, or, the first time a provider comes, the Microsoft sign-in.

Owns the keyed hash of an EHR user (connection, issuer, subject) and the step into the visit: session, cookie, redirect.
"""

import hmac

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from runtime.audit import Action, AuditRow
from runtime.bootstrap import Services
from runtime.configuration import expected_issuer
from runtime.cookies import cookie_name, drop_cookie
from runtime.errors import Refusal
from runtime.identity.links import linked_account
from runtime.identity.pending import begin_sign_in
from runtime.launch.flow import Arrival, client_of
from runtime.launch.model import Party, PatientLaunch, ProviderLaunch, VisitSession
from runtime.launch.pending import complete
from runtime.launch.refusals import LAUNCH_REUSED
from runtime.serving import not_standing
from runtime.sessions import end_session, start_session


def ehr_user_hash(key: bytes, connection_id: str, issuer: str, subject: str) -> bytes:
    """HMAC-SHA256 over length-prefixed fields: no two users share one, and nobody can guess whose it is."""
    fields = [part.encode() for part in ("ehr-user/1", connection_id, issuer, subject)]
    return hmac.digest(key, b"".join(len(f).to_bytes(8, "big") + f for f in fields), "sha256")


async def enter(services: Services, request: Request, arrival: Arrival) -> Response | Refusal:
    """Go on to the visit, or to the sign-in. Raises `Unavailable`.

    Whoever was here before on this side is out from now on, wherever this launch ends: the workstation may be shared.
    """
    if arrival.party is Party.PATIENT:
        return await _patient(services, request, arrival)
    connection = arrival.served.connection
    issuer = expected_issuer(connection, client_of(connection, Party.PROVIDER))
    user = ehr_user_hash(services.keys.user_hash_hmac, connection.id, issuer, arrival.person.subject)
    async with services.database.pipeline() as database:
        if not await complete(database, arrival.pending):
            return LAUNCH_REUSED
        await end_session(request, database, Party.PROVIDER)
        await services.audit.record(
            database, AuditRow(Action.LAUNCHED, arrival.served.organization.id, connection.id, actor=user)
        )
        account = await linked_account(database, user)
    launch = ProviderLaunch(
        organization_id=arrival.served.organization.id,
        connection_id=connection.id,
        session_id=arrival.context.session_id,
        department_id=arrival.context.department_id,
        patient_id=arrival.context.patient_id,
        ehr_user_hash=user,
        tenant_id=arrival.served.organization.tenant_id,
        object_id=account.object_id if account else "",
    )
    if account is None or account.tenant_id != arrival.served.organization.tenant_id:
        response = await begin_sign_in(services, launch, arrival.person.display)
        drop_cookie(response, cookie_name(services.settings, Party.PROVIDER))
        return response
    return await enter_as_provider(services, request, launch)


async def enter_as_provider(services: Services, request: Request, launch: ProviderLaunch) -> Response | Refusal:
    """Also the last step of a first sign-in, during which the connection may have been withdrawn."""
    from runtime.visit.begin import provider_begins

    served = services.configuration.connection(launch.connection_id)
    withdrawn = not_standing(services, served) if served else None
    if withdrawn:
        return withdrawn
    return await _into_visit(services, request, await provider_begins(services, launch))


async def _patient(services: Services, request: Request, arrival: Arrival) -> Response | Refusal:
    from runtime.visit.begin import patient_arrives

    connection, patient_id = arrival.served.connection, arrival.context.patient_id
    assert patient_id is not None, "context_of refuses a patient's launch without one"
    async with services.database.pipeline() as database:
        if not await complete(database, arrival.pending):
            return LAUNCH_REUSED
        await end_session(request, database, Party.PATIENT)
        await services.audit.record(
            database, AuditRow(Action.LAUNCHED, arrival.served.organization.id, connection.id, detail="patient")
        )
    launch = PatientLaunch(arrival.served.organization.id, connection.id, arrival.context.session_id, patient_id)
    return await _into_visit(services, request, await patient_arrives(services, launch))


async def _into_visit(services: Services, request: Request, visit: VisitSession | Refusal) -> Response | Refusal:
    if isinstance(visit, Refusal):
        return visit
    session = await start_session(services, request, visit)
    response = RedirectResponse(f"/visit/{visit.party}", 303)
    session.attach(services, response)
    return response
