"""What the portal holds between two requests: sign-ins under way, proofs, forms that were sent. Sealed, short-lived.

And, for as long as an approval can last, the form that was approved last. Owns the table `portal_flow`. A row is found
by the hash of what only the browser (or Microsoft's and the EHR's answer) knows; what may be used once is taken by the
statement that deletes it.
"""

import hashlib
import json
from typing import Any, cast

from runtime.bootstrap import Services
from runtime.database import Connection

Values = dict[str, Any]


def key_of(kind: str, *parts: str) -> bytes:
    """The row's key: parts are told apart by their length."""
    text = "".join(f"{len(p)}:{p}" for p in (kind, *parts))
    return hashlib.sha256(text.encode()).digest()


async def put(services: Services, key: bytes, values: Values, seconds: int) -> None:
    """Hold values, in place of what was held under this key. Raises `DatabaseUnavailable`."""
    async with services.database.transaction() as connection:
        await put_in(services, connection, key, values, seconds)


async def put_in(services: Services, connection: Connection, key: bytes, values: Values, seconds: int) -> None:
    """The same in the caller's transaction."""
    await connection.execute(
        "INSERT INTO connector.portal_flow (flow_hash, sealed, expires_at)"
        " VALUES (%s, %s, now() + make_interval(secs => %s))"
        " ON CONFLICT (flow_hash) DO UPDATE SET sealed = EXCLUDED.sealed, expires_at = EXCLUDED.expires_at",
        (key, services.seal.seal(json.dumps(values).encode(), b"portal_flow:" + key), seconds),
    )


async def change(services: Services, key: bytes, values: Values) -> bool:
    """Other values for what is held, until the same moment; False where it is gone."""
    sealed = services.seal.seal(json.dumps(values).encode(), b"portal_flow:" + key)
    async with services.database.transaction() as connection:
        cursor = await connection.execute(
            "UPDATE connector.portal_flow SET sealed = %s WHERE flow_hash = %s AND expires_at > now()", (sealed, key)
        )
        return cursor.rowcount == 1


async def look(services: Services, key: bytes) -> Values | None:
    """What is held, which stays."""
    async with services.database.connection() as connection:
        cursor = await connection.execute(
            "SELECT sealed FROM connector.portal_flow WHERE flow_hash = %s AND expires_at > now()", (key,)
        )
        row = await cursor.fetchone()
    return _opened(services, key, row[0]) if row else None


async def take(services: Services, key: bytes) -> Values | None:
    """What is held, once: it is gone afterwards."""
    async with services.database.transaction() as connection:
        return await take_in(services, connection, key)


async def take_in(services: Services, connection: Connection, key: bytes) -> Values | None:
    """The same in the caller's transaction, so that it stays held where that fails."""
    cursor = await connection.execute(
        "DELETE FROM connector.portal_flow WHERE flow_hash = %s RETURNING sealed, expires_at > now()", (key,)
    )
    row = await cursor.fetchone()
    return _opened(services, key, row[0]) if row and row[1] else None


async def first(services: Services, key: bytes, seconds: int) -> bool:
    """Whether this key comes for the first time within the seconds."""
    sealed = services.seal.seal(b"{}", b"portal_flow:" + key)
    async with services.database.transaction() as connection:
        cursor = await connection.execute(
            "INSERT INTO connector.portal_flow (flow_hash, sealed, expires_at)"
            " VALUES (%s, %s, now() + make_interval(secs => %s)) ON CONFLICT DO NOTHING",
            (key, sealed, seconds),
        )
        return cursor.rowcount == 1


def _opened(services: Services, key: bytes, sealed: bytes) -> Values:
    return cast(Values, json.loads(services.seal.open(bytes(sealed), b"portal_flow:" + key)))
