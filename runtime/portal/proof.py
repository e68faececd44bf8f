"""The approver proves one FHIR base URL: a fresh Microsoft sign-in, then a sign-in at the EHR itself.

    POST /connections/{c}/prove        -> Entra (`prompt=login`)         fresh: ten minutes
    GET  /connections/{c}/prove        which host the EHR's sign-in is at, before anybody goes there
    POST /connections/{c}/prove/ehr    -> the EHR's authorization endpoint (scope `openid`, PKCE)
    GET  /ehr/{c}/callback             proof: one URL, ten minutes, one decision (`decision.py` takes it)

The EHR's tokens prove that whoever signed in is known at that URL, and are dropped at once; who they are there is kept
nowhere. Every step is bound to the session that began it, and to its connection. RFC 7636, RFC 9207, RFC 9700.
"""

import base64
import hashlib
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from runtime.audit import Action
from runtime.bootstrap import Services
from runtime.configuration import Served, ehr_origins
from runtime.cookies import new_value
from runtime.ehr.client_authentication import CredentialAbsent
from runtime.ehr.client_keys import ClientKeyInvalid
from runtime.ehr.smart import TokenEndpointRefused
from runtime.errors import ProtocolError, Refusal, RemoteUnavailable
from runtime.http import origin_of
from runtime.identity.pending import SignedIn
from runtime.jose import TokenRefused
from runtime.logs import log
from runtime.portal import entra, held, refusals, trail
from runtime.portal.access import Visitor, connection_of, for_signed_in, signed_in
from runtime.portal.catalogue import is_person
from runtime.portal.departure import depart
from runtime.portal.evidence import TooOld, evidence_of, read_capability
from runtime.portal.forms import checked_form, form_token
from runtime.portal.rendering import portal_page, refused
from runtime.portal.sessions import PortalSession
from schemas.promotion.statement import Evidence
from schemas.stack_config import EhrConnection, LaunchClient, PublicClient

SECONDS = 600
"""For which a fresh sign-in, the way to the EHR and a proof are good, each."""
SCOPE = "openid"
MAXIMUM_CODE = 4000


def routes() -> list[BaseRoute]:
    return [
        Route("/connections/{connection}/prove", begin, methods=["POST"]),
        Route("/connections/{connection}/prove", before_the_ehr),
        Route("/connections/{connection}/prove/ehr", to_the_ehr, methods=["POST"]),
        Route("/ehr/{connection}/callback", callback),
    ]


def approval_client(connection: EhrConnection) -> LaunchClient:
    """The approval client as the SMART client takes one: public, by PKCE alone."""
    client = connection.clients.approval
    return LaunchClient(client_id=client.client_id, authentication=PublicClient(method="none"), issuer=client.issuer)


def issuer_of(connection: EhrConnection) -> str:
    return connection.clients.approval.issuer or connection.fhir_base_url


def redirect_uri(services: Services, connection_id: str) -> str:
    """One for each connection, registered at its EHR (RFC 9700 section 4.4.2)."""
    return f"{services.settings.public_url}/ehr/{connection_id}/callback"


def proof_key(session: PortalSession, connection_id: str) -> bytes:
    return held.key_of("proof", session.key.hex(), connection_id)


def _fresh_key(session: PortalSession, connection_id: str) -> bytes:
    return held.key_of("fresh", session.key.hex(), connection_id)


# --- Microsoft ----------------------------------------------------------------------------------------------------


@for_signed_in
async def begin(request: Request, visitor: Visitor) -> Response | Refusal:
    """The approver asks to prove and decide: to Entra, which must ask for their credentials."""
    served = _approvers(request, visitor)
    if isinstance(served, Refusal):
        return served
    fields = await checked_form(request, visitor.session, f"prove:{served.connection.id}")
    if isinstance(fields, Refusal):
        return fields
    begun = await entra.begin(visitor.services, served.connection.approver.tenant_id, fresh=True)
    if isinstance(begun, Refusal):
        return begun
    values = {"purpose": "proof", "session": visitor.session.key.hex(), "connection": served.connection.id}
    return await depart(visitor.services, begun, values)


