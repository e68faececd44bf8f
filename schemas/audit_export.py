"""An audit chain as a file: JSON Lines of what it is, its anchored heads, its rows, and how many there were.

Owns the lines' shape, both ways. What the lines prove is in `audit_chain.py`; the format for others in `docs/audit.md`.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from schemas.audit_chain import ChainedRow
from schemas.config_model import ConfigModel
from schemas.promotion.canonical import NotStrictJson, canonical, read_json
from schemas.promotion.envelope import StatementFile
from schemas.promotion.statement import at, moment
from schemas.scalars import Timestamp
from schemas.vocabulary import GeographyName, Stage


class About(ConfigModel):
    """Whose chain it is, and when it was read."""

    form: Literal[1] = 1
    geography: GeographyName
    stage: Stage
    exported: Timestamp

    @property
    def time(self) -> datetime:
        return moment(self.exported)


class AnchoredHead(ConfigModel):
    """A blob of the container of heads: its name and its content."""

    name: str
    statement: str


class End(ConfigModel):
    """How many rows and heads there were, and how many rows that should be in the chain and are not."""

    rows: Annotated[int, Field(ge=0)]
    heads: Annotated[int, Field(ge=0)]
    unchained: Annotated[int, Field(ge=0)]


class _Line(ConfigModel):
    audit: About | None = None
    head: AnchoredHead | None = None
    row: ChainedRow | None = None
    end: End | None = None


@dataclass(frozen=True)
class Export:
    about: About
    heads: tuple[StatementFile, ...]
    rows: tuple[ChainedRow, ...]
    unchained: int = 0


class ExportInvalid(Exception):
    """The file is not a whole export. The message names the line, and says nothing of what stands in it."""


def about(geography: GeographyName, stage: Stage, now: datetime) -> About:
    return About(geography=geography, stage=stage, exported=at(now))


def write_lines(
    about: About, heads: Sequence[StatementFile], rows: Iterable[ChainedRow], unchained: int = 0
) -> Iterator[bytes]:
    """The file, line by line. Raises `UnicodeDecodeError` where a head is not text."""
    yield _line(_Line(audit=about))
    for head in heads:
        yield _line(_Line(head=AnchoredHead(name=head.path, statement=head.content.decode())))
    count = 0
    for row in rows:
        yield _line(_Line(row=row))
        count += 1
    yield _line(_Line(end=End(rows=count, heads=len(heads), unchained=unchained)))


def read_lines(lines: Iterable[bytes]) -> Export:
    """A whole export. Raises `ExportInvalid`."""
    found: list[_Line] = []
    for number, line in enumerate(lines, 1):
        try:
            parsed = _Line.model_validate(read_json(line), by_alias=True, by_name=False)
        except (NotStrictJson, ValidationError):
            raise ExportInvalid(f"line {number}: expected a line of an audit export") from None
        if sum(value is not None for _, value in parsed) != 1:
            raise ExportInvalid(f"line {number}: expected either audit, head, row or end")
        found.append(parsed)
    if not found or found[0].audit is None:
        raise ExportInvalid("line 1: expected what the export is about")
    if found[-1].end is None:
        raise ExportInvalid(f"line {len(found)}: expected the end; the file was cut off")
    between = found[1:-1]
    if any(line.audit or line.end for line in between):
        raise ExportInvalid("expected one beginning and one end")
    heads = tuple(StatementFile(x.head.name, x.head.statement.encode()) for x in between if x.head)
    rows = tuple(x.row for x in between if x.row)
    if (len(rows), len(heads)) != (found[-1].end.rows, found[-1].end.heads):
        got = f"{len(rows)} rows and {len(heads)} heads"
        raise ExportInvalid(f"expected {found[-1].end.rows} rows and {found[-1].end.heads} heads, got {got}")
    return Export(found[0].audit, heads, rows, found[-1].end.unchained)


def _line(line: _Line) -> bytes:
    return canonical(line.model_dump(mode="json", by_alias=True, exclude_none=True)) + b"\n"
