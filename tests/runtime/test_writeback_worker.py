"""The worker: takes up what is queued, what was interrupted, and what lost its job."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, LiteralString

import httpx
import pytest
from procrastinate import PsycopgConnector
from procrastinate.exceptions import ConnectorException
from procrastinate.manager import JobManager

from runtime import worker
from runtime.bootstrap import Services
from runtime.tasks import end
from tests.support.ports import free_port
from tests.support.postgres import PostgresServer
from tests.support.visits import Clinic, clinic, staff

pytestmark = pytest.mark.anyio


@pytest.fixture
async def here(postgres: PostgresServer) -> AsyncGenerator[Clinic]:
    async with clinic(postgres) as made:
        yield made


@asynccontextmanager
async def working(here: Clinic) -> AsyncGenerator[Services]:
    services = replace(here.worker, settings=replace(here.worker.settings, port=free_port()))
    task = asyncio.create_task(worker.run(services))
    try:
        yield services
    finally:
        await end(task)


async def until(here: Clinic, query: str, wanted: object) -> None:
    async with asyncio.timeout(20):
        while here.rows(query) != [(wanted,)]:  # noqa: ASYNC110 - the worker tells nobody but the database
            await asyncio.sleep(0.05)


async def test_it_delivers_what_the_application_queued(here: Clinic) -> None:
    async with working(here):
        await here.provider()
        await here.happen("n-1", 1, staff("p-1"))
        await until(here, "SELECT state FROM write_back", "delivered")
    assert len(here.remotes.told) == 1


async def test_a_notification_wakes_it_however_seldom_it_looks(here: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages show who comes and goes once it was woken, not once it has looked again."""
    monkeypatch.setattr(worker, "POLL_SECONDS", 3600.0)
    listening = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'LISTEN \"procrastinate%' AND state = 'idle'"
    await here.provider()
    async with working(here):
        await until(here, listening, 1)
        for number, left in enumerate((False, True), 1):
            event = here.event(f"n-{number}", number, staff("p-1", left=left))
            assert (await here.notify(here.item(event))).status_code == 202
            await until(here, "SELECT presence FROM participant", "left" if left else "connected")


async def test_it_mends_a_meeting_once_graph_answers_again(here: Clinic) -> None:
    here.remotes.broken["lobby"] = lambda _: httpx.Response(403, json={"error": {"code": "Forbidden"}})
    await here.provider()
    assert here.rows("SELECT state FROM visit") == [("mending",)]
    here.remotes.broken.clear()
    async with working(here):
        await until(here, "SELECT state FROM visit", "open")


async def test_it_goes_on_after_the_database_was_lost(here: Clinic) -> None:
    async with working(here):
        await here.provider()
        here.remotes.broken["ehr_status"] = lambda _: httpx.Response(503)
        await here.happen("n-1", 1, staff("p-1"))
        await until(here, "SELECT attempts > 0 FROM write_back", True)
        here.lose_connections()
        here.remotes.broken.clear()
        await until(here, "SELECT state FROM write_back", "delivered")


def fails_once(monkeypatch: pytest.MonkeyPatch, statement: str) -> list[str]:
    """The queue's next statement with this word fails; it is in the answer then."""
    execute = PsycopgConnector.execute_query_async
    failed: list[str] = []

    async def execute_or_fail(self: PsycopgConnector, query: LiteralString, **arguments: Any) -> None:
        if statement in query and not failed:
            failed.append(query)
            raise ConnectorException("the connection is lost")
        await execute(self, query, **arguments)

    monkeypatch.setattr(PsycopgConnector, "execute_query_async", execute_or_fail)
    # What the queue's task of the job raises nobody awaits: pytest's plugin takes that for the test's own failure.
    monkeypatch.setattr(asyncio.get_running_loop(), "call_exception_handler", list[Any]().append)
    return failed


