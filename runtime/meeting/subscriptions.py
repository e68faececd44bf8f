"""The rows of Graph subscriptions: one per visit, known by its unguessable path before Graph is asked to make it.

Owns their SQL and what is sealed in them. Paths are found by their SHA-256; the path itself and the client state are
sealed, for a second attempt after a crash. Calls to Graph are in `prepare.py` and `renewal.py`.
"""

import hashlib
import hmac
import json
import secrets
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid4

from psycopg.rows import class_row

from runtime.database import Connection
from runtime.sealing import Seal

PATH_BYTES = 32


@dataclass(frozen=True)
class SubscriptionSecrets:
    path: str
    client_state: str

    @classmethod
    def new(cls) -> "SubscriptionSecrets":
        return cls(secrets.token_urlsafe(PATH_BYTES), secrets.token_urlsafe(PATH_BYTES))

    def seal(self, sealing: Seal, subscription_id: UUID) -> bytes:
        plain = json.dumps({"path": self.path, "clientState": self.client_state}).encode()
        return sealing.seal(plain, _bound_to(subscription_id))

    def client_state_is(self, given: object) -> bool:
        """Compared in constant time."""
        return isinstance(given, str) and hmac.compare_digest(given.encode(), self.client_state.encode())


@dataclass(frozen=True)
class SubscriptionRow:
    id: UUID
    visit_key: bytes
    sealed: bytes
    graph_id: str | None
    expires_at: datetime | None
    missed_at: datetime | None
    organization_id: str
    connection_id: str

    def secrets(self, sealing: Seal) -> SubscriptionSecrets:
        fields = json.loads(sealing.open(bytes(self.sealed), _bound_to(self.id)))
        return SubscriptionSecrets(fields["path"], fields["clientState"])


def path_hash(path: str) -> bytes:
    return hashlib.sha256(path.encode()).digest()


def _bound_to(subscription_id: UUID) -> bytes:
    return b"subscription:" + subscription_id.bytes


_SELECT = """SELECT s.id, s.visit_key, s.sealed, s.graph_id, s.expires_at, s.missed_at,
                    v.organization_id, v.connection_id
             FROM subscription s JOIN visit v USING (visit_key)"""


async def ensure_row(connection: Connection, sealing: Seal, visit_key: bytes) -> SubscriptionRow:
    """The visit's one row, made with a fresh path where there is none."""
    fresh, identifier = SubscriptionSecrets.new(), uuid4()
    await connection.execute(
        """INSERT INTO subscription (id, visit_key, path_hash, sealed) VALUES (%s, %s, %s, %s)
           ON CONFLICT (visit_key) DO NOTHING""",
        (identifier, visit_key, path_hash(fresh.path), fresh.seal(sealing, identifier)),
    )
    row = await of_visit(connection, visit_key)
    assert row is not None
    return row


async def of_visit(connection: Connection, visit_key: bytes) -> SubscriptionRow | None:
    return await _one(connection, "WHERE s.visit_key = %s", visit_key)


async def by_path(connection: Connection, path: str) -> SubscriptionRow | None:
    return await _one(connection, "WHERE s.path_hash = %s", path_hash(path))


async def by_id(connection: Connection, identifier: UUID) -> SubscriptionRow | None:
    return await _one(connection, "WHERE s.id = %s", identifier)


async def _one(connection: Connection, where: str, value: object) -> SubscriptionRow | None:
    async with connection.cursor(row_factory=class_row(SubscriptionRow)) as cursor:
        await cursor.execute(f"{_SELECT} {where}".encode(), (value,))
        return await cursor.fetchone()


async def due_for_renewal(connection: Connection, before: datetime) -> list[SubscriptionRow]:
    """Subscriptions of visits that go on and that expire before a time."""
    return await _many(
        connection,
        "WHERE s.graph_id IS NOT NULL AND s.expires_at < %s AND v.ended_at IS NULL AND v.purge_after > now()",
        before,
    )


async def left_over(connection: Connection, ended_before: datetime, purged_before: datetime) -> list[SubscriptionRow]:
    """Subscriptions of visits that ended before a time, or are purged before another: some never end."""
    return await _many(
        connection,
        "WHERE s.graph_id IS NOT NULL AND (v.ended_at < %s OR v.purge_after < %s)",
        ended_before,
        purged_before,
    )


async def _many(connection: Connection, where: str, *values: object) -> list[SubscriptionRow]:
    async with connection.cursor(row_factory=class_row(SubscriptionRow)) as cursor:
        await cursor.execute(f"{_SELECT} {where} ORDER BY s.expires_at LIMIT 200".encode(), values)
        return await cursor.fetchall()


async def made(connection: Connection, identifier: UUID, graph_id: str, expires_at: datetime) -> None:
    await connection.execute(
        "UPDATE subscription SET graph_id = %s, expires_at = %s WHERE id = %s", (graph_id, expires_at, identifier)
    )


async def gone(connection: Connection, identifier: UUID) -> None:
    """Graph no longer has it; the row and its path stay for the next one."""
    await connection.execute("UPDATE subscription SET graph_id = NULL, expires_at = NULL WHERE id = %s", (identifier,))


async def missed(connection: Connection, identifier: UUID) -> None:
    """Graph said that it lost events of this subscription."""
    await connection.execute("UPDATE subscription SET missed_at = now() WHERE id = %s", (identifier,))
