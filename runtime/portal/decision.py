"""The approver decides: what is deployed and what changed is shown, and exactly that is approved or refused.

    GET  /connections/{c}/decide           the configuration, what changed, the evidence; the form carries what it shows
    POST /connections/{c}/decide           asks to confirm
    POST /connections/{c}/decide/confirm   signs and records the statement

A proof (`proof.py`) is good for one decision: the transaction that records the statement takes it. Serials are given
under a lock of the connection, above everything that was stored, deployed or seen. Only the portal's identity may use
the key that signs.
"""

from datetime import timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from runtime.audit import Action
from runtime.bootstrap import Services
from runtime.configuration import Served
from runtime.database import Connection
from runtime.errors import IdentityUnavailable, Refusal, VaultUnavailable
from runtime.logs import log
from runtime.portal import held, outbox, refusals, trail
from runtime.portal.access import Visitor, connection_of, for_signed_in
from runtime.portal.configuration_view import changes, sections
from runtime.portal.forms import checked_form, form_token
from runtime.portal.proof import SECONDS as PROOF_SECONDS
from runtime.portal.proof import proof_key
from runtime.portal.rendering import portal_page
from runtime.portal.subject import Subject, subject_of
from runtime.promotion import serials, statements
from runtime.promotion.signing import SignatureUseless, sign
from schemas.promotion.digest import FORM
from schemas.promotion.envelope import StatementFile, Verified, verify
from schemas.promotion.statement import (
    Account,
    Approval,
    Evidence,
    Verdict,
    at,
    next_serial,
    payload,
    place_of,
)
from schemas.vocabulary import StatementType

KEPT_DAYS = 800
"""The form that was approved last is kept, to show what changed, for longer than an approval can last."""


def routes() -> list[BaseRoute]:
    return [
        Route("/connections/{connection}/decide", show),
        Route("/connections/{connection}/decide", ask, methods=["POST"]),
        Route("/connections/{connection}/decide/confirm", conclude, methods=["POST"]),
    ]


@for_signed_in
async def show(request: Request, visitor: Visitor) -> Response | Refusal:
    found = await _proved(request, visitor)
    if isinstance(found, Refusal):
        return found
    subject, proof, evidence = found
    connection = subject.served.connection
    shown = subject.shown(evidence)
    if not await held.change(visitor.services, proof_key(visitor.session, connection.id), {**proof, "shown": shown}):
        return refusals.NOT_PROVED
    before = await held.look(visitor.services, _form_key(connection.id))
    return portal_page(
        "portal_decide.html",
        visitor.session,
        served=subject.served,
        subject=subject,
        evidence=evidence,
        obstacle=obstacle(subject),
        sections=sections(subject.served.organization, connection, subject.launch_host),
        changed=None if before is None else changes(before["form"], subject.form),
        minutes_left=_minutes_left(visitor.services, proof),
        shown=shown,
        token=form_token(visitor.session, f"decide:{connection.id}"),
    )


@for_signed_in
async def ask(request: Request, visitor: Visitor) -> Response | Refusal:
    """Approve or refuse was pressed: the page that asks whether that is meant."""
    found = await _proved(request, visitor)
    if isinstance(found, Refusal):
        return found
    subject, proof, evidence = found
    connection_id = subject.served.connection.id
    fields = await checked_form(request, visitor.session, f"decide:{connection_id}")
    if isinstance(fields, Refusal):
        return fields
    verdict = _judged(fields, subject, proof, evidence)
    if isinstance(verdict, Refusal):
        return verdict
    return portal_page(
        "portal_confirm.html",
        visitor.session,
        served=subject.served,
        subject=subject,
        evidence=evidence,
        verdict=verdict,
        shown=fields["shown"],
        days=visitor.services.configuration.document.promotion.approval_days,
        token=form_token(visitor.session, f"confirm:{connection_id}"),
    )


@for_signed_in
async def conclude(request: Request, visitor: Visitor) -> Response | Refusal:
    """Confirmed: sign and record. Raises `Unavailable`; then nothing was decided."""
    served = connection_of(request, visitor)
    if isinstance(served, Refusal):
        return served
    fields = await checked_form(request, visitor.session, f"confirm:{served.connection.id}")
    if isinstance(fields, Refusal):
        return fields
    try:
        decided = await _decide(visitor, served, fields)
    except (VaultUnavailable, IdentityUnavailable, SignatureUseless) as e:
        log.error("approval not signed", connection=served.connection.id, error=type(e).__name__, advice=e.advice)
        return refusals.SIGNING_FAILED
    if isinstance(decided, Refusal):
        return decided
    log.info("decided", organization=served.organization.id, connection=served.connection.id, state=decided.value)
    outbox.wake(request.app)
    return RedirectResponse(f"/connections/{served.connection.id}", 303)


def obstacle(subject: Subject) -> Refusal | None:
    """Why this can only be refused, if anything: what `decide()` would not accept is not signed either."""
    if subject.needs_test and subject.test is None:
        return refusals.TEST_CONNECTION_MISSING
    if subject.test is not None and subject.test.differing:
        return refusals.TEST_CONNECTION_DIFFERS
    if subject.same_person and not subject.served.organization.one_person:
        return refusals.ONE_PERSON
    return None


