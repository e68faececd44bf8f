"""`connector break-glass`: in an emergency, for hours, reasons that do not count for one connection as it is now.

Owns the statement and its proposal on a branch. It is loud: whoever decides from now on warns of it, in the terminal,
in the pull request and in the runtime's log, until it ends. It never waives a refusal, a revocation, a signature or a
key.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pydantic import ValidationError

from runtime.portal.repository import Conflict
from schemas.promotion.decide import WAIVABLE, Approved
from schemas.promotion.envelope import StatementFile
from schemas.promotion.reasons import Code
from schemas.promotion.statement import LONGEST_BREAK_GLASS_HOURS, BreakGlass, at, payload, place_of
from schemas.promotion.telling import reasons_of
from schemas.stack_config import StackConfig
from schemas.vocabulary import Stage, StatementType
from workflow.errors import WorkflowError
from workflow.project import Project
from workflow.promotion.explain import digest_of
from workflow.promotion.judging import places_of
from workflow.promotion.operator import operating
from workflow.promotion.remote import repository_of


class GlassHolds(WorkflowError):
    """The glass is not broken, and why."""


@dataclass(frozen=True)
class Broken:
    """A signed statement, and where it was proposed."""

    statement: BreakGlass
    file: StatementFile
    branch: str
    commit: str


async def break_glass(
    project: Project,
    connection: str,
    *,
    waive: Sequence[str],
    hours: int,
    reason: str,
    stack: str | None = None,
    now: datetime | None = None,
) -> Broken:
    """Raises `GlassHolds`, `UnknownConnection`, `NoSigningKey`, and what vault and repository raise."""
    moment = (now or datetime.now(UTC)).replace(microsecond=0)
    _allowed(waive, hours)
    places = [p for p in places_of(project, connection, moment) if p.decision and stack in (None, p.judged.name)]
    if len(places) != 1:
        raise GlassHolds(f"expected one stack that serves {connection}, got {len(places)}; name it with --stack")
    (place,) = places
    decision, config = place.decision, place.judged.stack
    assert decision is not None
    if isinstance(decision, Approved):
        raise GlassHolds(f"{connection} is approved: there is nothing to waive")
    given = {str(r.code) for r in reasons_of(decision)}
    if not given & set(waive):
        raise GlassHolds(f"none of these keeps {connection} from being served; its reasons: {', '.join(sorted(given))}")
    async with operating(project, config) as operator:
        try:
            statement = BreakGlass(
                form=1,
                organization=place.organization.id,
                geography=place.organization.geography,
                stage=config.stage,
                connection=connection,
                waives=tuple(waive),
                reason=reason,
                issued_by=await operator.account(),
                issued=at(moment),
                expires=at(moment + timedelta(hours=hours)),
            )
        except ValidationError as problem:
            raise GlassHolds(f"expected a reason of one plain line: {problem.error_count()} problems") from None
        body = payload(statement, digest_of(place))
        content = await operator.signed(StatementType.BREAK_GLASS, statement.geography, body)
    path = place_of(statement)
    assert path is not None
    source = _source(config, place.judged.name)
    branch = f"connector/break-glass-{connection[:60]}-{moment:%Y%m%d%H%M%S}"
    title = f"BREAK GLASS for {connection} until {statement.expires}"
    message = f"{title}\n\nwaives: {', '.join(waive)}\nreason: {reason}\n"
    repository = repository_of(project, source, project.valid(source))
    found = await repository.propose(branch, {path: content}, message, title=title)
    assert not isinstance(found, Conflict), "without a base nothing conflicts"
    return Broken(statement, StatementFile(path, content), branch, found.commit)


def _allowed(waive: Sequence[str], hours: int) -> None:
    unknown = [code for code in waive if code not in set(Code)]
    if unknown or not waive:
        problem = GlassHolds(f"expected codes of reasons, got {', '.join(unknown) or 'none'}")
        problem.advice = f"what can be waived: {', '.join(sorted(WAIVABLE))}"
        raise problem
    never = [code for code in waive if code not in WAIVABLE]
    if never:
        problem = GlassHolds(f"never waived: {', '.join(never)}")
        problem.advice = f"what can be waived: {', '.join(sorted(WAIVABLE))}"
        raise problem
    if not 1 <= hours <= LONGEST_BREAK_GLASS_HOURS:
        raise GlassHolds(f"expected 1 to {LONGEST_BREAK_GLASS_HOURS} hours, got {hours}")


def _source(config: StackConfig, name: str) -> str:
    """Whose repository it is: the test stack's."""
    return config.promotion.source if config.stage is Stage.PRODUCTION and config.promotion.source else name


def lines(broken: Broken) -> list[str]:
    """What became of it, for a person."""
    statement = broken.statement
    return [
        f"GLASS BROKEN for {statement.connection} until {statement.expires}",
        f"  waived: {', '.join(statement.waives)}",
        f"  reason: {statement.reason}",
        f"  by:     {statement.issued_by.object_id} of {statement.issued_by.tenant_id}",
        f"proposed on {broken.branch} ({broken.commit}): merge it, then `pulumi up`",
        "everybody who decides is warned of it until then; end it by approving, rehearsing and promoting as usual",
    ]
