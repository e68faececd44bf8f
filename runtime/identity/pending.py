"""Sign-ins under way: a row from the launch that needs one until the launching window takes the result.

Two windows take part. The launching window, inside the EHR's frame, holds a partitioned cookie; the sign-in window is
opened by it with a one-time ticket, carried in a form's body, never in a URL, and gets a cookie of its own: a frame's
cookie is not visible there. So a ticket does not prove that both windows are one person's: the sign-in window only
learns who signed in, and the launching window, by its own cookie, is shown both accounts and says whether to link.

    waiting -> opened -> returned -> signed-in -> (row deleted: linked by the launching window)
       ^_________|__________|____________|   refused, or a new ticket: from the beginning

Owns the table `ticket`. How the EHR names its user is held sealed in the row, for as long as the row lives: twenty
minutes at most.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any, cast

from starlette.responses import RedirectResponse, Response

from runtime.bootstrap import Services
from runtime.cookies import cookie_name, new_value, set_cookie
from runtime.errors import Refusal
from runtime.identity.links import Account
from runtime.launch.model import ProviderLaunch

SECONDS = 1200
WINDOW_COOKIE = "identity"
SIGN_IN_COOKIE = "sign-in"


@dataclass(frozen=True)
class PendingSignIn:
    """What the launch left: `launch` lacks the account; `ehr_user` is for the pages.

    `has_ticket`: the ticket of the page is unused.
    """

    key: bytes
    state: str
    refusal_code: str | None
    has_ticket: bool
    launch: ProviderLaunch
    ehr_user: str


@dataclass(frozen=True)
class SignedIn:
    """Who signed in; name and address are for the confirmation page."""

    account: Account
    name: str
    address: str


def digest(value: str) -> bytes:
    return hashlib.sha256(value.encode()).digest()


async def begin_sign_in(services: Services, launch: ProviderLaunch, ehr_user: str) -> Response:
    """Remember the launch and show the launching window its waiting page. Raises `DatabaseUnavailable`."""
    cookie = new_value()
    key = digest(cookie)
    fields = asdict(launch) | {"ehr_user_hash": launch.ehr_user_hash.hex()}
    sealed = services.seal.seal(json.dumps({"launch": fields, "ehr_user": ehr_user}).encode(), b"ticket:" + key)
    async with services.database.transaction() as connection:
        await connection.execute(
            "INSERT INTO connector.ticket (window_hash, state, sealed, expires_at)"
            " VALUES (%s, 'waiting', %s, now() + make_interval(secs => %s))",
            (key, sealed, SECONDS),
        )
    response = RedirectResponse("/identity/wait", 303)
    set_cookie(response, cookie_name(services.settings, WINDOW_COOKIE), cookie, SECONDS)
    return response


async def of_window(services: Services, cookie: str | None) -> PendingSignIn | None:
    """The sign-in of a launching window."""
    return await _one(services, _BY_WINDOW, cookie)


async def of_sign_in(services: Services, cookie: str | None, state: str) -> PendingSignIn | None:
    """The sign-in of a sign-in window, where it is in that state."""
    found = await _one(services, _BY_SIGN_IN, cookie)
    return found if found and found.state == state else None


async def new_ticket(services: Services, found: PendingSignIn) -> str:
    """A fresh ticket, in place of an unused one."""
    ticket = new_value()
    async with services.database.transaction() as connection:
        await connection.execute(
            "UPDATE connector.ticket SET ticket_hash = %s WHERE window_hash = %s", (digest(ticket), found.key)
        )
    return ticket


async def open_ticket(services: Services, ticket: str) -> tuple[PendingSignIn, str] | None:
    """Use a ticket, once: its sign-in, and the cookie of the window that brought it."""
    cookie = new_value()
    async with services.database.transaction() as connection:
        cursor = await connection.execute(
            "UPDATE connector.ticket SET ticket_hash = NULL, state = 'opened', sign_in_hash = %s,"
            " sealed_sign_in = NULL, refusal_code = NULL"
            " WHERE ticket_hash = %s AND state <> 'signed-in' AND expires_at > now() RETURNING window_hash",
            (digest(cookie), digest(ticket)),
        )
        if await cursor.fetchone() is None:
            return None
    found = await of_sign_in(services, cookie, "opened")
    return (found, cookie) if found else None


async def keep_flow(services: Services, found: PendingSignIn, flow: dict[str, Any]) -> None:
    """What MSAL needs to hear Entra's answer: state, nonce, PKCE verifier."""
    await _keep(services, found, "opened", "opened", flow)


