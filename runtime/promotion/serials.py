"""The highest serial seen of each connection's approvals, so that an older approval never comes back.

Owns the table, which only goes up: a trigger refuses to lower it (`migrations/`).
"""

from collections.abc import Mapping

from runtime.database import Connection


async def highest_serials(connection: Connection) -> dict[str, int]:
    cursor = await connection.execute("SELECT connection_id, serial FROM connector.highest_serial")
    return {connection_id: serial async for connection_id, serial in cursor}


async def remember(connection: Connection, serials: Mapping[str, int]) -> None:
    """Keep those that are higher than what is kept."""
    async with connection.cursor() as cursor:
        await cursor.executemany(
            """INSERT INTO connector.highest_serial (connection_id, serial) VALUES (%s, %s)
               ON CONFLICT (connection_id) DO UPDATE SET serial = EXCLUDED.serial
               WHERE highest_serial.serial < EXCLUDED.serial""",
            sorted(serials.items()),
        )