async def signed_in_anew(request: Request, found: Mapping[str, Any], answer: SignedIn | Refusal) -> Response | Refusal:
    """Entra's answer to that. Raises `DatabaseUnavailable`."""
    visitor = await signed_in(request)
    if isinstance(visitor, Refusal) or visitor.session.key.hex() != found["session"]:
        return refusals.OTHER_BROWSER
    served = visitor.connection(found["connection"])
    if served is None:
        return refusals.NOT_FOUND
    if isinstance(answer, Refusal):
        return await _refused_proof(visitor, served, answer)
    if not is_person(answer.account, served.connection.approver):
        return await _refused_proof(visitor, served, refusals.APPROVER_DIFFERS)
    await held.put(visitor.services, _fresh_key(visitor.session, served.connection.id), {}, SECONDS)
    return RedirectResponse(f"/connections/{served.connection.id}/prove", 303)


# --- the EHR ------------------------------------------------------------------------------------------------------


@for_signed_in
async def before_the_ehr(request: Request, visitor: Visitor) -> Response | Refusal:
    """Where the EHR's sign-in is, in full, before the browser is sent there."""
    served = _approvers(request, visitor)
    if isinstance(served, Refusal):
        return served
    if await held.look(visitor.services, _fresh_key(visitor.session, served.connection.id)) is None:
        return refusals.SIGN_IN_EXPIRED
    endpoint = await _authorization_endpoint(visitor.services, served.connection)
    if isinstance(endpoint, Refusal):
        return endpoint
    return portal_page(
        "portal_prove.html",
        visitor.session,
        form_action=("'self'", origin_of(endpoint)),
        served=served,
        host=urlsplit(endpoint).netloc,
        endpoint=endpoint,
        fhir_host=urlsplit(served.connection.fhir_base_url).netloc,
        token=form_token(visitor.session, f"ehr:{served.connection.id}"),
    )


@for_signed_in
async def to_the_ehr(request: Request, visitor: Visitor) -> Response | Refusal:
    served = _approvers(request, visitor)
    if isinstance(served, Refusal):
        return served
    fields = await checked_form(request, visitor.session, f"ehr:{served.connection.id}")
    if isinstance(fields, Refusal):
        return fields
    services, connection = visitor.services, served.connection
    if await held.take(services, _fresh_key(visitor.session, connection.id)) is None:
        return refusals.SIGN_IN_EXPIRED
    endpoint = await _authorization_endpoint(services, connection)
    if isinstance(endpoint, Refusal):
        return endpoint
    if endpoint != fields.get("endpoint"):
        return refusals.EHR_ANSWER.because("endpoint-changed")
    state, nonce, verifier = new_value(), new_value(), new_value()
    values = {
        "session": visitor.session.key.hex(),
        "connection": connection.id,
        "fhir_base_url": connection.fhir_base_url,
        "nonce": nonce,
        "verifier": verifier,
    }
    await held.put(services, held.key_of("ehr", state), values, SECONDS)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    parameters = {
        "response_type": "code",
        "client_id": connection.clients.approval.client_id,
        "redirect_uri": redirect_uri(services, connection.id),
        "scope": SCOPE,
        "state": state,
        "nonce": nonce,
        "aud": connection.fhir_base_url,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
    }
    return RedirectResponse(f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(parameters)}", 303)


async def callback(request: Request) -> Response:
    """Back from the EHR, in the browser and session that went there."""
    visitor = await signed_in(request)
    if isinstance(visitor, Refusal):
        return refused(refusals.OTHER_BROWSER)
    served = connection_of(request, visitor)
    if isinstance(served, Refusal):
        return refused(served, visitor.session)
    found = await _prove(visitor, served, request)
    if isinstance(found, Refusal):
        found = await _refused_proof(visitor, served, found)
        return refused(found, visitor.session)
    values = {
        "fhir_base_url": served.connection.fhir_base_url,
        "evidence": found.model_dump(mode="json", by_alias=True),
        "proved_at": int(visitor.services.clock().timestamp()),
        "shown": None,
    }
    await held.put(visitor.services, proof_key(visitor.session, served.connection.id), values, SECONDS)
    async with visitor.services.database.transaction() as connection:
        await trail.record(
            visitor.services, connection, Action.URL_PROVED, visitor.session.account, served, found.release
        )
    return RedirectResponse(f"/connections/{served.connection.id}/decide", 303)


