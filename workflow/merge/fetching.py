"""The objects of both revisions of a pull request, fetched into a bare repository that is gone afterwards.

Owns that nothing of the head is ever a file: objects only, by https with a token that reads, or from a bare folder.
"""

import tempfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

from dulwich.client import HttpGitClient, LocalGitClient
from dulwich.errors import GitProtocolError, HangupException, NotGitRepository
from dulwich.object_store import BaseObjectStore
from dulwich.objects import ObjectID
from dulwich.refs import Ref
from dulwich.repo import Repo
from urllib3.exceptions import HTTPError

from workflow.errors import WorkflowError

__all__ = ["FetchFailed", "checked_out", "fetched"]


class FetchFailed(WorkflowError):
    """The remote did not give the objects."""


@contextmanager
def fetched(
    remote: str, token: str | None, commits: tuple[str, ...], branches: tuple[str, ...]
) -> Generator[tuple[BaseObjectStore, list[str]]]:
    """A store with these commits and all that they contain, and the same of the branches whose names begin so.

    Answers the branches' commits. Raises `FetchFailed`.
    """
    with tempfile.TemporaryDirectory(prefix="connector-merge-") as folder, Repo.init_bare(folder) as repo:
        wants = _Wants([ObjectID(c.encode()) for c in commits], tuple(f"refs/heads/{b}".encode() for b in branches))
        try:
            if remote.startswith("https://"):
                base, _, path = remote.removesuffix("/").rpartition("/")
                client = HttpGitClient(f"{base}/", username="x-access-token" if token else None, password=token)
            else:
                client, path = LocalGitClient(), remote
            client.fetch(path, repo, determine_wants=wants)
        except (GitProtocolError, HangupException, NotGitRepository, HTTPError, OSError, KeyError) as problem:
            raise FetchFailed(f"the repository gives no objects: {type(problem).__name__}") from None
        if missing := [c for c in commits if ObjectID(c.encode()) not in repo.object_store]:
            raise FetchFailed(f"the repository does not have commit {missing[0][:12]}")
        yield repo.object_store, [c.decode() for c in wants.found]


class _Wants:
    """Asks for commits by their ids, and for those of the branches with one of the prefixes, in the names' order."""

    def __init__(self, commits: list[ObjectID], prefixes: tuple[bytes, ...]) -> None:
        self.commits, self.prefixes = commits, prefixes
        self.found: list[ObjectID] = []

    def __call__(self, refs: Mapping[Ref, ObjectID], depth: int | None = None) -> list[ObjectID]:
        self.found = list(dict.fromkeys(sha for name, sha in sorted(refs.items()) if name.startswith(self.prefixes)))
        return [*self.commits, *(c for c in self.found if c not in self.commits)]


def checked_out(project: Path) -> str:
    """The commit of the project's own checkout: what runs. Raises `FetchFailed`."""
    try:
        with Repo.discover(str(project)) as repo:
            return repo.head().decode()
    except (NotGitRepository, KeyError):
        raise FetchFailed(f"{project} is no checkout of the repository") from None
