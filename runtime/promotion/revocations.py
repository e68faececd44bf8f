"""The list of revocations that this geography holds, and the channel by which a newer one comes.

Three places may have one: the database (held before), the configuration document (as deployed), and the container
`revocations` of the geography's storage account, where `connector revoke` publishes. Owns asking them, keeping the
newest in the database (the worker does, for all roles), and the words to be alerted on: `revocations-refused`,
`-unreachable`, `-missing`. Which list replaces which is `schemas/promotion/revocation.py`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runtime.audit import Action, AuditRow
from runtime.errors import Unavailable
from runtime.logs import log
from schemas.promotion.approvals import revocations_file
from schemas.promotion.envelope import Rejected, StatementFile, verify
from schemas.promotion.reasons import Code
from schemas.promotion.revocation import Held, accept
from schemas.vocabulary import RuntimeRole

if TYPE_CHECKING:
    from runtime.bootstrap import Services
    from runtime.database import Connection

CONTAINER, BLOB = "revocations", "list.json"


@dataclass(frozen=True)
class _Found:
    """A list where one may be. `newer` lists must be in force; others are held however old they are."""

    source: str
    content: bytes
    newer: bool = False


@dataclass(frozen=True)
class Holding:
    """The list in force, and the bytes that say so."""

    held: Held
    content: bytes


async def hold(services: "Services", holding: Holding | None) -> Holding | None:
    """The list in force from now on: the one held, or a newer one. Raises `DatabaseUnavailable`.

    The worker keeps it in the database, also where somebody put an older one or none in its place.
    """
    async with services.database.connection() as connection:
        kept = await _kept(connection)
    found = [*_known(services, kept)]
    published = await _published(services)
    if published is not None:
        found.append(_Found("published", published, newer=True))
    for candidate in found:
        accepted = _accepted(services, candidate, holding.held if holding else None)
        if accepted is not None and (holding is None or accepted != holding.held):
            holding = Holding(accepted, candidate.content)
    if holding is not None and holding.content != kept and services.settings.role is RuntimeRole.WORKER:
        await _keep(services, holding, kept)
    return holding


def _known(services: "Services", kept: bytes | None) -> Iterator[_Found]:
    if kept is not None:
        yield _Found("held", kept)
    path = revocations_file(services.settings.geography, services.settings.stage)
    for file in services.configuration.document.statement_files:
        if file.path == path:
            yield _Found("deployed", file.content)


def _accepted(services: "Services", found: _Found, held: Held | None) -> Held | None:
    geography, stage = services.settings.geography, services.settings.stage
    verified = verify(StatementFile(revocations_file(geography, stage), found.content), services.trust, placed=False)
    if isinstance(verified, Rejected):
        reason = verified.reason
    else:
        accepted = accept(verified, held, geography, stage, services.clock(), expired=not found.newer)
        if isinstance(accepted, Held):
            return accepted
        reason = accepted
    if found.newer or reason.code is not Code.REVOCATIONS_OLDER:  # what is deployed is older than what was published
        log.error("revocations-refused", code=reason.code.value, name=found.source, reason=reason.message)
    return None


async def _published(services: "Services") -> bytes | None:
    try:
        content = await services.storage.read(CONTAINER, BLOB)
    except Unavailable as e:
        log.error("revocations-unreachable", error=type(e).__name__, reason=str(e))
        return None
    if content is None:
        log.warning("revocations-missing")
    return content


async def _kept(connection: "Connection") -> bytes | None:
    row = await (await connection.execute("SELECT content FROM connector.revocation_list")).fetchone()
    return row[0].encode() if row else None


async def _keep(services: "Services", holding: Holding, worse: bytes | None) -> None:
    """In place of an older one, or of `worse`; another process may have been quicker, or have a newer one.

    One of a higher version stays, whatever it is: the database lowers none. What does not count is refused when it is
    read.
    """
    revocations = holding.held.revocations
    async with services.database.transaction() as connection:
        cursor = await connection.execute(
            """INSERT INTO connector.revocation_list (content, version) VALUES (%s, %s)
               ON CONFLICT (one) DO UPDATE SET content = EXCLUDED.content, version = EXCLUDED.version, held_at = now()
               WHERE revocation_list.version < EXCLUDED.version
                   OR (revocation_list.version = EXCLUDED.version AND revocation_list.content = %s)""",
            (holding.content.decode(), revocations.version, worse.decode() if worse is not None else None),
        )
        if cursor.rowcount == 1:
            row = AuditRow(Action.REVOCATIONS_HELD, detail=f"version-{revocations.version}")
            await services.audit.record(connection, row)
            log.info("revocations-held", count=len(revocations.revoked))
