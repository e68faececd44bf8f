"""The state of a URL in one word, and the history of what was said about it.

Owns the words. They follow from the decision (`schemas/promotion/decide.py`), which alone says whether launches are
taken; a state is for people.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from runtime.promotion.standing import why_not_served
from schemas.promotion.decide import Decision
from schemas.promotion.envelope import StatementFile, Verified, verify
from schemas.promotion.promoted import Promoted
from schemas.promotion.reasons import Code, Reason
from schemas.promotion.statement import FOLDER, Approval, BreakGlass, Rehearsal, Verdict
from schemas.promotion.trust import Trust
from schemas.stack_config import EhrConnection, Organization
from schemas.vocabulary import Stage


class State(StrEnum):
    """From draft to promoted, and what takes it back."""

    DRAFT = "draft"
    REFUSED = "refused"
    APPROVED = "approved"
    REHEARSED = "rehearsed"
    PROMOTED = "promoted"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"
    REVOKED = "revoked"


MEANING: dict[State, str] = {
    State.DRAFT: "Nobody has decided about this configuration yet.",
    State.REFUSED: "The approver refused this configuration.",
    State.APPROVED: "The approver approved this configuration.",
    State.REHEARSED: "Approved, and a whole visit has passed in test with it.",
    State.PROMOTED: "Approved, rehearsed, and promoted to production.",
    State.WITHDRAWN: "It was approved, and something changed since. It needs a new decision.",
    State.EXPIRED: "The approval is past its time. It needs a new decision.",
    State.REVOKED: "It was revoked: no new launches, whatever was approved.",
}

_OTHER_SUBJECT = frozenset(
    {
        Code.APPROVAL_ORGANIZATION,
        Code.APPROVAL_TENANT,
        Code.APPROVAL_GEOGRAPHY,
        Code.APPROVAL_STAGE,
        Code.APPROVAL_URL,
        Code.CONFIGURATION_CHANGED,
    }
)
_UNDONE = frozenset(
    {
        Code.APPROVAL_NOT_YET_VALID,
        Code.APPROVER_DIFFERS,
        Code.SAME_PERSON_DIFFERS,
        Code.ONE_PERSON,
        Code.SERIAL_ROLLED_BACK,
        Code.SERIAL_REPEATED,
        Code.TEST_CONNECTION_MISSING,
        Code.TEST_CONNECTION_CHANGED,
        Code.TEST_CONNECTION_DIFFERS,
    }
)
_OF_A_FILE = frozenset(
    {
        Code.STATEMENT_MALFORMED,
        Code.STATEMENT_TYPE,
        Code.STATEMENT_NOT_CANONICAL,
        Code.STATEMENT_MISPLACED,
        Code.PAYLOAD_TYPE,
        Code.SIGNATURE_INVALID,
        Code.KEY_UNKNOWN,
        Code.KEY_NOT_IN_IMAGE,
        Code.KEY_TYPE,
        Code.KEY_SCOPE,
        Code.KEY_RETIRED,
    }
)


@dataclass(frozen=True)
class Entry:
    """A statement in the history of a connection."""

    what: str
    at: str
    by: str
    detail: str
    sha256: str
    is_current: bool
    expires: str | None = None


def state_of(
    connection: EhrConnection,
    decision: Decision | None,
    statements: Iterable[Verified],
    promoted: Promoted,
    now: datetime,
) -> State:
    """`statements` are those that count, of the whole organisation."""
    if decision is None:
        return State.DRAFT
    reasons = why_not_served(decision)
    codes = {r.code for r in reasons}
    approval = decision.approval
    if Code.REVOKED in codes:
        return State.REVOKED
    if Code.SERIAL_REPEATED in codes:
        return State.WITHDRAWN
    if approval is None:
        return State.DRAFT
    if codes & _OTHER_SUBJECT:
        return State.WITHDRAWN if approval.decision is Verdict.APPROVE else State.DRAFT
    if approval.decision is Verdict.REFUSE:
        return State.REFUSED
    if codes & _UNDONE or any(map(_may_hide_a_decision, reasons)):
        return State.WITHDRAWN
    if approval.ended(now):
        return State.EXPIRED
    served = promoted.of(connection.id) if connection.stage is Stage.PRODUCTION else None
    if served is not None and served.sha256 == decision.sha256:
        return State.PROMOTED
    rehearsed = _rehearsed(connection, decision, approval, statements, now)
    return State.REHEARSED if rehearsed else State.APPROVED


def _may_hide_a_decision(reason: Reason) -> bool:
    """Of a file that does not count and is no rehearsal: it may be a later refusal."""
    return reason.code in _OF_A_FILE and not reason.file.rpartition("/")[2].startswith("rehearsal-")


def _rehearsed(
    connection: EhrConnection, decision: Decision, approval: Approval, statements: Iterable[Verified], now: datetime
) -> bool:
    """A visit in test with this configuration: of a production connection, its test connection's as approved with."""
    wanted = (connection.id, decision.sha256)
    if connection.stage is Stage.PRODUCTION:
        reference = approval.test_connection
        wanted = (reference.id, reference.sha256) if reference else ("", "")
    return any(
        isinstance(s.predicate, Rehearsal)
        and (s.predicate.connection, s.sha256) == wanted
        and s.predicate.begun(now)
        and not s.predicate.ended(now)
        for s in statements
    )


def verified_of(
    organization_id: str, files: Iterable[StatementFile], trust: Trust
) -> tuple[list[Verified], list[tuple[str, Reason]]]:
    """An organisation's statements that count, and by path why others do not."""
    counting: list[Verified] = []
    others: list[tuple[str, Reason]] = []
    for file in files:
        if file.path.startswith(f"{FOLDER}/{organization_id}/"):
            found = verify(file, trust)
            if isinstance(found, Verified):
                counting.append(found)
            else:
                others.append((file.path, found.reason))
    return counting, others


def history_of(
    organization: Organization, connection: EhrConnection, sha256: str, statements: Iterable[Verified]
) -> list[Entry]:
    """What was said about a connection, the newest first."""
    mine = [s for s in statements if getattr(s.predicate, "connection", None) == connection.id]
    return [
        _entry(organization, connection, s, s.sha256 == sha256)
        for s in sorted(mine, key=lambda s: s.predicate.issued, reverse=True)
    ]


def _entry(organization: Organization, connection: EhrConnection, statement: Verified, current: bool) -> Entry:
    match statement.predicate:
        case Approval() as said:
            what = "Approved" if said.decision is Verdict.APPROVE else "Refused"
            one = ", approver and administrator in one person" if said.same_person else ""
            by = _name_of(organization, connection, said.approver.tenant_id, said.approver.object_id)
            return Entry(what, said.issued, by, f"serial {said.serial}{one}", statement.sha256, current, said.expires)
        case Rehearsal() as said:
            detail = f"image {said.image.removeprefix('sha256:')[:12]}"
            return Entry("Rehearsed", said.issued, "a visit in test", detail, statement.sha256, current, said.expires)
        case BreakGlass() as said:
            by = _name_of(organization, connection, said.issued_by.tenant_id, said.issued_by.object_id)
            return Entry("Emergency", said.issued, by, said.reason, statement.sha256, current, said.expires)
        case said:
            return Entry(statement.kind.value, said.issued, "", "", statement.sha256, current)


def _name_of(organization: Organization, connection: EhrConnection, tenant_id: str, object_id: str) -> str:
    """The display name that the configuration gives this account now, else its object id."""
    people = (connection.approver, *organization.administrators)
    return next((p.display_name for p in people if (p.tenant_id, p.object_id) == (tenant_id, object_id)), object_id)
