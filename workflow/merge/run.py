"""A run of the gate: GitHub asked, objects fetched, rules applied, the outcome written, told and posted."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import httpx

from schemas.promotion.reading import anchors_of
from schemas.promotion.trust import AnchorsInvalid
from schemas.vocabulary import Cloud
from workflow.errors import WorkflowError
from workflow.merge import report as reports
from workflow.merge.fetching import checked_out, fetched
from workflow.merge.gate import Gate, Outcome
from workflow.merge.github import GitHub
from workflow.merge.pull_request import PullRequest
from workflow.merge.reasons import Finding, GateCode
from workflow.merge.revision import Revision
from workflow.merge.withheld import BRANCHES
from workflow.project import Project

SECONDS = 30.0
BEFORE_PREVIEW = frozenset(
    {
        GateCode.HEAD_ELSEWHERE,
        GateCode.BASE_MOVED,
        GateCode.HEAD_BEHIND,
        GateCode.BASE_INVALID,
        GateCode.PATH_UNCLEAR,
        GateCode.CONFIGURATION_INVALID,
    }
)
"""With one of these there is nothing to preview."""

Say = Callable[[str], None]


class ReportInvalid(WorkflowError):
    """What `check` wrote cannot be read."""


def http_client(api_url: str) -> httpx.Client:
    return httpx.Client(base_url=api_url, timeout=SECONDS, follow_redirects=False)


@dataclass(frozen=True)
class Run:
    """`project` is a checkout of the base revision, `remote` where both revisions' objects are."""

    project: Project
    http: httpx.Client
    repository: str
    token: str
    app: int
    stacks: Sequence[str]
    remote: str
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)

    def check(self, number: int, *, preview: bool, say: Say) -> reports.Document:
        """What keeps a pull request back, as a report. Raises `WorkflowError` where that cannot be found out."""
        pull = GitHub(self.http, self.repository, self.token).pull_request(number)
        base = checked_out(self.project.root)
        with fetched(self.remote, self.token, (base, pull.head), BRANCHES) as (store, branches):
            memory: dict[object, Any] = {}
            head = Revision(store, pull.head, memory)
            published = [Revision(store, commit) for commit in branches]
            outcome = self._judged(pull, Revision(store, base, memory), head, published)
            shown = ""
            if preview and not {f.code for f in outcome.findings} & BEFORE_PREVIEW:
                outcome, shown = self._previewed(outcome, head, say)
        found = reports.document(outcome, shown)
        _tell(found, say)
        return found

    def check_all(self, *, preview: bool, say: Say) -> list[reports.Document]:
        """A report of every open pull request of the default branch. Raises `WorkflowError` where they are unknown.

        One that cannot be judged has a report too, which does not pass: a pass from before does not stand.
        """
        base = checked_out(self.project.root)
        found: list[reports.Document] = []
        for number, head in GitHub(self.http, self.repository, self.token).open_pulls().items():
            try:
                found.append(self.check(number, preview=preview, say=say))
            except WorkflowError as problem:
                finding = Finding(GateCode.NOT_JUDGED, "a pull request that can be judged", str(problem))
                found.append(reports.not_judged(number, base, head, finding))
                _tell(found[-1], say)
        return found

    def _judged(self, pull: PullRequest, base: Revision, head: Revision, published: Sequence[Revision]) -> Outcome:
        def anchors(cloud: Cloud) -> Any:
            try:
                return anchors_of(cloud, self.project.files)
            except (AnchorsInvalid, OSError) as problem:
                raise WorkflowError(f"the base revision's trust anchors cannot be read: {problem}") from None

        gate = Gate(self.stacks, anchors, self.project.image_of, self.app)
        return gate.judge(pull, base, head, self.clock(), published)

    def _previewed(self, outcome: Outcome, head: Revision, say: Say) -> tuple[Outcome, str]:
        from workflow.merge.preview import preview  # the engine, which is needed for nothing else

        told: list[str] = []
        for stack in self.stacks:
            text, finding = preview(self.project, head, stack, say)
            told.append(text)
            refused = any(f.code is GateCode.NOT_APPROVED for f in outcome.findings)
            if finding is not None and not refused:  # a preview warns of what the gate has told
                outcome = replace(outcome, findings=(*outcome.findings, finding))
        return outcome, "\n".join(told)


def write_reports(found: Sequence[reports.Document], folder: Path) -> None:
    """One file for each, in a folder that is made when all of them are known."""
    folder.mkdir()
    for report in found:
        (folder / f"{report['pullRequest']}.json").write_text(json.dumps(report, indent=2) + "\n", "utf-8")


def post_reports(http: httpx.Client, repository: str, token: str, folder: Path, say: Say) -> None:
    """Raises `ReportInvalid`, `GitHubFailed`."""
    for report in sorted(folder.glob("*.json")):
        post_report(http, repository, token, report, say)


def post_report(http: httpx.Client, repository: str, token: str, report: Path, say: Say) -> None:
    """Raises `ReportInvalid`, `GitHubFailed`."""
    try:
        found = cast("dict[str, Any]", json.loads(report.read_text("utf-8")))
        runs = reports.check_runs(found)
        head = str(found["head"])
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise ReportInvalid(
            f"{report.name} is no report of `connector merge check`: {type(problem).__name__}"
        ) from None
    GitHub(http, repository, token).post(head, runs)
    for run in runs:
        say(f"{run.name}: {'success' if run.passes else 'failure'}")


def _tell(report: reports.Document, say: Say) -> None:
    for line in reports.lines(report):
        say(line)
