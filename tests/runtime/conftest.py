"""One embedded PostgreSQL for the session, prepared once by the runtime's own init; and the portal over it."""

import asyncio
from collections.abc import AsyncGenerator, Generator, Iterator
from pathlib import Path

import pytest

from runtime.init import prepare
from runtime.portal.edits.opening import Editing
from runtime.portal.repository.git import GitRepository
from tests.support.bare_repository import BareRepository
from tests.support.connector import FakeVault, Outside, clients, settings_for
from tests.support.launching import Place
from tests.support.portal import ANSEL, AVERY, Person, Portal, running_portal
from tests.support.portal_editing import Office, repository_files
from tests.support.postgres import INIT, ROLES, PostgresServer, give_password, running_postgres
from tests.support.refusals import PRODUCED, refusals
from tests.support.rule_table import rules_of


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


@pytest.fixture(autouse=True)
def _produces_the_refusals_it_is_of(request: pytest.FixtureRequest) -> Iterator[None]:  # pyright: ignore[reportUnusedFunction]
    """A test that is marked with a refusal's code has seen its page."""
    PRODUCED.clear()
    yield
    marked = {code for code in rules_of(request.node) if code in refusals()}
    assert marked <= PRODUCED, f"marked and not produced: {sorted(marked - PRODUCED)}"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def portal(place: Place) -> AsyncGenerator[Portal]:
    async with running_portal(place) as running:
        yield running


@pytest.fixture
async def ansel(portal: Portal) -> Person:
    return await portal.signed_in(ANSEL)


@pytest.fixture
async def office(place: Place, tmp_path: Path) -> AsyncGenerator[Office]:
    """The portal with a repository to which edits are proposed."""
    bare = BareRepository.new(tmp_path / "repository.git", repository_files())
    async with running_portal(place) as portal:
        portal.app.state.editing = Editing(portal.services, GitRepository(bare.url, "main"))
        yield Office(portal, bare)


@pytest.fixture
async def avery(office: Office) -> Person:
    return await office.portal.signed_in(AVERY)
