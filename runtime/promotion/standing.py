"""The decision of each connection as it stands now. Launches ask it; a visit under way does not.

Owns what the runtime decides from: the configuration document, in the test stage also what was recorded here and is
not deployed yet, the list of revocations held, and the highest serials seen. Nobody is served before the first
decision. Leaves out the rules (`schemas/promotion/decide.py`) and when to decide (`minutely.py`).
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from runtime.logs import log
from runtime.promotion import revocations, serials, statements
from runtime.promotion.noticed import record_changes
from runtime.promotion.revocations import Holding
from schemas.configuration_document import ConfigurationDocument
from schemas.promotion.decide import Approved, Decision, Decisions, Known, Refused, Withdrawn, decide
from schemas.promotion.envelope import StatementFile
from schemas.promotion.reasons import Code, Reason
from schemas.promotion.revocation import Held
from schemas.stack_config import Organization
from schemas.vocabulary import RuntimeRole, Stage

if TYPE_CHECKING:
    from runtime.bootstrap import Services


@dataclass
class Standing:
    """`decisions` are of the connections served here; `proposals` of the production connections of a test stack."""

    decisions: Decisions = field(default_factory=dict[str, Decision])
    proposals: Decisions = field(default_factory=dict[str, Decision])
    statements: tuple[StatementFile, ...] = ()
    _holding: Holding | None = None
    _recorded: int = -1
    _deciding: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def held(self) -> Held | None:
        """The list of revocations in force."""
        return self._holding.held if self._holding else None

    def decision(self, connection_id: str) -> Decision | None:
        """Of a connection served here, or proposed."""
        return self.decisions.get(connection_id) or self.proposals.get(connection_id)

    async def refresh(self, services: "Services") -> None:
        """Take the newest list of revocations, and decide. Raises `DatabaseUnavailable`; then all stays as it was."""
        self._holding = await revocations.hold(services, self._holding)
        await self._decide(services)
        self._alert(services)

    async def look(self, services: "Services") -> None:
        """Take the newest list of revocations, and decide where it is another one. Raises as `refresh`."""
        before = self.held
        self._holding = await revocations.hold(services, self._holding)
        if self.held != before:
            await self._decide(services)

    async def catch_up(self, services: "Services") -> None:
        """Decide again where a statement was recorded since. Raises `DatabaseUnavailable`."""
        if services.settings.stage is not Stage.TEST:
            return
        async with services.database.connection() as connection:
            recorded = await statements.count(connection)
        if recorded != self._recorded:
            await self._decide(services)

    async def _decide(self, services: "Services") -> None:
        async with self._deciding:
            document = services.configuration.document
            files, recorded = list(document.statement_files), -1
            async with services.database.connection() as connection:
                if services.settings.stage is Stage.TEST:
                    own = await statements.stored(connection)
                    files, recorded = [*files, *own], len(own)
                seen = await serials.highest_serials(connection)
            self.statements = tuple(dict.fromkeys(files))
            decisions, proposals = await asyncio.to_thread(self._decided, services, seen)
            await _remember(services, {**proposals, **decisions}, seen)
            await record_changes(services, self.decisions, decisions)
            _tell(self.decisions, decisions)
            self.decisions, self.proposals, self._recorded = decisions, proposals, recorded

    def _decided(self, services: "Services", seen: dict[str, int]) -> tuple[Decisions, Decisions]:
        document = services.configuration.document

        def of(organizations: Sequence[Organization], proposals: Sequence[Organization] | None) -> Decisions:
            known = Known(
                stage=services.settings.stage,
                organizations=organizations,
                hosts={document.geography: document.public_hosts},
                statements=self.statements,
                trust=services.trust,
                image=services.settings.handover.image,
                now=services.clock(),
                rehearsal=document.promotion.rehearsal,
                revocations={document.geography: self.held} if self.held else {},
                highest_serials=seen,
                promoted=document.promoted,
                proposals=proposals,
            )
            return decide(known)

        return of(document.organizations, None), of(document.proposals, with_both_stages(document))

    def _alert(self, services: "Services") -> None:
        """What must not be overlooked, each minute for as long as it lasts."""
        if self.held is None:
            log.error("revocations-never-held", advice="`connector revoke --renew` publishes a list")
        elif self.held.is_stale(services.clock()):
            log.error("revocations-stale", code=Code.REVOCATIONS_STALE.value)
        if ending := sum(_ends(decision) for decision in self.decisions.values()):
            log.warning("approvals-end", count=ending)
        for decision in self.decisions.values():
            broken = [w for w in _warnings(decision) if w.code is Code.BREAK_GLASS]
            for warning in broken:
                log.error(
                    "break-glass",
                    organization=decision.organization,
                    connection=decision.connection,
                    code=warning.code.value,
                    reason=warning.message,
                )


def with_both_stages(document: ConfigurationDocument) -> tuple[Organization, ...]:
    """A test stack's organisations with the connections that it serves and those that it proposes.

    One whose last test connection was removed is still there, by what it proposes.
    """
    found = {o.id: o for o in document.organizations}
    for proposed in document.proposals:
        served = found[proposed.id].connections if proposed.id in found else ()
        found[proposed.id] = proposed.model_copy(update={"connections": (*served, *proposed.connections)})
    return tuple(found.values())


def why_not_served(decision: Decision | None) -> tuple[Reason, ...]:
    """Why it is not served; none where it is."""
    return decision.reasons if isinstance(decision, Refused | Withdrawn) else ()


def _warnings(decision: Decision) -> tuple[Reason, ...]:
    return decision.warnings if isinstance(decision, Approved) else ()


def _ends(decision: Decision) -> bool:
    """Whether its approval ends soon, or has ended."""
    codes = {reason.code for reason in (*why_not_served(decision), *_warnings(decision))}
    return not codes.isdisjoint({Code.EXPIRES_SOON, Code.APPROVAL_EXPIRED})


async def _remember(services: "Services", decisions: Decisions, seen: dict[str, int]) -> None:
    """The serials of approvals by a key that counts, of the very connection.

    The worker's to keep, for all roles; the portal keeps those that it gives (`portal/decision.py`).
    """
    if services.settings.role is not RuntimeRole.WORKER:
        return
    higher = {
        d.connection: d.approval.serial
        for d in decisions.values()
        if d.approval and d.approval.organization == d.organization and d.approval.serial > seen.get(d.connection, 0)
    }
    if higher:
        async with services.database.transaction() as connection:
            await serials.remember(connection, higher)


def _tell(before: Decisions, after: Decisions) -> None:
    """A line for each connection whose standing is another than it was."""
    for name, decision in after.items():
        if name in before and _shown(before[name]) == _shown(decision):
            continue
        state, codes = _shown(decision)
        level = log.info if isinstance(decision, Approved) and not codes else log.warning
        level("standing", organization=decision.organization, connection=name, state=state, code=codes or None)


def _shown(decision: Decision) -> tuple[str, list[str]]:
    reasons = (*why_not_served(decision), *_warnings(decision))
    return type(decision).__name__.lower(), [r.code.value for r in reasons]
