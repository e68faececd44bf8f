"""The portals' branches as `connector` reads them: none yet is nothing; who is refused does not know what there is."""

import asyncio
from pathlib import Path

import pytest

from runtime.portal.repository import RepositoryRefused
from runtime.portal.repository.git import GitRepository
from schemas.vocabulary import GeographyName
from tests.support.bare_repository import BareRepository
from tests.support.git_server import git_server
from workflow.promotion.remote import published

PATH = "approvals/rheinland/rheinland-production/approval-000001-refuse.json"
GEOGRAPHIES = {GeographyName.AMERICAS: None, GeographyName.EMEA: None}


def found(folder: Path, token: str) -> dict[str, bytes]:
    bare = BareRepository.new(folder / "repository.git", {"Pulumi.local.yaml": b"config: {}\n"})
    bare.commit("connector/statements-emea", {PATH: b"{}"})

    async def credential() -> str:
        return token

    with git_server(bare.folder, folder, "a-token") as server:
        repository = GitRepository(server.url, "main", credential, server.ca_bundle)
        return asyncio.run(published(repository, GEOGRAPHIES))


def test_a_portal_that_published_nothing_yet_has_no_branch(tmp_path: Path) -> None:
    assert found(tmp_path, "a-token") == {PATH: b"{}"}


def test_who_may_not_read_the_branches_is_told(tmp_path: Path) -> None:
    with pytest.raises(RepositoryRefused, match="credential"):
        found(tmp_path, "another-token")
