"""PostgreSQL: an asynchronous pool whose password is a token of the managed identity, asked for at each connect.

Owns connecting, the search path (`connector`), the check that a pooled connection still lives, and the translation of
lost connections into `DatabaseUnavailable`. Leaves out SQL (each package has its own) and migrations.
"""

import select
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import certifi
import psycopg
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout, TooManyRequests

from runtime.errors import DatabaseUnavailable, IdentityUnavailable
from runtime.managed_identity import DATABASE_AUDIENCE, ManagedIdentity
from runtime.settings import Settings

Connection = psycopg.AsyncConnection[TupleRow]

WAIT_SECONDS = 5.0
CONNECT_SECONDS = 5
LIFETIME_SECONDS = 45 * 60.0
RECONNECT_SECONDS = 2.0
"""How long the pool tries by itself to connect again. It waits twice as long after each attempt, and with it everybody
who asks; once it has given up, whoever asks next makes it try at once.
"""


def connection_parameters(settings: Settings, database: str | None = None) -> dict[str, Any]:
    """libpq's parameters but the password, from the Handover's URL; `database` names another one, for init."""
    parts = urlsplit(settings.handover.database_url)
    sslmode = parse_qs(parts.query)["sslmode"][0]
    parameters: dict[str, Any] = {
        "host": parts.hostname,
        "port": parts.port or 5432,
        "user": parts.username,
        "dbname": database or parts.path.removeprefix("/"),
        "sslmode": sslmode,
        "connect_timeout": CONNECT_SECONDS,
        "application_name": f"connector-{settings.role}",
        "keepalives_idle": 30,
        "tcp_user_timeout": 10_000,
    }
    if database is None:
        parameters["options"] = "-c search_path=connector -c timezone=UTC"
    if sslmode == "verify-full":
        parameters["sslrootcert"] = certifi.where()
    return parameters


async def _each_statement_alone(connection: Connection) -> None:
    await connection.set_autocommit(True)


async def _still_there(connection: Connection) -> None:
    """Raises `psycopg.OperationalError` where the server has gone away.

    It says so before it goes, or the system closes the connection: either way there is something to read. What says
    nothing is asked nothing, which spares each transaction a round trip; a machine that vanished is found by
    `tcp_user_timeout`, as a question to it would be.
    """
    told = select.poll()
    told.register(connection.fileno(), select.POLLIN)
    if told.poll(0):
        await AsyncConnectionPool.check_connection(connection)


class Database:
    """The pool. `parameters` gives libpq's parameters, password included, for each new connection."""

    def __init__(self, parameters: Callable[[], Awaitable[dict[str, Any]]], *, size: int = 20) -> None:
        self.pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            kwargs=parameters,
            configure=_each_statement_alone,
            min_size=1,
            max_size=size,
            open=False,
            timeout=WAIT_SECONDS,
            max_waiting=200,
            max_lifetime=LIFETIME_SECONDS,
            reconnect_timeout=RECONNECT_SECONDS,
            check=_still_there,
            name="connector",
        )
        self.parameters = parameters

    @classmethod
    def of(cls, settings: Settings, identity: ManagedIdentity) -> "Database":
        async def parameters() -> dict[str, Any]:
            return connection_parameters(settings) | {"password": await identity.token(DATABASE_AUDIENCE)}

        return cls(parameters)

    async def open(self) -> None:
        """Start the pool; it goes on trying by itself while the server is away."""
        await self.pool.open(wait=False)

    async def close(self) -> None:
        await self.pool.close(timeout=2.0)

    @asynccontextmanager
    async def connection(self) -> AsyncGenerator[Connection]:
        """A connection on which each statement is a transaction of its own: one round trip instead of three.

        Raises `DatabaseUnavailable`.
        """
        try:
            async with self.pool.connection() as connection:
                yield connection
        except (PoolTimeout, PoolClosed, TooManyRequests, psycopg.OperationalError, IdentityUnavailable) as e:
            raise DatabaseUnavailable(f"the database did not answer: {type(e).__name__}") from e

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator[Connection]:
        """All or nothing: committed when the block ends, rolled back when it raises."""
        async with self.connection() as connection, connection.transaction():
            yield connection

    @asynccontextmanager
    async def pipeline(self) -> AsyncGenerator[Connection]:
        """A transaction whose statements are not waited for until something is read: a round trip for each reading.

        BEGIN goes with the first statement and COMMIT with the last. So a statement's error is raised where something
        is read after it, or at the end; either way nothing is kept. Until it is read, a cursor has no `rowcount`.
        """
        async with self.connection() as connection, connection.pipeline():
            await connection.execute("BEGIN", prepare=False)
            yield connection
            await connection.execute("COMMIT", prepare=False)

    async def listening(self) -> Connection:
        """A connection of its own in autocommit, for LISTEN; the caller closes it. Raises `DatabaseUnavailable`."""
        try:
            return await psycopg.AsyncConnection.connect(**(await self.parameters()), autocommit=True)
        except (psycopg.OperationalError, IdentityUnavailable) as e:
            raise DatabaseUnavailable(f"the database did not answer: {type(e).__name__}") from e

    async def ready(self) -> bool:
        try:
            async with self.connection() as connection:
                await connection.execute("SELECT 'connector.session'::regclass")
        except DatabaseUnavailable:
            return False
        return True
