"""Audit chains for tests: rows with right hashes, rewritten chains, and heads signed with the emulated cloud's keys."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from schemas.audit_chain import BEFORE_THE_FIRST, ChainedRow, Head, head_name, row_time
from schemas.promotion.envelope import StatementFile
from schemas.promotion.statement import AuditHead, at, payload
from schemas.vocabulary import GeographyName, Stage
from tests.support.statements import NOW, private_key, sign

AMERICAS, TEST = GeographyName.AMERICAS, Stage.TEST


def chained(contents: Iterable[dict[str, Any]], previous: str = BEFORE_THE_FIRST, first: int = 1) -> list[ChainedRow]:
    """Rows in a chain; `contents` are the fields that are not the chain's own."""
    rows: list[ChainedRow] = []
    for sequence, content in enumerate(contents, first):
        row = ChainedRow.model_validate(
            {**content, "sequence": sequence, "previous_hash": previous, "row_hash": BEFORE_THE_FIRST}
        )
        rows.append(row.model_copy(update={"row_hash": row.computed_hash()}))
        previous = rows[-1].row_hash
    return rows


def contents_of(rows: Iterable[ChainedRow]) -> list[dict[str, Any]]:
    """What somebody who rewrites a whole chain keeps."""
    return [row.model_dump(exclude={"sequence", "previous_hash", "row_hash"}) for row in rows]


def some_contents(count: int, began: datetime = NOW - timedelta(hours=1)) -> list[dict[str, Any]]:
    return [
        {"id": i + 1, "at": row_time(began + timedelta(seconds=i)), "action": "launched", "actor": f"{i:064x}"}
        for i in range(count)
    ]


def head_file(
    row: ChainedRow,
    geography: GeographyName = AMERICAS,
    stage: Stage = TEST,
    *,
    issued: datetime = NOW,
    name: str | None = None,
    key: tuple[Stage, GeographyName, str] | None = None,
) -> StatementFile:
    """The anchored head of a row; `key` and `name` are those that belong to it, unless told."""
    head = AuditHead(geography=geography, stage=stage, sequence=row.sequence, issued=at(issued))
    content = sign(private_key(*(key or (stage, geography, "worker-signing"))), payload(head, row.row_hash))
    return StatementFile(name or head_name(geography, stage, row.sequence), content)


def heads_of(rows: Sequence[ChainedRow], *sequences: int) -> list[Head]:
    """Heads whose signatures were verified."""
    return [Head(row.sequence, row.row_hash, NOW) for row in rows if row.sequence in sequences]


def head_files(rows: Sequence[ChainedRow], *sequences: int) -> list[StatementFile]:
    return [head_file(row) for row in rows if row.sequence in sequences]
