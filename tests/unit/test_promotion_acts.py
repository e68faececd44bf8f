"""`connector revoke`, `break-glass` and `trust`: what operators sign or write, before any cloud runs."""

import base64
import json
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from schemas.promotion.envelope import StatementFile, Verified, verify
from schemas.promotion.reasons import Code
from schemas.promotion.statement import BreakGlass, Revocations, moment
from schemas.promotion.trust import Trust, read_anchors
from schemas.vocabulary import Stage
from tests.support.command import connector
from tests.support.program import stack_of
from tests.support.promotion import accepted, make_project, put
from tests.support.samples import ROOT
from tests.support.statements import emulated_anchors
from workflow.project import Project
from workflow.promotion.glass import GlassHolds
from workflow.promotion.judging import UnknownConnection
from workflow.promotion.keys import TrustRefused
from workflow.promotion.rehearse import NothingToRehearse
from workflow.promotion.revoke import RevocationRefused
from workflow.workspace import Workspace

LIST = "approvals/revocations/americas-production.json"
ANCHORS = "schemas/promotion/anchors/emulated.json"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return make_project(tmp_path)


@pytest.fixture
def space(project: Path) -> Workspace:
    """The repository of the project, in which everything is approved."""
    put(project, accepted(project))
    found = Workspace(Project(project, project / ".local"), stack_of("local"))
    found.update()
    return found


def read(place: Path, path: str) -> Verified:
    trust = Trust(stack_of("local-prod").promotion.trusted_keys, emulated_anchors())
    found = verify(StatementFile(path, (place / path).read_bytes()), trust)
    assert isinstance(found, Verified)
    return found


def merged(space: Workspace, prefix: str) -> Path:
    (branch,) = [b for b in space.branches() if b.startswith(prefix)]
    space.merge(branch)
    space.update()
    return space.project.root


# --- revoke ---------------------------------------------------------------------------------------------------------


@pytest.mark.rule(Code.REVOKED)
def test_a_revocation_is_the_next_list_on_a_branch(project: Path, space: Workspace) -> None:
    done = connector(project, "revoke", "lakeside-production", "--reason", "a leaked key")
    assert done.exit_code == 0, done.exception
    assert "NOT published, because this stack does not run yet" in done.output
    root = merged(space, "connector/revocations-production-americas-2")
    list_ = read(root, LIST).predicate
    assert isinstance(list_, Revocations)
    assert (list_.version, [(r.connection, r.reason) for r in list_.revoked]) == (
        2,
        [("lakeside-production", "a leaked key")],
    )
    assert moment(list_.expires) - moment(list_.issued) == timedelta(days=7)
    checked = connector(root, "check", "--promotion", "local-prod")
    assert "expected no revocation" in checked.output


def test_a_renewed_list_says_the_same_for_another_week(project: Path, space: Workspace) -> None:
    connector(project, "revoke", "lakeside-production", "--reason", "a leaked key")
    merged(space, "connector/revocations-")
    done = json.loads(
        connector(project, "revoke", "--renew", "--stack", "local-prod", "--days", "14", "--output", "json").output
    )
    lists = {found["geography"]: found["list"] for found in done["lists"]}
    assert {geography: list_["version"] for geography, list_ in lists.items()} == {"americas": 3, "emea": 2, "apac": 2}
    assert [r["connection"] for r in lists["americas"]["revoked"]] == ["lakeside-production"]
    assert moment(lists["emea"]["expires"]) - moment(lists["emea"]["issued"]) == timedelta(days=14)


def test_renewals_that_nobody_merged_yet_are_on_one_branch(project: Path, space: Workspace) -> None:
    for _ in range(2):
        assert connector(project, "revoke", "--renew", "--stack", "local-prod").exit_code == 0
    assert [b for b in space.branches() if b.startswith("connector/")] == ["connector/revocations-production-renewed"]


