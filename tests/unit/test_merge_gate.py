"""The pull request gate: each attack starts from an accepted pull request, makes one change, and is refused for it.

Where the attacker could sign again, the change is signed again.
"""

from collections.abc import Callable
from dataclasses import replace

import pytest

from runtime.portal.repository.objects import AUTHOR
from schemas.promotion.promoted import FILE, Promoted
from schemas.promotion.reasons import Code
from schemas.promotion.statement import BreakGlass
from schemas.vocabulary import GeographyName, Stage
from tests.support.pull_request_attacks import (
    REQUESTER,
    REVOCATIONS,
    a_file,
    a_geography_paused,
    another_image_of_a_geography,
    another_reviewer,
    at,
    by,
    edited,
    entry_from_the_future,
    entry_of_nobody,
    environment,
    fewer_rehearsals,
    forged,
    hand_added,
    hand_edit,
    hand_edit_of_another,
    moved,
    no_list,
    not_proposed_before,
    older_list,
    one_person,
    other_administrator,
    other_approver,
    proposed,
    proposed_and_changed,
    providers_setting,
    refused_too,
    renamed,
    respelled,
    retired_key,
    reviewed,
    rolled_back_entry,
    unreadable_promoted,
    without_another_entry,
    without_approval,
    without_entry,
)
from tests.support.pull_requests import (
    APP,
    CONNECTION,
    NEW,
    OLD,
    PAT,
    PORTAL,
    PRODUCTION_FILE,
    QUINN,
    ROBIN,
    RULES,
    TEST_FILE,
    Scene,
    Step,
    accepted_scene,
    codes,
    entry,
    promoted_of,
)
from tests.support.statements import private_key, revocations, statement_file
from workflow.merge.pull_request import User
from workflow.merge.reasons import ADVICE, GateCode

