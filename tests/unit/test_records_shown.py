"""When integration records are shown: from an approval in force on, everywhere by one function."""

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import cast

import pytest

from components.program import digest_of_working_tree
from components.project_files import files_of
from components.promotion import records
from schemas.integration_records import are_shown
from schemas.promotion.approvals import Approvals
from schemas.promotion.decide import Approved, Decision, Refused, Withdrawn, decide
from schemas.promotion.envelope import StatementFile
from schemas.promotion.reading import known_of_project
from schemas.promotion.reasons import Code, Reason
from schemas.promotion.statement import Account, Approval, BreakGlass, Rehearsal, at
from schemas.vocabulary import Stage
from tests.support import statements
from tests.support.accepted import (
    GEOGRAPHY,
    ORGANIZATION,
    OWN_KEY,
    PORTAL,
    PRODUCTION,
    PRODUCTION_OPERATOR,
    TEST,
    WORKER,
    World,
    accepted,
    approval_of,
    predicate_of,
    rehearsal_of,
    sha256_of,
)
from tests.support.attacks import OTHER_ID
from tests.support.command import connector
from tests.support.program import stack_of
from tests.support.promotion import make_project, now, put
from tests.support.record_scenes import CONNECTIONS, SCENES, Scene
from tests.support.samples import replaced
from tests.support.statements import NOW, statement_file
from workflow.promotion.records import NotApproved

W = accepted()
APPROVAL = cast("Approval", predicate_of(W.file(W.path(Approval, PRODUCTION))))
LEAVE_IT = {
    Code.REHEARSAL_MISSING,
    Code.REHEARSAL_ORGANIZATION,
    Code.REHEARSAL_DIGEST,
    Code.REHEARSAL_IMAGE,
    Code.REHEARSAL_EXPIRED,
    Code.ORGANIZATION_INCOMPLETE,
}
OF_SCENES: dict[str, tuple[Code, ...]] = {
    "refused": (Code.APPROVAL_REFUSED,),
    "expired": (Code.APPROVAL_EXPIRED,),
    "withdrawn by an edit": (Code.CONFIGURATION_CHANGED,),
    "revoked": (Code.REVOKED,),
}
"""The rules that hide the records."""
each_scene = pytest.mark.parametrize(
    "scene", [pytest.param(s, id=s.name, marks=pytest.mark.rule(*OF_SCENES.get(s.name, ()))) for s in SCENES]
)
each_connection = pytest.mark.parametrize("connection", CONNECTIONS)


# --- the function ---------------------------------------------------------------------------------------------------


def reason(code: Code) -> Reason:
    return Reason(code, "this", "that")


@pytest.mark.parametrize("kind", [Refused, Withdrawn])
@pytest.mark.parametrize("code", Code)
def test_whatever_speaks_against_a_connection_hides_them_but_the_rehearsal_and_other_connections(
    kind: type[Refused | Withdrawn], code: Code
) -> None:
    assert are_shown(kind(ORGANIZATION, PRODUCTION, "a" * 64, APPROVAL, (reason(code),))) is (code in LEAVE_IT)
    both = (reason(code), reason(Code.REHEARSAL_MISSING))
    assert are_shown(kind(ORGANIZATION, PRODUCTION, "a" * 64, APPROVAL, both)) is (code in LEAVE_IT)


@pytest.mark.parametrize("code", Code)
def test_a_warning_hides_nothing_but_an_approval_that_is_past_its_time(code: Code) -> None:
    decision = Approved(ORGANIZATION, PRODUCTION, "a" * 64, APPROVAL, (reason(code),))
    assert are_shown(decision) is (code is not Code.APPROVAL_EXPIRED)


@pytest.mark.parametrize("given", [None, Approved(ORGANIZATION, PRODUCTION, "a" * 64, None)])
def test_without_an_approval_there_are_none(given: Decision | None) -> None:
    assert not are_shown(given)


def glass(*waives: str) -> StatementFile:
    """An emergency of the production connection as it is."""
    values = {
        "form": 1,
        "organization": ORGANIZATION,
        "geography": GEOGRAPHY,
        "stage": Stage.PRODUCTION,
        "connection": PRODUCTION,
        "waives": waives,
        "reason": "The EHR moved overnight",
        "issued_by": Account(tenant_id=OTHER_ID, object_id=OTHER_ID),
        "issued": at(NOW - timedelta(minutes=5)),
        "expires": at(NOW + timedelta(minutes=55)),
    }
    sha256 = sha256_of(W.file(W.path(Approval, PRODUCTION)))
    return statement_file(PRODUCTION_OPERATOR, BreakGlass.model_validate(values), sha256)