def test_a_lifted_revocation_is_no_longer_in_the_list(project: Path, space: Workspace) -> None:
    connector(project, "revoke", "lakeside-production", "prairie-production", "--reason", "a leaked key")
    merged(space, "connector/revocations-production-americas-2")
    done = json.loads(connector(project, "revoke", "prairie-production", "--lift", "--output", "json").output)
    assert [r["connection"] for r in done["lists"][0]["list"]["revoked"]] == ["lakeside-production"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["lakeside-production"], "expected a reason"),
        ([], "expected connections, or --renew"),
        (["lakeside-production", "--renew"], "expected connections, or --renew"),
        (["--renew"], "expected --stack"),
        (["lakeside-production", "--reason", "[31m"], "expected a reason of one line"),
        (["lakeside-production", "--lift"], "is not revoked"),
    ],
)
@pytest.mark.usefixtures("space")
def test_what_makes_no_list_is_refused(project: Path, arguments: list[str], said: str) -> None:
    refused = connector(project, "revoke", *arguments)
    assert isinstance(refused.exception, RevocationRefused)
    assert said in str(refused.exception)


def test_a_connection_that_nobody_serves_is_not_revoked(project: Path) -> None:
    refused = connector(project, "revoke", "nowhere", "--reason", "a leaked key")
    assert isinstance(refused.exception, UnknownConnection)


# --- break-glass ----------------------------------------------------------------------------------------------------

UNREHEARSED = pytest.mark.rule(Code.REHEARSAL_MISSING)
GLASS = ("break-glass", "lakeside-production", "--hours", "4", "--reason", "The approver is away")


def without_rehearsal(project: Path, space: Workspace) -> None:
    for root in (project, space.project.root):
        for file in (root / "approvals/lakeside/lakeside-test").glob("rehearsal-*"):
            file.unlink()


@pytest.mark.rule(Code.REHEARSAL_MISSING, Code.BREAK_GLASS)
def test_broken_glass_is_a_signed_statement_that_everybody_warns_of(project: Path, space: Workspace) -> None:
    without_rehearsal(project, space)
    assert connector(project, "check", "--promotion", "local-prod").exit_code == 1
    done = connector(project, *GLASS, "--waive", "rehearsal-missing")
    assert done.exit_code == 0, done.exception
    assert "GLASS BROKEN for lakeside-production until" in done.output
    root = merged(space, "connector/break-glass-lakeside-production-")
    without_rehearsal(project, space)
    (file,) = (root / "approvals/lakeside/lakeside-production").glob("break-glass-*.json")
    glass = read(root, file.relative_to(root).as_posix()).predicate
    assert isinstance(glass, BreakGlass)
    assert moment(glass.expires) - moment(glass.issued) == timedelta(hours=4)
    checked = connector(root, "check", "--promotion", "local-prod")
    assert checked.exit_code == 0
    assert "[break-glass]" in checked.output
    assert "The approver is away" in checked.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([*GLASS, "--waive", "revoked"], "never waived: revoked"),
        ([*GLASS, "--waive", "signature-invalid"], "never waived"),
        ([*GLASS, "--waive", "whatever"], "expected codes of reasons, got whatever"),
        ([*GLASS[:3], "73", *GLASS[4:], "--waive", "rehearsal-missing"], "expected 1 to 72 hours"),
        pytest.param([*GLASS, "--waive", "approval-expired"], "none of these keeps", marks=UNREHEARSED),
        pytest.param(
            [*GLASS[:5], "<b>now</b>", "--waive", "rehearsal-missing"],
            "expected a reason of one plain line",
            marks=UNREHEARSED,
        ),
    ],
)
def test_the_glass_holds(project: Path, space: Workspace, arguments: list[str], said: str) -> None:
    without_rehearsal(project, space)
    refused = connector(project, *arguments)
    assert isinstance(refused.exception, GlassHolds)
    assert said in str(refused.exception)


@pytest.mark.usefixtures("space")
def test_what_is_approved_needs_no_emergency(project: Path) -> None:
    refused = connector(project, *GLASS, "--waive", "rehearsal-missing")
    assert "there is nothing to waive" in str(refused.exception)


# --- trust ----------------------------------------------------------------------------------------------------------


def with_own_anchors(project: Path) -> Path:
    """The project with a copy of the code's schemas, so that anchors can be written."""
    (project / "schemas").unlink()
    (project / ANCHORS).parent.mkdir(parents=True)
    (project / ANCHORS).write_bytes((ROOT / ANCHORS).read_bytes())
    return project


def new_key(project: Path) -> ec.EllipticCurvePublicKey:
    public = ec.generate_private_key(ec.SECP256R1()).public_key()
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    (project / "new.pem").write_bytes(pem)
    return public


