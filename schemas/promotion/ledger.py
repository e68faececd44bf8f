"""Statements by the connection that they are about: the approval that decides, rehearsals, broken glass, rejects.

Owns which of several approvals decides (the highest serial; at one serial a refusal), and which of the files that do
not count may hide one that would: those refuse, the others warn.
"""

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from schemas.promotion.envelope import Rejected, StatementFile, verify_all
from schemas.promotion.reasons import Code, Reason
from schemas.promotion.statement import BREAK_GLASS, FOLDER, REHEARSAL, Approval, BreakGlass, Rehearsal, Verdict
from schemas.promotion.trust import Trust
from schemas.stack_config import Organization

P = TypeVar("P")


@dataclass(frozen=True)
class Filed(Generic[P]):
    """A statement that counts, with its file's path and its subject's digest."""

    path: str
    sha256: str
    predicate: P


@dataclass
class _Found:
    """What some files of one connection say, once verified."""

    approvals: list[Filed[Approval]] = field(default_factory=list[Filed[Approval]])
    rehearsals: list[Filed[Rehearsal]] = field(default_factory=list[Filed[Rehearsal]])
    glasses: list[Filed[BreakGlass]] = field(default_factory=list[Filed[BreakGlass]])
    rejected: list[Rejected] = field(default_factory=list[Rejected])


class Ledger:
    """Of all statements.

    Each stands in the folder of its connection and is named by its type, or it does not count (`verify`). So they are
    verified when they are asked for, a connection's rehearsals apart from the others: of the test connections of what
    is served unchanged, production asks for nothing else.
    """

    def __init__(self, statements: Iterable[StatementFile], trust: Trust) -> None:
        self._trust = trust
        self._files: dict[tuple[str, bool], list[StatementFile]] = defaultdict(list)
        self._found: dict[tuple[str, bool], _Found] = {}
        for file in statements:
            if not _is_list(file.path):
                self._files[_place(file.path)[1], _is_rehearsal(file.path)].append(file)

    def _of(self, connection: str, *, rehearsals: bool) -> _Found:
        key = connection, rehearsals
        found = self._found.get(key)
        if found is None:
            found = self._found[key] = _Found()
            verified, found.rejected = verify_all(self._files.get(key, ()), self._trust)
            for statement in verified:
                match statement.predicate:
                    case Approval() as approval:
                        found.approvals.append(Filed(statement.path, statement.sha256, approval))
                    case Rehearsal() as rehearsal:
                        found.rehearsals.append(Filed(statement.path, statement.sha256, rehearsal))
                    case BreakGlass() as glass:
                        found.glasses.append(Filed(statement.path, statement.sha256, glass))
                    case _:
                        pass
        return found

    def approval(self, organization: Organization, connection: str) -> Filed[Approval] | Reason | None:
        """The approval that decides, or why none does; None where there is none.

        What was said of another organisation or geography decides only where nothing was said of this one: a key of one
        geography must not stop another's connections.
        """
        found = self._of(connection, rehearsals=False).approvals
        own = [a for a in found if _is_of(organization, a.predicate)] or found
        if not own:
            return None
        highest = max(a.predicate.serial for a in own)
        latest = [a for a in own if a.predicate.serial == highest]
        refusal = next((a for a in latest if a.predicate.decision is Verdict.REFUSE), None)
        if refusal is not None:
            return refusal
        if len(latest) > 1 and len({(a.sha256, a.predicate) for a in latest}) > 1:
            return Reason(Code.SERIAL_REPEATED, "one approval a serial", f"two of serial {highest}", latest[0].path)
        return latest[0]

    def rehearsals(self, connection: str) -> list[Filed[Rehearsal]]:
        """The latest first."""
        found = self._of(connection, rehearsals=True).rehearsals
        return sorted(found, key=lambda r: r.predicate.issued, reverse=True)

    def glasses(self, connection: str) -> list[Filed[BreakGlass]]:
        return self._of(connection, rehearsals=False).glasses

    def rejected(self, organization: str, connection: str) -> list[Reason]:
        """Why files of a connection's folder do not count."""
        found = [*self._rejected(organization, connection), *self._rejected(organization, connection, rehearsals=True)]
        return [r.reason for r in sorted(found, key=lambda r: r.path)]

    def rejected_rehearsals(self, organization: str, connection: str) -> list[Reason]:
        return [r.reason for r in self._rejected(organization, connection, rehearsals=True)]

    def hiding(self, organization: str, connection: str, serial: int) -> list[Reason]:
        """Of the files that do not count, those that may hide an approval or refusal of this serial or a later one.

        A rejected rehearsal or break-glass statement takes nothing away, and an older approval decided nothing.
        """
        found = self._rejected(organization, connection)
        return [r.reason for r in found if _may_hide(_name(r.path), serial)]

    def _rejected(self, organization: str, connection: str, *, rehearsals: bool = False) -> list[Rejected]:
        found = self._of(connection, rehearsals=rehearsals).rejected
        return [r for r in found if _place(r.path)[0] == organization]


def _is_list(path: str) -> bool:
    """Whether it is a list of revocations, which `revocation.py` looks at."""
    return path.startswith(f"{FOLDER}/revocations/") and path.count("/") == 2


def _place(path: str) -> tuple[str, str]:
    """The names of the folders of a statement's organisation and of its connection."""
    _, organization, connection, *_ = f"{path}//".split("/")
    return organization, connection


def _is_of(organization: Organization, approval: Approval) -> bool:
    return approval.organization == organization.id and approval.geography is organization.geography


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _is_rehearsal(path: str) -> bool:
    return _name(path).startswith(REHEARSAL)


def _may_hide(name: str, serial: int) -> bool:
    if name.startswith(BREAK_GLASS):
        return False
    numbered = re.fullmatch(r"approval-([0-9]{6,10})-(?:approve|refuse)\.json", name)
    return numbered is None or int(numbered[1]) >= serial