async def take_flow(services: Services, found: PendingSignIn) -> dict[str, Any] | None:
    """That again, once: a second answer finds the row in another state."""
    async with services.database.transaction() as connection:
        cursor = await connection.execute(
            "UPDATE connector.ticket SET state = 'returned' WHERE window_hash = %s AND state = 'opened'"
            " RETURNING sealed_sign_in",
            (found.key,),
        )
        row = await cursor.fetchone()
    return _opened(services, found, row[0]) if row and row[0] else None


async def keep_account(services: Services, found: PendingSignIn, signed_in: SignedIn) -> bool:
    return await _keep(services, found, "returned", "signed-in", asdict(signed_in))


async def signed_in_account(services: Services, found: PendingSignIn) -> SignedIn | None:
    """Who signed in, while the launching window is asked."""
    async with services.database.connection() as connection:
        cursor = await connection.execute(
            "SELECT sealed_sign_in FROM connector.ticket WHERE window_hash = %s AND state = 'signed-in'", (found.key,)
        )
        row = await cursor.fetchone()
    return _signed_in(services, found, row[0]) if row and row[0] else None


async def refuse(services: Services, found: PendingSignIn, refusal: Refusal | None) -> None:
    """Back to the beginning: the launching window shows why, and offers another try."""
    async with services.database.transaction() as connection:
        await connection.execute(
            "UPDATE connector.ticket SET state = 'waiting', refusal_code = %s, sealed_sign_in = NULL,"
            " sign_in_hash = NULL WHERE window_hash = %s",
            (refusal.code if refusal else None, found.key),
        )


async def finish(services: Services, found: PendingSignIn) -> SignedIn | None:
    """The launching window takes the result, once: the row is gone."""
    async with services.database.transaction() as connection:
        cursor = await connection.execute(
            "DELETE FROM connector.ticket WHERE window_hash = %s AND state = 'signed-in' RETURNING sealed_sign_in",
            (found.key,),
        )
        row = await cursor.fetchone()
    return _signed_in(services, found, row[0]) if row and row[0] else None


_ROW = (
    "SELECT window_hash, state, refusal_code, ticket_hash IS NOT NULL, sealed"
    " FROM connector.ticket WHERE expires_at > now() AND "
)
_BY_WINDOW = (_ROW + "window_hash = %s").encode()
_BY_SIGN_IN = (_ROW + "sign_in_hash = %s").encode()


async def _one(services: Services, query: bytes, cookie: str | None) -> PendingSignIn | None:
    if cookie is None:
        return None
    async with services.database.connection() as connection:
        row = await (await connection.execute(query, (digest(cookie),))).fetchone()
    if row is None:
        return None
    key = bytes(row[0])
    kept = json.loads(services.seal.open(bytes(row[4]), b"ticket:" + key))
    fields = kept["launch"] | {"ehr_user_hash": bytes.fromhex(kept["launch"]["ehr_user_hash"])}
    return PendingSignIn(key, row[1], row[2], row[3], ProviderLaunch(**fields), kept["ehr_user"])


async def _keep(services: Services, found: PendingSignIn, before: str, after: str, value: dict[str, Any]) -> bool:
    sealed = services.seal.seal(json.dumps(value).encode(), b"ticket-sign-in:" + found.key)
    async with services.database.transaction() as connection:
        cursor = await connection.execute(
            "UPDATE connector.ticket SET state = %s, sealed_sign_in = %s WHERE window_hash = %s AND state = %s",
            (after, sealed, found.key, before),
        )
        return cursor.rowcount == 1


def _signed_in(services: Services, found: PendingSignIn, sealed: bytes) -> SignedIn:
    fields = _opened(services, found, sealed)
    return SignedIn(Account(**fields["account"]), fields["name"], fields["address"])


def _opened(services: Services, found: PendingSignIn, sealed: bytes) -> dict[str, Any]:
    return cast(dict[str, Any], json.loads(services.seal.open(bytes(sealed), b"ticket-sign-in:" + found.key)))