ATTACKS: dict[str, tuple[Callable[[Scene], Scene], GateCode]] = {
    # what a promotion relies on, changed with it
    "the approver changed, and approved": (other_approver, GateCode.MIXED),
    "the one-person flag set": (one_person, GateCode.MIXED),
    "an administrator exchanged": (other_administrator, GateCode.MIXED),
    "a trusted key retired": (retired_key, GateCode.MIXED),
    "fewer rehearsals asked for": (fewer_rehearsals, GateCode.MIXED),
    "a reviewer exchanged": (another_reviewer, GateCode.MIXED),
    "policy edited": (a_file("policies/pack.py"), GateCode.MIXED),
    "the gate edited": (a_file("workflow/merge/gate.py"), GateCode.MIXED),
    "a workflow edited": (a_file(".github/workflows/gate.yml"), GateCode.MIXED),
    "code owners added": (a_file(".github/CODEOWNERS"), GateCode.MIXED),
    "a trust anchor added": (a_file("schemas/promotion/anchors/emulated.json"), GateCode.MIXED),
    "the program edited": (a_file("__main__.py"), GateCode.MIXED),
    "a new file that nobody thought of": (a_file("sitecustomize.py"), GateCode.MIXED),
    "an environment of the engine": (environment, GateCode.MIXED),
    "a provider's setting": (providers_setting, GateCode.MIXED),
    "a geography's own image": (another_image_of_a_geography, GateCode.MIXED),
    "a geography paused": (a_geography_paused, GateCode.MIXED),
    "proposed and promoted at once": (not_proposed_before, GateCode.MIXED),
    # what is promoted
    "production edited by hand": (hand_edit, GateCode.NOT_APPROVED),
    "another connection edited by hand": (hand_edit_of_another, GateCode.NOT_APPROVED),
    "the approval left out": (without_approval, GateCode.NOT_APPROVED),
    "a refusal at the same serial": (refused_too, GateCode.NOT_APPROVED),
    "promoted.json left out": (without_entry, GateCode.NOT_PROMOTED),
    "promoted.json rolled back": (rolled_back_entry, GateCode.PROMOTED_EDITED),
    "a serial that ends all serials": (entry_from_the_future, GateCode.PROMOTED_EDITED),
    "another's entry taken out": (without_another_entry, GateCode.PROMOTED_EDITED),
    "an entry of nobody's": (entry_of_nobody, GateCode.PROMOTED_EDITED),
    "promoted.json respelled": (respelled, GateCode.PROMOTED_EDITED),
    "promoted.json unreadable": (unreadable_promoted, GateCode.PROMOTED_EDITED),
    "promoted.json emptied": (lambda s: s.edit({FILE: b"{}"}), GateCode.PROMOTED_EDITED),
    "promoted.json taken away": (lambda s: s.edit({FILE: None}), GateCode.PROMOTED_EDITED),
    # statements
    "an old statement moved": (moved, GateCode.STATEMENT_CHANGED),
    "an old statement edited": (edited, GateCode.STATEMENT_CHANGED),
    "the new statement renamed": (renamed, GateCode.STATEMENT_REJECTED),
    "the new statement signed by another geography": (forged, GateCode.STATEMENT_REJECTED),
    "an older list of revocations": (older_list, GateCode.REVOCATIONS_ROLLED_BACK),
    "no list of revocations": (no_list, GateCode.REVOCATIONS_ROLLED_BACK),
    # paths
    "a link for a file": (at("docs/note.md", (0o120000, b"../policies")), GateCode.PATH_UNCLEAR),
    "a name twice, in another case": (
        lambda s: s.edit({"docs/note.md": b"x", "docs/Note.md": b"x"}),
        GateCode.PATH_UNCLEAR,
    ),
    "control characters in a name": (at("docs/\x1b[31mred.md"), GateCode.PATH_UNCLEAR),
    "bytes that are no text": (at("docs/\udcff.md"), GateCode.PATH_UNCLEAR),
    "a backslash": (at("docs/..\\..\\x.md"), GateCode.PATH_UNCLEAR),
    "something else below approvals": (at("approvals/lakeside/note.txt"), GateCode.PATH_UNCLEAR),
    # people
    "nobody reviewed": (reviewed(), GateCode.REVIEW_MISSING),
    "the requester reviewed": (reviewed((ROBIN, "APPROVED", True)), GateCode.REVIEW_BY_REQUESTER),
    "an earlier commit reviewed": (reviewed((QUINN, "APPROVED", False)), GateCode.REVIEW_STALE),
    "a review dismissed": (reviewed((QUINN, "DISMISSED", True)), GateCode.REVIEW_MISSING),
    "a comment for a review": (reviewed((QUINN, "COMMENTED", True)), GateCode.REVIEW_MISSING),
    "a review taken back": (
        reviewed((QUINN, "APPROVED", True), (QUINN, "CHANGES_REQUESTED", True)),
        GateCode.CHANGES_REQUESTED,
    ),
    "an account of that name in another case": (reviewed((User("Quinn"), "APPROVED", True)), GateCode.REVIEW_MISSING),
    "an app of that name": (reviewed((User("quinn", "Bot"), "APPROVED", True)), GateCode.REVIEW_MISSING),
    "somebody else's review": (reviewed((User("mallory"), "APPROVED", True)), GateCode.REVIEW_MISSING),
    "the reviewer's own commit": (by(QUINN), GateCode.REVIEW_BY_REQUESTER),
    "the reviewer's own commit, in another case": (by(User("QUINN")), GateCode.REVIEW_BY_REQUESTER),
    "the reviewer committed another's": (by(ROBIN, QUINN), GateCode.REVIEW_BY_REQUESTER),
    "opened by the reviewer": (lambda s: replace(s, opened_by=QUINN), GateCode.REVIEW_BY_REQUESTER),
    "a commit of nobody's": (by(None), GateCode.REQUESTER_UNKNOWN),
    "the portal's commit without a trailer": (by(PORTAL, PORTAL), GateCode.REQUESTER_UNKNOWN),
    "what promote committed, opened by an app": (
        lambda s: replace(s.last(author=None, committer=None, identity=AUTHOR), opened_by=PORTAL),
        GateCode.REQUESTER_UNKNOWN,
    ),
    "what promote committed, reviewed by who opened it": (
        lambda s: replace(s.last(author=None, committer=None, identity=AUTHOR), opened_by=QUINN),
        GateCode.REVIEW_BY_REQUESTER,
    ),
    "the approver did not review": (
        lambda s: replace(s, reviews=((QUINN, "APPROVED", True),)),
        GateCode.APPROVER_REVIEW_MISSING,
    ),
    "the approver reviewed an earlier commit": (
        lambda s: replace(s, reviews=((QUINN, "APPROVED", True), (PAT, "APPROVED", False))),
        GateCode.APPROVER_REVIEW_MISSING,
    ),
    # trailers
    "the portal's requester reviewed": (
        lambda s: proposed(replace(s, reviews=((ROBIN, "APPROVED", True), (PAT, "APPROVED", True)))),
        GateCode.REVIEW_BY_REQUESTER,
    ),
    "a trailer signed by another key": (
        lambda s: proposed(s, key=(Stage.TEST, "worker-signing")),
        GateCode.REQUESTER_UNPROVEN,
    ),
    "a trailer of another base": (lambda s: proposed(s, base="1" * 40), GateCode.REQUESTER_UNPROVEN),
    "a trailer of another change": (proposed_and_changed, GateCode.REQUESTER_UNPROVEN),
    "a trailer made up": (
        lambda s: s.last(message="x\n\nConnector-Requester: bm9ib2R5\n"),
        GateCode.REQUESTER_UNPROVEN,
    ),
    # the revisions and the branch
    "a fork": (lambda s: replace(s, elsewhere=True), GateCode.HEAD_ELSEWHERE),
    "a base that moved": (lambda s: replace(s, base_moved=True), GateCode.BASE_MOVED),
    "a head without the base": (lambda s: replace(s, behind=True), GateCode.HEAD_BEHIND),
    "a branch without the required check": (
        lambda s: replace(s, rules=replace(RULES, checks=frozenset())),
        GateCode.PROTECTION_WEAK,
    ),
    "a required check of whatever app": (
        lambda s: replace(s, rules=replace(RULES, checks=frozenset({("connector/gate", None)}))),
        GateCode.PROTECTION_WEAK,
    ),
    "a required check of another app": (
        lambda s: replace(s, rules=replace(RULES, checks=frozenset({("connector/gate", APP + 1)}))),
        GateCode.PROTECTION_WEAK,
    ),
    "a branch where stale reviews stay": (
        lambda s: replace(s, rules=replace(RULES, dismisses_stale=False)),
        GateCode.PROTECTION_WEAK,
    ),
    # configuration
    "no production stack any more": (lambda s: s.edit({PRODUCTION_FILE: None}), GateCode.CONFIGURATION_INVALID),
    "production that calls itself test": (
        lambda s: s.text(PRODUCTION_FILE, ("stage: production\n", "stage: test\n")),
        GateCode.CONFIGURATION_INVALID,
    ),
    "no test stack any more": (lambda s: s.edit({TEST_FILE: None}), GateCode.CONFIGURATION_INVALID),
    "configuration that is none": (
        lambda s: s.text("organizations/test/northwind.yaml", ("fhirBaseUrl: https:", "fhirBaseUrl: http:")),
        GateCode.CONFIGURATION_INVALID,
    ),
}

