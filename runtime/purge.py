"""Retention: how long each table keeps its rows, as data, and the job that enforces it.

The worker runs `purge` every few minutes. Participants, subscriptions, notifications and write-backs go with their
visit, which stays while a write-back or Graph's subscription is left. Links are kept until unlinked, audit rows for
six years (45 CFR 164.316(b)(2)(i)), jobs that ended for as long as an idle visit.
"""

from dataclasses import dataclass
from typing import LiteralString

from psycopg import sql

from runtime.audit import Action, AuditRow
from runtime.bootstrap import Services
from runtime.logs import log
from runtime.visit.rows import RETENTION as IDLE_VISIT
from schemas.audit_chain import KEPT_DAYS


@dataclass(frozen=True)
class Retention:
    """Rows of `table` go when `column` is past, unless a condition (of this module, in SQL) holds."""

    table: str
    column: str
    unless: LiteralString = "false"


_UNFINISHED = """EXISTS (
    SELECT FROM connector.write_back w WHERE w.visit_key = visit.visit_key AND w.state = 'pending'
) OR EXISTS (
    SELECT FROM connector.subscription s
    WHERE s.visit_key = visit.visit_key AND s.graph_id IS NOT NULL AND s.expires_at > now())"""
"""Each ends by itself, so that nothing stays: delivery gives up on a write-back visibly after a day
(`writeback/delivery.py`), and a subscription that Graph does not end (`meeting/renewal.py`) expires."""


RETENTION = (
    Retention("launch", "expires_at"),
    Retention("launch_used", "expires_at"),
    Retention("ticket", "expires_at"),
    Retention("session", "expires_at"),
    Retention("portal_session", "expires_at"),
    Retention("portal_flow", "expires_at"),
    Retention("visit", "purge_after", unless=_UNFINISHED),
)
WITH_THEIR_VISIT = frozenset({"participant", "subscription", "notification", "write_back"})
KEPT = frozenset(
    {"ehr_user_link", "audit", "audit_head", "alembic_version", "statement", "highest_serial", "revocation_list"}
)
"""`audit` and its heads have their own function (`migrations/`): the worker may not read or delete its rows, and those
that go are a beginning of the chain up to an anchored head. Statements, serials and revocations are configuration:
forgetting one would bring back what came before it."""
OF_THE_QUEUE = frozenset(
    {"procrastinate_jobs", "procrastinate_events", "procrastinate_periodic_defers", "procrastinate_workers"}
)
"""Jobs name visits by their key. A job that succeeded is deleted at once by the worker, others that ended by `purge`,
with their events; procrastinate deletes workers that are gone; nothing is deferred periodically."""

_JOBS = """DELETE FROM connector.procrastinate_jobs j
    WHERE status IN ('succeeded', 'failed', 'cancelled', 'aborted') AND NOT EXISTS (
        SELECT FROM connector.procrastinate_events e WHERE e.job_id = j.id AND e.at > now() - %s)"""


async def purge(services: Services) -> dict[str, int]:
    """Delete what is past its time; the number of rows by table. Raises `DatabaseUnavailable`."""
    gone: dict[str, int] = {}
    for rule in RETENTION:
        async with services.database.transaction() as connection:
            statement = sql.SQL("DELETE FROM {} WHERE {} < now() AND NOT ({})").format(
                sql.Identifier("connector", rule.table), sql.Identifier(rule.column), sql.SQL(rule.unless)
            )
            gone[rule.table] = (await connection.execute(statement)).rowcount
    async with services.database.transaction() as connection:
        gone["procrastinate_jobs"] = (await connection.execute(_JOBS, (IDLE_VISIT,))).rowcount
    async with services.database.transaction() as connection:
        cursor = await connection.execute("SELECT connector.purge_audit(make_interval(days => %s))", (KEPT_DAYS,))
        row = await cursor.fetchone()
        gone["audit"] = int(row[0]) if row else 0
        if any(gone.values()):
            await services.audit.record(connection, AuditRow(Action.PURGED))
    for table, count in gone.items():
        if count:
            log.info("purged", table=table, count=count)
    return gone
