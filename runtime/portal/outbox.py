"""Statements on their way into the repository: what was signed here is pushed to a branch, until it is there.

Owns the loop. A statement counts in this test stack from its recording; production takes it from the branch
`connector/statements-<geography>`. Failures are logged and tried again, later and later. Portals that run beside one
another do not push at once: one holds the lock.
"""

import asyncio
from typing import cast

from starlette.applications import Starlette

from runtime.audit import Action, AuditRow
from runtime.bootstrap import Services
from runtime.errors import ConnectorError
from runtime.logs import log
from runtime.portal.repository import Conflict, Repository
from runtime.promotion import statements
from schemas.promotion.envelope import StatementFile

LOOK_SECONDS = 2.0
LATEST_SECONDS = 300.0
_LOCK = "SELECT pg_try_advisory_xact_lock(hashtextextended('statements-outbox', 0))"


def branch_of(services: Services) -> str:
    return f"connector/statements-{services.settings.geography}"


def wake(application: Starlette) -> None:
    """Something was recorded: publish it now."""
    cast(asyncio.Event, application.state.outbox).set()


async def publish(services: Services, repository: Repository) -> int:
    """Push what is unpublished, in one commit; the number of files.

    Raises `RepositoryUnavailable`, `RepositoryRefused`, `DatabaseUnavailable`; then it stays unpublished.
    """
    async with services.database.transaction() as connection:
        row = await (await connection.execute(_LOCK)).fetchone()
        files = await statements.unpublished(connection) if row and row[0] else []
        if not files:
            return 0
        proposal = await repository.propose(branch_of(services), {f.path: f.content for f in files}, message_of(files))
        assert not isinstance(proposal, Conflict), "without a base nothing conflicts"
        await statements.mark_published(connection, [f.path for f in files])
        await services.audit.record(connection, AuditRow(Action.STATEMENTS_PUBLISHED, detail=f"count-{len(files)}"))
    return len(files)


def message_of(files: list[StatementFile]) -> str:
    """The commit's message: which files, and nothing of people."""
    what = "a statement" if len(files) == 1 else f"{len(files)} statements"
    return f"Publish {what}\n\n" + "\n".join(f.path for f in files) + "\n"


async def keep_publishing(services: Services, repository: Repository, application: Starlette) -> None:
    """Until cancelled."""
    woken = cast(asyncio.Event, application.state.outbox)
    wait = LOOK_SECONDS
    while True:
        try:
            count = await publish(services, repository)
            wait = LOOK_SECONDS
            if count:
                log.info("statements published", count=count)
        except ConnectorError as e:
            wait = min(2 * wait, LATEST_SECONDS)
            log.error("statements not published", error=type(e).__name__, reason=str(e), advice=e.advice, seconds=wait)
        try:
            async with asyncio.timeout(wait):
                await woken.wait()
        except TimeoutError:
            pass
        woken.clear()
