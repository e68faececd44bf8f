"""`connector revoke`: connections take no launches any more, within a minute, or take them again.

Owns which entries a new list has. It is published to the channel first; then the same file is proposed on a branch, so
that the next update carries it. Lists in force for a week are renewed by `--renew`.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic import TypeAdapter, ValidationError

from runtime.errors import ConnectorError
from runtime.portal.repository import Conflict
from schemas.promotion.envelope import StatementFile
from schemas.promotion.statement import ReasonText, Revoked, at
from schemas.stack_config import StackConfig
from schemas.vocabulary import GeographyName, Stage
from workflow.errors import WorkflowError
from workflow.project import Project
from workflow.promotion.judging import UnknownConnection
from workflow.promotion.lists import DAYS, Published, newest, publish
from workflow.promotion.operator import Operator, operating
from workflow.promotion.remote import repository_of, snapshot


class RevocationRefused(WorkflowError):
    """What was asked makes no list."""


@dataclass(frozen=True)
class Done:
    """What became of the lists: published, and proposed on `branch`, but for the problems."""

    stack: str
    lists: tuple[Published, ...]
    branch: str
    commit: str | None
    problems: tuple[str, ...] = ()


async def revoke(
    project: Project,
    connections: Sequence[str],
    *,
    stack: str | None = None,
    reason: str | None = None,
    lift: bool = False,
    renew: bool = False,
    days: int = DAYS,
    now: datetime | None = None,
) -> Done:
    """Raises `RevocationRefused`, `UnknownConnection` and, where no list was made, what kept it from being made."""
    moment = (now or datetime.now(UTC)).replace(microsecond=0)
    _asked(connections, reason, lift=lift, renew=renew)
    name = stack or stack_serving(project, connections)
    config = project.valid(name)
    source = config.promotion.source if config.stage is Stage.PRODUCTION and config.promotion.source else name
    repository = repository_of(project, source, project.valid(source))
    base = None
    known = [StatementFile(p, project.files.read(p)) for p in project.files.below("approvals/revocations")]
    problems: list[str] = []
    try:
        base = await snapshot(repository)
        known += [StatementFile(p, c) for p, c in base.content.items() if p.startswith("approvals/revocations/")]
    except ConnectorError as unread:
        problems.append(f"the repository could not be read: {unread}")
    wanted = _by_geography(config, name, connections, renew=renew)
    made: list[Published] = []
    async with operating(project, config) as operator:
        for geography, ids in wanted.items():
            try:
                made.append(await _next(operator, geography, ids, known, reason or "", moment, days, lift=lift))
            except (ConnectorError, WorkflowError) as failed:
                if len(wanted) == 1:
                    raise
                problems.append(f"{geography}: NOT published: {failed}")
    if not made:
        raise RevocationRefused("; ".join(problems))
    branch = _branch(config.stage, made, renew=renew)
    commit = None
    if base is not None:
        files = {list_.file.path: list_.file.content for list_ in made}
        title = _title(connections, config.stage, lift=lift, renew=renew)
        try:
            found = await repository.propose(branch, files, f"{title}\n", title=title)
            if isinstance(found, Conflict):
                problems.append(f"the repository did not take it: {', '.join(found.moved)} changed meanwhile")
            else:
                commit = found.commit
        except ConnectorError as refused:
            problems.append(f"the repository did not take it: {refused}")
    return Done(name, tuple(made), branch, commit, tuple(problems))


def _asked(connections: Sequence[str], reason: str | None, *, lift: bool, renew: bool) -> None:
    if renew == bool(connections):
        problem = RevocationRefused("expected connections, or --renew without any")
        problem.advice = "connector revoke CONNECTION --reason '...', connector revoke --renew --stack STACK"
        raise problem
    if connections and not lift and not reason:
        raise RevocationRefused("expected a reason (--reason), which stands in the list")
    if reason is not None:
        try:
            TypeAdapter[str](ReasonText).validate_python(reason)
        except ValidationError:
            expected = "one line of at most 300 letters, digits and simple punctuation"
            raise RevocationRefused(f"expected a reason of {expected}") from None


def stack_serving(project: Project, connections: Sequence[str]) -> str:
    """The stack whose own stage has all of them. Raises `UnknownConnection`, `RevocationRefused`."""
    if not connections:
        raise RevocationRefused("expected --stack: of which stack are the lists to be renewed?")
    names = [n for n in project.stacks() if (s := project.load(n).stack) is not None and set(connections) <= _ids(s)]
    if len(names) == 1:
        return names[0]
    if not names:
        raise UnknownConnection(", ".join(connections), project.stacks())
    raise RevocationRefused(f"several stacks serve that; expected --stack {' or --stack '.join(names)}")


def _ids(stack: StackConfig) -> set[str]:
    return {c.id for o in stack.organizations for c in o.connections if c.stage is stack.stage}


def _by_geography(
    stack: StackConfig, name: str, connections: Sequence[str], *, renew: bool
) -> dict[GeographyName, list[str]]:
    """Which lists change, and by which connections."""
    if renew:
        return {geography: [] for geography in stack.geographies}
    homes = {c.id: o.geography for o in stack.organizations for c in o.connections if c.stage is stack.stage}
    found: dict[GeographyName, list[str]] = defaultdict(list)
    for connection in connections:
        if connection not in homes:
            raise UnknownConnection(connection, [name])
        found[homes[connection]].append(connection)
    return found


async def _next(
    operator: Operator,
    geography: GeographyName,
    connections: Sequence[str],
    known: Sequence[StatementFile],
    reason: str,
    now: datetime,
    days: int,
    *,
    lift: bool,
) -> Published:
    held, _ = await newest(operator, geography, known, now)
    entries = {r.connection: r for r in held.revocations.revoked} if held else {}
    for connection in connections:
        if lift and entries.pop(connection, None) is None:
            raise RevocationRefused(f"{connection} is not revoked; nothing was published for {geography}")
        if not lift:
            entries[connection] = Revoked(connection=connection, reason=reason, at=at(now))
    version = held.revocations.version + 1 if held else 1
    return await publish(operator, geography, list(entries.values()), version, now, days)


def _branch(stage: Stage, made: Sequence[Published], *, renew: bool) -> str:
    """One of its own for each revocation; one for all renewals, so that only the last waits to be merged."""
    if renew:
        return f"connector/revocations-{stage}-renewed"
    what = "-".join(f"{m.geography}-{m.revocations.version}" for m in made)
    return f"connector/revocations-{stage}-{what}"


def _title(connections: Sequence[str], stage: Stage, *, lift: bool, renew: bool) -> str:
    if renew:
        return f"Renew the lists of revocations of {stage}"
    return f"{'Lift the revocation of' if lift else 'Revoke'} {', '.join(connections)}"


def lines(done: Done) -> list[str]:
    """What became of it, for a person."""
    told: list[str] = []
    for list_ in done.lists:
        where = "published" if list_.published else "NOT published, because this stack does not run yet"
        which = f"list {list_.revocations.version} of {list_.geography}, {list_.revocations.stage}"
        told.append(f"{which}: {where}; in force until {list_.revocations.expires}")
        told += [f"  revoked: {r.connection} ({r.at}): {r.reason}" for r in list_.revocations.revoked]
    if any(list_.published for list_ in done.lists):
        told.append("runtimes read it within a minute; visits under way end normally")
    if done.commit:
        told.append(f"proposed on {done.branch} ({done.commit}): merge it, so that the next update carries it")
    return told + [f"problem: {problem}" for problem in done.problems]


def values(done: Done) -> dict[str, Any]:
    """The same as JSON."""
    return {
        "stack": done.stack,
        "lists": [
            {
                "geography": str(m.geography),
                "published": m.published,
                "file": m.file.path,
                "list": m.revocations.model_dump(mode="json", by_alias=True, exclude_none=True),
            }
            for m in done.lists
        ],
        "branch": done.branch if done.commit else None,
        "commit": done.commit,
        "problems": list(done.problems),
    }
