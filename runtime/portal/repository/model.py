"""What a repository is to the portal: a place to read files from and to propose changes to, on branches of its own.

Owns the interface, and what no adapter may do: leave the configuration's paths, or write to a branch that is not the
portal's. A path is plain ASCII, segment by segment, so that it means the same to git, to a file system that folds case
or knows short names, and to a reader.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from runtime.errors import ConnectorError, Unavailable

BRANCHES = ("connector/", "promote/")
"""Prefixes of the branches that proposals are made on."""

MAXIMUM_FILES = 2000
MAXIMUM_BYTES = 512 * 1024
"""Of one file."""

_SEGMENT = r"[A-Za-z0-9_-](?:[A-Za-z0-9._-]*[A-Za-z0-9_-])?"
_PATHS = tuple(
    re.compile(pattern)
    for pattern in (
        r"Pulumi\.[A-Za-z0-9_-]+\.yaml",
        rf"organizations(?:/{_SEGMENT})*/[A-Za-z0-9_-]+\.yaml",
        rf"approvals(?:/{_SEGMENT})*/[A-Za-z0-9_-]+\.json",
    )
)
_BRANCH = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*(?:[./][A-Za-z0-9_-]+)*")
_REVISION = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


class RepositoryUnavailable(Unavailable):
    """The remote did not answer, or not as its protocol says; trying again may help."""


class RepositoryRefused(ConnectorError):
    """What was asked may not be done with this repository: a path, branch, file or credential. Trying again is vain."""


class BranchAbsent(RepositoryRefused):
    """The repository answered, and has no such branch."""


@dataclass(frozen=True)
class ProposedChange:
    """A change that is on a branch now; `url` is where people look at it, where the remote has such a place."""

    commit: str
    branch: str
    url: str | None


@dataclass(frozen=True)
class Conflict:
    """Files changed since the base commit of the proposal; nothing was written."""

    base: str
    head: str
    moved: tuple[str, ...]


class Repository(Protocol):
    """Every method raises `RepositoryUnavailable` and `RepositoryRefused`."""

    async def head(self, branch: str | None = None) -> str:
        """The commit of a branch, else of the configured one. Raises `BranchAbsent` where there is none."""
        ...

    async def read(self, path: str, revision: str | None = None) -> bytes | None:
        """A file at a commit or branch, else at the configured branch; None where there is none."""
        ...

    async def paths(self, folder: str, revision: str | None = None) -> list[str]:
        """The paths of the regular files below a folder ("" is the root, of which only files directly in it)."""
        ...

    async def propose(
        self,
        branch: str,
        files: Mapping[str, bytes | None],
        message: str,
        *,
        base: str | None = None,
        title: str | None = None,
    ) -> ProposedChange | Conflict:
        """Commit files (None removes one) and push them to a branch; no commit of somebody else is ever replaced.

        A new branch starts at `base`, else at the configured branch. A branch that exists is continued from where it
        is. With a base, files that changed since then make a `Conflict`: on the configured branch and, if it exists,
        on the branch. Where the remote has pull requests and a title is given, one is opened.
        """
        ...


def checked_proposal(branch: str, files: Mapping[str, bytes | None], message: str, base: str | None) -> bytes:
    """What every adapter asks of a proposal before anything is called; the message. Raises `RepositoryRefused`."""
    checked_branch(branch)
    checked_paths(files)
    if base is not None and not is_revision(base):
        raise RepositoryRefused("expected the base as a commit")
    return checked_message(message)


def checked_branch(branch: str) -> str:
    """A branch of ours. Raises `RepositoryRefused`."""
    if not branch.startswith(BRANCHES) or len(branch) > 100 or not _BRANCH.fullmatch(branch) or _locks(branch):
        raise RepositoryRefused(f"expected a branch that begins with {' or '.join(BRANCHES)}")
    return branch


def checked_paths(paths: Mapping[str, bytes | None]) -> None:
    """Paths and sizes of a change. Raises `RepositoryRefused`."""
    if not 1 <= len(paths) <= MAXIMUM_FILES:
        raise RepositoryRefused(f"expected 1 to {MAXIMUM_FILES} files")
    for path, content in paths.items():
        checked_path(path)
        if content is not None and len(content) > MAXIMUM_BYTES:
            raise RepositoryRefused(f"expected files of at most {MAXIMUM_BYTES} bytes")
    folded = [path.lower() for path in paths]
    if len(set(folded)) != len(folded):
        raise RepositoryRefused("expected paths that differ in more than case")


def checked_path(path: str) -> str:
    """A path of the configuration's. Raises `RepositoryRefused`."""
    if len(path) > 300 or not any(pattern.fullmatch(path) for pattern in _PATHS):
        raise RepositoryRefused("expected a path of the configuration: a stack's file, organizations/ or approvals/")
    return path


def checked_folder(folder: str) -> str:
    if folder and not re.fullmatch(rf"{_SEGMENT}(?:/{_SEGMENT})*", folder):
        raise RepositoryRefused("expected a folder of the configuration")
    return folder


def is_revision(text: str) -> bool:
    """Whether this is a commit's id rather than a branch's name."""
    return _REVISION.fullmatch(text) is not None


def checked_revision(text: str) -> str:
    """A commit, or a branch to read from. Raises `RepositoryRefused`."""
    if not is_revision(text) and (len(text) > 100 or not _BRANCH.fullmatch(text) or _locks(text)):
        raise RepositoryRefused("expected a commit or a branch")
    return text


def checked_message(message: str) -> bytes:
    """A commit's message: lines of text. Raises `RepositoryRefused`."""
    if any(not c.isprintable() and c != "\n" for c in message) or not message.strip():
        raise RepositoryRefused("expected a commit's message without control characters")
    return message.encode()


def _locks(branch: str) -> bool:
    """git-check-ref-format: no part ends with `.lock`."""
    return any(part.endswith(".lock") for part in branch.split("/"))
