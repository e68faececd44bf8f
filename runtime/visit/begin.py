"""After a launch: the provider begins the visit, or the patient arrives in its waiting room.

Owns who becomes organiser (the first to begin), the refusal of a second patient from either side, and what the
session is given. No meeting is made for a patient who comes first. Making it ready is `meeting/prepare.py`.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from runtime.audit import Action, AuditRow
from runtime.errors import Refusal
from runtime.launch.model import Party, PatientLaunch, ProviderLaunch, VisitSession
from runtime.meeting.prepare import prepare, take_turn
from runtime.visit.context import Organizer, VisitContext
from runtime.visit.key import patient_hash, person_hash, visit_key
from runtime.visit.rows import (
    ServedWith,
    VisitState,
    heartbeat,
    insert_visit,
    load_visit,
    mark_staff,
    notify,
    save_context,
    set_state,
)
from schemas.promotion.decide import image_digest_of
from schemas.vocabulary import VisitKind

if TYPE_CHECKING:
    from runtime.bootstrap import Services
    from runtime.database import Connection
    from runtime.visit.rows import VisitRow

PAGE_PATIENCE_SECONDS = 8.0
"""How long the provider's page waits for its meeting; after that it shows what is going on, and the worker goes on."""

SECOND_PATIENT = Refusal(
    "second-patient",
    403,
    "This visit is with somebody else",
    "This visit is for another patient. Please open your own appointment, or call your clinic.",
    "second-patient-in-one-to-one-visit",
)
OTHER_PATIENT = replace(
    SECOND_PATIENT,
    advice="This visit was started for another patient. Please open the appointment again in the right chart. "
    "If this page comes back, tell your support team the code below.",
)
"""For a provider, whose launch names its patient: a record with one session id for many would mix their visits."""


async def provider_begins(services: Services, launch: ProviderLaunch) -> VisitSession | Refusal:
    """The provider's session, or the refusal of one who launched it for a different patient.

    The first provider of a visit becomes its organiser; every further one joins it.
    """
    key = _key(services, launch.organization_id, launch.connection_id, launch.session_id)
    hmac_key = services.keys.visit_key_hmac
    person = person_hash(hmac_key, key, "user", launch.tenant_id, launch.object_id)
    async with services.database.pipeline() as connection:
        visit = await _row(services, connection, key, launch.organization_id, launch.connection_id, launch.session_id)
        context = _for_patient(services, key, visit.context(services.seal), launch.patient_id)
        if context is None:
            return OTHER_PATIENT
        context = context.with_staff(person)
        if context.organizer is None:
            context = replace(context, organizer=Organizer(launch.tenant_id, launch.object_id))
        if not visit.phase.begun:
            context = replace(context, lobby_verified=False)
            await set_state(connection, key, VisitState.PREPARING)
        await save_context(connection, key, context.seal(services.seal, key))
        await mark_staff(connection, key, person)
        await notify(connection, key)
        await services.audit.record(
            connection, AuditRow(Action.VISIT_BEGUN, launch.organization_id, launch.connection_id, person, key)
        )
        turn = await take_turn(services, connection, key)
    if turn is not None:
        with suppress(TimeoutError):
            async with asyncio.timeout(PAGE_PATIENCE_SECONDS):
                await prepare(services, turn)
    return VisitSession(
        launch.organization_id,
        launch.connection_id,
        key,
        Party.PROVIDER,
        person,
        launch.tenant_id,
        launch.object_id,
    )


async def patient_arrives(services: Services, launch: PatientLaunch) -> VisitSession | Refusal:
    """The patient's session, or the refusal of a second, different patient."""
    key = _key(services, launch.organization_id, launch.connection_id, launch.session_id)
    patient = patient_hash(services.keys.visit_key_hmac, key, launch.patient_id)
    async with services.database.transaction() as connection:
        visit = await _row(services, connection, key, launch.organization_id, launch.connection_id, launch.session_id)
        context = _for_patient(services, key, visit.context(services.seal), launch.patient_id)
        if context is None:
            return SECOND_PATIENT
        await save_context(connection, key, context.seal(services.seal, key))
        await heartbeat(connection, key)
        await services.audit.record(
            connection, AuditRow(Action.PATIENT_ARRIVED, launch.organization_id, launch.connection_id, patient, key)
        )
    return VisitSession(launch.organization_id, launch.connection_id, key, Party.PATIENT, patient)


def _for_patient(services: Services, key: bytes, context: VisitContext, patient_id: str | None) -> VisitContext | None:
    """The context with its one patient; None where it already has another. The caller locked the visit's row."""
    if patient_id is None:
        return context
    patient = patient_hash(services.keys.visit_key_hmac, key, patient_id).hex()
    return replace(context, patient=patient) if context.patient in (None, patient) else None


def _key(services: Services, organization_id: str, connection_id: str, session_id: str) -> bytes:
    return visit_key(services.keys.visit_key_hmac, organization_id, connection_id, VisitKind.ONE_TO_ONE, session_id)


def _served_with(services: Services, connection_id: str) -> ServedWith:
    decision = services.standing.decisions.get(connection_id)
    return ServedWith(decision.sha256 if decision else None, image_digest_of(services.settings.handover.image))


async def _row(
    services: Services,
    connection: Connection,
    key: bytes,
    organization_id: str,
    connection_id: str,
    session_id: str,
) -> VisitRow:
    """The visit's row, locked, made where it is new."""
    sealed = VisitContext(session_id).seal(services.seal, key)
    served = _served_with(services, connection_id)
    await insert_visit(connection, key, organization_id, connection_id, VisitKind.ONE_TO_ONE.value, sealed, served)
    visit = await load_visit(connection, key, lock=True)
    assert visit is not None
    return visit
