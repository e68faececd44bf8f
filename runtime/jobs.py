"""Deferring a job inside one's own transaction: it exists exactly when what it is about exists.

Owns the names of the jobs and the one SQL call. Arguments are pseudonyms and row ids, never patient data: the queue is
not sealed. What jobs do is in `worker.py`.
"""

import json
from datetime import datetime
from enum import StrEnum
from typing import Any

from runtime.database import Connection

QUEUE = "connector"


class Job(StrEnum):
    """The jobs, by name in the queue."""

    PREPARE_VISIT = "prepare-visit"
    PROCESS_NOTIFICATION = "process-notification"
    DELIVER_WRITE_BACKS = "deliver-write-backs"
    MEND_SUBSCRIPTION = "mend-subscription"


_DEFER = """
SELECT procrastinate_defer_jobs_v1(ARRAY[
    ROW(%(queue)s, %(task)s, 0, %(lock)s, NULL, %(args)s::jsonb, %(at)s)::procrastinate_job_to_defer_v1
])
"""


async def defer(
    connection: Connection, job: Job, *, lock: str | None = None, at: datetime | None = None, **arguments: Any
) -> None:
    """Queue a job, at once or at a time; jobs of one lock run one after another."""
    await connection.execute(
        _DEFER, {"queue": QUEUE, "task": job.value, "lock": lock, "args": json.dumps(arguments), "at": at}
    )
