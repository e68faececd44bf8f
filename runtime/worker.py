"""The worker: durable jobs (procrastinate over the same PostgreSQL), and what happens by the clock.

Owns the jobs' bodies by name, the schedule, and taking up what a killed worker left. A job is a call into the package
that it is about; each may run twice. Its probe, /livez, answers 200 while the queue is being read.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, LiteralString
from uuid import UUID

import procrastinate
import procrastinate.exceptions
import psycopg
import uvicorn
from procrastinate.jobs import DeleteJobCondition
from procrastinate.jobs import Job as QueuedJob
from procrastinate.signals import on_stop
from procrastinate.worker import Worker
from psycopg_pool import PoolTimeout
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from runtime.audit_heads import AuditHeads
from runtime.bootstrap import Services
from runtime.errors import ConnectorError
from runtime.host_certificate import tell_host_certificate
from runtime.jobs import QUEUE, Job, defer
from runtime.logs import log
from runtime.meeting.prepare import prepare_visit, take_up_unfinished
from runtime.meeting.renewal import mend, remove_left_over, renew_due, tell_certificate
from runtime.promotion.rehearsals import rehearse
from runtime.purge import purge
from runtime.tasks import end
from runtime.visit.process import process_notification
from runtime.visit.rows import unprepared
from runtime.writeback.delivery import deliver
from runtime.writeback.queue import defer_delivery, overdue

CONCURRENCY = 20
POLL_SECONDS = 1.0
"""How late a job that was queued for later may start; jobs for now start when they are queued."""

HEARTBEAT_SECONDS = 5.0
STALLED_SECONDS = 20.0
"""A worker not heard of for this long is dead, and its jobs are taken up."""

RETURN_SECONDS = 1.0

GRACE_SECONDS = 5.0
"""How long jobs under way may take when the worker stops."""

END_SECONDS = 15.0
"""A worker that has not stopped by then is made to: longer than the grace, and than the pool waits."""

SILENT_SECONDS = 60.0
"""A worker that has not read its queue for this long is to be restarted."""

MAXIMUM_ATTEMPTS = 30
LONGEST_RETRY_SECONDS = 60

TAKE_UP_SECONDS = 5.0
"""How long a preparation that nobody is at any more stays so."""

REHEARSE_SECONDS = 2.0
"""How late a whole visit becomes a rehearsal."""

LOST_AFTER = timedelta(seconds=90)
"""What should have happened this long ago has lost its job."""


class _Connector(procrastinate.PsycopgConnector):
    """Knows when the queue was last read, or the worker's heartbeat written: what its loop does all the time.

    `on_failure` is called when a statement of the queue fails, such as the one that says how a job ended; but not when
    the database answers that a job is not what it was: another worker has taken it up.
    """

    def __init__(self) -> None:
        super().__init__()  # pyright: ignore[reportUnknownMemberType]
        self.worked_at = time.monotonic()
        self.on_failure: Callable[[], None] | None = None

    async def execute_query_async(self, query: LiteralString, **arguments: Any) -> None:
        try:
            await super().execute_query_async(query, **arguments)
        except procrastinate.exceptions.ConnectorException as failure:
            if self.on_failure is not None and not isinstance(failure.__cause__, psycopg.errors.RaiseException):
                self.on_failure()
            raise
        self.worked_at = time.monotonic()

    async def execute_query_one_async(self, query: LiteralString, **arguments: Any) -> dict[str, Any]:
        row = await super().execute_query_one_async(query, **arguments)
        self.worked_at = time.monotonic()
        return row


def create_queue(services: Services) -> procrastinate.App:
    """The queue with every job of `Job`. Its connections are the process's pool."""
    queue = procrastinate.App(connector=_Connector())

    @queue.task(name=Job.PREPARE_VISIT.value, queue=QUEUE, retry=_RETRY)
    async def _(visit: str, attempt: int) -> None:
        await prepare_visit(services, bytes.fromhex(visit), attempt)

    @queue.task(name=Job.PROCESS_NOTIFICATION.value, queue=QUEUE, retry=_RETRY)
    async def _(notification: int) -> None:
        await process_notification(services, notification)

    @queue.task(name=Job.DELIVER_WRITE_BACKS.value, queue=QUEUE, retry=_RETRY)
    async def _(visit: str) -> None:
        await deliver(services, bytes.fromhex(visit))

    @queue.task(name=Job.MEND_SUBSCRIPTION.value, queue=QUEUE, retry=_RETRY)
    async def _(subscription: str, event: str) -> None:
        await mend(services, UUID(subscription), event)

    return queue


class _Retry(procrastinate.BaseRetryStrategy):
    """For what nobody foresaw: expected failures queue their own next attempt.

    Twice as long each time, but never long: a job that waits to be tried again keeps its lock, and all that the sweep
    queues for the same visit waits behind it.
    """

    def get_retry_decision(self, *, exception: BaseException, job: QueuedJob) -> procrastinate.RetryDecision | None:
        if job.attempts >= MAXIMUM_ATTEMPTS:
            return None
        return procrastinate.RetryDecision(retry_in={"seconds": min(2 ** (job.attempts + 1), LONGEST_RETRY_SECONDS)})


_RETRY = _Retry()


# --- by the clock -----------------------------------------------------------------------------------------------


