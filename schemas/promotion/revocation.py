"""Which list of revocations is held: a verified one, of this geography and stage, never older than the last.

Owns the rule by which a list that was found replaces the one that is held. An older or expired list is refused and the
held one kept; whoever never held one serves nothing.
"""

from dataclasses import dataclass
from datetime import datetime

from schemas.promotion.envelope import Verified
from schemas.promotion.reasons import Code, Reason
from schemas.promotion.statement import Revocations, Revoked
from schemas.vocabulary import GeographyName, Stage


@dataclass(frozen=True)
class Held:
    """The list in force."""

    revocations: Revocations

    def is_stale(self, now: datetime) -> bool:
        """Past its time: it stays in force, and somebody must publish a new one."""
        return self.revocations.ended(now)

    def revoked(self, connection: str, sha256: str) -> Revoked | None:
        """The entry that stops a connection as it is configured now."""
        return next(
            (r for r in self.revocations.revoked if r.connection == connection and r.sha256 in (None, sha256)), None
        )


def accept(
    found: Verified, held: Held | None, geography: GeographyName, stage: Stage, now: datetime, *, expired: bool = False
) -> Held | Reason:
    """The list that is held from now on, or why what was found does not count.

    `expired` takes a list that has expired too: of who keeps what is held, and of who reads it back.
    """
    revocations = found.predicate
    if not isinstance(revocations, Revocations):
        return Reason(Code.STATEMENT_TYPE, "a list of revocations", f"a statement of type {found.kind}")
    if (revocations.geography, revocations.stage) != (geography, stage):
        expected, got = f"a list of {geography}, {stage}", f"one of {revocations.geography}, {revocations.stage}"
        return Reason(Code.REVOCATIONS_ELSEWHERE, expected, got)
    if not revocations.begun(now):
        return Reason(Code.REVOCATIONS_NOT_YET, "a list issued before now", f"one of {revocations.issued}")
    if held is not None and revocations.version < held.revocations.version:
        expected = f"version {held.revocations.version} or later"
        return Reason(Code.REVOCATIONS_OLDER, expected, f"version {revocations.version}")
    if held is not None and revocations.version == held.revocations.version and revocations != held.revocations:
        return Reason(Code.REVOCATIONS_OLDER, "one list a version", f"another list of version {revocations.version}")
    if revocations.ended(now) and not expired and (held is None or held.revocations != revocations):
        return Reason(Code.REVOCATIONS_STALE, "a list that has not expired", f"one that expired {revocations.expires}")
    return Held(revocations)
