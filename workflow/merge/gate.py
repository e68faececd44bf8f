"""All rules together: what a pull request may not do, from its two revisions and what GitHub says of it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from schemas.promotion.approvals import Approvals, revocations_file
from schemas.promotion.decide import Decision
from schemas.promotion.promoted import FILE, PromotedInvalid, read_promoted
from schemas.promotion.statement import FOLDER
from schemas.promotion.trust import Trust
from schemas.strict_yaml import read_yaml
from schemas.vocabulary import Stage
from workflow.merge.guarded import engine_settings, guarded_files
from workflow.merge.judging import AnchorsOf, Compared, ImageOf, Side, compared, side, trusts
from workflow.merge.paths import check_paths
from workflow.merge.people import check_approvers, check_reviews, logins_of, requesters
from workflow.merge.promotion import check_promoted_file, check_promotion
from workflow.merge.protection import check_protection
from workflow.merge.pull_request import PullRequest
from workflow.merge.reasons import Finding, GateCode
from workflow.merge.revision import Changed, Revision, changes, commits_between
from workflow.merge.statements import REVOCATIONS, check_statements
from workflow.merge.withheld import check_withheld, taking_away, with_files

MOST_PROBLEMS = 5


@dataclass(frozen=True)
class Outcome:
    """What the gate says; `promoted` are the decisions about what the pull request promotes, by stack."""

    pull: PullRequest
    findings: tuple[Finding, ...]
    compared: tuple[Compared, ...] = ()

    @property
    def passes(self) -> bool:
        return not self.findings

    def promoted(self) -> Iterator[tuple[str, Decision]]:
        return ((c.name, d) for c in self.compared for d in c.promoted())

    def of_connection(self, connection: str) -> tuple[Finding, ...]:
        return tuple(f for f in self.findings if f.where == connection)


@dataclass(frozen=True)
class Gate:
    """The base revision's part: which production stacks it guards, its anchors, its image, and its own app."""

    stacks: Sequence[str]
    anchors_of: AnchorsOf
    image_of: ImageOf
    app: int

    def judge(
        self, pull: PullRequest, base: Revision, head: Revision, now: datetime, published: Sequence[Revision] = ()
    ) -> Outcome:
        """Everything that keeps the pull request back. `published` is what `withheld.BRANCHES` have."""
        early = list(_of_revisions(pull, base, head))
        if early:
            return Outcome(pull, tuple(early))
        changed = changes(base, head)
        findings = [*check_protection(pull.rules, self.app, pull.base_branch), *check_paths(changed, head)]
        unclear = {f.where for f in findings if f.code is GateCode.PATH_UNCLEAR}
        invalid = [f for f in _of_configuration(head) if f.where.partition(":")[0] not in unclear]
        invalid += _unreadable(base, head)
        pairs, problems = self._sides(base, head)
        told = bool(invalid or unclear)  # why a stack of the head cannot be read
        invalid += [p for p in problems if p.code is GateCode.BASE_INVALID or not told]
        findings += invalid or _of_promoted(base, head)

        def with_published(one: Side, trust: Trust) -> Approvals:
            return with_files(one.approvals, taking_away(published, one.approvals, one.stack, trust, now))

        there = [(n, b, h) for n, b, h in pairs if h is not None]
        found = [compared(n, b, h, self.anchors_of, self.image_of, now, with_published) for n, b, h in there]
        count = [trust for _, side_, _ in pairs for trust in trusts(side_, self.anchors_of)]
        if count:
            clear = [c for c in changed if c.path not in unclear]
            findings += check_statements(clear, base, head, count, now)
        guarded = [*guarded_files(c.path for c in changed), *_of_engine(changed, base, head)]
        for one in found:
            findings += _beyond(check_promotion(one, guarded), findings, one)
            findings += check_approvers(pull, one)
            findings += check_withheld(one)
        findings += self._of_people(pull, base, head, [b for _, b, _ in pairs])
        return Outcome(pull, tuple(dict.fromkeys(findings)), tuple(found))

    def _sides(self, base: Revision, head: Revision) -> tuple[list[tuple[str, Side, Side | None]], list[Finding]]:
        pairs: list[tuple[str, Side, Side | None]] = []
        problems: list[Finding] = []
        for name in self.stacks:
            before = side(base, name)
            if isinstance(before, str):
                problems.append(Finding(GateCode.BASE_INVALID, "a base revision that can be read", before, name))
                continue
            after = side(head, name, before.stack.promotion.source)
            if isinstance(after, str):
                expected = "production with the test stack of the base revision"
                problems.append(Finding(GateCode.CONFIGURATION_INVALID, expected, after, name))
            pairs.append((name, before, None if isinstance(after, str) else after))
        return pairs, problems

    def _of_people(self, pull: PullRequest, base: Revision, head: Revision, sides: Sequence[Side]) -> Iterator[Finding]:
        commits = [Revision(head.store, c) for c in commits_between(base.commit, head.commit, head.store) or ()]
        for one in sides:
            names = logins_of([one.stack, one.source])
            _, portal = trusts(one, self.anchors_of)
            asking, problems = requesters(pull, commits, portal, names)
            yield from problems
            yield from check_reviews(pull, one.stack.promotion.reviewers, asking)


