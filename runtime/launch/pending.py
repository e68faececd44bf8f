"""Launches under way: between our redirect to the EHR and its answer. One use, ten minutes, one browser.

Owns the tables `launch` and `launch_used`. A row is found by the hash of `state` and deleted by the statement that
reads it, so of two answers with one state only one is heard (RFC 6749 section 10.12, RFC 9700 section 4.7).
"""

import base64
import hashlib
import hmac
import json
from dataclasses import asdict, dataclass

from runtime.cookies import new_value
from runtime.database import Connection, Database
from runtime.launch.model import Party
from runtime.sealing import Seal

STATE_SECONDS = 600
USED_SECONDS = 24 * 3600


@dataclass(frozen=True)
class PendingLaunch:
    """What the answer needs: `browser` is the hash of the cookie that the launching browser got."""

    connection_id: str
    party: str
    nonce: str
    verifier: str
    browser: str
    launch: str

    def is_for(self, connection_id: str, party: Party) -> bool:
        return (self.connection_id, self.party) == (connection_id, party.value)

    def is_from(self, cookie: str | None) -> bool:
        return cookie is not None and hmac.compare_digest(self.browser, digest(cookie))


@dataclass(frozen=True)
class NewLaunch:
    """What leaves for the browser and the EHR."""

    state: str
    cookie: str
    nonce: str
    challenge: str


def digest(value: str) -> str:
    return hashlib.sha256(value.encode()).hexdigest()


def launch_digest(connection_id: str, launch: str) -> str:
    return hashlib.sha256(f"{len(connection_id)}:{connection_id}:{launch}".encode()).hexdigest()


async def remember(database: Database, seal: Seal, connection_id: str, party: Party, launch: str) -> NewLaunch | None:
    """Begin a launch; `None` where this launch was completed before. Raises `DatabaseUnavailable`."""
    state, cookie, nonce, verifier = new_value(), new_value(), new_value(), new_value()
    used = launch_digest(connection_id, launch)
    pending = PendingLaunch(connection_id, party.value, nonce, verifier, digest(cookie), used)
    key = hashlib.sha256(state.encode()).digest()
    sealed = seal.seal(json.dumps(asdict(pending)).encode(), b"launch:" + key)
    async with database.connection() as connection:
        cursor = await connection.execute(
            "INSERT INTO connector.launch (state_hash, sealed, expires_at)"
            " SELECT %s, %s, now() + make_interval(secs => %s)"
            " WHERE NOT EXISTS (SELECT FROM connector.launch_used WHERE launch_hash = %s)",
            (key, sealed, STATE_SECONDS, bytes.fromhex(used)),
        )
        if cursor.rowcount == 0:
            return None
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    return NewLaunch(state, cookie, nonce, challenge)


async def take(database: Database, seal: Seal, state: str) -> PendingLaunch | None:
    """The launch of a state, which is gone afterwards. Raises `DatabaseUnavailable`."""
    key = hashlib.sha256(state.encode()).digest()
    async with database.connection() as connection:
        cursor = await connection.execute(
            "DELETE FROM connector.launch WHERE state_hash = %s RETURNING sealed, expires_at > now()", (key,)
        )
        row = await cursor.fetchone()
    if row is None or not row[1]:
        return None
    return PendingLaunch(**json.loads(seal.open(bytes(row[0]), b"launch:" + key)))


async def complete(connection: Connection, pending: PendingLaunch) -> bool:
    """Mark the EHR's launch as used, in the caller's transaction; False where it was already."""
    cursor = await connection.execute(
        "INSERT INTO connector.launch_used (launch_hash, expires_at)"
        " VALUES (%s, now() + make_interval(secs => %s)) ON CONFLICT DO NOTHING RETURNING 1",
        (bytes.fromhex(pending.launch), USED_SECONDS),
    )
    return await cursor.fetchone() is not None
