"""The production gate: whether this update may happen, decided before the first resource.

Owns how the program reads what the decision rests on, and how it refuses: an update of production stops with every
reason of every connection; a preview warns. A connection that is withdrawn stops nothing: the runtime takes no launches
for it. The policy pack decides again from what is emitted (`policies/approval.py`), and the runtime at its start.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pulumi

from components.program import image_reference
from schemas.image import FOLDERS
from schemas.promotion.decide import Decisions, decide, stops
from schemas.promotion.promoted import PromotedInvalid
from schemas.promotion.reading import Files, SourceInvalid, known_of_project
from schemas.promotion.telling import cautions, refusal
from schemas.promotion.trust import AnchorsInvalid
from schemas.stack_config import StackConfig


def decided(stack: StackConfig, project: Path) -> Decisions:
    """The decision for every connection of this stage. Raises `pulumi.RunError` where an update must not happen."""
    image = image_reference(stack.image, project)
    try:
        decisions = decide(known_of_project(stack, files_of(project), image, datetime.now(UTC)))
    except (SourceInvalid, PromotedInvalid, AnchorsInvalid, OSError) as problem:
        raise pulumi.RunError(f"Promotion cannot be decided; nothing was changed.\n{problem}") from None
    _warn("promotion", cautions(decisions.values()))
    stopping = stops(decisions, stack.stage)
    if stopping and not pulumi.runtime.is_dry_run():
        raise pulumi.RunError(f"Production is refused; nothing was changed.\n{refusal(decisions, stopping)}")
    if stopping:
        _warn("an update would be refused", refusal(decisions, stopping))
    return decisions


def files_of(project: Path) -> Files:
    """The project's files; a link that leads out of it is not followed, but for the code, which may be linked."""
    root = project.resolve()

    def read(name: str) -> bytes:
        path = (project / name).resolve(strict=True)
        if not path.is_relative_to(root) and name.partition("/")[0] not in FOLDERS:
            raise PermissionError(1, "a path that leads out of the project")
        return path.read_bytes()

    def below(folder: str) -> Iterator[str]:
        return (p.relative_to(project).as_posix() for p in (project / folder).rglob("*") if p.is_file())

    return Files(read, below)


def _warn(what: str, text: str) -> None:
    if text:
        pulumi.log.warn(f"{what}\n{text}")
