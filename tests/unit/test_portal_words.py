"""What the portal says: a connection's state in one word, its configuration without gaps, a person's roles."""

from datetime import timedelta
from typing import Any

import pytest

from runtime.identity.links import Account
from runtime.portal.access import own_path
from runtime.portal.catalogue import Catalogue, Role, roles_of
from runtime.portal.configuration_view import changes, flat, sections
from runtime.portal.departure import browser_hash
from runtime.portal.entra import is_fresh
from runtime.portal.state import MEANING, State, state_of
from schemas.configuration_document import ConfigurationDocument
from schemas.promotion.decide import Approved, Decision, Refused
from schemas.promotion.digest import connection_form
from schemas.promotion.envelope import Verified
from schemas.promotion.promoted import Promoted, PromotedConnection
from schemas.promotion.reasons import Code, Reason
from schemas.promotion.statement import Approval, Verdict
from schemas.stack_config import EhrConnection, Organization, StackConfig
from schemas.vocabulary import GeographyName, Stage, StatementType
from tests.support.samples import load
from tests.support.statements import NOW, approval, rehearsal

SHA, OTHER = "a" * 64, "b" * 64


def stack() -> StackConfig:
    found = load("Pulumi.local.yaml").stack
    assert found
    return found


def lakeside() -> Organization:
    return stack().organizations[0]


def connection(stage: Stage) -> EhrConnection:
    return next(c for c in lakeside().connections if c.stage is stage)


def decision(given: Approval | None, *codes: Code) -> Decision:
    names = ("lakeside", "lakeside-test", SHA, given)
    return Refused(*names, tuple(Reason(c, "this", "that") for c in codes)) if codes else Approved(*names)


def approved(stage: Stage = Stage.TEST, **values: Any) -> Approval:
    return approval(lakeside(), connection(stage), **values)


def rehearsed(sha256: str) -> Verified:
    statement = rehearsal(lakeside(), "lakeside-test")
    return Verified("", StatementType.REHEARSAL, "", sha256, statement)


@pytest.mark.parametrize(
    ("given", "state"),
    [
        (None, State.DRAFT),
        (decision(None, Code.APPROVAL_MISSING), State.DRAFT),
        (decision(approved()), State.APPROVED),
        (decision(approved(), Code.REVOCATIONS_NEVER_HELD), State.APPROVED),
        (decision(approved(decision=Verdict.REFUSE), Code.APPROVAL_REFUSED), State.REFUSED),
        (decision(approved(), Code.CONFIGURATION_CHANGED), State.WITHDRAWN),
        (decision(approved(), Code.APPROVAL_URL), State.WITHDRAWN),
        (decision(approved(), Code.APPROVER_DIFFERS), State.WITHDRAWN),
        (decision(approved(), Code.SERIAL_ROLLED_BACK), State.WITHDRAWN),
        (decision(approved(), Code.APPROVAL_NOT_YET_VALID), State.WITHDRAWN),
        (decision(approved(decision=Verdict.REFUSE), Code.CONFIGURATION_CHANGED), State.DRAFT),
        (decision(approved(), Code.REVOKED), State.REVOKED),
        (decision(approved(expires="2026-06-01T11:59:59Z"), Code.APPROVAL_EXPIRED), State.EXPIRED),
    ],
)
def test_a_state_follows_from_the_decision(given: Decision | None, state: State) -> None:
    assert state_of(connection(Stage.TEST), given, [], Promoted(), NOW) is state


@pytest.mark.parametrize(("sha256", "state"), [(SHA, State.REHEARSED), (OTHER, State.APPROVED)])
def test_a_visit_with_this_very_configuration_makes_it_rehearsed(sha256: str, state: State) -> None:
    assert state_of(connection(Stage.TEST), decision(approved()), [rehearsed(sha256)], Promoted(), NOW) is state


@pytest.mark.parametrize(
    ("file", "state"),
    [
        ("approval-000002-refuse.json", State.WITHDRAWN),
        ("x.json", State.WITHDRAWN),
        ("rehearsal-20260601t113000z-aaaaaaaaaaaa.json", State.APPROVED),
    ],
)
@pytest.mark.parametrize("code", [Code.SIGNATURE_INVALID, Code.STATEMENT_MISPLACED, Code.KEY_UNKNOWN])
def test_nothing_is_approved_while_a_file_may_hide_a_refusal(file: str, state: State, code: Code) -> None:
    why = Reason(code, "this", "that", f"approvals/lakeside/lakeside-test/{file}")
    given = Refused("lakeside", "lakeside-test", SHA, approved(), (why,))
    assert state_of(connection(Stage.TEST), given, [], Promoted(), NOW) is state


