"""`connector promote`: what is approved and rehearsed goes to production, as a change on a branch that people review.

Owns the order: statements from the portals' branches, the copy, the decision on the result, what is promoted now. An
organisation that is not promotable changes nothing, and every reason is told. It pushes a branch and touches no
working copy.
"""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from runtime.errors import ConnectorError
from runtime.portal.repository import BranchAbsent, Conflict, Repository
from schemas.loading import load_stack
from schemas.promotion.canonical import digest
from schemas.promotion.decide import Approved, Decision, Decisions, decide
from schemas.promotion.promoted import FILE, Promoted, PromotedConnection, PromotedInvalid
from schemas.promotion.reading import SourceInvalid, approvals_below, known_of_project
from schemas.promotion.statement import FOLDER, at
from schemas.promotion.telling import advice, reasons_of, told
from schemas.promotion.trust import AnchorsInvalid
from schemas.stack_config import Organization, StackConfig
from schemas.vocabulary import Stage
from workflow.errors import StackInvalid, WorkflowError
from workflow.project import Project
from workflow.promotion.check import decision_values
from workflow.promotion.copying import copied
from workflow.promotion.judging import Undecidable
from workflow.promotion.remote import Snapshot, published, repository_of, snapshot


class NotPromotable(WorkflowError):
    """Organisations that may not go to production; `advice` has every reason."""

    def __init__(self, organizations: Sequence[str], decisions: Sequence[Decision]) -> None:
        super().__init__(f"not promotable: {', '.join(organizations)}; nothing was proposed")
        self.decisions = tuple(decisions)
        self.advice = "\n".join([*told(decisions), *advice(decisions)])


class ChooseStacks(WorkflowError):
    """Which stacks are meant cannot be told from what was given."""


class NotProposed(WorkflowError):
    """The repository did not take the change."""


@dataclass(frozen=True)
class Promotion:
    """A change that promotes organisations, and what became of it."""

    organizations: tuple[str, ...]
    source: str
    target: str
    base: str
    branch: str
    changes: Mapping[str, bytes]
    before: Mapping[str, bytes]
    decisions: Decisions
    left: tuple[Decision, ...] = ()
    commit: str | None = None
    url: str | None = None
    already: bool = False

    def diff(self) -> str:
        """The change as a unified diff."""
        parts: list[str] = []
        for path, content in sorted(self.changes.items()):
            old = self.before.get(path)
            parts += difflib.unified_diff(
                old.decode().splitlines(keepends=True) if old is not None else [],
                content.decode().splitlines(keepends=True),
                f"a/{path}" if old is not None else "/dev/null",
                f"b/{path}",
            )
        return "".join(parts)


async def promote(
    project: Project,
    organizations: Sequence[str],
    *,
    source: str | None = None,
    target: str | None = None,
    dry_run: bool = False,
    now: datetime | None = None,
) -> Promotion:
    """Raises `NotPromotable`, `NotCopied`, `ChooseStacks`, `NoRepository`, `NotProposed`."""
    moment = (now or datetime.now(UTC)).replace(microsecond=0)
    source, target = stacks_of(project, organizations, source, target)
    repository = repository_of(project, source, project.valid(source))
    try:
        base = await snapshot(repository)
        prepared = await _prepared(project, repository, base, organizations, source, target, moment)
        return prepared if dry_run or not prepared.changes else await _proposed(repository, prepared)
    except ConnectorError as problem:
        raise _not_proposed(problem) from None


def stacks_of(
    project: Project, organizations: Sequence[str], source: str | None, target: str | None
) -> tuple[str, str]:
    """From which test stack to which production stack. Raises `ChooseStacks`."""
    pairs: list[tuple[str, str]] = []
    for name in project.stacks():
        stack = project.load(name).stack
        if stack is None or stack.stage is not Stage.PRODUCTION or stack.promotion.source is None:
            continue
        pair = (stack.promotion.source, name)
        if source in (None, pair[0]) and target in (None, pair[1]):
            pairs.append(pair)
    if organizations and len(pairs) > 1:
        pairs = [p for p in pairs if set(organizations) <= _ids(project, p[0])]
    if len(pairs) == 1:
        return pairs[0]
    what = "no production stack" if not pairs else f"{len(pairs)} production stacks"
    problem = ChooseStacks(f"{what} could be meant")
    problem.advice = (
        f"name it: --to {' or --to '.join(p[1] for p in pairs)}" if pairs else "`connector check` names them"
    )
    raise problem


def _ids(project: Project, name: str) -> set[str]:
    stack = project.load(name).stack if name in project.stacks() else None
    return {o.id for o in stack.organizations} if stack else set()


