"""A flexible server as it is emulated: a real PostgreSQL, also for root, also in folders that nobody else may enter."""

import asyncio
import os
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from emulators.azure.errors import AzureError
from emulators.azure.postgres import SUPERUSER, PostgresServer, Template, Wanted
from emulators.azure.processes import Children
from tests.support.ports import free_port

INIT = "aaaaaaaa-0000-4000-8000-000000000000"
APPLICATION = "bbbbbbbb-0000-4000-8000-000000000000"
DATABASE = {"connector": ("UTF8", "en_US.utf8")}
FULL = Wanted({"connector_init": (INIT, "service")}, DATABASE, {})
TOKEN = "a-token-" + "x" * 900


@asynccontextmanager
async def running(state: Path) -> AsyncGenerator[PostgresServer]:
    folder = state / ("deep-" * 25)
    folder.mkdir(mode=0o700)
    os.chmod(state, 0o700)
    server = PostgresServer(folder, "psql", free_port(), Children(folder), Template(folder))
    try:
        await server.start()
        await server.apply(FULL)
        yield server
    finally:
        await server.delete()
    assert not server.folder.exists()


def scenario(state: Path, what: Callable[[PostgresServer], Awaitable[None]]) -> None:
    async def run() -> None:
        async with running(state) as server:
            await what(server)

    asyncio.run(run())


async def login(server: PostgresServer, user: str, password: str, database: str = "connector") -> Any:
    return await psycopg.AsyncConnection.connect(
        host="127.0.0.1", port=server.port, user=user, password=password, dbname=database, autocommit=True
    )


async def refused(server: PostgresServer, user: str, password: str) -> None:
    with pytest.raises(psycopg.OperationalError):
        await login(server, user, password)


def expiry() -> int:
    return int(time.time()) + 3600


def test_a_token_is_the_password_of_its_principals_roles_until_it_expires(tmp_path: Path) -> None:
    async def what(server: PostgresServer) -> None:
        await refused(server, "connector_init", TOKEN)
        await server.grant(INIT, TOKEN, expiry())
        await (await login(server, "connector_init", TOKEN)).close()
        await refused(server, "connector_init", "another")
        await server.grant(INIT, TOKEN + "2", int(time.time()) - 1)
        await refused(server, "connector_init", TOKEN + "2")

    scenario(tmp_path, what)


def test_an_administrator_makes_roles_for_other_principals_and_nobody_else_does(tmp_path: Path) -> None:
    async def what(server: PostgresServer) -> None:
        await server.grant(INIT, TOKEN, expiry())
        make = "SELECT pgaadauth_create_principal_with_oid(%s, %s, 'service', false, false)"
        async with await login(server, "connector_init", TOKEN, "postgres") as administrator:
            await administrator.execute(make, ["connector_application", APPLICATION])
        async with await login(server, "connector_init", TOKEN) as administrator:
            await administrator.execute("CREATE SCHEMA connector")
        await refused(server, "connector_application", TOKEN)
        await server.grant(APPLICATION, "another token", expiry())
        async with await login(server, "connector_application", "another token", "postgres") as application:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                await application.execute(make, ["connector_worker", INIT])

    scenario(tmp_path, what)


def test_the_superuser_does_not_log_in_over_the_network(tmp_path: Path) -> None:
    async def what(server: PostgresServer) -> None:
        await refused(server, SUPERUSER, TOKEN)

    scenario(tmp_path, what)


def test_a_removed_administrator_and_a_deleted_identity_lose_their_login(tmp_path: Path) -> None:
    async def what(server: PostgresServer) -> None:
        await server.grant(INIT, TOKEN, expiry())
        await server.revoke([])
        await refused(server, "connector_init", TOKEN)
        await server.grant(INIT, TOKEN, expiry())
        await server.apply(Wanted({}, DATABASE, {}))
        await refused(server, "connector_init", TOKEN)
        await server.apply(FULL)
        await server.grant(INIT, TOKEN, expiry())
        await (await login(server, "connector_init", TOKEN)).close()

    scenario(tmp_path, what)


def test_parameters_are_set_for_real_and_unknown_or_platform_ones_are_refused(tmp_path: Path) -> None:
    async def what(server: PostgresServer) -> None:
        azure_only = {"require_secure_transport": "on", "azure.extensions": "pgcrypto"}
        await server.apply(Wanted({}, DATABASE, {"log_min_duration_statement": "1234"} | azure_only))
        async with server.administrator() as connection:
            shown = await (await connection.execute("SHOW log_min_duration_statement")).fetchone()
        assert shown == ("1234ms",)
        for name in ("no_such_parameter", "listen_addresses"):
            with pytest.raises(AzureError, match=name):
                await server.apply(Wanted({}, DATABASE, {name: "x"}))

    scenario(tmp_path, what)


def test_a_database_that_is_gone_from_the_store_is_dropped(tmp_path: Path) -> None:
    async def what(server: PostgresServer) -> None:
        await server.apply(Wanted({}, {}, {}))
        async with server.administrator() as connection:
            found = await (await connection.execute("SELECT 1 FROM pg_database WHERE datname = 'connector'")).fetchone()
        assert found is None

    scenario(tmp_path, what)
