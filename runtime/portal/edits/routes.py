"""The pages of an edit: the list, the form, the change that is shown, and what was proposed.

GET  .../edit                                   connections of both stages, as the repository has them
GET  .../edit/new, .../edit/connections/{id}    the form; POST .../check and .../probe while somebody types
POST .../edit/review                            the form's problems, or the change as it would be proposed
GET  .../edit/connections/{id}/remove           the same for a removal
POST .../edit/propose                           that change and no other, on a branch of the repository
"""

import asyncio
import hmac
from dataclasses import replace

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from runtime.audit import Action
from runtime.configuration import Served
from runtime.errors import Refusal
from runtime.pages.rendering import fragment
from runtime.portal import refusals, trail
from runtime.portal.access import Visitor, for_signed_in, organization_of
from runtime.portal.configuration_view import label_of
from runtime.portal.edits.checking import FieldProblem, by_field, check_organization, check_stack, errors
from runtime.portal.edits.editing import Edit, Edited, Verb, diff, edited
from runtime.portal.edits.fields import NEW_PERSON, Fields, blank, connection_of, copied, fields_of
from runtime.portal.edits.fields import organization_of as organization_of_fields
from runtime.portal.edits.opening import (
    Opened,
    base_of,
    base_value,
    editing_of,
    for_editors,
    opened,
    repository_refusal,
)
from runtime.portal.edits.proposing import propose as proposed
from runtime.portal.edits.source import every_text
from runtime.portal.forms import checked_form, form_token
from runtime.portal.probe import PUT_OFF, Look
from runtime.portal.rendering import portal_page
from runtime.portal.repository import Conflict, RepositoryRefused, RepositoryUnavailable
from schemas.vocabulary import EhrKind, Stage

_BASE = "/organizations/{organization}/edit"


def routes() -> list[BaseRoute]:
    return [
        Route(_BASE, connections),
        Route(f"{_BASE}/new", new),
        Route(f"{_BASE}/organization", new_organization),
        Route(f"{_BASE}/connections/{{connection}}", form),
        Route(f"{_BASE}/connections/{{connection}}/remove", removal),
        Route(f"{_BASE}/check", check, methods=["POST"]),
        Route(f"{_BASE}/probe", look, methods=["POST"]),
        Route(f"{_BASE}/review", review, methods=["POST"]),
        Route(f"{_BASE}/propose", propose, methods=["POST"]),
    ]


# --- looking --------------------------------------------------------------------------------------------------------


@for_editors
async def connections(_: Request, found: Opened) -> Response | Refusal:
    listed = [(fields_of(c), found.waits(str(c.get("id")))) for c in found.source.connections]
    gone = [c.id for c in found.organization.connections if found.source.connection(c.id) is None]
    return portal_page(
        "portal_edit_list.html",
        found.visitor.session,
        organization=found.organization,
        file=found.source.file,
        revision=found.source.revision,
        stages=[(stage, [x for x in listed if x[0]["stage"] == stage]) for stage in map(str, Stage)],
        gone=gone,
        administers=found.administers,
    )


@for_editors
async def new(request: Request, found: Opened) -> Response | Refusal:
    stage = Stage.PRODUCTION if request.query_params.get("stage") == "production" else Stage.TEST
    like = found.source.connection(request.query_params.get("like", ""))
    fields = copied(like, str(stage)) if like else blank(str(stage))
    return _form(found, Verb.ADD, "", fields)


@for_editors
async def new_organization(_: Request, found: Opened) -> Response | Refusal:
    """Another organisation of the same tenant, with its first connection: for administrators."""
    if not found.administers:
        return refusals.NOT_ADMINISTRATOR
    return _form(found, Verb.ADD_ORGANIZATION, "", blank("test"))


@for_editors
async def form(request: Request, found: Opened) -> Response | Refusal:
    connection_id = request.path_params["connection"]
    connection = found.source.connection(connection_id)
    if connection is None:
        return refusals.EDIT_NOT_THERE
    return _form(found, Verb.EDIT, connection_id, fields_of(connection))


@for_editors
async def removal(request: Request, found: Opened) -> Response | Refusal:
    made = edited(found.source, Edit(Verb.REMOVE, request.path_params["connection"], None))
    if isinstance(made, Refusal):
        return made
    return await _shown(found, made, {"verb": str(Verb.REMOVE), "connection": made.edit.connection_id})


# --- while somebody types -------------------------------------------------------------------------------------------


@for_signed_in
async def check(request: Request, visitor: Visitor) -> Response | Refusal:
    """The problems of the form as it is now, by field."""
    posted = await _posted(request, visitor)
    if isinstance(posted, Refusal):
        return posted
    found, fields, made = posted
    return JSONResponse({"problems": [p.document() for p in _quick(found, made, fields)]})


