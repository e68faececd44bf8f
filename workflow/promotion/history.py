"""What was signed about a connection, in order of time: approvals, rehearsals, revocations, emergencies, promotion.

Owns which statements concern a connection, and an entry for each: when, what, who, which digest, whether it counts.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from schemas.promotion.envelope import StatementFile, Verified, verify
from schemas.promotion.statement import FOLDER, Approval, BreakGlass, Rehearsal, Revocations, Verdict
from workflow.promotion.judging import Place


@dataclass(frozen=True)
class Entry:
    """One thing that happened; `counts` says why it does not count, where it does not."""

    at: str
    what: str
    sha256: str | None
    key: str = ""
    file: str = ""
    counts: str = ""
    of: str = ""
    """The connection whose digest it is, where it is another one's."""
    details: dict[str, Any] = field(default_factory=dict[str, Any])

    def values(self) -> dict[str, Any]:
        return {
            "at": self.at,
            "what": self.what,
            "sha256": self.sha256,
            "key": self.key,
            "file": self.file,
            "doesNotCount": self.counts or None,
            **self.details,
        }


def history_of(place: Place) -> list[Entry]:
    """Oldest first; what cannot be verified has no time and comes first of all."""
    known = place.judged.known
    own = f"{FOLDER}/{place.organization.id}/{place.connection.id}/"
    approval = place.decision.approval if place.decision else None
    test = approval.test_connection.id if approval and approval.test_connection else None
    rehearsed = f"{FOLDER}/{place.organization.id}/{test}/rehearsal-" if test else None
    found: list[Entry] = []
    for file in known.statements:
        ours = file.path.startswith(own) or (rehearsed is not None and file.path.startswith(rehearsed))
        if ours or file.path.startswith(f"{FOLDER}/revocations/"):
            found += _entries(place, file, ours=ours)
    promoted = known.promoted.of(place.connection.id)
    if promoted is not None:
        found.append(Entry(promoted.promoted_at, f"promoted with serial {promoted.serial}", promoted.sha256))
    return sorted(found, key=lambda e: e.at)


def _entries(place: Place, file: StatementFile, *, ours: bool) -> Iterator[Entry]:
    verified = verify(file, place.judged.known.trust)
    if not isinstance(verified, Verified):
        if ours:
            yield Entry("", "a file that does not count", None, file=file.path, counts=str(verified.reason))
        return
    key = _key(place, verified)
    match verified.predicate:
        case Approval() as approval:
            yield _of_approval(approval, verified, key)
        case Rehearsal() as rehearsal:
            what = f"rehearsal of {rehearsal.connection} with {rehearsal.image}, until {rehearsal.expires}"
            yield Entry(rehearsal.issued, what, verified.sha256, key, file.path, of=rehearsal.connection)
        case BreakGlass() as glass:
            by = f"{glass.issued_by.object_id} of {glass.issued_by.tenant_id}"
            what = f"glass broken by {by} until {glass.expires} for {', '.join(glass.waives)}: {glass.reason}"
            yield Entry(glass.issued, what, verified.sha256, key, file.path)
        case Revocations() as list_:
            for revoked in list_.revoked:
                if revoked.connection == place.connection.id:
                    what = f"revoked ({list_.stage}, list {list_.version}): {revoked.reason}"
                    yield Entry(revoked.at, what, revoked.sha256, key, file.path)
        case _:
            return


def _of_approval(approval: Approval, verified: Verified, key: str) -> Entry:
    verb = "approved" if approval.decision is Verdict.APPROVE else "refused"
    by = f"{approval.approver.object_id} of {approval.approver.tenant_id}"
    same = ", who is an administrator too" if approval.same_person else ""
    what = f"{verb} by {by}{same}, serial {approval.serial}, until {approval.expires}"
    evidence = approval.evidence.model_dump(mode="json", by_alias=True, exclude_none=True)
    details: dict[str, Any] = {"decision": str(approval.decision), "serial": approval.serial, "evidence": evidence}
    if approval.test_connection:
        details["testConnection"] = approval.test_connection.model_dump(mode="json", by_alias=True)
    return Entry(approval.issued, what, verified.sha256, key, verified.path, details=details)


def _key(place: Place, verified: Verified) -> str:
    keys = place.judged.stack.promotion.trusted_keys
    pin = next((k for k in keys if k.key_id == verified.key_id), None)
    return f"{pin.name} {pin.version} ({pin.geography})" if pin else verified.key_id