def _of_revisions(pull: PullRequest, base: Revision, head: Revision) -> Iterator[Finding]:
    if pull.from_elsewhere:
        yield Finding(GateCode.HEAD_ELSEWHERE, "a branch of this repository", "one of another")
    elif base.commit != pull.base:
        expected, got = f"to run from {pull.base[:12]}, the base revision", f"a checkout of {base.commit[:12]}"
        yield Finding(GateCode.BASE_MOVED, expected, got)
    elif commits_between(base.commit, head.commit, head.store) is None:
        yield Finding(GateCode.HEAD_BEHIND, f"a branch on top of {base.commit[:12]}", "one without it")


def _of_configuration(head: Revision) -> Iterator[Finding]:
    for stack in head.stacks():
        errors = head.stack(stack).errors
        for problem in errors[:MOST_PROBLEMS]:
            where = f"{problem.file}:{problem.line}:{problem.column}"
            path = f"{problem.path}: " if problem.path else ""
            got = f"{problem.got} [{problem.code}]"
            yield Finding(GateCode.CONFIGURATION_INVALID, f"{path}{problem.expected}", got, where)


def _unreadable(base: Revision, head: Revision) -> Iterator[Finding]:
    try:
        _ = (read_promoted(base.content(FILE)), read_promoted(head.content(FILE)))
    except (PromotedInvalid, OSError) as problem:
        yield Finding(GateCode.PROMOTED_EDITED, "a file that fits its schema", str(problem), FILE)


def _of_promoted(base: Revision, head: Revision) -> list[Finding]:
    content = head.content(FILE)
    before, after = read_promoted(base.content(FILE)), read_promoted(content)
    stacks = [found for found in (head.stack(name).stack for name in head.stacks()) if found is not None]
    production = (s for s in stacks if s.stage is Stage.PRODUCTION)
    known = {c.id for s in production for o in s.organizations for c in o.connections}
    return list(check_promoted_file(content, before, after, known)) if base.content(FILE) != content else []


def _of_engine(changed: Sequence[Changed], base: Revision, head: Revision) -> Iterator[str]:
    """Settings of stacks' files that are the engine's."""
    for change in changed:
        if change.path.startswith("Pulumi.") and "/" not in change.path:
            before, after = (_document(r, change.path) for r in (base, head))
            for name in sorted({*before, *after}):
                if before.get(name) != after.get(name):
                    yield f"{name} in {change.path}"


def _document(revision: Revision, path: str) -> dict[str, object]:
    try:
        return engine_settings(read_yaml(revision.text(path)).value)
    except (OSError, UnicodeDecodeError):
        return {}


def _beyond(new: Iterator[Finding], known: Sequence[Finding], one: Compared) -> list[Finding]:
    """Without decisions about what is already told: a statement or list that was tampered with, an entry by hand."""
    told = {f.where.split("/")[2] for f in known if f.where.startswith(f"{FOLDER}/") and f.where.count("/") == 3}
    told |= {f.where for f in known if f.code is GateCode.PROMOTED_EDITED}
    lists = {f.where for f in known if f.where.startswith(REVOCATIONS)}
    for decision in one.after.values():
        place = one.head.find(one.head.stack, decision.connection)
        if place and revocations_file(place[0].geography, one.head.stack.stage) in lists:
            told.add(decision.connection)
    return [f for f in new if f.where not in told]
