"""The list of revocations that a geography's runtimes read, seen by whoever asks: it may be newer than the files'.

Owns that a list which could not be read is told, and that a decision is made anew by a newer one.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from runtime.errors import ConnectorError
from schemas.promotion.approvals import revocations_file
from schemas.promotion.decide import decide
from schemas.promotion.envelope import StatementFile
from schemas.promotion.statement import Revocations
from workflow.errors import WorkflowError
from workflow.project import Project
from workflow.promotion.judging import Place
from workflow.promotion.lists import published_list
from workflow.promotion.operator import operating


@dataclass(frozen=True)
class Channel:
    """What a stack's channel holds of a connection's geography, or why that is not known."""

    held: Revocations | None = None
    newer: bool = False
    """Than what the files have."""
    unread: str = ""

    def line(self) -> str:
        if self.unread:
            return f"  list of revocations in the channel: could not be read ({self.unread}); told from the files alone"
        if self.held is None:
            return "  list of revocations in the channel: none"
        merged = ", which is not merged here" if self.newer else ""
        return f"  list of revocations in the channel: {self.held.version}, in force until {self.held.expires}{merged}"

    def values(self) -> dict[str, Any]:
        version, expires = (self.held.version, self.held.expires) if self.held else (None, None)
        return {"version": version, "expires": expires, "newer": self.newer, "unread": self.unread or None}


async def by_channel(project: Project, place: Place) -> tuple[Place, Channel | None]:
    """A place as decided by the list in the channel too; None where the stack does not decide the connection."""
    if place.decision is None:
        return place, None
    geography, judged = place.organization.geography, place.judged
    now = datetime.now(UTC)
    try:
        async with operating(project, judged.stack) as operator:
            found = await published_list(operator, geography, now)
    except (ConnectorError, WorkflowError) as problem:
        return place, Channel(unread=str(problem))
    if found is None:
        return place, Channel()
    content, held = found
    known = judged.known
    here = known.revocations.get(geography)
    if here is not None and here.revocations.version >= held.revocations.version:
        return place, Channel(held.revocations)
    path = revocations_file(geography, judged.stack.stage)
    others = tuple(s for s in known.statements if s.path != path)
    known = replace(
        known,
        statements=(*others, StatementFile(path, content)),
        revocations={**known.revocations, geography: held},
        unheld={g: reason for g, reason in known.unheld.items() if g != geography},
    )
    judged = replace(judged, known=known, decisions=decide(known))
    decided = replace(place, judged=judged, decision=judged.decisions[place.connection.id])
    return decided, Channel(held.revocations, newer=True)