BY_PROMOTION: dict[str, tuple[Code, ...]] = {
    "proposed and promoted at once": (Code.NOT_PROPOSED,),
    "the approval left out": (Code.CONFIGURATION_CHANGED,),
    "a refusal at the same serial": (Code.APPROVAL_REFUSED,),
    "a serial that ends all serials": (Code.PROMOTED_DIFFERS,),
    "another's entry taken out": (Code.PROMOTED_ROLLED_BACK,),
    "promoted.json emptied": (Code.PROMOTED_ROLLED_BACK,),
    "promoted.json taken away": (Code.PROMOTED_ROLLED_BACK,),
    "the new statement renamed": (Code.STATEMENT_MISPLACED,),
    "the new statement signed by another geography": (Code.KEY_SCOPE,),
    "an older list of revocations": (Code.KEY_UNKNOWN, Code.REVOCATIONS_OLDER),
    "a trailer signed by another key": (Code.KEY_TYPE,),
}
"""The attacks that the gate knows by rules of promotion."""


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.rule(code, *BY_PROMOTION.get(name, ())))
        for name, (_, code) in ATTACKS.items()
    ],
)
def test_one_change_of_an_accepted_pull_request_is_refused_for_one_reason(name: str) -> None:
    attack, code = ATTACKS[name]
    assert codes(attack(accepted_scene())) == {str(code)}


def test_the_accepted_pull_request_passes() -> None:
    outcome = accepted_scene().judged()
    assert outcome.findings == ()
    assert [d.connection for _, d in outcome.promoted()] == [CONNECTION]


