"""What was published after the merge is brought into the checkout that is deployed: an update decides by it."""

from pathlib import Path

import pytest
from dulwich.refs import Ref
from dulwich.repo import Repo

from schemas.promotion.promoted import FILE
from schemas.promotion.reasons import Code
from schemas.promotion.statement import Revoked, Verdict, at
from schemas.vocabulary import GeographyName, Stage
from tests.support import statements
from tests.support.command import connector
from tests.support.github_site import FULL_NAME, GitHub
from tests.support.program import stack_of
from tests.support.promotion import accepted, make_project, now, put

CONNECTION = "lakeside-production"


@pytest.fixture
def github(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> GitHub:
    """Everything is approved, promoted and merged; the project is a checkout of it."""
    monkeypatch.setenv("GITHUB_TOKEN", "a-token")
    found = GitHub(tmp_path / "repository.git", now().timestamp())
    found.push("main", {"README.md": b"x"})
    root = make_project(tmp_path / "project")
    put(root, accepted(root))
    with Repo.init(str(root)) as repo:
        repo.refs[Ref(b"refs/heads/main")] = found.git.refs[Ref(b"refs/heads/main")]
        repo.refs.set_symbolic_ref(Ref(b"HEAD"), Ref(b"refs/heads/main"))
    return found


def said(serial: int, decision: Verdict) -> dict[str, bytes]:
    """A decision of the approver, as the portal publishes it."""
    stack = stack_of("local")
    organization = stack.organizations[0]
    connection = next(c for c in organization.connections if c.id == CONNECTION)
    predicate = statements.approval(organization, connection, now(), serial=serial, decision=decision)
    key = statements.private_key(Stage.TEST, GeographyName.AMERICAS, "portal-signing")
    file = statements.statement_file(key, predicate, statements.digest_of(stack, organization, connection))
    return {file.path: file.content}


def revoked(version: int) -> dict[str, bytes]:
    entry = Revoked(connection=CONNECTION, reason="a leaked key", at=at(now()))
    key = statements.private_key(Stage.PRODUCTION, GeographyName.AMERICAS, "revocation-signing")
    predicate = statements.revocations(
        GeographyName.AMERICAS, Stage.PRODUCTION, now(), version=version, revoked=(entry,)
    )
    file = statements.statement_file(key, predicate)
    return {file.path: file.content}


def brought(github: GitHub) -> str:
    root = github.folder.parent / "project"
    done = connector(
        root, "merge", "bring", "--repository", FULL_NAME, "--stack", "local-prod", "--remote", str(github.folder)
    )
    assert done.exit_code == 0, done.exception
    return done.output


def decided(github: GitHub) -> str:
    return connector(github.folder.parent / "project", "check", "--promotion", "local-prod").output


@pytest.mark.rule(Code.APPROVAL_REFUSED, Code.TEST_CONNECTION_MISSING)
def test_a_refusal_that_was_published_since_withdraws(github: GitHub) -> None:
    github.push("connector/statements-americas", said(2, Verdict.REFUSE))
    assert "4 of 4 connections approved" in decided(github)
    assert brought(github).endswith("approval-000002-refuse.json\n")
    assert "3 of 4 connections approved" in decided(github)
    assert "[approval-refused]" in decided(github)


@pytest.mark.rule(Code.REVOCATIONS_OLDER, Code.REVOKED)
def test_a_list_that_was_published_since_withdraws_and_an_older_one_does_not(github: GitHub) -> None:
    github.push("connector/revocations-production-americas-1", revoked(1))
    assert brought(github) == ""
    github.push("connector/revocations-production-americas-2", revoked(2))
    assert brought(github) == "brought approvals/revocations/americas-production.json\n"
    assert "[revoked]" in decided(github)
    assert brought(github) == "", "what is here already is not brought again"


@pytest.mark.rule(Code.STATEMENT_MALFORMED)
def test_what_gives_an_approval_or_was_signed_by_nobody_is_not_brought(github: GitHub) -> None:
    forged = {path: content.replace(b'"sig":"', b'"sig":"AA') for path, content in said(3, Verdict.REFUSE).items()}
    github.push("connector/statements-americas", {**said(2, Verdict.APPROVE), **forged, FILE: b"{}"})
    assert brought(github) == ""
    assert "4 of 4 connections approved" in decided(github)


def test_without_the_repository_nothing_is_deployed(github: GitHub, tmp_path: Path) -> None:
    asked = ["--repository", FULL_NAME, "--stack", "local-prod", "--remote", str(tmp_path / "none.git")]
    refused = connector(tmp_path / "project", "merge", "bring", *asked)
    assert "gives no objects" in str(refused.exception)