def add(project: Path, *more: str) -> list[str]:
    key = ["--version", "f" * 32, "--public-key", str(project / "new.pem")]
    scope = ["--geography", "emea", "--signs", "approval", "--stack", "local", "--stack", "local-prod"]
    return ["trust", "add", "portal-signing", *scope, *key, *more]


def test_the_keys_that_count_are_listed_and_why_others_do_not(project: Path) -> None:
    keys = json.loads(connector(project, "trust", "list", "local-prod", "--output", "json").output)["keys"]
    assert sum(key["counts"] for key in keys) == len(stack_of("local-prod").promotion.trusted_keys)
    assert {key["why"] for key in keys if not key["counts"]} == {"the image lists it, the stack does not"}
    assert "portal-signing" in connector(project, "trust", "list", "local").output


def test_a_key_is_added_to_stacks_and_anchors_and_overlaps_with_the_one_before(project: Path) -> None:
    public = new_key(with_own_anchors(project))
    done = connector(project, *add(project))
    assert done.exit_code == 0, done.exception
    assert "a pull request of its own" in done.output
    text = (project / "Pulumi.local-prod.yaml").read_text("utf-8")
    assert text.startswith("# yaml-language-server")
    assert "# The image is made of the files as they are now" in text
    spki = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    anchors = read_anchors((project / ANCHORS).read_bytes())
    assert anchors.keys[-1].public_key == base64.b64encode(spki).decode()
    assert len((project / ANCHORS).read_text("utf-8").splitlines()) == len(anchors.keys) + 2
    for name in ("local", "local-prod"):
        keys = json.loads(connector(project, "trust", "list", name, "--output", "json").output)["keys"]
        mine = [k for k in keys if k["name"] == "portal-signing" and k["geography"] == "emea"]
        assert [k["counts"] for k in mine] == [True, True]


def test_a_key_is_retired_once_its_successor_is_there(project: Path) -> None:
    new_key(with_own_anchors(project))
    old = next(
        k.key_id
        for k in stack_of("local").promotion.trusted_keys
        if (k.name, k.geography) == ("portal-signing", "emea")
    )
    alone = connector(project, "trust", "retire", old, "--stack", "local")
    assert isinstance(alone.exception, TrustRefused)
    assert "add its successor first" in alone.exception.advice
    connector(project, *add(project))
    done = connector(project, "trust", "retire", old[:12], "--stack", "local", "--at", "2026-06-01T12:00:00Z")
    assert done.exit_code == 0, done.exception
    keys = json.loads(connector(project, "trust", "list", "local", "--output", "json").output)["keys"]
    (retired,) = [k for k in keys if k["keyId"] == old]
    assert retired["why"] == "retired: counts for statements from before 2026-06-01T12:00:00Z alone"


def test_what_is_no_public_key_is_refused(project: Path) -> None:
    with_own_anchors(project)
    (project / "new.pem").write_text("-----BEGIN PRIVATE KEY-----\n", "utf-8")
    refused = connector(project, *add(project))
    assert isinstance(refused.exception, TrustRefused)
    assert "expected a public key" in str(refused.exception)


def test_an_edit_that_would_be_invalid_is_not_written(project: Path) -> None:
    with_own_anchors(project)
    new_key(project)
    before = (project / "Pulumi.local.yaml").read_bytes()
    arguments = [a if a != "f" * 32 else "no version" for a in add(project)]
    assert connector(project, *arguments).exit_code == 1
    assert (project / "Pulumi.local.yaml").read_bytes() == before


# --- rehearse -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--stack", "local-prod"], "rehearsals are made in test"),
        (["nobody"], "no test connection on an emulated EHR: nobody"),
    ],
)
def test_what_cannot_be_rehearsed_is_told(project: Path, arguments: list[str], said: str) -> None:
    refused = connector(project, "rehearse", *arguments)
    assert isinstance(refused.exception, NothingToRehearse)
    assert said in str(refused.exception)


def test_people_rehearse_where_ehrs_are_real(project: Path) -> None:
    refused = connector(project, "rehearse", "--stack", "test")
    assert "this command works on the emulated cloud only" in str(refused.exception)
    assert stack_of("test").stage is Stage.TEST
