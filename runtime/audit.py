"""Audit rows: who did what with which visit, by pseudonyms only. Append-only for the application and the worker.

Owns the actions' names and the row's shape. Leaves out the chain (`audit_heads.py`) and reading, which an auditor alone
may (`grants.py`).
"""

from dataclasses import dataclass
from enum import StrEnum

from runtime.database import Connection


class Action(StrEnum):
    """What is recorded; past tense."""

    LAUNCHED = "launched"
    LAUNCH_REFUSED = "launch-refused"
    SIGNED_IN = "signed-in"
    LINKED = "linked"
    UNLINKED = "unlinked"
    LINK_REFUSED = "link-refused"
    VISIT_BEGUN = "visit-begun"
    VISIT_ENDED = "visit-ended"
    PATIENT_ARRIVED = "patient-arrived"
    MEETING_MADE = "meeting-made"
    JOIN_GIVEN = "join-given"
    PRESENCE_CHANGED = "presence-changed"
    WRITE_BACK_DELIVERED = "write-back-delivered"
    WRITE_BACK_DEAD = "write-back-dead"
    PURGED = "purged"
    # promotion: what people do in the portal, and what the runtime notices
    PORTAL_SIGNED_IN = "portal-signed-in"
    URL_PROVED = "url-proved"
    PROOF_REFUSED = "proof-refused"
    STATEMENTS_PUBLISHED = "statements-published"
    APPROVAL_GIVEN = "approval-given"
    APPROVAL_REFUSED = "approval-refused"
    EDIT_PROPOSED = "edit-proposed"
    RECORDS_EXPORTED = "records-exported"
    REHEARSAL_RECORDED = "rehearsal-recorded"
    REVOCATIONS_HELD = "revocations-held"
    DECISION_CHANGED = "decision-changed"
    BREAK_GLASS_IN_FORCE = "break-glass-in-force"


@dataclass(frozen=True)
class AuditRow:
    """`actor` is a keyed hash (EHR user, participant, Entra account); `detail` is a code of ours, never free text."""

    action: Action
    organization_id: str | None = None
    connection_id: str | None = None
    actor: bytes | None = None
    visit_key: bytes | None = None
    detail: str | None = None


class Audit:
    """Writes rows in the caller's transaction, so that an act and its record stand or fall together."""

    async def record(self, connection: Connection, row: AuditRow) -> None:
        await connection.execute(
            "INSERT INTO connector.audit (action, organization_id, connection_id, actor, visit_key, detail)"
            " VALUES (%s, %s, %s, %s, %s, %s)",
            (row.action.value, row.organization_id, row.connection_id, row.actor, row.visit_key, row.detail),
        )
