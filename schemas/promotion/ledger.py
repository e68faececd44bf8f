"""Statements by the connection that they are about: the approval that decides, rehearsals, broken glass, rejects.

Owns which of several approvals decides (the highest serial; at one serial a refusal), and which of the files that do
not count may hide one that would: those refuse, the others warn.
"""

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from schemas.promotion.envelope import Rejected, StatementFile, verify_all
from schemas.promotion.reasons import Code, Reason
from schemas.promotion.statement import FOLDER, Approval, BreakGlass, Rehearsal, Verdict
from schemas.promotion.trust import Trust
from schemas.stack_config import Organization

P = TypeVar("P")


@dataclass(frozen=True)
class Filed(Generic[P]):
    """A statement that counts, with its file's path and its subject's digest."""

    path: str
    sha256: str
    predicate: P


class Ledger:
    """Of all statements, once verified."""

    def __init__(self, statements: Iterable[StatementFile], trust: Trust) -> None:
        self._approvals: dict[str, list[Filed[Approval]]] = defaultdict(list)
        self._rehearsals: dict[str, list[Filed[Rehearsal]]] = defaultdict(list)
        self._glasses: dict[str, list[Filed[BreakGlass]]] = defaultdict(list)
        self._rejected: dict[tuple[str, str], list[Rejected]] = defaultdict(list)
        verified, rejected = verify_all((s for s in statements if not _is_list(s.path)), trust)
        for found in verified:
            match found.predicate:
                case Approval() as approval:
                    self._approvals[approval.connection].append(Filed(found.path, found.sha256, approval))
                case Rehearsal() as rehearsal:
                    self._rehearsals[rehearsal.connection].append(Filed(found.path, found.sha256, rehearsal))
                case BreakGlass() as glass:
                    self._glasses[glass.connection].append(Filed(found.path, found.sha256, glass))
                case _:
                    pass
        for rejection in rejected:
            _, _, inside = rejection.path.partition("/")
            organization, _, below = inside.partition("/")
            self._rejected[organization, below.partition("/")[0]].append(rejection)

    def approval(self, organization: Organization, connection: str) -> Filed[Approval] | Reason | None:
        """The approval that decides, or why none does; None where there is none.

        What was said of another organisation or geography decides only where nothing was said of this one: a key of one
        geography must not stop another's connections.
        """
        found = self._approvals.get(connection, [])
        own = [a for a in found if _is_of(organization, a.predicate)] or found
        if not own:
            return None
        highest = max(a.predicate.serial for a in own)
        latest = [a for a in own if a.predicate.serial == highest]
        refusal = next((a for a in latest if a.predicate.decision is Verdict.REFUSE), None)
        if refusal is not None:
            return refusal
        if len({(a.sha256, a.predicate) for a in latest}) > 1:
            return Reason(Code.SERIAL_REPEATED, "one approval a serial", f"two of serial {highest}", latest[0].path)
        return latest[0]

    def rehearsals(self, connection: str) -> list[Filed[Rehearsal]]:
        """The latest first."""
        return sorted(self._rehearsals.get(connection, []), key=lambda r: r.predicate.issued, reverse=True)

    def glasses(self, connection: str) -> list[Filed[BreakGlass]]:
        return self._glasses.get(connection, [])

    def rejected(self, organization: str, connection: str) -> list[Reason]:
        """Why files of a connection's folder do not count."""
        return [r.reason for r in self._rejected.get((organization, connection), [])]

    def rejected_rehearsals(self, organization: str, connection: str) -> list[Reason]:
        found = self._rejected.get((organization, connection), [])
        return [r.reason for r in found if _name(r.path).startswith("rehearsal-")]

    def hiding(self, organization: str, connection: str, serial: int) -> list[Reason]:
        """Of the files that do not count, those that may hide an approval or refusal of this serial or a later one.

        A rejected rehearsal or break-glass statement takes nothing away, and an older approval decided nothing.
        """
        found = self._rejected.get((organization, connection), [])
        return [r.reason for r in found if _may_hide(_name(r.path), serial)]


def _is_list(path: str) -> bool:
    """Whether it is a list of revocations, which `revocation.py` looks at."""
    return path.startswith(f"{FOLDER}/revocations/") and path.count("/") == 2


def _is_of(organization: Organization, approval: Approval) -> bool:
    return approval.organization == organization.id and approval.geography is organization.geography


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _may_hide(name: str, serial: int) -> bool:
    if name.startswith(("rehearsal-", "break-glass-")):
        return False
    numbered = re.fullmatch(r"approval-([0-9]{6,10})-(?:approve|refuse)\.json", name)
    return numbered is None or int(numbered[1]) >= serial
