"""The table of statements: what this test stack's portal and worker signed, whether published yet or not.

Owns the rows' SQL. A statement counts from here at once; the portal publishes it to the repository, from where
production takes it. What a file says is verified wherever it is used: a row is only bytes in their place.
"""

from collections.abc import Iterable

from psycopg import errors

from runtime.database import Connection
from runtime.errors import ConnectorError
from schemas.promotion.envelope import StatementFile


class PlaceTaken(ConnectorError):
    """Another statement has this place: somebody decided at the same moment, with the same serial."""


async def record(
    connection: Connection, file: StatementFile, organization_id: str, connection_id: str, kind: str
) -> None:
    """Keep a statement, to be published. Raises `PlaceTaken`, which ends the caller's transaction."""
    try:
        await connection.execute(
            """INSERT INTO connector.statement (path, organization_id, connection_id, kind, content)
               VALUES (%s, %s, %s, %s, %s)""",
            (file.path, organization_id, connection_id, kind, file.content.decode()),
        )
    except errors.UniqueViolation:
        raise PlaceTaken(f"expected a free place for a statement, got a second one at {file.path}") from None


async def stored(connection: Connection) -> list[StatementFile]:
    """Every statement, in the order in which they were recorded."""
    return await _files(connection, b"SELECT path, content FROM connector.statement ORDER BY recorded_at, path")


async def unpublished(connection: Connection) -> list[StatementFile]:
    """Those that are in no repository yet, the oldest first.

    The worker adds rows too: one that no repository would take, or that is no statement's, must not keep back others.
    """
    return await _files(
        connection,
        b"""SELECT path, content FROM connector.statement
            WHERE published_at IS NULL AND length(path) <= 300 AND octet_length(content) <= 524288
                AND path ~ '^approvals/[a-z0-9-]+/[a-z0-9-]+/(approval|rehearsal)-[a-z0-9-]+[.]json$'
            ORDER BY recorded_at, path LIMIT 500""",
    )


async def mark_published(connection: Connection, paths: Iterable[str]) -> None:
    """They are in the repository."""
    await connection.execute(
        "UPDATE connector.statement SET published_at = now() WHERE path = ANY(%s) AND published_at IS NULL",
        (list(paths),),
    )


async def count(connection: Connection) -> int:
    """How many there are: rows are only ever added, so another number means another content."""
    row = await (await connection.execute("SELECT count(*) FROM connector.statement")).fetchone()
    return int(row[0]) if row else 0


async def _files(connection: Connection, query: bytes) -> list[StatementFile]:
    cursor = await connection.execute(query)
    return [StatementFile(path, content.encode()) async for path, content in cursor]
