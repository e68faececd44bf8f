"""`connector audit`: a geography's audit chain into a file, and the proof that nothing of it was changed.

Owns reading the live chain (rows from the database as an auditor, heads from storage), the file, and how findings are
shown. What is a flaw is decided in `schemas/audit_chain.py`, the same for a file and for what is live.
"""

import asyncio
import os
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO

from rich.console import Console

from runtime.audit_heads import CONTAINER
from runtime.errors import ConnectorError
from runtime.managed_identity import DATABASE_AUDIENCE
from runtime.storage import Storage
from schemas.audit_chain import ChainedRow, Finding, heads_prefix, read_heads, verify_chain
from schemas.audit_export import About, ExportInvalid, about, read_lines, write_lines
from schemas.promotion.envelope import StatementFile
from schemas.promotion.reading import anchors_of
from schemas.promotion.trust import Trust
from schemas.stack_config import StackConfig
from schemas.vocabulary import GeographyName
from workflow.audit_rows import AuditUnreadable, auditing
from workflow.errors import WorkflowError
from workflow.project import Project
from workflow.promotion.operator import operating

SHOWN = 20
AT_ONCE = 16
CLOCK = timedelta(hours=1)


class NoExport(WorkflowError):
    """The file cannot be read as an export, or is not of this stack."""

    advice = "write it anew with: connector audit export"


def geography_of(stack: StackConfig, name: str | None) -> GeographyName:
    """The geography that was asked for, or the only one. Raises `WorkflowError`."""
    known = [g for g in stack.geographies if name is None or g == name]
    if len(known) == 1:
        return known[0]
    problem = WorkflowError("the stack has several geographies" if name is None else f"there is no geography {name!r}")
    problem.advice = f"--geography, one of: {', '.join(stack.geographies)}"
    raise problem


def export(project: Project, stack: StackConfig, geography: GeographyName, file: Path) -> tuple[int, int]:
    """Write the live chain to a file that only its owner reads; the number of rows and heads."""
    live = _read_live(project, stack, geography)
    lines = 0
    with _written(file) as out, auditing(project, stack, geography, live.token) as rows:
        for line in write_lines(live.about, live.heads, rows.chained, rows.unchained):
            out.write(line)
            lines += 1
    return lines - 2 - len(live.heads), len(live.heads)


def verify_file(project: Project, stack: StackConfig, file: Path, console: Console) -> bool:
    """Whether a file has no flaw; everything that is wrong is printed."""
    try:
        with file.open("rb") as lines:
            read = read_lines(lines)
    except (OSError, ExportInvalid) as e:
        raise NoExport(f"{file.name}: {e.strerror if isinstance(e, OSError) else e}") from None
    if read.about.geography not in stack.geographies or read.about.stage is not stack.stage:
        raise NoExport(f"{file.name} is of {read.about.geography}, {read.about.stage}, which this stack is not")
    if read.about.time > datetime.now(UTC) + CLOCK:
        raise NoExport(f"{file.name} says that it was exported in the future")
    return _verify(project, stack, read.about, read.heads, read.rows, read.unchained, console)


def verify_live(project: Project, stack: StackConfig, geography: GeographyName, console: Console) -> bool:
    """Whether the live chain has no flaw; everything that is wrong is printed."""
    live = _read_live(project, stack, geography)
    with auditing(project, stack, geography, live.token) as rows:
        return _verify(project, stack, live.about, live.heads, rows.chained, rows.unchained, console)


def trust_of(project: Project, stack: StackConfig) -> Trust:
    """Whose heads count: the keys that image and configuration both list."""
    return Trust(stack.promotion.trusted_keys, anchors_of(stack.cloud, project.files))


def _verify(
    project: Project,
    stack: StackConfig,
    about: About,
    files: Sequence[StatementFile],
    rows: Iterable[ChainedRow],
    unchained: int,
    console: Console,
) -> bool:
    heads, findings = read_heads(files, trust_of(project, stack), about.geography, about.stage)
    seen = _Seen(rows)
    findings += verify_chain(seen, heads, about.time, unchained)
    for finding in findings[:SHOWN]:
        _say(console, str(finding), "red")
    if len(findings) > SHOWN:
        _say(console, f"and {len(findings) - SHOWN} more", "red")
    newest = heads[-1].sequence if heads else 0
    counts = f"{seen.count} rows, {len(heads)} heads, the newest of row {newest}"
    found = f"{len(findings)} flaws, the first at row {_first(findings)}" if findings else "no flaw"
    _say(console, f"audit of {about.geography}, {about.stage}: {counts}: {found}", "red" if findings else "green")
    return not findings


def _first(findings: Sequence[Finding]) -> int:
    return min(finding.sequence for finding in findings)


def _say(console: Console, line: str, style: str) -> None:
    console.print(line, style=style, soft_wrap=True, markup=False, highlight=False)


class _Seen:
    """Rows, counted while they pass: there may be more than fit into memory."""

    def __init__(self, rows: Iterable[ChainedRow]) -> None:
        self.rows, self.count = rows, 0

    def __iter__(self) -> Iterator[ChainedRow]:
        for row in self.rows:
            self.count += 1
            yield row


# --- the live chain -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Live:
    """What is read before the rows: every head is then of a row that is there."""

    about: About
    heads: tuple[StatementFile, ...]
    token: str


def _read_live(project: Project, stack: StackConfig, geography: GeographyName) -> _Live:
    """Raises `AuditUnreadable`, `NotReachable`."""

    async def read() -> _Live:
        async with operating(project, stack) as operator:
            storage = operator.storage(geography)
            if storage is None:
                missing = f"the emulated cloud has no storage account of {geography}, {stack.stage}"
                raise AuditUnreadable(missing, "start the stack with: connector up")
            heads = await _heads_in(storage, heads_prefix(geography, stack.stage))
            now = datetime.now(UTC)
            return _Live(about(geography, stack.stage, now), heads, operator.identity.get(DATABASE_AUDIENCE))

    try:
        return asyncio.run(read())
    except ConnectorError as e:
        raise AuditUnreadable(f"the anchored heads could not be read: {e}", e.advice) from None


async def _heads_in(storage: Storage, prefix: str) -> tuple[StatementFile, ...]:
    permits = asyncio.Semaphore(AT_ONCE)

    async def one(name: str) -> StatementFile:
        async with permits:
            return StatementFile(name, await storage.read(CONTAINER, name) or b"")

    return tuple(await asyncio.gather(*map(one, await storage.names(CONTAINER, prefix))))


@contextmanager
def _written(file: Path) -> Generator[BinaryIO]:
    """A new file, its owner's alone, that takes its place when it is whole."""
    partial = file.with_name(f".{file.name}.partial")
    try:
        with open(partial, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as out:
            yield out
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)
