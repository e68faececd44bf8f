"""One-time tickets that carry a patient from a framed page into a tab of its own.

Owns their life: issued when the page's button is pressed and used in the next moment; one per visit, replaced by the
next one issued, gone once used, void when the waiting page that asked for it is no longer heard of. A ticket travels in
the body of a form, never in an address; the database keeps its SHA-256.
"""

import hashlib
import secrets
from datetime import timedelta

from runtime.database import Connection
from runtime.launch.model import Party, VisitSession
from runtime.sealing import Seal
from runtime.visit.context import VisitContext

ALIVE = timedelta(minutes=2)


async def issue(connection: Connection, visit_key: bytes) -> str:
    ticket = secrets.token_urlsafe(32)
    await connection.execute(
        "UPDATE connector.visit SET patient_ticket_hash = %s WHERE visit_key = %s", (_hash(ticket), visit_key)
    )
    return ticket


async def redeem(connection: Connection, seal: Seal, ticket: str) -> VisitSession | None:
    """The patient's session, once."""
    cursor = await connection.execute(
        """UPDATE connector.visit SET patient_ticket_hash = NULL
           WHERE patient_ticket_hash = %s AND patient_seen_at > now() - %s
           RETURNING visit_key, organization_id, connection_id, sealed""",
        (_hash(ticket), ALIVE),
    )
    row = await cursor.fetchone()
    if row is None:
        return None
    key = bytes(row[0])
    patient = VisitContext.open(seal, key, bytes(row[3])).patient
    return VisitSession(row[1], row[2], key, Party.PATIENT, bytes.fromhex(patient)) if patient else None


def _hash(ticket: str) -> bytes:
    return hashlib.sha256(ticket.encode()).digest()
