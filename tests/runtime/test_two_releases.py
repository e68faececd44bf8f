"""This release and the next over one database: during a rollout both serve, and either may start again.

The next one is this tree with a migration more and code that uses what it brings (`tests/support/release.py`), run as
processes; this one serves a visit meanwhile.
"""

from collections.abc import AsyncGenerator

import pytest

from runtime.writeback.delivery import deliver
from tests.support.postgres import PostgresServer
from tests.support.release import THIS, Release
from tests.support.schema import newest_revision
from tests.support.visits import Clinic, clinic, guest, staff

pytestmark = pytest.mark.anyio

ALL = ["Connected", "Connected", "Disconnected", "Disconnected"]


@pytest.fixture(scope="module")
def following(tmp_path_factory: pytest.TempPathFactory) -> Release:
    return Release.next(tmp_path_factory.mktemp("release"))


@pytest.fixture
async def here(postgres: PostgresServer) -> AsyncGenerator[Clinic]:
    """This release, serving."""
    async with clinic(postgres, postgres.new_database()) as made:
        yield made


async def test_a_visit_goes_on_while_the_next_release_migrates_and_both_serve(
    here: Clinic, postgres: PostgresServer, following: Release
) -> None:
    session = await here.provider("csn-before")
    await here.happen("n-1", 1, staff("p-1"))

    assert following.run("init", postgres, here.database) == {"prepared": True}
    assert here.rows("SELECT version_num FROM alembic_version") == [(f"{int(newest_revision()) + 1:04d}",)]

    await here.happen("n-2", 2, guest("p-2"))
    assert following.run("visit", postgres, here.database) == {"told": ALL}
    begun_by_the_next = here.rows("SELECT count(*) FROM brought")[0][0]
    assert begun_by_the_next > 0
    await here.happen("n-3", 3, kind="callEnded")
    await deliver(here.worker, session.visit_key)
    assert [told["ConnectionStatus"] for told in here.remotes.told] == ALL
    await here.provider("csn-after")


async def test_a_replica_of_this_release_that_starts_again_takes_nothing_from_the_next(
    here: Clinic, postgres: PostgresServer, following: Release
) -> None:
    following.run("init", postgres, here.database)
    assert THIS.run("init", postgres, here.database) == {"prepared": True}
    assert following.run("visit", postgres, here.database) == {"told": ALL}
    assert THIS.run("visit", postgres, here.database) == {"told": ALL}


async def test_an_older_schema_is_brought_up_to_date_and_a_foreign_one_refused(
    here: Clinic, postgres: PostgresServer, following: Release
) -> None:
    assert following.run("init", postgres, here.database) == {"prepared": True}
    here.execute("UPDATE alembic_version SET version_num = 'other'")
    for release in (THIS, following):
        assert release.run("init", postgres, here.database) == {"failed": "StartRefused"}


async def test_a_migration_that_would_have_to_wait_gives_way_to_visits(
    here: Clinic, postgres: PostgresServer, following: Release
) -> None:
    """Whoever comes after a waiting ALTER TABLE waits behind it; init tries again, and so does the platform."""
    with postgres.administrator(here.database) as long_reader:
        long_reader.execute("BEGIN")
        long_reader.execute("SELECT count(*) FROM connector.visit")
        assert following.run("init", postgres, here.database) == {"failed": "DatabaseUnavailable"}
        await here.provider()
        long_reader.execute("COMMIT")
    assert following.run("init", postgres, here.database) == {"prepared": True}