async def _prepared(
    project: Project,
    repository: Repository,
    base: Snapshot,
    organizations: Sequence[str],
    source: str,
    target: str,
    now: datetime,
) -> Promotion:
    test = _loaded(base, project, source)
    wanted = tuple(organizations) or tuple(
        o.id for o in test.organizations if any(c.stage is Stage.PRODUCTION for c in o.connections)
    )
    found = await published(repository, test.geographies)
    changes: dict[str, bytes] = {}
    for organization in wanted:
        changes |= copied({**base.content, **changes}, source, target, organization)
    for path, content in found.items():
        if path.startswith(tuple(f"{FOLDER}/{o}/" for o in wanted)) and path not in base.content:
            changes[path] = content
    result = base.with_files(changes)
    stack = _loaded(result, project, target)
    decisions = _decided(project, result, stack, now)
    mine = [o for o in stack.organizations if o.id in wanted]
    unfit = [o for o in mine if any(not isinstance(decisions[c.id], Approved) for c in o.connections)]
    if unfit and (organizations or len(unfit) == len(mine)):
        raise NotPromotable([o.id for o in unfit], [decisions[c.id] for o in unfit for c in o.connections])
    if unfit:
        fit = [o.id for o in mine if o not in unfit]
        left = tuple(decisions[c.id] for o in unfit for c in o.connections)
        rest = await _prepared(project, repository, base, fit, source, target, now)
        return replace(rest, left=left)
    promoted = _promoted(approvals_below(result.files(project)).promoted, mine, decisions, now)
    if promoted.encode() != base.content.get(FILE):
        changes[FILE] = promoted.encode()
    return Promotion(
        organizations=tuple(o.id for o in mine),
        source=source,
        target=target,
        base=base.commit,
        branch=_branch([o.id for o in mine], changes),
        changes=changes,
        before=base.content,
        decisions={c.id: decisions[c.id] for o in mine for c in o.connections},
    )


def _loaded(found: Snapshot, project: Project, name: str) -> StackConfig:
    loaded = load_stack(f"Pulumi.{name}.yaml", found.files(project).text)
    if loaded.stack is None:
        raise StackInvalid(name, loaded.errors)
    return loaded.stack


def _decided(project: Project, result: Snapshot, stack: StackConfig, now: datetime) -> Decisions:
    try:
        return decide(known_of_project(stack, result.files(project), project.image_of(stack), now))
    except (SourceInvalid, PromotedInvalid, AnchorsInvalid, OSError) as problem:
        raise Undecidable(f"the promotion cannot be decided: {problem}") from None


def _promoted(before: Promoted, organizations: Sequence[Organization], decisions: Decisions, now: datetime) -> str:
    """What is promoted with this change; who is served by broken glass alone is not promoted."""
    promoted = before
    for connection in (c for o in organizations for c in o.connections):
        decision = decisions[connection.id]
        known = promoted.of(connection.id)
        if decision.approval is None:
            continue
        entry = PromotedConnection(sha256=decision.sha256, promoted_at=at(now), serial=decision.approval.serial)
        if known is None or (known.sha256, known.serial) != (entry.sha256, entry.serial):
            promoted = promoted.with_connection(connection.id, entry)
    return promoted.text()


def _branch(organizations: Sequence[str], changes: Mapping[str, bytes]) -> str:
    """Named after the change itself: the same promotion goes to the same branch."""
    parts = [f"{path}\0".encode() + content for path, content in sorted(changes.items()) if path != FILE]
    what = organizations[0][:40] if len(organizations) == 1 else f"{len(organizations)}-organisations"
    return f"promote/{what}-{digest('promotion-branch', b''.join(parts))[:8]}"


async def _proposed(repository: Repository, promotion: Promotion) -> Promotion:
    try:
        there = await repository.head(promotion.branch)
    except BranchAbsent:
        there = None
    if there is not None:
        return replace(promotion, commit=there, already=True)
    found = await repository.propose(
        promotion.branch,
        promotion.changes,
        _message(promotion),
        base=promotion.base,
        title=f"Promote {', '.join(promotion.organizations)} to {promotion.target}",
    )
    if isinstance(found, Conflict):
        problem = NotProposed(f"changed meanwhile: {', '.join(found.moved)}")
        problem.advice = "run it again"
        raise problem
    return replace(promotion, commit=found.commit, url=found.url)


def _message(promotion: Promotion) -> str:
    lines = [f"Promote {', '.join(promotion.organizations)} to {promotion.target}", ""]
    for decision in promotion.decisions.values():
        lines.append(f"{decision.connection}: {decision.sha256}")
        lines += [f"  {reason.code}" for reason in reasons_of(decision)]
    return "\n".join(lines) + "\n"


def _not_proposed(problem: ConnectorError) -> NotProposed:
    refused = NotProposed(f"the repository of the configuration: {problem}")
    refused.advice = (
        problem.advice or "promotion.repository of the test stack names it; `connector up` makes a local one"
    )
    return refused


def lines(promotion: Promotion, *, dry_run: bool) -> list[str]:
    """What became of it, for a person."""
    shown = [*told([*promotion.decisions.values(), *promotion.left])]
    shown += [*advice(d for d in [*promotion.decisions.values(), *promotion.left] if reasons_of(d))]
    who = ", ".join(promotion.organizations)
    if not promotion.changes:
        shown.append(f"nothing to promote: {promotion.target} has {who} as approved")
    elif dry_run:
        shown += [promotion.diff(), f"{who}: this would be proposed on {promotion.branch}"]
    else:
        verb = "proposed already" if promotion.already else "proposed"
        shown.append(f"{who}: {verb} on {promotion.branch} ({promotion.commit})")
        shown.append(promotion.url or "review it, and merge it; then `pulumi up` on the production stack")
    return shown


def values(promotion: Promotion) -> dict[str, Any]:
    """The same as JSON."""
    return {
        "from": promotion.source,
        "to": promotion.target,
        "organizations": list(promotion.organizations),
        "base": promotion.base,
        "branch": promotion.branch if promotion.changes else None,
        "commit": promotion.commit,
        "url": promotion.url,
        "files": sorted(promotion.changes),
        "decisions": [decision_values(d, Stage.PRODUCTION) for d in promotion.decisions.values()],
        "notPromoted": [decision_values(d, Stage.PRODUCTION) for d in promotion.left],
    }