async def test_a_job_whose_end_could_not_be_told_does_not_hold_its_visits_lock(
    here: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    await here.provider()
    await here.happen("n-1", 1, staff("p-1"))
    here.execute("DELETE FROM procrastinate_jobs WHERE task_name <> 'deliver-write-backs'")
    failed = fails_once(monkeypatch, "procrastinate_finish_job")
    async with working(here):
        await until(here, "SELECT state FROM write_back", "delivered")
        await here.happen("n-2", 2, staff("p-1", left=True))
        await until(here, "SELECT count(*) FROM write_back WHERE state = 'delivered'", 2)
    assert len(failed) == 1


async def test_a_worker_whose_listener_failed_comes_back(here: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    listen = JobManager.listen_for_jobs
    failed: list[JobManager] = []

    async def fails_first(self: JobManager, **options: Any) -> None:
        if not failed:
            failed.append(self)
            raise ConnectorException("the connection is lost")
        await listen(self, **options)

    monkeypatch.setattr(JobManager, "listen_for_jobs", fails_first)
    await here.provider()
    async with working(here):
        await until(here, "SELECT max(id) FROM procrastinate_workers", 2)  # the second is who came back
        await here.happen("n-1", 1, staff("p-1"))
        await until(here, "SELECT state FROM write_back", "delivered")


async def test_a_job_that_another_worker_took_up_stops_nobody(here: Clinic) -> None:
    queue, stopped = worker.create_queue(here.worker), list[bool]()
    async with queue.open_async(here.worker.database.pool):
        queue.connector.on_failure = lambda: stopped.append(True)  # pyright: ignore[reportAttributeAccessIssue]
        with pytest.raises(ConnectorException):
            await queue.job_manager.retry_job_by_id_async(job_id=404, retry_at=datetime.now(UTC))
    assert stopped == []


async def test_a_worker_that_hangs_while_it_stops_is_made_to_and_comes_back(
    here: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    hung: list[int] = []

    async def hangs(_: JobManager, worker_id: int) -> None:
        hung.append(worker_id)
        await asyncio.Event().wait()

    await here.provider()
    failed = fails_once(monkeypatch, "procrastinate_update_heartbeat")
    monkeypatch.setattr(worker, "HEARTBEAT_SECONDS", 0.2)
    monkeypatch.setattr(worker, "END_SECONDS", 1.0)
    monkeypatch.setattr(JobManager, "unregister_worker", hangs)
    async with working(here):
        await until(here, "SELECT count(*) FROM procrastinate_workers", 2)  # the second is who came back
        await here.happen("n-1", 1, staff("p-1"))
        await until(here, "SELECT state FROM write_back", "delivered")
    assert (len(failed), len(hung)) == (1, 2)


async def test_jobs_of_a_killed_worker_are_taken_up(here: Clinic) -> None:
    await here.provider()
    await here.happen("n-1", 1, staff("p-1"))
    here.execute("INSERT INTO procrastinate_workers (last_heartbeat) VALUES (now() - interval '1 minute')")
    here.execute(
        """UPDATE procrastinate_jobs SET status = 'doing', worker_id = (SELECT id FROM procrastinate_workers)
           WHERE task_name = 'deliver-write-backs'"""
    )
    async with working(here):
        await until(here, "SELECT state FROM write_back", "delivered")


async def test_a_write_back_whose_job_is_lost_is_queued_again(here: Clinic) -> None:
    await here.provider()
    await here.happen("n-1", 1, staff("p-1"))
    here.execute("DELETE FROM procrastinate_jobs")
    here.execute("UPDATE write_back SET next_attempt_at = now() - interval '5 minutes'")
    async with working(here):
        await until(here, "SELECT state FROM write_back", "delivered")


async def test_a_job_that_raises_never_holds_its_visits_lock_for_long(
    here: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def raises(*_: object) -> None:
        raise LookupError("nobody foresaw this")

    monkeypatch.setattr(worker, "deliver", raises)
    await here.provider()
    await here.happen("n-1", 1, staff("p-1"))
    here.execute("UPDATE procrastinate_jobs SET attempts = 20 WHERE task_name = 'deliver-write-backs'")
    async with working(here):
        await until(here, "SELECT attempts FROM procrastinate_jobs WHERE lock LIKE 'write-back:%'", 21)
    waits = here.rows(
        "SELECT scheduled_at - now() <= interval '60 seconds' FROM procrastinate_jobs WHERE lock LIKE 'write-back:%'"
    )
    assert waits == [(True,)]


async def test_a_visit_whose_application_was_killed_while_preparing_is_prepared(here: Clinic) -> None:
    here.remotes.broken["create"] = lambda _: httpx.Response(503)
    await here.provider()
    here.execute("DELETE FROM procrastinate_jobs")
    here.execute("UPDATE visit SET state = 'preparing', organizer_begun_at = now() - interval '5 minutes'")
    here.remotes.broken.clear()
    async with working(here):
        await until(here, "SELECT state FROM visit", "open")


async def test_its_probe_answers_and_nothing_else_does(here: Clinic) -> None:
    async with (
        working(here) as services,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{services.settings.port}") as http,
    ):
        async with asyncio.timeout(10):
            while True:
                try:
                    assert (await http.get("/livez")).status_code == 200
                    break
                except httpx.ConnectError:
                    await asyncio.sleep(0.05)
        assert (await http.get("/")).status_code == 404


@pytest.mark.parametrize("reads", [True, False])
async def test_its_probe_fails_while_the_queue_is_not_read(
    here: Clinic, monkeypatch: pytest.MonkeyPatch, reads: bool
) -> None:
    monkeypatch.setattr(worker, "SILENT_SECONDS", 2.5)

    async def hangs(_: object) -> None:
        await asyncio.sleep(60)

    if not reads:
        monkeypatch.setattr(worker, "_work", hangs)
    async with (
        working(here) as services,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{services.settings.port}") as http,
    ):
        await asyncio.sleep(4)
        assert (await http.get("/livez")).status_code == (200 if reads else 503)


async def test_no_job_names_anybody(here: Clinic) -> None:
    await here.provider("csn-canary")
    await here.happen("n-1", 1, staff("p-canary"))
    jobs = repr(here.rows("SELECT args, lock FROM procrastinate_jobs"))
    assert "canary" not in jobs
    assert "3c3c3c3c" not in jobs
