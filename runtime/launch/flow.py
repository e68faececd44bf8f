"""The two steps of a SMART EHR launch, as rules over values and calls: to the EHR, and back from it.

SMART App Launch 2.2 sections 3 and 7; RFC 7636 (PKCE S256); RFC 9207. Owns the order: what can be refused without the
network is refused before it. Leaves out HTTP (`routes.py`) and what follows for the visit (`arrival.py`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from runtime.bootstrap import Services
from runtime.configuration import Served, expected_issuer
from runtime.ehr.client_authentication import CredentialAbsent
from runtime.ehr.client_keys import ClientKeyInvalid
from runtime.ehr.smart import TokenEndpointRefused
from runtime.errors import ProtocolError, Refusal, RemoteUnavailable
from runtime.jose import TokenRefused
from runtime.launch import pending, refusals
from runtime.launch.context import LaunchContext, Person, context_of, person_of
from runtime.launch.model import Party
from runtime.serving import CONNECTION_UNREADY, may_serve, not_standing
from schemas.stack_config import EhrConnection, LaunchClient
from schemas.vocabulary import ClientRole

SCOPE = "launch openid profile fhirUser"
MAXIMUM_LAUNCH = 4000
MAXIMUM_CODE = 4000
_OAUTH_ERRORS = frozenset(
    {
        "invalid_request",
        "unauthorized_client",
        "access_denied",
        "unsupported_response_type",
        "invalid_scope",
        "server_error",
        "temporarily_unavailable",
        "login_required",
        "interaction_required",
    }
)


@dataclass(frozen=True)
class Departure:
    """Where the browser goes, and the cookie that it takes along."""

    url: str
    state: str
    cookie: str


@dataclass(frozen=True)
class Arrival:
    """Somebody is back from the EHR, verified. `pending` is to be completed, once, with what it leads to."""

    pending: pending.PendingLaunch
    served: Served
    party: Party
    person: Person
    context: LaunchContext


def client_of(connection: EhrConnection, party: Party) -> LaunchClient:
    return connection.clients.provider if party is Party.PROVIDER else connection.clients.patient


def redirect_uri(services: Services, connection_id: str, party: Party) -> str:
    """One for each connection and party, so that an answer's origin is known by where it arrives (RFC 9700 4.4.2)."""
    return f"{services.settings.public_url}/launch/{party}/{connection_id}/callback"


async def depart(
    services: Services, served: Served, party: Party, query: Mapping[str, list[str]]
) -> Departure | Refusal:
    """To the EHR's authorization endpoint. Raises `Unavailable`."""
    connection = served.connection
    iss, launch = query.get("iss", []), query.get("launch", [])
    if len(iss) != 1 or not iss[0]:
        return refusals.ISS_MISSING
    if iss[0] != connection.fhir_base_url:
        return refusals.ISS_UNKNOWN
    if len(launch) != 1 or not launch[0] or len(launch[0]) > MAXIMUM_LAUNCH:
        return refusals.LAUNCH_MISSING
    serving = await may_serve(services, served, ClientRole(party))
    if not serving.allowed:
        return serving.refusals[0]
    try:
        endpoints = await services.smart.endpoints(connection)
    except RemoteUnavailable:
        return refusals.EHR_UNAVAILABLE.because("discovery")
    except ProtocolError:
        return refusals.EHR_ANSWER.because("discovery")
    new = await pending.remember(services.database, services.seal, connection.id, party, launch[0])
    if new is None:
        return refusals.LAUNCH_REUSED
    parameters = {
        "response_type": "code",
        "client_id": client_of(connection, party).client_id,
        "redirect_uri": redirect_uri(services, connection.id, party),
        "scope": SCOPE,
        "state": new.state,
        "nonce": new.nonce,
        "aud": connection.fhir_base_url,
        "launch": launch[0],
        "code_challenge": new.challenge,
        "code_challenge_method": "S256",
    }
    separator = "&" if "?" in endpoints.authorization else "?"
    return Departure(f"{endpoints.authorization}{separator}{urlencode(parameters)}", new.state, new.cookie)


async def arrive(
    services: Services, served: Served, party: Party, query: Mapping[str, list[str]], cookie: str | None
) -> Arrival | Refusal:
    """Back from the EHR: every check, then the code for tokens, then who and which visit. Raises `Unavailable`."""
    state = query.get("state", [])
    launch = await pending.take(services.database, services.seal, state[0]) if len(state) == 1 else None
    if launch is None:
        return refusals.STATE_UNKNOWN
    if not launch.is_for(served.connection.id, party):
        return refusals.STATE_MISMATCH
    if not launch.is_from(cookie):
        return refusals.OTHER_BROWSER
    refusal = _refused_by_ehr(served.connection, party, query)
    if refusal:
        return refusal
    withdrawn = not_standing(services, served)
    if withdrawn:
        return withdrawn
    codes = query.get("code", [])
    if len(codes) != 1 or not 0 < len(codes[0]) <= MAXIMUM_CODE:
        return refusals.CODE_MISSING
    return await _redeem(services, served, party, launch, codes[0])


def _refused_by_ehr(connection: EhrConnection, party: Party, query: Mapping[str, list[str]]) -> Refusal | None:
    issuers = query.get("iss")
    if issuers is not None:
        own = {expected_issuer(connection, client_of(connection, party)), connection.fhir_base_url}
        if len(issuers) != 1 or issuers[0] not in own:
            return refusals.ISSUER_MISMATCH
    errors = query.get("error")
    if errors:
        return refusals.EHR_REFUSED.because(errors[0] if errors[0] in _OAUTH_ERRORS else "other")
    return None


async def _redeem(
    services: Services, served: Served, party: Party, launch: pending.PendingLaunch, code: str
) -> Arrival | Refusal:
    connection = served.connection
    client = client_of(connection, party)
    try:
        response = await services.smart.exchange_code(
            connection,
            client,
            code=code,
            redirect_uri=redirect_uri(services, connection.id, party),
            verifier=launch.verifier,
        )
        claims = await services.smart.verify_id_token(connection, client, response.get("id_token"), launch.nonce)
    except TokenEndpointRefused as e:
        kind = refusals.CODE_REFUSED if e.error == "invalid_grant" else refusals.CLIENT_REFUSED
        return kind.because(e.error)
    except TokenRefused as e:
        return refusals.ID_TOKEN_REFUSED.because(e.reason)
    except RemoteUnavailable:
        return refusals.EHR_UNAVAILABLE.because("token")
    except ProtocolError:
        return refusals.EHR_ANSWER.because("token")
    except (CredentialAbsent, ClientKeyInvalid):
        return CONNECTION_UNREADY.because("credential")
    person = person_of(claims, party)
    if isinstance(person, Refusal):
        return person
    context = context_of(response, connection, party)
    return context if isinstance(context, Refusal) else Arrival(launch, served, party, person, context)
