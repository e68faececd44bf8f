"""The session of a signed-in person: on the server, sealed; the browser holds 256 random bits, the database their hash.

Thirty minutes without a request end it, and eight hours in any case. The cookie is the top-level portal's own
(`SameSite=Lax`, never partitioned: the portal is never framed). Owns the table `portal_session`.
"""

import hashlib
import json
import time
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from runtime.bootstrap import Services, services_of
from runtime.cookies import cookie_name, drop_lax_cookie, new_value, read_cookie, set_lax_cookie
from runtime.identity.links import Account
from runtime.sealing import SealBroken

IDLE_SECONDS = 30 * 60
LIFETIME_SECONDS = 8 * 3600
COOKIE = "portal"


@dataclass(frozen=True)
class PortalSession:
    """Who is signed in. `name` and `address` are for the pages only; `form_key` tells our own forms from others'."""

    key: bytes
    account: Account
    name: str
    address: str
    form_key: bytes
    began: float

    def __repr__(self) -> str:
        return f"PortalSession({self.account.object_id!r})"


async def start(
    services: Services, request: Request, response: Response, account: Account, name: str, address: str
) -> None:
    """A new session on the response; the browser's previous one is over. Raises `DatabaseUnavailable`."""
    cookie, previous = new_value(), _cookie(request)
    key = _hash(cookie)
    values = {
        "tenant_id": account.tenant_id,
        "object_id": account.object_id,
        "name": name,
        "address": address,
        "form_key": new_value(),
        "began": time.time(),
    }
    sealed = services.seal.seal(json.dumps(values).encode(), b"portal_session:" + key)
    async with services.database.transaction() as connection:
        if previous:
            await connection.execute("DELETE FROM connector.portal_session WHERE session_hash = %s", (_hash(previous),))
        await connection.execute(
            "INSERT INTO connector.portal_session (session_hash, sealed, expires_at)"
            " VALUES (%s, %s, now() + make_interval(secs => %s))",
            (key, sealed, IDLE_SECONDS),
        )
    set_lax_cookie(response, cookie_name(services.settings, COOKIE), cookie, LIFETIME_SECONDS)


async def session_of(request: Request) -> PortalSession | None:
    """This browser's session, which lives on by this request. Raises `DatabaseUnavailable`."""
    services, cookie = services_of(request), _cookie(request)
    if cookie is None:
        return None
    key = _hash(cookie)
    async with services.database.transaction() as connection:
        cursor = await connection.execute(
            "UPDATE connector.portal_session SET expires_at = now() + make_interval(secs => %s)"
            " WHERE session_hash = %s AND expires_at > now() RETURNING sealed",
            (IDLE_SECONDS, key),
        )
        row = await cursor.fetchone()
    session = _opened(services, key, bytes(row[0])) if row else None
    if session and time.time() > session.began + LIFETIME_SECONDS:
        await _forget(services, key)
        return None
    return session


async def end(request: Request, response: Response) -> None:
    """Sign out of the portal. Raises `DatabaseUnavailable`."""
    services, cookie = services_of(request), _cookie(request)
    if cookie:
        await _forget(services, _hash(cookie))
    drop_lax_cookie(response, cookie_name(services.settings, COOKIE))


async def _forget(services: Services, key: bytes) -> None:
    async with services.database.transaction() as connection:
        await connection.execute("DELETE FROM connector.portal_session WHERE session_hash = %s", (key,))


def _cookie(request: Request) -> str | None:
    return read_cookie(request, cookie_name(services_of(request).settings, COOKIE))


def _hash(cookie: str) -> bytes:
    return hashlib.sha256(cookie.encode()).digest()


def _opened(services: Services, key: bytes, sealed: bytes) -> PortalSession | None:
    try:
        values = json.loads(services.seal.open(sealed, b"portal_session:" + key))
    except SealBroken:
        return None
    account = Account(values["tenant_id"], values["object_id"])
    return PortalSession(key, account, values["name"], values["address"], values["form_key"].encode(), values["began"])
