"""One embedded PostgreSQL for the session, prepared once by the runtime's own init."""

import asyncio
from collections.abc import Generator

import pytest

from runtime.init import prepare
from tests.support.connector import FakeVault, Outside, clients, settings_for
from tests.support.launching import Place
from tests.support.postgres import INIT, ROLES, PostgresServer, give_password, running_postgres


@pytest.fixture(scope="session")
def postgres() -> Generator[PostgresServer]:
    """The server; `connector` is the prepared database that tests copy."""
    with running_postgres() as server:
        asyncio.run(_prepare(server))
        with server.administrator() as connection:
            give_password(connection, *ROLES)
        yield server


async def _prepare(server: PostgresServer) -> None:
    roles = ",".join(f"{role}={principal}" for role, principal in ROLES.items())
    settings = settings_for(server, "connector", INIT, role="init", database_roles=roles)
    http = clients(Outside(), FakeVault())
    await prepare(settings, http)
    await http.aclose()


@pytest.fixture(scope="module")
def place(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A database and an Entra for the tests of one file."""
    return Place.on(postgres, tmp_path_factory.mktemp("place"))


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
