"""The repository that holds the configuration, as operators reach it: read whole at a commit, proposed to on a branch.

Owns which remote that is (the test stack's `promotion.repository`), the operator's credential for it, and what of it
promotion reads. How git is spoken is the runtime's (`runtime/portal/repository`).
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from runtime.portal.repository import BranchAbsent, Repository
from runtime.portal.repository.git import GitRepository
from schemas.promotion.reading import Files
from schemas.promotion.statement import FOLDER
from schemas.stack_config import StackConfig
from schemas.vocabulary import GeographyName
from workflow.errors import WorkflowError
from workflow.project import Project

TOKEN_VARIABLE = "CONNECTOR_REPOSITORY_TOKEN"
FOLDERS = (FOLDER, "organizations")


class NoRepository(WorkflowError):
    def __init__(self, stack: str) -> None:
        super().__init__(f"stack {stack} names no repository")
        self.advice = "set promotion.repository in its file (the test stack's is meant)"


def repository_of(project: Project, name: str, stack: StackConfig) -> Repository:
    """Raises `NoRepository`."""
    config = stack.promotion.repository
    if config is None:
        raise NoRepository(name)
    if config.folder is not None:
        return GitRepository(f"file://{project.root.absolute() / config.folder}", config.branch)
    return GitRepository(config.url or "", config.branch, _credential)


async def _credential() -> str | None:
    return os.environ.get(TOKEN_VARIABLE)


def statements_branch(geography: GeographyName) -> str:
    """Where the portal of a geography publishes what was signed."""
    return f"connector/statements-{geography}"


@dataclass(frozen=True)
class Snapshot:
    """The configuration at one commit, by path."""

    commit: str
    content: Mapping[str, bytes]

    def files(self, project: Project) -> Files:
        """As files; the code, whose anchors count, is the project's."""

        def read(path: str) -> bytes:
            if path in self.content:
                return self.content[path]
            if path.startswith("schemas/"):
                return project.files.read(path)
            raise FileNotFoundError(2, "No such file or directory")

        def below(folder: str) -> Iterator[str]:
            return (path for path in self.content if path.startswith(f"{folder}/"))

        return Files(read, below)

    def with_files(self, changes: Mapping[str, bytes]) -> "Snapshot":
        return Snapshot(self.commit, {**self.content, **changes})


async def snapshot(repository: Repository, branch: str | None = None) -> Snapshot:
    """The head of a branch, else of the configured one. Raises what the repository raises."""
    commit = await repository.head(branch)
    paths = [p for p in await repository.paths("", commit) if p.startswith("Pulumi.") and p != "Pulumi.yaml"]
    for folder in FOLDERS:
        paths += await repository.paths(folder, commit)
    return Snapshot(commit, await contents(repository, paths, commit))


async def published(repository: Repository, geographies: Mapping[GeographyName, object]) -> dict[str, bytes]:
    """The statements on the portals' branches, by path; a branch that is not there yet has none.

    Raises what the repository raises: who may not read them does not know that there are none.
    """
    found: dict[str, bytes] = {}
    for geography in geographies:
        try:
            commit = await repository.head(statements_branch(geography))
        except BranchAbsent:
            continue
        found |= await contents(repository, await repository.paths(FOLDER, commit), commit)
    return found


async def contents(repository: Repository, paths: list[str], commit: str) -> dict[str, bytes]:
    found = {path: await repository.read(path, commit) for path in paths if _is_configuration(path)}
    return {path: content for path, content in found.items() if content is not None}


def _is_configuration(path: str) -> bool:
    return path.endswith((".yaml", ".json"))
