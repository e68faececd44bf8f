"""A visit that was whole becomes a Rehearsal: that this configuration and this image carried one from end to end.

Only in the test stage. Whole means: a provider and a patient were connected, the call ended, and the EHR took every
connection and disconnection (or has no way to take one): all of it rows that only the worker's database role can write
(`grants.py`). The visit was begun with the configuration and the image that are served now. A Rehearsal says nothing of
who was there. Owns finding such visits, and one Rehearsal for each connection, configuration and image.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from psycopg.rows import class_row

from runtime.audit import Action, AuditRow
from runtime.configuration import Served
from runtime.logs import log
from runtime.promotion.signing import sign
from runtime.promotion.statements import record, stored
from schemas.promotion.decide import Approved, image_digest_of
from schemas.promotion.envelope import StatementFile, Verified, verify
from schemas.promotion.statement import FOLDER, Rehearsal, at, payload, place_of
from schemas.vocabulary import EhrKind, Stage, StatementType

if TYPE_CHECKING:
    from runtime.bootstrap import Services
    from runtime.database import Connection

VALID = timedelta(days=180)
LOCK = 7_402_118_333_002
"""Any number that nothing else locks: of several workers one records."""

_WHOLE = """SELECT DISTINCT v.connection_id, v.served_sha256 AS sha256,
        NOT EXISTS (SELECT FROM write_back w WHERE w.visit_key = v.visit_key AND w.state <> 'delivered') AS delivered
    FROM visit v
    WHERE v.state = 'ended' AND v.call_ended_at IS NOT NULL AND v.served_image = %(image)s
      AND EXISTS (SELECT FROM participant p WHERE p.visit_key = v.visit_key AND p.party = 'staff' AND p.ever_connected)
      AND EXISTS (
          SELECT FROM participant p WHERE p.visit_key = v.visit_key AND p.party = 'patient' AND p.ever_connected)
      AND EXISTS (SELECT FROM write_back w WHERE w.visit_key = v.visit_key)
      AND NOT EXISTS (
          SELECT FROM write_back w WHERE w.visit_key = v.visit_key AND w.state NOT IN ('delivered', 'unsupported'))"""


@dataclass(frozen=True)
class _Whole:
    """A connection with a whole visit; `delivered` where its EHR took all that happened in it."""

    connection_id: str
    sha256: str | None
    delivered: bool


async def rehearse(services: "Services") -> int:
    """Record what was rehearsed and is not recorded yet; how many. Raises `Unavailable`, `SignatureUseless`."""
    if services.settings.stage is not Stage.TEST:
        return 0
    await services.standing.catch_up(services)
    image = image_digest_of(services.settings.handover.image)
    async with services.database.connection() as connection, connection.cursor(row_factory=class_row(_Whole)) as cursor:
        await cursor.execute(_WHOLE.encode(), {"image": image})
        found = await cursor.fetchall()
    recorded = 0
    for whole in found:
        served = _now(services, whole)
        if served is not None and await _record(services, served, whole):
            recorded += 1
    return recorded


def _now(services: "Services", whole: _Whole) -> Served | None:
    """The connection, where it is served now as the visit knew it."""
    served = services.configuration.connection(whole.connection_id)
    decision = services.standing.decisions.get(whole.connection_id)
    told = whole.delivered or (served is not None and served.connection.ehr is not EhrKind.EPIC)
    return served if isinstance(decision, Approved) and decision.sha256 == whole.sha256 and told else None


async def _record(services: "Services", served: Served, whole: _Whole) -> bool:
    now, geography = services.clock(), services.settings.geography
    rehearsal = Rehearsal(
        form=1,
        organization=served.organization.id,
        geography=geography,
        connection=served.connection.id,
        image=image_digest_of(services.settings.handover.image),
        issued=at(now),
        expires=at(now + VALID),
    )
    if _recorded(services, services.standing.statements, rehearsal, whole):
        return False
    pin = services.trust.signing_pin(StatementType.REHEARSAL, geography)
    if pin is None:
        log.error("rehearsal-unsigned", connection=served.connection.id, reason="no trusted key signs rehearsals")
        return False
    place = place_of(rehearsal)
    assert place is not None
    async with services.database.transaction() as connection:
        await connection.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
        if _recorded(services, await stored(connection), rehearsal, whole):
            return False
        content = await sign(services.vault, pin, services.trust, payload(rehearsal, whole.sha256))
        await _keep(services, connection, StatementFile(place, content), rehearsal)
    log.info("rehearsed", organization=rehearsal.organization, connection=rehearsal.connection)
    return True


async def _keep(services: "Services", connection: "Connection", file: StatementFile, rehearsal: Rehearsal) -> None:
    names = (rehearsal.organization, rehearsal.connection)
    await record(connection, file, *names, StatementType.REHEARSAL)
    await services.audit.record(connection, AuditRow(Action.REHEARSAL_RECORDED, *names))


def _recorded(
    services: "Services", files: tuple[StatementFile, ...] | list[StatementFile], wanted: Rehearsal, whole: _Whole
) -> bool:
    """Whether one of the files says the same, and is in force."""
    folder = f"{FOLDER}/{wanted.organization}/{wanted.connection}/rehearsal-"
    for file in files:
        found = verify(file, services.trust) if file.path.startswith(folder) else None
        if isinstance(found, Verified) and isinstance(found.predicate, Rehearsal) and found.sha256 == whole.sha256:
            known = found.predicate
            if known.image == wanted.image and known.begun(services.clock()) and not known.ended(services.clock()):
                return True
    return False