@for_signed_in
async def look(request: Request, visitor: Visitor) -> Response | Refusal:
    """What answers at the FHIR base URL as it is now."""
    organization = organization_of(request, visitor)
    if isinstance(organization, Refusal):
        return organization
    fields = await checked_form(request, visitor.session, f"edit:{organization.id}", once=False)
    if isinstance(fields, Refusal):
        return fields
    found = await _look(request, visitor, fields)
    shown = {"look": found.document(), "html": fragment("portal_edit_look.html", look=found)}
    return JSONResponse(shown, 429 if found.put_off else 200)


# --- the change -----------------------------------------------------------------------------------------------------


@for_signed_in
async def review(request: Request, visitor: Visitor) -> Response | Refusal:
    posted = await _posted(request, visitor)
    if isinstance(posted, Refusal):
        return posted
    found, fields, made = posted
    verb, connection_id = made.edit.verb, _edited_id(fields)
    if fields.get("action") == "look":
        problems = _quick(found, made, fields) if connection_id else []
        return _form(found, verb, connection_id, fields, problems, await _look(request, visitor, fields))
    problems = _quick(found, made, fields)
    if errors(problems) or fields.get("action") == "back":
        return _form(found, verb, connection_id, fields, problems)
    if made.is_nothing:
        return _form(found, verb, connection_id, fields, problems, nothing=True)
    return await _shown(found, made, fields)


@for_signed_in
async def propose(request: Request, visitor: Visitor) -> Response | Refusal:
    """Exactly the change that was shown, once."""
    posted = await _posted(request, visitor, once=True)
    if isinstance(posted, Refusal):
        return posted
    found, fields, made = posted
    if not hmac.compare_digest(fields.get("shown", "").encode(), made.digest(found.source.revision).encode()):
        return refusals.EDIT_NOT_SHOWN
    try:
        wrong = await _whole(found, made)
        if errors(wrong):
            return _form(found, made.edit.verb, _edited_id(fields), fields, wrong)
        answer = await proposed(visitor.services, found.editing.repository, found.source, made, visitor.session.account)
    except (RepositoryUnavailable, RepositoryRefused) as e:
        return repository_refusal(e)
    if isinstance(answer, Refusal):
        return answer
    if isinstance(answer, Conflict):
        return _conflict(found, fields, answer)
    await _record(found, made)
    return portal_page(
        "portal_edit_done.html",
        visitor.session,
        organization=found.organization,
        edit=made.edit,
        proposal=answer,
        branch_of=found.visitor.services.configuration.document.promotion.repository,
    )


# --- parts ----------------------------------------------------------------------------------------------------------


async def _posted(request: Request, visitor: Visitor, *, once: bool = False) -> tuple[Opened, Fields, Edited] | Refusal:
    """A form of ours, the organisation at the commit that it was made from, and the edit that it describes."""
    organization = organization_of(request, visitor)
    if isinstance(organization, Refusal):
        return organization
    purpose = f"{'propose' if once else 'edit'}:{organization.id}"
    fields = await checked_form(request, visitor.session, purpose, once=once)
    if isinstance(fields, Refusal):
        return fields
    base = base_of(visitor.session, organization.id, fields.get("base", ""))
    if base is None:
        return refusals.FORM_INVALID
    found = await opened(request, visitor, base)
    if isinstance(found, Refusal):
        return found
    made = _made(found, fields)
    return made if isinstance(made, Refusal) else (found, fields, made)


def _made(found: Opened, fields: Fields) -> Edited | Refusal:
    """The edit that a form describes."""
    verb = fields.get("verb")
    if verb not in list(Verb):
        return refusals.FORM_INVALID
    connection_id = fields.get("connection", "")
    if verb == Verb.REMOVE:
        return edited(found.source, Edit(Verb.REMOVE, connection_id, None))
    before = found.source.connection(connection_id) if verb == Verb.EDIT else None
    value = connection_of(fields, before, found.choices, found.organization.tenant_id)
    named = connection_id if verb == Verb.EDIT else str(value.get("id", ""))
    if verb == Verb.ADD_ORGANIZATION:
        if not found.administers:
            return refusals.NOT_ADMINISTRATOR
        beside = organization_of_fields(fields, found.organization)
        return edited(found.source, Edit(Verb.ADD_ORGANIZATION, named, value, beside))
    return edited(found.source, Edit(Verb(verb), named, value))


def _edited_id(fields: Fields) -> str:
    """Whose form it is: of a new connection there is none yet."""
    return fields.get("connection", "") if fields.get("verb") == Verb.EDIT else ""


def _quick(found: Opened, made: Edited, fields: Fields) -> list[FieldProblem]:
    if made.edit.value is None:
        return []
    others = found.others if made.edit.organization is None else found.visitor.catalogue.organizations
    problems = check_organization(found.source.values, made.organization, made.edit.connection_id, others)
    return list(dict.fromkeys(_at_the_choice(p, fields) for p in problems))


def _at_the_choice(problem: FieldProblem, fields: Fields) -> FieldProblem:
    """Of somebody chosen from the list, the list is the field."""
    if problem.field.startswith("approver.") and fields.get("approver") != NEW_PERSON:
        words = "Choose who approves." if problem.code == "missing" else problem.message
        return replace(problem, field="approver", message=words)
    return problem