async def _prove(visitor: Visitor, served: Served, request: Request) -> Evidence | Refusal:
    services, connection = visitor.services, served.connection
    query = request.query_params
    states = query.getlist("state")
    pending = await held.take(services, held.key_of("ehr", states[0])) if len(states) == 1 else None
    if pending is None:
        return refusals.STATE_UNKNOWN
    if pending["session"] != visitor.session.key.hex():
        return refusals.OTHER_BROWSER
    if (pending["connection"], pending["fhir_base_url"]) != (connection.id, connection.fhir_base_url):
        return refusals.STATE_MISMATCH
    if not visitor.is_approver_of(connection):
        return refusals.NOT_APPROVER
    issuers = query.getlist("iss")
    if issuers and (len(issuers) != 1 or issuers[0] not in {issuer_of(connection), connection.fhir_base_url}):
        return refusals.ISSUER_MISMATCH
    if query.getlist("error"):
        return refusals.EHR_REFUSED
    codes = query.getlist("code")
    if len(codes) != 1 or not 0 < len(codes[0]) <= MAXIMUM_CODE:
        return refusals.CODE_MISSING
    refusal = await _redeemed(services, connection, codes[0], pending["verifier"], pending["nonce"])
    if refusal:
        return refusal
    try:
        capability = await read_capability(services.http.to(ehr_origins(connection)), connection)
    except RemoteUnavailable:
        return refusals.EHR_UNAVAILABLE.because("metadata")
    found = evidence_of(connection, issuer_of(connection), capability)
    return refusals.EHR_TOO_OLD if isinstance(found, TooOld) else found


async def _redeemed(
    services: Services, connection: EhrConnection, code: str, verifier: str, nonce: str
) -> Refusal | None:
    """The code for tokens, whose signature and issuer prove the URL; they are dropped here."""
    client = approval_client(connection)
    try:
        answer = await services.smart.exchange_code(
            connection, client, code=code, redirect_uri=redirect_uri(services, connection.id), verifier=verifier
        )
        await services.smart.verify_id_token(connection, client, answer.get("id_token"), nonce)
    except TokenEndpointRefused as e:
        return refusals.CLIENT_REFUSED.because(e.error)
    except TokenRefused as e:
        return refusals.ID_TOKEN_REFUSED.because(e.reason)
    except RemoteUnavailable:
        return refusals.EHR_UNAVAILABLE.because("token")
    except (ProtocolError, CredentialAbsent, ClientKeyInvalid):
        return refusals.EHR_ANSWER.because("token")
    return None


async def _authorization_endpoint(services: Services, connection: EhrConnection) -> str | Refusal:
    try:
        return (await services.smart.endpoints(connection)).authorization
    except RemoteUnavailable:
        return refusals.EHR_UNAVAILABLE.because("discovery")
    except ProtocolError:
        return refusals.EHR_ANSWER.because("discovery")


def _approvers(request: Request, visitor: Visitor) -> Served | Refusal:
    served = connection_of(request, visitor)
    if isinstance(served, Refusal):
        return served
    return served if visitor.is_approver_of(served.connection) else refusals.NOT_APPROVER


async def _refused_proof(visitor: Visitor, served: Served, refusal: Refusal) -> Refusal:
    """Recorded, as it was ours: somebody signed in for it."""
    organization, connection_id = served.organization.id, served.connection.id
    log.warning(
        "proof refused",
        organization=organization,
        connection=connection_id,
        code=refusal.code,
        reason=refusal.reason or None,
    )
    async with visitor.services.database.transaction() as connection:
        await trail.record(
            visitor.services, connection, Action.PROOF_REFUSED, visitor.session.account, served, refusal.code
        )
    return refusal
