"""Everything that the EHR hands out as an unguessable string: launch and authorization codes, tokens, page sessions.

Owns one-time use, expiry, and the memory of the assertions that clients have used. Strings are kept as hashes only.
"""

import hashlib
import json
import secrets
import sqlite3
from collections.abc import Callable
from enum import StrEnum
from typing import Any

Content = dict[str, Any]


class Kind(StrEnum):
    LAUNCH = "launch"
    SIGN_IN = "sign-in"
    CODE = "code"
    ACCESS_TOKEN = "access-token"
    HYPERSPACE_SESSION = "hyperspace"
    MYCHART_SESSION = "mychart"


LIFETIME_SECONDS: dict[Kind, float] = {
    Kind.LAUNCH: 300,
    Kind.SIGN_IN: 600,
    Kind.CODE: 60,
    Kind.ACCESS_TOKEN: 3600,
    Kind.HYPERSPACE_SESSION: 12 * 3600,
    Kind.MYCHART_SESSION: 12 * 3600,
}


class Grants:
    """Hands out strings and says what one that comes back stands for."""

    def __init__(self, database: sqlite3.Connection, clock: Callable[[], float]) -> None:
        self._database, self._clock = database, clock

    def issue(self, kind: Kind, content: Content, *, origin: str | None = None) -> str:
        """A new string; `origin` is the one that it was exchanged for."""
        value = secrets.token_urlsafe(32)
        self._database.execute("DELETE FROM handed_out WHERE expires_at < ?", (self._clock() - 3600,))
        self._database.execute(
            "INSERT INTO handed_out (kind, hash, content, expires_at, origin) VALUES (?, ?, ?, ?, ?)",
            (kind, _hash(value), json.dumps(content), self._expiry(kind), _hash(origin) if origin else None),
        )
        return value

    def _expiry(self, kind: Kind) -> float:
        return self._clock() + LIFETIME_SECONDS[kind]

    def find(self, kind: Kind, value: str) -> Content | None:
        """What an unused, unexpired string stands for."""
        row = self._database.execute(
            "SELECT content FROM handed_out WHERE kind = ? AND hash = ? AND used = 0 AND expires_at > ?",
            (kind, _hash(value), self._clock()),
        ).fetchone()
        return None if row is None else json.loads(row["content"])

    def take(self, kind: Kind, value: str) -> Content | None:
        """`find`, once."""
        row = self._database.execute(
            "UPDATE handed_out SET used = 1 WHERE kind = ? AND hash = ? AND used = 0 AND expires_at > ?"
            " RETURNING content",
            (kind, _hash(value), self._clock()),
        ).fetchone()
        return None if row is None else json.loads(row["content"])

    def revoke_issued_for(self, value: str) -> int:
        """Revoke what was issued in exchange for a string that came back a second time (RFC 6749 section 4.1.2)."""
        return self._database.execute(
            "UPDATE handed_out SET used = 1 WHERE origin = ? AND used = 0", (_hash(value),)
        ).rowcount

    def revoke(self, kind: Kind, value: str) -> None:
        self._database.execute("UPDATE handed_out SET used = 1 WHERE kind = ? AND hash = ?", (kind, _hash(value)))

    def first_use(self, client_id: str, jti: str, expires_at: float) -> bool:
        """Whether this client's assertion is new; it is remembered until it has expired."""
        self._database.execute("DELETE FROM assertion WHERE expires_at < ?", (self._clock(),))
        return (
            self._database.execute(
                "INSERT OR IGNORE INTO assertion (client_id, jti, expires_at) VALUES (?, ?, ?)",
                (client_id, jti, expires_at),
            ).rowcount
            == 1
        )


def _hash(value: str) -> bytes:
    return hashlib.sha256(value.encode()).digest()
