"""Sessions after a launch: on the server, sealed; the browser holds 256 random bits, the database their hash.

Owns the row and the cookie. Every launch ends the session that the browser had on the same side, also where it makes
no new one, so on a shared workstation a different EHR user never meets the previous one's.
"""

import hashlib
import json
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from runtime.bootstrap import Services, services_of
from runtime.cookies import cookie_name, new_value, read_cookie, set_cookie
from runtime.database import Connection
from runtime.launch.model import Party, VisitSession
from runtime.sealing import SealBroken

LIFETIME_SECONDS = 12 * 3600


@dataclass(frozen=True)
class NewSession:
    """A session just made: to be put on the response that answers the launch."""

    cookie: str
    party: Party

    def attach(self, services: Services, response: Response) -> None:
        set_cookie(response, cookie_name(services.settings, self.party), self.cookie, LIFETIME_SECONDS)


async def start_session(services: Services, request: Request, visit: VisitSession) -> NewSession:
    """Make a session and end the browser's previous one of this party. Raises `DatabaseUnavailable`."""
    cookie = new_value()
    previous = read_cookie(request, cookie_name(services.settings, visit.party))
    async with services.database.pipeline() as connection:
        if previous:
            await connection.execute("DELETE FROM connector.session WHERE session_hash = %s", (_hash(previous),))
        await connection.execute(
            "INSERT INTO connector.session (session_hash, party, sealed, expires_at)"
            " VALUES (%s, %s, %s, now() + make_interval(secs => %s))",
            (_hash(cookie), visit.party.value, _seal(services, _hash(cookie), visit), LIFETIME_SECONDS),
        )
    return NewSession(cookie, visit.party)


async def session_of(request: Request, connection: Connection, party: Party) -> VisitSession | None:
    """The session of this browser on this side, if it has one."""
    services = services_of(request)
    cookie = read_cookie(request, cookie_name(services.settings, party))
    if cookie is None:
        return None
    cursor = await connection.execute(
        "SELECT sealed FROM connector.session WHERE session_hash = %s AND party = %s AND expires_at > now()",
        (_hash(cookie), party.value),
    )
    row = await cursor.fetchone()
    if row is None:
        return None
    try:
        visit = _open(services, _hash(cookie), bytes(row[0]))
    except SealBroken:
        return None
    return visit if services.configuration.connection(visit.connection_id) else None


async def end_session(request: Request, connection: Connection, party: Party) -> None:
    """Forget this browser's session on this side, in the caller's transaction."""
    cookie = read_cookie(request, cookie_name(services_of(request).settings, party))
    if cookie:
        await connection.execute("DELETE FROM connector.session WHERE session_hash = %s", (_hash(cookie),))


def _hash(cookie: str) -> bytes:
    return hashlib.sha256(cookie.encode()).digest()


def _seal(services: Services, key: bytes, visit: VisitSession) -> bytes:
    plain = json.dumps(
        {
            "organization_id": visit.organization_id,
            "connection_id": visit.connection_id,
            "visit_key": visit.visit_key.hex(),
            "party": visit.party.value,
            "participant_hash": visit.participant_hash.hex(),
            "tenant_id": visit.tenant_id,
            "object_id": visit.object_id,
        }
    )
    return services.seal.seal(plain.encode(), b"session:" + key)


def _open(services: Services, key: bytes, sealed: bytes) -> VisitSession:
    value = json.loads(services.seal.open(sealed, b"session:" + key))
    return VisitSession(
        value["organization_id"],
        value["connection_id"],
        bytes.fromhex(value["visit_key"]),
        Party(value["party"]),
        bytes.fromhex(value["participant_hash"]),
        value["tenant_id"],
        value["object_id"],
    )