UNREHEARSED = W.without(W.path(Rehearsal, TEST))
OF_BEFORE = W.said_anew(W.path(Approval, PRODUCTION), PORTAL, sha256="b" * 64)
EXPIRED = W.said_anew(W.path(Approval, PRODUCTION), PORTAL, expires=at(NOW)).served()
OTHER_IMAGE = "sha256:" + "b" * 64
DECIDED: dict[str, tuple[World, type[Decision], bool]] = {
    "its test connection not approved yet": (W.without(W.path(Approval, TEST)), Refused, True),
    "a rehearsal by a stranger's key": (UNREHEARSED.having(rehearsal_of(W, TEST, OWN_KEY)), Refused, True),
    "a rehearsal with another image": (
        UNREHEARSED.having(rehearsal_of(W, TEST, WORKER, image=OTHER_IMAGE)), Refused, True,
    ),
    "a file that may be a later refusal": (
        W.having(approval_of(W, PRODUCTION, OWN_KEY, serial=2)).without(W.path(Rehearsal, TEST)), Refused, False,
    ),
    "the rehearsal waived": (UNREHEARSED.having(glass("rehearsal-missing")), Approved, True),
    "the approval waived": (
        W.without(W.path(Approval, PRODUCTION)).having(glass("approval-missing")), Approved, False,
    ),
    "a change waived": (OF_BEFORE.having(glass("configuration-changed")), Approved, False),
    "a change waived, and no rehearsal": (
        OF_BEFORE.without(W.path(Rehearsal, TEST)).having(glass("configuration-changed")), Refused, False,
    ),
    "served, its approval expired": (EXPIRED, Approved, False),
    "served, its approval expired, and a new image": (replace(EXPIRED, image=f"x/y@{OTHER_IMAGE}"), Refused, False),
    "served, while the test stack proposes another": (
        W.served().configured(Stage.TEST, PRODUCTION, frame_origins=()), Approved, True,
    ),
}  # fmt: skip
OF_DECIDED: dict[str, tuple[Code, ...]] = {
    "its test connection not approved yet": (Code.ORGANIZATION_INCOMPLETE,),
    "a rehearsal with another image": (Code.REHEARSAL_IMAGE,),
    "a change waived": (Code.CONFIGURATION_CHANGED, Code.BREAK_GLASS),
    "a change waived, and no rehearsal": (Code.CONFIGURATION_CHANGED, Code.BREAK_GLASS, Code.REHEARSAL_MISSING),
    "served, its approval expired": (Code.APPROVAL_EXPIRED,),
    "served, its approval expired, and a new image": (Code.APPROVAL_EXPIRED, Code.REHEARSAL_IMAGE),
}
"""The rules without which something else is decided."""


@pytest.mark.parametrize(
    ("world", "kind", "shown"),
    [pytest.param(*row, id=name, marks=pytest.mark.rule(*OF_DECIDED.get(name, ()))) for name, row in DECIDED.items()],
)
def test_what_is_decided_says_whether_they_are_shown(world: World, kind: type[Decision], shown: bool) -> None:
    decision = world.decided()[PRODUCTION]
    assert type(decision) is kind
    assert are_shown(decision) is shown


# --- the command, and the outputs -----------------------------------------------------------------------------------


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return make_project(tmp_path)


def everything(project: Path) -> Approvals:
    """Approved and rehearsed; nothing is promoted."""
    return statements.accepted(stack_of("local"), now(), digest_of_working_tree(project))


def happened(project: Path, scene: Scene, connection: str) -> Path:
    approvals = scene.approvals(connection, now(), digest_of_working_tree(project))
    put(project, approvals)
    return project


@each_scene
@each_connection
def test_the_command_exports_them_then_alone(project: Path, scene: Scene, connection: str) -> None:
    found = connector(happened(project, scene, connection), "records", connection, "--format", "json")
    assert (found.exit_code == 0) is scene.shown
    assert (f"/launch/provider/{connection}" in found.output) is scene.shown
    assert isinstance(found.exception, NotApproved) is not scene.shown


@each_scene
@each_connection
def test_they_are_outputs_then_alone(project: Path, scene: Scene, connection: str) -> None:
    stack = stack_of("local" if connection == TEST else "local-prod")
    known = known_of_project(
        stack, files_of(happened(project, scene, connection)), digest_of_working_tree(project), now()
    )
    outputs = records(stack, decide(known))[GEOGRAPHY]
    assert (f"/launch/provider/{connection}" in json.dumps(outputs)) is scene.shown
    assert outputs["approved_connections"] == (2 if scene.shown else 1)


def test_the_command_exports_what_the_approver_approved_before_it_is_promoted(project: Path) -> None:
    """Production still has what was promoted before; the portal shows what the test stack proposes."""
    for file, text in replaced("Pulumi.local-prod.yaml", ('provider: "5101"', 'provider: "5001"')).items():
        (project / file).write_text(text, "utf-8")
    put(project, everything(project))
    found = json.loads(connector(project, "records", PRODUCTION, "--format", "json").output)
    assert found["records"][0]["recordId"] == "5101"


@pytest.mark.rule(Code.APPROVAL_MISSING)
def test_the_command_exports_what_no_production_stack_has_yet(project: Path) -> None:
    (project / "Pulumi.local-prod.yaml").unlink()
    refused = connector(project, "records", PRODUCTION)
    assert isinstance(refused.exception, NotApproved)
    assert "approval-missing" in refused.exception.advice
    put(project, everything(project))
    found = json.loads(connector(project, "records", PRODUCTION, "--format", "json").output)
    assert found["records"][0]["launchUrl"] == f"https://localhost:8451/launch/provider/{PRODUCTION}"
