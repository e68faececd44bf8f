"""What a decision is made from, read from a project's files: a working tree's or a revision's.

Owns which files those are: the folder `approvals/`, the image's trust anchors, and the file of the test stack from
which a production stack is promoted. How a file is read is an argument, so all who decide read the same things.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from schemas.loading import Loaded, load_stack
from schemas.problems import Problem
from schemas.promotion.approvals import Approvals, known_of_stack
from schemas.promotion.decide import Known
from schemas.promotion.promoted import Promoted
from schemas.promotion.statement import FOLDER
from schemas.promotion.trust import ANCHOR_FILES, TrustAnchors, read_anchors
from schemas.stack_config import StackConfig
from schemas.vocabulary import Cloud, Stage


@dataclass(frozen=True)
class Files:
    """A project's files by their paths in it. `read` raises OSError; `below` gives the paths of a folder's files."""

    read: Callable[[str], bytes]
    below: Callable[[str], Iterable[str]]

    def text(self, path: str) -> str:
        return self.read(path).decode("utf-8")


class SourceInvalid(Exception):
    """The test stack from which a production stack is promoted cannot be read; `problems` says why."""

    def __init__(self, source: str, problems: tuple[Problem, ...]) -> None:
        self.problems = problems
        told = "\n".join(map(str, problems)) or "expected a stack whose stage is test"
        super().__init__(f"the test stack {source} (promotion.source) cannot be compared with:\n{told}")


def known_of_project(
    stack: StackConfig, files: Files, image: str | None, now: datetime, *, at_base: Promoted | None = None
) -> Known:
    """What is known of a stack in a project. Raises `SourceInvalid`, `PromotedInvalid`, `AnchorsInvalid`, OSError."""
    return known_of_stack(
        stack,
        approvals_below(files),
        anchors_of(stack.cloud, files),
        image,
        now,
        source=source_of(stack, lambda file: load_stack(file, files.text)),
        at_base=at_base,
    )


def approvals_below(files: Files) -> Approvals:
    """The content of `approvals/`. Raises `PromotedInvalid`."""
    return Approvals.read(files.below(FOLDER), files.read)


def anchors_of(cloud: Cloud, files: Files) -> TrustAnchors:
    """The anchors that the image carries. Raises `AnchorsInvalid`."""
    return read_anchors(files.read(ANCHOR_FILES[cloud]))


def source_of(stack: StackConfig, load: Callable[[str], Loaded]) -> StackConfig | None:
    """The test stack that a production stack names; None in the test stage. Raises `SourceInvalid`."""
    source = stack.promotion.source
    if stack.stage is not Stage.PRODUCTION or source is None:
        return None
    loaded = load(f"Pulumi.{source}.yaml")
    if loaded.stack is None or loaded.stack.stage is not Stage.TEST:
        raise SourceInvalid(source, loaded.errors)
    return loaded.stack
