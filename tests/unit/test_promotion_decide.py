"""The decision of what is served already, of whole organisations, of broken glass, and of statements by strangers."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from schemas.promotion.decide import image_digest_of, stops
from schemas.promotion.envelope import StatementFile
from schemas.promotion.reasons import ADVICE, Code
from schemas.promotion.statement import Account, Approval, BreakGlass, Rehearsal, Revoked, Verdict, at
from schemas.promotion_config import RehearsalPolicy
from schemas.vocabulary import GeographyName, Stage
from tests.support.accepted import (
    ELSEWHERE,
    GEOGRAPHY,
    OPERATOR,
    ORGANIZATION,
    OWN_KEY,
    PORTAL,
    PORTAL_ELSEWHERE,
    PRODUCTION,
    PRODUCTION_OPERATOR,
    SECOND,
    TEST,
    WORKER,
    Key,
    World,
    accepted,
    approval_of,
    others_stand,
    outcome,
    predicate_of,
    sha256_of,
    two_of_one,
)
from tests.support.attacks import OTHER_ID, edited_digest, pytest
from tests.support.statements import NOW, private_key, revocations, statement_file

W = accepted()
Row = tuple[str, World, str, list[Code]]


def glass(by: Key = PRODUCTION_OPERATOR, sha256: str | None = None, **changes: Any) -> StatementFile:
    """An emergency of the edited connection, for an hour."""
    values: dict[str, Any] = {
        "form": 1,
        "organization": ORGANIZATION,
        "geography": GEOGRAPHY,
        "stage": Stage.PRODUCTION,
        "connection": PRODUCTION,
        "waives": ("configuration-changed",),
        "reason": "The EHR moved overnight",
        "issued_by": Account(tenant_id=OTHER_ID, object_id=OTHER_ID),
        "issued": at(NOW - timedelta(minutes=5)),
        "expires": at(NOW + timedelta(minutes=55)),
    }
    return statement_file(by, BreakGlass.model_validate({**values, **changes}), sha256 or edited_digest())


def edited() -> World:
    """The production connection is edited, in both stacks."""
    return W.configured(None, PRODUCTION, frame_origins=("https://evil.example",))


REFUSAL = approval_of(W, PRODUCTION, decision=Verdict.REFUSE, serial=2)
GARBAGE = b"no statement"
FOLDER = f"approvals/{ORGANIZATION}/{PRODUCTION}"


def soon(**left: int) -> World:
    """Served, by an approval that has so much time left."""
    path = W.path(Approval, PRODUCTION)
    return W.said_anew(path, PORTAL, expires=at(NOW + timedelta(**left))).served()


def garbage(world: World, path: str) -> World:
    return world.having(StatementFile(path, GARBAGE))


def rehearsed(**changes: Any) -> World:
    return W.said_anew(W.path(Rehearsal, TEST), WORKER, **changes).served()


def revoked(world: World, sha256: str | None = None) -> World:
    entry = Revoked(connection=PRODUCTION, sha256=sha256, reason="Lost laptop", at=at(NOW))
    return world.having(
        statement_file(PRODUCTION_OPERATOR, revocations(GEOGRAPHY, Stage.PRODUCTION, NOW, revoked=(entry,)))
    )


def stale(world: World) -> World:
    return world.having(
        statement_file(PRODUCTION_OPERATOR, revocations(GEOGRAPHY, Stage.PRODUCTION, NOW, expires=at(NOW)))
    )


SERVED: list[Row] = [
    ("unchanged", W.served(), "approved", []),
    ("an approval of 30 days more", soon(days=30), "approved", [Code.EXPIRES_SOON]),
    ("an approval of a second more than 30 days", soon(days=30, seconds=1), "approved", []),
    ("its approval expired", soon(seconds=0), "approved", [Code.APPROVAL_EXPIRED]),
    ("promoted after its approval expired", soon(minutes=-30), "withdrawn", [Code.APPROVAL_EXPIRED]),
    (
        "promoted in the future, by the file",
        soon(seconds=0).served(at=at(NOW + timedelta(seconds=1))),
        "withdrawn",
        [Code.APPROVAL_EXPIRED],
    ),
    ("refused by its approver", W.served().having(REFUSAL), "withdrawn", [Code.APPROVAL_REFUSED]),
    (
        "a serial seen before",
        replace(W.served(), highest_serials={PRODUCTION: 2}),
        "withdrawn",
        [Code.SERIAL_ROLLED_BACK],
    ),
    ("a serial promoted before", W.served(serial=2), "withdrawn", [Code.SERIAL_ROLLED_BACK]),
    ("a file that is none", garbage(W.served(), f"{FOLDER}/x.json"), "approved", [Code.STATEMENT_MALFORMED]),
    (
        "the test connection edited",
        W.served().configured(Stage.TEST, TEST, frame_origins=()),
        "approved",
        [Code.TEST_CONNECTION_CHANGED],
    ),
    (
        "the proposal edited",
        W.served().configured(Stage.TEST, PRODUCTION, frame_origins=()),
        "approved",
        [Code.COPY_DIFFERS],
    ),
    ("its rehearsal expired", rehearsed(expires=at(NOW)), "approved", [Code.REHEARSAL_EXPIRED]),
    ("a new image", rehearsed(image="sha256:" + "b" * 64), "refused", [Code.REHEARSAL_IMAGE]),
    (
        "a new image, but revoked",
        revoked(rehearsed(image="sha256:" + "b" * 64)),
        "withdrawn",
        [Code.REHEARSAL_IMAGE, Code.REVOKED],
    ),
    ("revoked", revoked(W.served()), "withdrawn", [Code.REVOKED]),
    ("another configuration of it revoked", revoked(W.served(), sha256="b" * 64), "approved", []),
    ("a list that expired", stale(W.served()), "approved", [Code.REVOCATIONS_STALE]),
    ("edited by hand", replace(edited(), promoted=W.served().promoted), "refused", [Code.CONFIGURATION_CHANGED]),
]

GLASS: list[Row] = [
    ("broken", edited().having(glass()), "approved", [Code.BREAK_GLASS, Code.CONFIGURATION_CHANGED]),
    (
        "broken by two statements",
        edited().without(W.path(Rehearsal, TEST)).having(glass(), glass(waives=("rehearsal-missing",), issued=at(NOW))),
        "approved",
        [Code.BREAK_GLASS, Code.BREAK_GLASS, Code.CONFIGURATION_CHANGED, Code.REHEARSAL_MISSING],
    ),
    (
        "for less than there is",
        edited().without(W.path(Rehearsal, TEST)).having(glass()),
        "refused",
        [Code.REHEARSAL_MISSING],
    ),
    ("for another configuration", edited().having(glass(sha256="b" * 64)), "refused", [Code.CONFIGURATION_CHANGED]),
    (
        "for another organisation",
        edited().having(glass(organization="prairie")),
        "refused",
        [Code.CONFIGURATION_CHANGED],
    ),
    (
        "in another geography",
        edited().having(glass(private_key(Stage.PRODUCTION, ELSEWHERE, "revocation-signing"), geography=ELSEWHERE)),
        "refused",
        [Code.CONFIGURATION_CHANGED],
    ),
    ("for the other stage", edited().having(glass(stage=Stage.TEST)), "refused", [Code.CONFIGURATION_CHANGED]),
    ("by the other stage's operator", edited().having(glass(OPERATOR)), "refused", [Code.CONFIGURATION_CHANGED]),
    ("by the portal", edited().having(glass(PORTAL)), "refused", [Code.CONFIGURATION_CHANGED]),
    ("and mended", edited().having(glass(expires=at(NOW))), "refused", [Code.CONFIGURATION_CHANGED]),
    (
        "tomorrow",
        edited().having(glass(issued=at(NOW + timedelta(seconds=1)))),
        "refused",
        [Code.CONFIGURATION_CHANGED],
    ),
    (
        "against a refusal",
        edited().having(glass(waives=("configuration-changed", "approval-refused")), REFUSAL),
        "refused",
        [Code.CONFIGURATION_CHANGED],
    ),
    (
        "against a revocation",
        revoked(edited().having(glass(waives=("configuration-changed", "revoked")))),
        "refused",
        [Code.REVOKED],
    ),
    (
        "without need",
        W.having(glass(sha256=sha256_of(W.file(W.path(Approval, PRODUCTION))))),
        "approved",
        [],
    ),
]

STRANGERS: list[Row] = [
    (
        "another organisation's folder",
        garbage(W, f"approvals/prairie/{PRODUCTION}/approval-000009-refuse.json"),
        "approved",
        [],
    ),
    (
        "another geography's portal",
        W.having(approval_of(W, PRODUCTION, PORTAL_ELSEWHERE, geography=ELSEWHERE, decision=Verdict.REFUSE, serial=9)),
        "approved",
        [],
    ),
    (
        "another organisation's approver",
        W.having(approval_of(W, PRODUCTION, organization="prairie", decision=Verdict.REFUSE, serial=9)),
        "approved",
        [],
    ),
    (
        "a rehearsal's file that is none",
        garbage(W, f"{FOLDER}/rehearsal-x.json"),
        "approved",
        [Code.STATEMENT_MALFORMED],
    ),
    ("glass by the portal", W.having(glass(PORTAL)), "approved", [Code.KEY_TYPE]),
    (
        "an older approval by a key that is gone",
        W.without(W.path(Approval, PRODUCTION)).having(
            approval_of(W, PRODUCTION, serial=2), approval_of(W, PRODUCTION, OWN_KEY, serial=1)
        ),
        "approved",
        [Code.KEY_UNKNOWN],
    ),
    (
        "the same statement twice",
        W.also(W.file(W.path(Approval, PRODUCTION))),
        "approved",
        [],
    ),
]


ALSO: dict[str, list[Code]] = {
    "by the portal": [Code.KEY_TYPE],
    "by the other stage's operator": [Code.KEY_UNKNOWN],
    "another organisation's folder": [Code.STATEMENT_MALFORMED],
}
"""Rules that a row is of, without being seen in what comes of it."""


def rows(found: list[Row]) -> list[Any]:
    return [
        pytest.param(w, word, codes, id=name, marks=pytest.mark.rule(*codes, *ALSO.get(name, [])))
        for name, w, word, codes in found
    ]


@pytest.mark.parametrize(("world", "word", "codes"), rows(SERVED))
def test_what_is_served_goes_on_unless_somebody_stops_it(world: World, word: str, codes: list[Code]) -> None:
    assert outcome(world.decided()[PRODUCTION]) == (word, codes)


@pytest.mark.parametrize(("world", "word", "codes"), rows(GLASS))
def test_glass_is_broken_for_one_connection_as_it_is(world: World, word: str, codes: list[Code]) -> None:
    decisions = world.decided()
    assert outcome(decisions[PRODUCTION]) == (word, codes)
    assert others_stand(decisions, PRODUCTION)


@pytest.mark.parametrize(("world", "word", "codes"), rows(STRANGERS))
def test_what_strangers_put_down_stops_nobody(world: World, word: str, codes: list[Code]) -> None:
    decisions = world.decided()
    assert outcome(decisions[PRODUCTION]) == (word, codes)
    assert others_stand(decisions, PRODUCTION)


# --- whole organisations --------------------------------------------------------------------------------------------

TWO = two_of_one()
SECOND_APPROVAL = TWO.path(Approval, SECOND)


def test_an_organisation_whose_every_url_is_approved_is_promoted() -> None:
    assert others_stand(TWO.decided())


@pytest.mark.rule("organization-incomplete", "approval-missing")
def test_a_new_connection_waits_for_the_others_of_its_organisation() -> None:
    decisions = TWO.without(SECOND_APPROVAL).decided()
    assert outcome(decisions[PRODUCTION]) == ("refused", [Code.ORGANIZATION_INCOMPLETE])
    assert outcome(decisions[SECOND]) == ("refused", [Code.APPROVAL_MISSING])
    assert others_stand(decisions, PRODUCTION, SECOND)


@pytest.mark.rule("approval-missing")
def test_a_served_connection_does_not_wait_for_a_new_one() -> None:
    decisions = replace(TWO.without(SECOND_APPROVAL), promoted=W.served().promoted).decided()
    assert outcome(decisions[PRODUCTION]) == ("approved", [])
    assert outcome(decisions[SECOND]) == ("refused", [Code.APPROVAL_MISSING])


SOMEBODY = Account(tenant_id=OTHER_ID, object_id=OTHER_ID)


def of(code: Code, world: World) -> Any:
    return pytest.param(world, id=str(code), marks=pytest.mark.rule(code))


@pytest.mark.rule("organization-incomplete")
@pytest.mark.parametrize(
    "world",
    [
        pytest.param(W.without(W.path(Approval, TEST)), id="missing"),
        of(Code.APPROVAL_REFUSED, W.having(approval_of(W, TEST, decision=Verdict.REFUSE))),
        of(Code.APPROVER_DIFFERS, W.having(approval_of(W, TEST, approver=SOMEBODY))),
        of(Code.APPROVAL_EXPIRED, W.having(approval_of(W, TEST, expires=at(NOW)))),
        pytest.param(W.having(approval_of(W, TEST, OWN_KEY)), id="by an own key"),
    ],
)
def test_a_production_connection_waits_for_the_test_connection(world: World) -> None:
    assert outcome(world.decided()[PRODUCTION]) == ("refused", [Code.ORGANIZATION_INCOMPLETE])


def test_who_does_not_know_the_test_stack_compares_with_nothing() -> None:
    world = replace(
        W.without(W.path(Approval, TEST)).configured(Stage.TEST, TEST, frame_origins=()), knows_source=False
    )
    assert others_stand(world.decided())


# --- what follows ---------------------------------------------------------------------------------------------------


@pytest.mark.rule("configuration-changed")
def test_a_refusal_stops_an_update_of_production_only() -> None:
    decisions = edited().decided()
    assert [d.connection for d in stops(decisions, Stage.PRODUCTION)] == [PRODUCTION]
    assert stops(decisions, Stage.TEST) == ()


def test_a_withdrawal_stops_no_update() -> None:
    assert stops(revoked(W.served()).decided(), Stage.PRODUCTION) == ()


@pytest.mark.rule("revocations-stale")
def test_in_test_a_stale_list_warns() -> None:
    decisions = replace(W, now=NOW + timedelta(days=8)).decided(Stage.TEST)
    assert {outcome(d)[0] for d in decisions.values()} == {"approved"}
    assert outcome(decisions[TEST]) == ("approved", [Code.REVOCATIONS_STALE])


@pytest.mark.rule("revocations-never-held")
def test_who_goes_by_files_only_warns_of_a_list_that_is_not_there() -> None:
    lists = [f for f in W.approvals.statements if f.path.startswith("approvals/revocations/")]
    world = replace(W, by_files=True)
    for file in lists:
        world = world.without(file.path)
    assert outcome(world.decided()[PRODUCTION]) == ("approved", [Code.REVOCATIONS_NEVER_HELD])


def test_a_rehearsal_once_is_enough_where_the_configuration_says_so() -> None:
    promotion = W.production.promotion.model_copy(update={"rehearsal": RehearsalPolicy.ONCE})
    world = replace(W, production=W.production.model_copy(update={"promotion": promotion}))
    assert others_stand(replace(world, image="x/y@sha256:" + "b" * 64).decided())


def with_another_image(**of_geography: Any) -> World:
    """The stack rolls another image; `of_geography` is configured in the geography of the connection."""
    geographies = W.production.geographies
    mine = geographies[GEOGRAPHY].model_copy(update=of_geography)
    production = W.production.model_copy(update={"geographies": {**geographies, GEOGRAPHY: mine}})
    return replace(W.served(), production=production, image="sha256:" + "b" * 64)


@pytest.mark.rule(Code.REHEARSAL_IMAGE)
def test_the_image_that_must_be_rehearsed_is_that_of_the_connections_geography() -> None:
    refused = ("refused", [Code.REHEARSAL_IMAGE])
    assert outcome(with_another_image().decided()[PRODUCTION]) == refused
    assert outcome(with_another_image(image=image_digest_of(W.image)).decided()[PRODUCTION]) == ("approved", [])
    rolled = replace(with_another_image(image="sha256:" + "c" * 64), image=W.image)
    assert outcome(rolled.decided()[PRODUCTION]) == refused


def test_a_geography_that_is_paused_keeps_its_image_which_needs_no_rehearsal_anew() -> None:
    assert outcome(with_another_image(paused=True).decided()[PRODUCTION]) == ("approved", [])


def test_a_decision_names_the_digest_and_the_approval_that_it_rests_on() -> None:
    decision = W.decided()[PRODUCTION]
    assert decision.sha256 == sha256_of(W.file(W.path(Approval, PRODUCTION)))
    assert decision.approval == predicate_of(W.file(W.path(Approval, PRODUCTION)))


@pytest.mark.parametrize("code", Code)
def test_every_reason_has_advice(code: Code) -> None:
    assert ADVICE[code]


def test_what_another_stack_proposes_for_a_geography_that_this_one_lacks_stands_in_nobodys_way() -> None:
    """A geography comes to the test stage first, and goes from production first."""
    mine, other = GeographyName.AMERICAS, GeographyName.EMEA
    assert {o.geography for o in W.test.organizations} >= {mine, other}
    production = W.production.model_copy(
        update={
            "geographies": {name: g for name, g in W.production.geographies.items() if name != other},
            "organizations": tuple(o for o in W.production.organizations if o.geography != other),
        }
    )
    decisions = replace(W, production=production).decided()
    assert {d.organization for d in decisions.values()} == {o.id for o in production.organizations}
    assert others_stand(decisions)