async def sweep(services: Services) -> None:
    """Queue again what should have happened and has no job any more."""
    before = datetime.now(UTC) - LOST_AFTER
    async with services.database.transaction() as connection:
        for visit_key in await overdue(connection, before):
            await defer_delivery(connection, visit_key)
        for visit_key in await unprepared(connection, before):
            await defer(connection, Job.PREPARE_VISIT, visit=visit_key.hex(), attempt=3)
        cursor = await connection.execute(
            "SELECT id FROM connector.notification WHERE processed_at IS NULL AND received_at < %s LIMIT 500", (before,)
        )
        for row in await cursor.fetchall():
            await defer(connection, Job.PROCESS_NOTIFICATION, notification=row[0])


async def take_up_stalled(queue: procrastinate.App) -> None:
    """Give the jobs of workers that died to whoever lives."""
    for job in await queue.job_manager.get_stalled_jobs(queue=QUEUE, seconds_since_heartbeat=STALLED_SECONDS):
        await queue.job_manager.retry_job(job)
        log.warning("job-taken-up", task=job.task_name, attempt=job.attempts)


async def _every(seconds: float, name: str, work: Callable[[], Awaitable[object]]) -> None:
    """Again and again; what fails is logged and tried at its next time."""
    while True:
        try:
            await work()
        except ConnectorError as e:
            log.warning("schedule-failed", task=name, error=type(e).__name__)
        except Exception as e:  # noqa: BLE001 - one failure must not end a schedule
            log.error("schedule-failed", task=name, error=type(e).__name__)
        await asyncio.sleep(seconds)


async def run(services: Services) -> None:
    """Work until told to stop (SIGTERM, SIGINT); a job under way is finished or left to the next worker."""
    queue, heads = create_queue(services), AuditHeads(services)
    async with queue.open_async(services.database.pool):
        schedule = [
            asyncio.create_task(_every(seconds, name, work))
            for seconds, name, work in (
                (10.0, "stalled", lambda: take_up_stalled(queue)),
                (TAKE_UP_SECONDS, "unfinished", lambda: take_up_unfinished(services)),
                (30.0, "sweep", lambda: sweep(services)),
                (60.0, "renew", lambda: renew_due(services)),
                (60.0, "remove", lambda: remove_left_over(services)),
                (3600.0, "certificate", lambda: tell_certificate(services)),
                (3600.0, "host-certificate", lambda: tell_host_certificate(services)),
                (REHEARSE_SECONDS, "rehearse", lambda: rehearse(services)),
                (300.0, "purge", lambda: purge(services)),
                (1.0, "chain", heads.chain),
                (60.0, "anchor", heads.chain_and_anchor),
            )
        ]
        probe = _Probe(services, queue)
        serving = asyncio.create_task(probe.serve())
        try:
            await _work(queue)
        finally:
            probe.should_exit = True
            await end(*schedule)
            await asyncio.gather(serving, return_exceptions=True)
            await heads.finish()


async def _work(queue: procrastinate.App) -> None:
    """Until told to stop. While the database is away there is nothing to do but to come back.

    Whoever could not say how a job ended comes back too, under a new name: under the old one the job would count as
    being done for as long as this process lives, and hold its lock.
    """
    connector, told = _connector_of(queue), asyncio.Event()
    while True:
        worker = _Worker(
            queue,
            queues=[QUEUE],
            concurrency=CONCURRENCY,
            fetch_job_polling_interval=POLL_SECONDS,
            update_heartbeat_interval=HEARTBEAT_SECONDS,
            stalled_worker_timeout=STALLED_SECONDS,
            shutdown_graceful_timeout=GRACE_SECONDS,
            delete_jobs=DeleteJobCondition.SUCCESSFUL,
            install_signal_handlers=False,
        )

        def stop(worker: _Worker = worker) -> None:
            told.set()
            worker.stop()

        connector.on_failure = worker.stop
        error = "stopped"
        try:
            with on_stop(stop):
                await worker.run_to_its_end()
        except (procrastinate.exceptions.ConnectorException, psycopg.OperationalError, PoolTimeout) as e:
            error = type(e).__name__
        if told.is_set():
            return
        log.warning("queue-lost", error=error)
        await asyncio.sleep(RETURN_SECONDS)


class _Worker(Worker):
    """Stops for good: one that hangs while it stops would tell by its heartbeat that it works, and do nothing."""

    def __init__(self, queue: procrastinate.App, **options: Any) -> None:
        super().__init__(queue, **options)
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        super().stop()
        self._stopping.set()

    async def run_to_its_end(self) -> None:
        """Raises what `run` raises; nothing, where its end had to be made."""
        working, stopping = asyncio.create_task(self.run()), asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait({working}, timeout=END_SECONDS)
            if working.done():
                await working
        finally:
            await end(working, stopping)


def _connector_of(queue: procrastinate.App) -> _Connector:
    assert isinstance(queue.connector, _Connector)
    return queue.connector


class _Probe(uvicorn.Server):
    """The worker's only port. Signals are the queue's."""

    def __init__(self, services: Services, queue: procrastinate.App) -> None:
        async def livez(_: Request) -> Response:
            silent = time.monotonic() - _connector_of(queue).worked_at > SILENT_SECONDS
            return PlainTextResponse("the queue is not being read\n", 503) if silent else PlainTextResponse("ok\n")

        application = Starlette(routes=[Route("/livez", livez)])
        settings = services.settings
        config = uvicorn.Config(
            application,
            host=settings.bind_host,
            port=settings.port,
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="off",
        )
        super().__init__(config)

    @contextlib.contextmanager
    def capture_signals(self):
        yield