NEWER_LIST = "with a newer list of revocations"
ACCEPTED: dict[str, Callable[[Scene], Scene]] = {
    "as the portal proposes it": proposed,
    "as promote commits it": lambda s: s.last(author=None, committer=None, identity=AUTHOR),
    "with an edit of the documentation": hand_added,
    "with a person's change on GitHub's pages": by(ROBIN, User("web-flow")),
    "with a comment after the approval": reviewed((QUINN, "APPROVED", True), (QUINN, "COMMENTED", True)),
    NEWER_LIST: lambda s: s.edit(
        {
            REVOCATIONS: statement_file(
                private_key(Stage.PRODUCTION, GeographyName.AMERICAS, "revocation-signing"),
                revocations(GeographyName.AMERICAS, Stage.PRODUCTION, version=2),
            ).content
        }
    ),
}


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[pytest.mark.rule(Code.KEY_UNKNOWN)] if n == NEWER_LIST else []) for n in ACCEPTED],
)
def test_what_does_not_matter_stops_nobody(name: str) -> None:
    assert codes(ACCEPTED[name](accepted_scene())) == set()


@pytest.mark.rule(GateCode.NOT_APPROVED, Code.APPROVAL_MISSING, Code.KEY_UNKNOWN)
def test_broken_glass_serves_what_nobody_approved_and_promotes_nothing() -> None:
    scene = accepted_scene()
    sha256 = entry(scene.head, CONNECTION, 1).sha256
    glass = BreakGlass(
        form=1,
        organization="lakeside",
        geography=GeographyName.AMERICAS,
        stage=Stage.PRODUCTION,
        connection=CONNECTION,
        waives=("approval-missing",),
        reason="The old system is away",
        issued_by=REQUESTER,
        issued="2026-06-01T11:00:00Z",
        expires="2026-06-02T11:00:00Z",
    )
    key = private_key(Stage.PRODUCTION, GeographyName.AMERICAS, "revocation-signing")
    file = statement_file(key, glass, sha256)

    def without(promoted: Promoted) -> Promoted:
        left = {k: v for k, v in promoted.connections.items() if k != CONNECTION}
        return promoted.model_copy(update={"connections": left})

    base = {p: c for p, c in scene.base.items() if p != OLD} | {FILE: promoted_of(scene.base, without)}
    scene = replace(scene, base=base).edit({OLD: None, NEW: None, FILE: base[FILE]})
    assert codes(scene) == {str(GateCode.NOT_APPROVED)}
    assert codes(scene.edit({file.path: file.content})) == set()


ALONE: dict[str, Callable[[Scene], Scene]] = {
    "code": a_file("workflow/merge/gate.py"),
    "trusted keys": retired_key,
    "the one-person flag": one_person,
    "an edit of the test stack": lambda s: s.text(TEST_FILE, ("lakeside-prd-patient", "lakeside-prd-patients")),
}


@pytest.mark.rule(GateCode.REVIEW_MISSING)
@pytest.mark.parametrize("name", ALONE)
def test_what_a_promotion_relies_on_changes_in_a_pull_request_of_its_own(name: str) -> None:
    """Reviewed by a platform engineer, as everything is."""
    scene = accepted_scene()
    alone = ALONE[name](replace(scene, steps=(Step({**scene.base}),)))
    assert codes(alone) == set()
    assert codes(replace(alone, reviews=())) == {str(GateCode.REVIEW_MISSING)}


@pytest.mark.rule(GateCode.NO_REVIEWERS)
def test_without_reviewers_nothing_is_merged() -> None:
    scene = accepted_scene()
    text = scene.base[PRODUCTION_FILE]
    assert isinstance(text, bytes)
    start = text.index(b"    reviewers:")
    without = text[:start] + text[text.index(b"    source:", start) :]
    assert codes(replace(scene, base={**scene.base, PRODUCTION_FILE: without})) >= {str(GateCode.NO_REVIEWERS)}


@pytest.mark.rule(GateCode.BASE_INVALID)
def test_a_base_that_cannot_be_read_says_so() -> None:
    scene = accepted_scene()
    assert str(GateCode.BASE_INVALID) in codes(replace(scene, base={**scene.base, PRODUCTION_FILE: b"config: 1\n"}))


def test_every_reason_has_advice_and_a_test() -> None:
    assert set(ADVICE) == set(GateCode)
    elsewhere = {GateCode.NO_REVIEWERS, GateCode.BASE_INVALID, GateCode.PREVIEW_FAILED, GateCode.NOT_JUDGED}
    assert {code for _, code in ATTACKS.values()} | elsewhere == set(GateCode)
