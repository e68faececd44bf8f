"""Reading a geography's audit rows from its database, in their chain's order, as an auditor may.

Owns the query, and the step from a row to what the verifier takes (`schemas/audit_chain.py`).
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import psycopg
from pydantic import ValidationError

from schemas.audit_chain import ChainedRow, row_time
from workflow.errors import WorkflowError

_ROWS = """SELECT sequence, id, at, action, organization_id, connection_id, actor, visit_key, detail, previous_hash,
    row_hash FROM connector.audit WHERE sequence IS NOT NULL ORDER BY sequence"""
_COLUMNS = tuple(ChainedRow.model_fields)
AT_ONCE = 2000


class RowsUnreadable(WorkflowError):
    """A row is not one that the connector writes; whoever changed it changed more than values."""

    advice = "somebody changed the table itself: keep a copy of the database, and compare it with a backup"


def chained_rows(connection: psycopg.Connection[Any]) -> Iterator[ChainedRow]:
    """Every row of the chain, as one moment has them. Raises `RowsUnreadable`, `psycopg.Error`."""
    last = 0
    with connection.transaction(), connection.cursor("audit_rows") as cursor:
        cursor.itersize = AT_ONCE
        for values in cursor.execute(_ROWS):
            try:
                row = ChainedRow.model_validate(dict(zip(_COLUMNS, map(_shown, values), strict=True)))
            except ValidationError:
                raise RowsUnreadable(f"the row after row {last} has not the shape of an audit row") from None
            yield row
            last = row.sequence


def _shown(value: object) -> object:
    match value:
        case datetime():
            return row_time(value)
        case bytes():
            return value.hex()
        case _:
            return value