def test_a_rehearsal_ends() -> None:
    later = NOW + timedelta(days=181)
    given = decision(approved(expires="2028-01-01T00:00:00Z"))
    assert state_of(connection(Stage.TEST), given, [rehearsed(SHA)], Promoted(), later) is State.APPROVED


@pytest.mark.parametrize(("sha256", "state"), [(SHA, State.PROMOTED), (OTHER, State.APPROVED)])
def test_production_is_promoted_by_its_digest(sha256: str, state: State) -> None:
    entry = PromotedConnection(sha256=sha256, promoted_at="2026-06-01T11:30:00Z", serial=1)
    promoted = Promoted(connections={"lakeside-production": entry})
    given = decision(approved(Stage.PRODUCTION))
    assert state_of(connection(Stage.PRODUCTION), given, [], promoted, NOW) is state


def test_every_state_has_its_meaning() -> None:
    assert set(MEANING) == set(State)


# --- configuration ------------------------------------------------------------------------------------------------


def test_everything_that_a_digest_covers_is_shown() -> None:
    for organization in stack().organizations:
        for one in organization.connections:
            form = connection_form(organization, one, "host.example")
            shown = {f.path: f.value for _, fields in sections(organization, one, "host.example") for f in fields}
            assert flat(form).items() <= shown.items()


def test_a_change_is_shown_with_what_was_before() -> None:
    one = connection(Stage.TEST)
    before = connection_form(lakeside(), one, "a.example")
    keys = one.launch_context_keys.model_copy(update={"department_id": None})
    after = connection_form(lakeside(), one.model_copy(update={"launch_context_keys": keys}), "b.example")
    assert [(c.label, c.before, c.after) for c in changes(before, after)] == [
        ("Launches arrive at", "a.example", "b.example"),
        ("Department is read from", "departmentId", "(not set)"),
    ]
    assert changes(before, before) == []


# --- people -------------------------------------------------------------------------------------------------------


NO_ROLE: set[Role] = set()


def catalogue() -> Catalogue:
    return Catalogue.of(ConfigurationDocument.of(stack(), GeographyName.AMERICAS))


@pytest.mark.parametrize(
    ("tenant", "object_id", "roles"),
    [
        ("1a1a1a1a-0000-4000-8000-000000000001", "3c3c3c3c-0000-4000-8000-000000000018", {Role.ADMINISTRATOR}),
        ("1a1a1a1a-0000-4000-8000-000000000001", "3c3c3c3c-0000-4000-8000-000000000019", {Role.APPROVER}),
        ("1a1a1a1a-0000-4000-8000-000000000002", "3c3c3c3c-0000-4000-8000-000000000019", NO_ROLE),
        ("1a1a1a1a-0000-4000-8000-000000000001", "3c3c3c3c-0000-4000-8000-000000000012", NO_ROLE),
    ],
)
def test_roles_go_by_tenant_and_object_id(tenant: str, object_id: str, roles: set[Role]) -> None:
    assert roles_of(Account(tenant, object_id), lakeside()) == roles


def test_a_role_is_one_of_the_persons_own_tenant() -> None:
    moved = lakeside().model_copy(update={"tenant_id": "1a1a1a1a-0000-4000-8000-000000000002"})
    avery = lakeside().administrators[0]
    assert roles_of(Account(avery.tenant_id, avery.object_id), moved) == frozenset()


def test_an_organisation_has_the_connections_of_both_stages() -> None:
    found = catalogue().organization("lakeside")
    assert found
    assert [c.stage for c in found.connections] == [Stage.TEST, Stage.PRODUCTION]
    assert catalogue().organization("rheinland") is None, "that is at home in another geography"


@pytest.mark.parametrize(
    ("path", "kept"),
    [
        ("/connections/lakeside-test", "/connections/lakeside-test"),
        ("/connections/lakeside-test/records.csv", "/connections/lakeside-test/records.csv"),
        ("//evil.example", "/"),
        ("https://evil.example/", "/"),
        ("/\\evil.example", "/"),
        ("/%2f/evil.example", "/"),
        ("/a" * 150, "/"),
        ("", "/"),
        ("/", "/"),
    ],
)
def test_after_the_sign_in_nobody_is_sent_to_another_site(path: str, kept: str) -> None:
    assert own_path(path) == kept


@pytest.mark.parametrize(
    ("auth_time", "fresh"),
    [
        (1000, True),
        (971, True),
        (969, False),
        (0, False),
        (None, False),
        ("1000", False),
        (True, False),
        (99999, False),
    ],
)
def test_a_fresh_sign_in_is_one_since_it_began(auth_time: object, fresh: bool) -> None:
    assert is_fresh(auth_time, began=1000.0, now=1060.0) == fresh


def test_a_browsers_cookie_is_kept_as_a_hash() -> None:
    assert browser_hash("a") != browser_hash("b")