Proved = tuple[Subject, dict[str, Any], Evidence]


async def _proved(request: Request, visitor: Visitor) -> Proved | Refusal:
    """What is to be decided, and the proof of its URL."""
    served = connection_of(request, visitor)
    if isinstance(served, Refusal):
        return served
    if not visitor.is_approver_of(served.connection):
        return refusals.NOT_APPROVER
    proof = await held.look(visitor.services, proof_key(visitor.session, served.connection.id))
    return _with(visitor, served, proof)


def _with(visitor: Visitor, served: Served, proof: dict[str, Any] | None) -> Proved | Refusal:
    if proof is None or proof["fhir_base_url"] != served.connection.fhir_base_url:
        return refusals.NOT_PROVED
    subject = subject_of(visitor.services.configuration.document, visitor.catalogue, served)
    return subject, proof, Evidence.model_validate(proof["evidence"])


def _judged(fields: dict[str, str], subject: Subject, proof: dict[str, Any], evidence: Evidence) -> Verdict | Refusal:
    """The verdict of a form that is about what was shown, and about what is deployed."""
    if proof["shown"] is None or fields.get("shown") != proof["shown"]:
        return refusals.NOT_SHOWN
    if subject.shown(evidence) != proof["shown"]:
        return refusals.CONFIGURATION_CHANGED
    try:
        verdict = Verdict(fields.get("decision", ""))
    except ValueError:
        return refusals.DECISION_INVALID
    return (obstacle(subject) or verdict) if verdict is Verdict.APPROVE else verdict


async def _decide(visitor: Visitor, served: Served, fields: dict[str, str]) -> Verdict | Refusal:
    services, account = visitor.services, visitor.session.account
    if not visitor.is_approver_of(served.connection):
        return refusals.NOT_APPROVER
    pin = services.trust.signing_pin(StatementType.APPROVAL, services.settings.geography)
    if pin is None:
        return refusals.SIGNING_KEY_MISSING
    async with services.database.transaction() as database:
        await database.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (f"approval:{served.connection.id}",)
        )
        proof = await held.take_in(services, database, proof_key(visitor.session, served.connection.id))
        found = _with(visitor, served, proof)
        if isinstance(found, Refusal):
            return found
        subject, proof, evidence = found
        verdict = _judged(fields, subject, proof, evidence)
        if isinstance(verdict, Refusal):
            return verdict
        approval = _approval(services, subject, evidence, verdict, await _next_serial(services, database, served))
        content = await sign(services.vault, pin, services.trust, payload(approval, subject.sha256))
        place = place_of(approval)
        assert place is not None, "an approval has a place"
        file = StatementFile(place, content)
        await statements.record(
            database, file, served.organization.id, served.connection.id, StatementType.APPROVAL.value
        )
        await serials.remember(database, {served.connection.id: approval.serial})
        action = Action.APPROVAL_GIVEN if verdict is Verdict.APPROVE else Action.APPROVAL_REFUSED
        await trail.record(services, database, action, account, served, f"serial-{approval.serial}")
        if verdict is Verdict.APPROVE:
            key, kept = _form_key(served.connection.id), {"sha256": subject.sha256, "form": subject.form}
            await held.put_in(services, database, key, kept, KEPT_DAYS * 86400)
    return verdict


async def _next_serial(services: Services, database: Connection, served: Served) -> int:
    """Above every approval of this connection that is stored or deployed, and every serial seen or promoted."""
    document = services.configuration.document
    files = (*document.statement_files, *await statements.stored(database))
    prefix = f"approvals/{served.organization.id}/{served.connection.id}/"
    found = (verify(f, services.trust) for f in dict.fromkeys(files) if f.path.startswith(prefix))
    approvals = [v.predicate for v in found if isinstance(v, Verified) and isinstance(v.predicate, Approval)]
    seen = (await serials.highest_serials(database)).get(served.connection.id, 0)
    promoted = document.promoted.of(served.connection.id)
    return next_serial(approvals, max(seen, promoted.serial if promoted else 0))


def _approval(services: Services, subject: Subject, evidence: Evidence, verdict: Verdict, serial: int) -> Approval:
    organization, connection = subject.served
    now = services.clock()
    days = services.configuration.document.promotion.approval_days
    return Approval(
        form=FORM,
        decision=verdict,
        organization=organization.id,
        tenant_id=organization.tenant_id,
        geography=organization.geography,
        stage=connection.stage,
        connection=connection.id,
        fhir_base_url=connection.fhir_base_url,
        approver=Account(tenant_id=connection.approver.tenant_id, object_id=connection.approver.object_id),
        same_person=subject.same_person,
        evidence=evidence,
        test_connection=subject.test.reference if subject.test else None,
        serial=serial,
        issued=at(now),
        expires=at(now + timedelta(days=days)),
    )


def _form_key(connection_id: str) -> bytes:
    return held.key_of("approved-form", connection_id)


def _minutes_left(services: Services, proof: dict[str, Any]) -> int:
    return max(0, int(proof["proved_at"] + PROOF_SECONDS - services.clock().timestamp()) // 60)