async def _whole(found: Opened, made: Edited) -> list[FieldProblem]:
    """Problems of the whole stack as it would be. Raises `RepositoryUnavailable`, `RepositoryRefused`."""
    texts = {**await every_text(found.editing.repository, found.source), **made.files}
    source = found.source
    index = source.index if made.edit.organization is None else len(source.entries)
    _, problems = await asyncio.to_thread(
        check_stack, source.stack_file, texts, index, made.organization, made.edit.connection_id
    )
    return problems


async def _look(request: Request, visitor: Visitor, fields: Fields) -> Look:
    editing = editing_of(request)
    if not editing.looks.take(visitor.session.account):
        return PUT_OFF
    kind = EhrKind.SMART if fields.get("ehr") == "smart" else EhrKind.EPIC
    return await editing.probe.look(fields.get("fhirBaseUrl", "").strip(), kind)


async def _shown(found: Opened, made: Edited, fields: Fields) -> Response | Refusal:
    """The page with the change as it would be proposed, or with what the whole configuration says against it."""
    try:
        problems = await _whole(found, made)
    except (RepositoryUnavailable, RepositoryRefused) as e:
        return repository_refusal(e)
    wrong = errors(problems)
    if wrong and made.edit.verb is not Verb.REMOVE:
        return _form(found, made.edit.verb, _edited_id(fields), fields, problems)
    carried = {k: v for k, v in fields.items() if k not in ("action", "shown", "base")}
    standing_for = [
        c.id
        for c in found.organization.connections
        if c.stage is Stage.PRODUCTION and _is_test(found, made.edit.connection_id)
    ]
    return portal_page(
        "portal_edit_review.html",
        found.visitor.session,
        status=422 if wrong else 200,
        organization=found.organization,
        edit=made.edit,
        changes=made.changes,
        files=diff(found.source, made),
        problems=wrong,
        warnings=[p for p in problems if p not in wrong],
        withdrawn=[made.edit.connection_id] if made.edit.verb is Verb.EDIT else [],
        standing_for=standing_for,
        carried=carried,
        base=found.base,
        revision=found.source.revision,
        shown=made.digest(found.source.revision),
        token=form_token(found.visitor.session, f"propose:{found.organization.id}"),
        back_token=form_token(found.visitor.session, f"edit:{found.organization.id}"),
    )


def _is_test(found: Opened, connection_id: str) -> bool:
    return any(c.id == connection_id and c.stage is Stage.TEST for c in found.organization.connections)


def _form(
    found: Opened,
    verb: Verb,
    connection_id: str,
    fields: Fields,
    problems: list[FieldProblem] | None = None,
    look: Look | None = None,
    *,
    nothing: bool = False,
) -> Response:
    values = {"organization.id": "", "organization.name": "", **blank("test"), **fields_of({}), **fields}
    before = found.source.connection(connection_id) if connection_id else None
    approver = before.get("approver") if before else None
    known = {c.person.object_id for c in found.choices}
    listed = fields_of(before)["approver"] if before else ""
    wrong = errors(problems or [])
    status = 422 if wrong and look is None else 429 if look is not None and look.put_off else 200
    return portal_page(
        "portal_edit_form.html",
        found.visitor.session,
        status=status,
        organization=found.organization,
        verb=str(verb),
        connection_id=connection_id,
        values=values,
        problems=by_field(problems or []),
        errors=_in_order(wrong),
        look=look,
        nothing=nothing,
        choices=found.choices,
        unlisted=approver if listed and listed not in known else None,
        new_person=NEW_PERSON,
        base=found.base,
        token=form_token(found.visitor.session, f"edit:{found.organization.id}"),
    )


def _in_order(problems: list[FieldProblem]) -> list[tuple[FieldProblem, str]]:
    """From the top of the form to its end, each with what its field is called."""
    order = list(fields_of({}))
    place = {name: n for n, name in enumerate(order)}
    sorted_by_place = sorted(problems, key=lambda p: place.get(p.field, -1))
    return [(p, "Approver" if p.field == "approver" else label_of(p.field)) for p in sorted_by_place]


def _conflict(found: Opened, fields: Fields, conflict: Conflict) -> Response:
    carried = {k: v for k, v in fields.items() if k not in ("shown", "base", "action")}
    return portal_page(
        "portal_edit_conflict.html",
        found.visitor.session,
        status=409,
        organization=found.organization,
        moved=conflict.moved,
        base=base_value(found.visitor.session, found.organization.id, conflict.head),
        carried=carried,
        token=form_token(found.visitor.session, f"edit:{found.organization.id}"),
    )


async def _record(found: Opened, made: Edited) -> None:
    services, edit = found.visitor.services, made.edit
    deployed = next((c for c in found.organization.connections if c.id == edit.connection_id), None)
    served = Served(found.organization, deployed) if deployed else None
    async with services.database.transaction() as connection:
        await trail.record(
            services, connection, Action.EDIT_PROPOSED, found.visitor.session.account, served, detail=str(edit.verb)
        )
