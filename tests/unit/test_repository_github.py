"""The GitHub App of the portal: what it asks for, what it may not do, and pull requests."""

import asyncio
import json
from pathlib import Path

import pytest

from runtime.portal.repository import ProposedChange, RepositoryRefused, RepositoryUnavailable
from runtime.portal.repository.github import GitHubRepository
from tests.support.bare_repository import BareRepository
from tests.support.github import NAME, GitHub

STACK = "Pulumi.local.yaml"
BRANCH = "connector/edit-prairie-1"


@pytest.fixture
def bare(tmp_path: Path) -> BareRepository:
    return BareRepository.new(
        tmp_path / "remote.git", {STACK: b"config: {}\n", ".github/workflows/gate.yaml": b"on:\n"}
    )


def propose(repository: GitHubRepository, content: bytes = b"x", title: str | None = "Edit Prairie") -> ProposedChange:
    made = asyncio.run(repository.propose(BRANCH, {STACK: content}, "Edit Prairie\n", title=title))
    assert isinstance(made, ProposedChange)
    return made


def test_asks_for_one_repository_and_two_permissions(bare: BareRepository) -> None:
    hub = GitHub.with_repository(bare.folder, {"contents": "write", "pull_requests": "write", "workflows": "write"})
    propose(hub.repository())
    tokens = [r for r in hub.requests if r.url.path.endswith("/access_tokens")]
    assert [json.loads(r.content) for r in tokens] == [
        {
            "repositories": ["configuration"],
            "permissions": {"contents": "write", "pull_requests": "write", "metadata": "read"},
        }
    ]


def test_a_proposal_with_a_title_opens_one_pull_request(bare: BareRepository) -> None:
    hub = GitHub.with_repository(bare.folder)
    first, second = propose(hub.repository(), b"1"), propose(hub.repository(), b"2")
    assert first.url is not None
    assert first.url == second.url
    opened = [r for r in hub.requests if r.method == "POST" and r.url.path.endswith("/pulls")]
    assert [json.loads(r.content)["title"] for r in opened] == ["Edit Prairie"]
    assert json.loads(opened[0].content)["base"] == "main"


def test_a_proposal_without_a_title_opens_none(bare: BareRepository) -> None:
    hub = GitHub.with_repository(bare.folder)
    assert propose(hub.repository(), title=None).url is None
    assert not [r for r in hub.requests if r.url.path.endswith("/pulls")]


def test_the_commit_is_the_apps(bare: BareRepository) -> None:
    hub = GitHub.with_repository(bare.folder)
    assert bare.author(propose(hub.repository()).commit).startswith("portal[bot] ")


def test_no_ref_is_forced(bare: BareRepository) -> None:
    hub = GitHub.with_repository(bare.folder)
    propose(hub.repository(), b"1")
    propose(hub.repository(), b"2")
    moved = [json.loads(r.content) for r in hub.requests if r.method == "PATCH"]
    assert [m["force"] for m in moved] == [False]


def test_an_app_without_the_permission_is_refused(bare: BareRepository) -> None:
    hub = GitHub.with_repository(bare.folder, {"contents": "read", "pull_requests": "write"})
    with pytest.raises(RepositoryRefused):
        propose(hub.repository())


def test_a_repository_without_the_app_is_refused(bare: BareRepository) -> None:
    with pytest.raises(RepositoryRefused):
        propose(GitHub.with_repository(bare.folder).repository("example/other"))


def test_a_used_up_rate_limit_is_unavailable(bare: BareRepository) -> None:
    hub = GitHub.with_repository(bare.folder)
    hub.site.limit = 2
    with pytest.raises(RepositoryUnavailable):
        propose(hub.repository())


def test_errors_carry_neither_token_nor_key(bare: BareRepository) -> None:
    hub = GitHub.with_repository(bare.folder, {"contents": "read", "pull_requests": "write"})
    with pytest.raises(RepositoryRefused) as refused:
        propose(hub.repository(NAME))
    shown = f"{refused.value!r} {refused.value.advice}"
    assert "PRIVATE" not in shown
    assert "ghs_" not in shown
