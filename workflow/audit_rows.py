"""A geography's audit rows, read from its database in their chain's order, as an auditor.

Owns where the database is, the login, the query, and the step from a row to what the verifier takes
(`schemas/audit_chain.py`). Whether somebody is an auditor is a matter of the group `promotion.auditors`: its members
log in by the name of the group's role, with a token of their own (Azure Database for PostgreSQL, "Use Microsoft Entra
ID for authentication"), from where the private network is reached.
"""

from collections.abc import Generator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

import certifi
import psycopg
from pydantic import ValidationError

from emulators.azure.store import Store
from schemas.audit_chain import ANCHORED_WITHIN, ChainedRow, row_time
from schemas.handover import AUDITOR_DATABASE_ROLE
from schemas.stack_config import StackConfig
from schemas.vocabulary import Cloud, GeographyName
from workflow.errors import WorkflowError
from workflow.project import Project

_ROWS = """SELECT sequence, id, at, action, organization_id, connection_id, actor, visit_key, detail, previous_hash,
    row_hash FROM connector.audit WHERE sequence IS NOT NULL ORDER BY sequence"""
_UNCHAINED = "SELECT count(*) FROM connector.audit WHERE sequence IS NULL AND at < now() - %s"
_COLUMNS = tuple(ChainedRow.model_fields)
DATABASE = "connector"
AT_ONCE = 2000
CONNECT_SECONDS = 10


class AuditUnreadable(WorkflowError):
    """The rows or the heads cannot be read."""

    def __init__(self, what: str, advice: str) -> None:
        super().__init__(what)
        self.advice = advice


@dataclass(frozen=True)
class LiveRows:
    """The chain's rows, and how many rows should have come into it and did not."""

    chained: Generator[ChainedRow]
    unchained: int


@contextmanager
def auditing(project: Project, stack: StackConfig, geography: GeographyName, token: str) -> Generator[LiveRows]:
    """The rows of the live chain. `token` is the auditor's, for the database. Raises `AuditUnreadable`."""
    place = _place(project, stack, geography)
    try:
        connection = psycopg.connect(
            **place, user=AUDITOR_DATABASE_ROLE, password=token, dbname=DATABASE, connect_timeout=CONNECT_SECONDS
        )
        with closing(connection), closing(chained_rows(connection)) as rows:
            yield LiveRows(rows, unchained_rows(connection))
    except psycopg.Error as e:
        raise AuditUnreadable(
            f"the audit rows could not be read: {type(e).__name__}",
            "the members of the group promotion.auditors may, from where the geography's private network is reached",
        ) from None


def chained_rows(connection: psycopg.Connection[Any]) -> Generator[ChainedRow]:
    """Every row of the chain, as one moment has them. Raises `AuditUnreadable`, `psycopg.Error`."""
    last = 0
    with connection.transaction(), connection.cursor("audit_rows") as cursor:
        cursor.itersize = AT_ONCE
        for values in cursor.execute(_ROWS):
            try:
                row = ChainedRow.model_validate(dict(zip(_COLUMNS, map(_shown, values), strict=True)))
            except ValidationError:
                raise AuditUnreadable(
                    f"the row after row {last} has not the shape of an audit row",
                    "somebody changed the table itself: keep a copy of the database, and compare it with a backup",
                ) from None
            yield row
            last = row.sequence


def unchained_rows(connection: psycopg.Connection[Any]) -> int:
    """How many rows are late for the chain. Raises `psycopg.Error`."""
    with connection.transaction():
        row = connection.execute(_UNCHAINED, (ANCHORED_WITHIN,)).fetchone()
    return int(row[0]) if row else 0


def _place(project: Project, stack: StackConfig, geography: GeographyName) -> dict[str, Any]:
    if stack.cloud is Cloud.EMULATED:
        for server in Store(project.state).read().of_type("Microsoft.DBforPostgreSQL/flexibleServers"):
            tags = cast("dict[str, str]", server.get("tags") or {})
            if (tags.get("geography"), tags.get("stage")) == (geography, stack.stage):
                host, _, port = str(server["properties"]["fullyQualifiedDomainName"]).rpartition(":")
                return {"host": host, "port": int(port), "sslmode": "disable"}
        missing = f"the emulated cloud has no database of {geography}, {stack.stage}"
        raise AuditUnreadable(missing, "start the stack with: connector up")

    from components.placement import Placement

    placement = Placement.of(geography, stack.geographies[geography], stack.stage, stack.cloud)
    host = f"{placement.unique('psql')}.{placement.azure_cloud.database_domain}"
    return {"host": host, "port": 5432, "sslmode": "verify-full", "sslrootcert": certifi.where()}


def _shown(value: object) -> object:
    match value:
        case datetime():
            return row_time(value)
        case bytes():
            return value.hex()
        case _:
            return value
