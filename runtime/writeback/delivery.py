"""Delivering one visit's write-backs to its EHR, oldest first.

Owns what an answer means: taken, to be tried again (later ones wait, so the EHR sees them in order), or given up on,
visibly: in the log, the audit and the row. At least once: Epic's call has no idempotency key, and says the same thing
when it is repeated.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from runtime.audit import Action, AuditRow
from runtime.configuration import ehr_origins
from runtime.ehr.smart import TokenEndpointRefused
from runtime.errors import ConnectorError, ProtocolError, RemoteUnavailable
from runtime.logs import log, where
from runtime.sealing import SealBroken
from runtime.visit.rows import load_visit, notify, shorten_retention
from runtime.writeback.epic import ConnectionChange, InterconnectRootUnknown, status_request
from runtime.writeback.queue import (
    GIVE_UP_AFTER,
    WriteBackRow,
    defer_delivery,
    mark_dead,
    mark_delivered,
    mark_failed,
    next_pending,
    wait_after,
)
from schemas.stack_config import ExternalConnectionStatus

if TYPE_CHECKING:
    from runtime.bootstrap import Services
    from runtime.configuration import Served

UNDERSTOOD_AND_REFUSED = frozenset({400, 409, 422})
"""Answers that the same request will get again. Others (401, 403, 404) are healed in the EHR's configuration."""


@dataclass(frozen=True)
class Taken:
    """The EHR has it."""


@dataclass(frozen=True)
class Failed:
    """`code` is ours; `final` where trying again cannot help."""

    code: str
    final: bool = False
    retry_after: float | None = None


async def deliver(services: Services, visit_key: bytes) -> None:
    """Deliver what is pending, until all is or one has to wait; then a job goes on with it."""
    while True:
        async with services.database.transaction() as connection:
            row = await next_pending(connection, visit_key)
            visit = await load_visit(connection, visit_key)
        if row is None or visit is None:
            return
        served = services.configuration.connection(visit.connection_id)
        outcome = await _attempt(services, served, row)
        if isinstance(outcome, Taken):
            await _delivered(services, visit.organization_id, visit.connection_id, visit_key, row)
        elif outcome.final or datetime.now(UTC) - row.created_at > GIVE_UP_AFTER:
            await _dead(services, visit.organization_id, visit.connection_id, visit_key, row, outcome)
        else:
            await _later(services, visit_key, row, outcome)
            return


async def _attempt(services: Services, served: Served | None, row: WriteBackRow) -> Taken | Failed:
    if served is None:
        return Failed("connection-not-served")
    try:
        return await _send(services, served, row.change(services.seal))
    except SealBroken:
        return Failed("sealed-for-another-key")
    except InterconnectRootUnknown:
        return Failed("fhir-base-url-not-epics", final=True)
    except RemoteUnavailable as e:
        return Failed("ehr-unavailable", retry_after=e.retry_after)
    except ProtocolError:
        return Failed("ehr-answer-unknown")
    except TokenEndpointRefused as e:
        return Failed(f"backend-token-{e.error}")
    except ConnectorError as e:
        return Failed(type(e).__name__)
    except Exception as e:  # noqa: BLE001 - one that raised would never count as tried, and never be given up on
        log.error("unexpected", error=type(e).__name__, where=where(e))
        return Failed("unexpected")


async def _send(services: Services, served: Served, change: ConnectionChange) -> Taken | Failed:
    connection = served.connection
    client = connection.clients.backend
    if client is None:
        return Failed("no-backend-client", final=True)
    settings = connection.external_connection_status or ExternalConnectionStatus()
    request = status_request(settings, connection.fhir_base_url, client.client_id, change)
    token = await services.smart.backend_token(connection)
    in_query = request.method == "GET"
    answer = await services.http.to(ehr_origins(connection)).request(
        request.method,
        request.url,
        params=request.parameters if in_query else None,
        json=None if in_query else request.parameters,
        headers={**request.headers, "authorization": f"Bearer {token}", "accept": "application/json"},
    )
    if answer.ok:
        return Taken()
    if answer.status == 401:
        services.smart.forget_backend_token(connection)
    return Failed(f"status-{answer.status}", final=answer.status in UNDERSTOOD_AND_REFUSED)


async def _delivered(
    services: Services, organization_id: str, connection_id: str, visit_key: bytes, row: WriteBackRow
) -> None:
    async with services.database.transaction() as connection:
        if await mark_delivered(connection, row.id):
            audit = AuditRow(Action.WRITE_BACK_DELIVERED, organization_id, connection_id, visit_key=visit_key)
            await services.audit.record(connection, audit)
        await shorten_retention(connection, visit_key)
        await notify(connection, visit_key)


async def _dead(
    services: Services,
    organization_id: str,
    connection_id: str,
    visit_key: bytes,
    row: WriteBackRow,
    outcome: Failed,
) -> None:
    log.error(
        "write-back-dead",
        organization=organization_id,
        connection=connection_id,
        visit=visit_key.hex()[:8],
        code=outcome.code,
        attempt=row.attempts + 1,
        seconds=_age(row),
    )
    async with services.database.transaction() as connection:
        if await mark_dead(connection, row.id, outcome.code):
            audit = AuditRow(
                Action.WRITE_BACK_DEAD, organization_id, connection_id, visit_key=visit_key, detail=outcome.code
            )
            await services.audit.record(connection, audit)
        await shorten_retention(connection, visit_key)
        await notify(connection, visit_key)


async def _later(services: Services, visit_key: bytes, row: WriteBackRow, outcome: Failed) -> None:
    attempts = row.attempts + 1
    log.warning("write-back-waits", visit=visit_key.hex()[:8], code=outcome.code, attempt=attempts, seconds=_age(row))
    wait = wait_after(attempts)
    if outcome.retry_after is not None:
        wait = max(wait, timedelta(seconds=min(outcome.retry_after, 3600.0)))
    at = datetime.now(UTC) + wait
    async with services.database.transaction() as connection:
        await mark_failed(connection, row.id, outcome.code, at)
        await defer_delivery(connection, visit_key, at)
        await notify(connection, visit_key)


def _age(row: WriteBackRow) -> int:
    """Whole seconds since it was queued."""
    return round((datetime.now(UTC) - row.created_at).total_seconds())
