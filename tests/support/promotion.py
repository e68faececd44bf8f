"""A project of the samples with what a test puts below `approvals/`: from nothing approved to everything accepted."""

from datetime import UTC, datetime
from pathlib import Path

from components.program import digest_of_working_tree
from schemas.promotion.approvals import Approvals
from schemas.promotion.promoted import FILE
from schemas.stack_config import StackConfig
from tests.support import statements
from tests.support.program import stack_of
from tests.support.samples import ROOT, organization_files, stack_files, text

LINKED = ("schemas", "runtime", "requirements")


def make_project(folder: Path) -> Path:
    """The sample stacks with nothing approved."""
    for file in (*stack_files(), *organization_files()):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(text(file), "utf-8")
    for linked in LINKED:
        (folder / linked).symlink_to(ROOT / linked)
    return folder


def now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def accepted(project: Path, at: datetime | None = None, test: StackConfig | None = None) -> Approvals:
    """Everything approved and rehearsed with the image of this project."""
    return statements.accepted(test or stack_of("local"), at or now(), digest_of_working_tree(project))


def put(project: Path, approvals: Approvals) -> None:
    """Write them where they belong, beside those that are there."""
    for file in approvals.statements:
        (project / file.path).parent.mkdir(parents=True, exist_ok=True)
        (project / file.path).write_bytes(file.content)
    (project / FILE).parent.mkdir(exist_ok=True)
    (project / FILE).write_text(approvals.promoted.text(), "utf-8")
