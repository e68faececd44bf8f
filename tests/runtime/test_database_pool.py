"""Connections, transactions and pipelines, and a database that goes away: against a real PostgreSQL."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from itertools import pairwise
from typing import Any

import pytest
from psycopg import errors

from runtime.audit import Action, AuditRow
from runtime.bootstrap import Services
from runtime.database import Database, connection_parameters
from runtime.errors import DatabaseUnavailable, IdentityUnavailable
from tests.support.connector import settings_for
from tests.support.launching import Place, running_connector
from tests.support.ports import free_port
from tests.support.postgres import INIT, PASSWORD, PostgresServer, running_postgres
from tests.support.refusals import code_of

pytestmark = pytest.mark.anyio


@pytest.fixture
async def own() -> AsyncGenerator[tuple[PostgresServer, Database, list[str]]]:
    """A server of its own, a pool on it, and the passwords that the pool asked for."""
    with running_postgres() as server:
        asked: list[str] = []

        async def parameters() -> dict[str, Any]:
            asked.append(PASSWORD)
            return connection_parameters(settings_for(server, "connector", INIT)) | {"password": PASSWORD}

        database = Database(parameters, size=2)
        await database.open()
        try:
            yield server, database, asked
        finally:
            await database.close()


async def _one(database: Database) -> int:
    async with database.connection() as connection:
        row = await (await connection.execute("SELECT 1")).fetchone()
    assert row
    return row[0]


async def _goes_on(database: Database) -> None:
    """Ask again and again: a session of a killed server answers until it notices."""
    async with asyncio.timeout(20):
        while True:
            assert await _one(database) == 1


async def test_a_killed_database_is_unavailable_and_comes_back(own: tuple[PostgresServer, Database, list[str]]) -> None:
    server, database, asked = own
    assert await _one(database) == 1
    before = len(asked)
    server.stop(kill=True)
    with pytest.raises(DatabaseUnavailable):
        await _goes_on(database)
    server.start()
    async with asyncio.timeout(20):
        while True:
            try:
                assert await _one(database) == 1
                break
            except DatabaseUnavailable:
                continue
    assert len(asked) > before, "each connect asks for a token anew"


async def test_a_database_that_is_long_away_is_tried_again_all_the_time() -> None:
    """So that it is found soon after it came back, and not after as long as it was away."""
    clock, tried = asyncio.get_running_loop().time, list[float]()

    async def parameters() -> dict[str, Any]:
        tried.append(clock())
        return {"host": "127.0.0.1", "port": free_port(), "dbname": "nobody-is-there"}

    database = Database(parameters)
    await database.open()
    began = clock()
    try:
        while clock() < began + 12:
            with suppress(DatabaseUnavailable):
                await _one(database)
    finally:
        await database.close()
    times = [began, *tried, began + 12]
    assert max(later - earlier for earlier, later in pairwise(times)) < 4


async def test_a_restarted_database_is_not_noticed_by_the_next_request(
    own: tuple[PostgresServer, Database, list[str]],
) -> None:
    server, database, _ = own
    assert await _one(database) == 1
    server.stop()
    server.start()
    assert await _one(database) == 1


async def test_no_token_is_unavailable_not_a_crash(postgres: PostgresServer) -> None:
    async def parameters() -> dict[str, Any]:
        raise IdentityUnavailable("no token")

    database = Database(parameters)
    with pytest.raises(DatabaseUnavailable):
        await database.listening()


@pytest.mark.rule("temporarily-unavailable")
async def test_a_request_while_the_database_is_away_gets_a_page_that_says_so(place: Place) -> None:
    async with running_connector(place) as connector:
        await connector.services.database.close()
        response = await connector.start(connector.browser())
        assert (response.status_code, code_of(response)) == (503, "temporarily-unavailable")
        assert response.headers["retry-after"]
        assert (await connector.browser().get("/readyz")).status_code == 503
        assert (await connector.browser().get("/livez")).status_code == 200


@pytest.mark.parametrize("kind", ["transaction", "pipeline"])
async def test_an_audit_row_stands_or_falls_with_its_transaction(place: Place, kind: str) -> None:
    async with running_connector(place) as connector:
        services = connector.services
        begin = getattr(services.database, kind)
        with suppress(ZeroDivisionError):
            async with begin() as connection:
                await services.audit.record(connection, AuditRow(Action.LINKED))
                raise ZeroDivisionError
        assert "linked" not in {row[2] for row in connector.rows("audit")}
        async with begin() as connection:
            await services.audit.record(connection, AuditRow(Action.LINKED))
        assert "linked" in {row[2] for row in connector.rows("audit")}


@pytest.mark.parametrize("reads", [True, False])
async def test_of_a_pipeline_with_a_failed_statement_nothing_is_kept_and_the_next_one_goes_on(
    place: Place, *, reads: bool
) -> None:
    async def fails(services: Services) -> None:
        async with services.database.pipeline() as connection:
            await services.audit.record(connection, AuditRow(Action.LINKED))
            cursor = await connection.execute("SELECT 1 / 0")
            if reads:
                await cursor.fetchone()

    async with running_connector(place) as connector:
        with pytest.raises(errors.DivisionByZero):
            await fails(connector.services)
        assert "linked" not in {row[2] for row in connector.rows("audit")}
        for _ in range(20):  # whichever of the pool's connections it gets
            async with connector.services.database.pipeline() as connection:
                assert await (await connection.execute("SELECT 1")).fetchone() == (1,)
