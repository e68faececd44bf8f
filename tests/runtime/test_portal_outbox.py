"""Statements on their way into the repository: published once, again after a failure, and numbered above all others."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest
from starlette.applications import Starlette

from runtime.portal.outbox import branch_of, keep_publishing, publish, wake
from runtime.portal.repository import Conflict, ProposedChange, RepositoryUnavailable
from runtime.promotion import statements
from runtime.tasks import end
from schemas.promotion.envelope import StatementFile
from tests.support.launching import Place
from tests.support.portal import Person, Portal, changed, everything_approved, running_portal, sample
from tests.support.privileges import login

pytestmark = pytest.mark.anyio
CONNECTION = "lakeside-test"


@dataclass
class Pushes:
    """A repository that remembers what is proposed; `away` refuses the next ones."""

    made: list[tuple[str, dict[str, bytes | None], str]] = field(default_factory=list)  # type: ignore[type-arg]
    away: int = 0
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    async def head(self, branch: str | None = None) -> str:
        raise NotImplementedError

    async def read(self, path: str, revision: str | None = None) -> bytes | None:
        raise NotImplementedError

    async def paths(self, folder: str, revision: str | None = None) -> list[str]:
        raise NotImplementedError

    async def propose(
        self,
        branch: str,
        files: Mapping[str, bytes | None],
        message: str,
        *,
        base: str | None = None,
        title: str | None = None,
    ) -> ProposedChange | Conflict:
        if self.away:
            self.away -= 1
            raise RepositoryUnavailable("the remote did not answer")
        self.made.append((branch, dict(files), message))
        self.arrived.set()
        return ProposedChange("0" * 40, branch, None)


async def decided(portal: Portal) -> Person:
    person = await portal.signed_in()
    await person.decide(CONNECTION)
    return person


async def test_a_decision_is_published_in_its_place_and_once(portal: Portal) -> None:
    await decided(portal)
    repository = Pushes()
    assert await publish(portal.services, repository) == 1
    ((branch, files, message),) = repository.made
    assert branch == branch_of(portal.services) == "connector/statements-americas"
    assert list(files) == ["approvals/lakeside/lakeside-test/approval-000001-approve.json"]
    assert "Ansel" not in message
    assert await publish(portal.services, repository) == 0
    assert [r[2] for r in portal.rows("audit")][-1] == "statements-published"


async def test_a_repository_that_is_away_gets_it_later(portal: Portal) -> None:
    await decided(portal)
    repository = Pushes(away=1)
    with pytest.raises(RepositoryUnavailable):
        await publish(portal.services, repository)
    async with portal.services.database.connection() as connection:
        assert len(await statements.unpublished(connection)) == 1
    assert await publish(portal.services, repository) == 1


async def test_the_loop_goes_on_after_a_failure_and_is_woken_by_a_decision(
    portal: Portal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.portal.outbox.LOOK_SECONDS", 0.05)
    repository = Pushes(away=1)
    loop = asyncio.create_task(keep_publishing(portal.services, repository, portal.app))
    try:
        await decided(portal)
        async with asyncio.timeout(10):
            await repository.arrived.wait()
        assert len(repository.made) == 1
    finally:
        await end(loop)


async def test_two_portals_do_not_publish_at_once(portal: Portal) -> None:
    await decided(portal)
    repository = Pushes()
    async with portal.services.database.transaction() as connection:
        await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('statements-outbox', 0))")
        assert await publish(portal.services, repository) == 0
    assert await publish(portal.services, repository) == 1


async def test_statements_of_the_worker_are_published_too(portal: Portal) -> None:
    file = StatementFile("approvals/lakeside/lakeside-test/rehearsal-20260601t120000z-000000000000.json", b"{}\n")
    with login(portal.place.postgres, "connector_worker", portal.place.database) as worker:
        worker.execute(
            "INSERT INTO statement (path, organization_id, connection_id, kind, content) VALUES (%s, %s, %s, %s, %s)",
            (file.path, "lakeside", CONNECTION, "rehearsal", file.content.decode()),
        )
    repository = Pushes()
    assert await publish(portal.services, repository) == 1
    assert repository.made[0][1] == {file.path: file.content}


@pytest.mark.parametrize(
    ("path", "size"),
    [
        ("README.md", 2),
        ("Pulumi.prod.yaml", 2),
        ("approvals/promoted.json", 2),
        ("approvals/revocations/americas-production.json", 2),
        ("approvals/lakeside/../lakeside/approval-000001-approve.json", 2),
        ("approvals/lakeside/lakeside-test/APPROVAL-000001-approve.json", 2),
        ("approvals/lakeside/lakeside-test/approval-000009-approve.json", 512 * 1024 + 1),
    ],
)
async def test_a_row_that_is_no_statements_keeps_nothing_back(portal: Portal, path: str, size: int) -> None:
    """Whoever has taken the worker may add rows, and the portal would refuse to push any of them."""
    portal.execute(
        "INSERT INTO statement (path, organization_id, connection_id, kind, content)"
        f" VALUES ('{path}', 'lakeside', '{CONNECTION}', 'rehearsal', repeat('x', {size}))"
    )
    await decided(portal)
    repository = Pushes()
    assert await publish(portal.services, repository) == 1
    assert list(repository.made[0][1]) == ["approvals/lakeside/lakeside-test/approval-000001-approve.json"]


def test_waking_needs_no_loop() -> None:
    application = Starlette()
    application.state.outbox = asyncio.Event()
    wake(application)
    assert application.state.outbox.is_set()


async def test_a_shared_serial_goes_on_above_what_was_seen_and_promoted(place: Place) -> None:
    async with running_portal(place) as portal:
        portal.execute("INSERT INTO highest_serial (connection_id, serial) VALUES ('lakeside-test', 41)")
        await decided(portal)
        assert [a.serial for a, _ in portal.approvals()] == [42]


async def test_a_serial_goes_on_above_deployed_statements(place: Place) -> None:
    stack = changed(sample(), CONNECTION, frame_origins=("https://127.0.0.1:8471",))
    async with running_portal(place, stack, approvals=everything_approved(sample())) as portal:
        await decided(portal)
        assert [a.serial for a, _ in portal.approvals()] == [2]
