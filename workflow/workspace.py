"""The repository and the working copy of an emulated stack: both in the state folder, never the user's.

Owns making the bare repository that the configuration names from the project's files, a workspace that holds what the
repository has (with the code linked, so that it is the working tree's), and merging a branch as a reviewer would.

    <state>/repository.git   bare; what the portal and `connector` propose to
    <state>/workspace        a project of its own: stacks, organizations/, approvals/ as committed
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from dulwich.index import commit_tree
from dulwich.object_store import iter_tree_contents
from dulwich.objects import Blob, Commit, ObjectID
from dulwich.refs import Ref
from dulwich.repo import Repo

from schemas.promotion_config import Repository
from schemas.stack_config import StackConfig
from workflow.errors import WorkflowError
from workflow.project import SOURCE, Project

LINKED = ("__main__.py", "components", "policies", "requirements", "runtime", "schemas", ".venv")
FOLDERS = ("organizations", "approvals")
_AUTHOR = b"connector <connector@localhost>"
_MODE = 0o100644


class NotMerged(WorkflowError):
    """A branch cannot be merged: both sides changed the same files."""


def configuration_files(project: Project) -> dict[str, bytes]:
    """What the repository holds: stacks, organisations and approvals of a project, as they are now."""
    root = project.root
    files = [root / "Pulumi.yaml", *root.glob("Pulumi.?*.yaml")]
    for folder in FOLDERS:
        files += [f for f in (root / folder).rglob("*") if f.suffix in (".yaml", ".json", ".md")]
    return {f.relative_to(root).as_posix(): f.read_bytes() for f in sorted(files) if f.is_file()}


def ensure_repository(project: Project, stack: StackConfig) -> Path | None:
    """The bare repository that an emulated stack names, made of the project's files where it is absent."""
    config = stack.promotion.repository
    if config is None or config.folder is None:
        return None
    folder = project.root / config.folder
    if not (folder / "HEAD").exists():
        make_repository(folder, config, configuration_files(project))
    return folder


def make_repository(folder: Path, config: Repository, files: Mapping[str, bytes]) -> None:
    """A bare repository with one commit. It appears whole or not at all."""
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(mode=0o700, parents=True)
    with Repo.init_bare(str(partial), default_branch=config.branch.encode()) as repo:
        commit = _committed(repo, files, [], "The configuration of this project")
        repo.refs[_ref(config.branch)] = commit
    partial.rename(folder)


class Workspace:
    """A project that holds what the repository has."""

    def __init__(self, project: Project, stack: StackConfig) -> None:
        config = stack.promotion.repository
        if config is None or config.folder is None:
            raise WorkflowError("a workspace needs a stack whose repository is a folder")
        self.project = Project(project.state / "workspace", project.state)
        self.project.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in LINKED:
            _link(self.project.root / name, (project.root / name if (project.root / name).exists() else SOURCE / name))
        _link(self.project.root / ".local", project.state)
        # Below the workspace, as its own stacks find it: the state folder may be anywhere.
        self.repository, self.branch = self.project.root / config.folder, config.branch
        if not (self.repository / "HEAD").exists():
            make_repository(self.repository, config, configuration_files(project))

    def update(self) -> str:
        """Take what the configured branch has now; answers its commit."""
        with Repo(str(self.repository)) as repo:
            commit = repo.refs[_ref(self.branch)]
            files = _files(repo, commit)
        root = self.project.root
        for stale in set(configuration_files(self.project)) - set(files):
            (root / stale).unlink()
        for path, content in files.items():
            place = root / path
            if not place.exists() or place.read_bytes() != content:
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(content)
        return commit.decode()

    def branches(self) -> list[str]:
        """All branches of the repository."""
        with Repo(str(self.repository)) as repo:
            names = repo.refs.keys(Ref(b"refs/heads/"))
        return sorted(name.decode() for name in names)

    def commit(self, branch: str, files: Mapping[str, bytes], message: str = "A change") -> str:
        """Add files to a branch, which begins at the configured one where it is new; answers the commit."""
        with Repo(str(self.repository)) as repo:
            refs = repo.refs
            parent = refs[_ref(branch)] if _ref(branch) in refs else refs[_ref(self.branch)]
            made = _committed(repo, _files(repo, parent) | dict(files), [parent], message)
            refs[_ref(branch)] = made
        return made.decode()

    def merge(self, branch: str) -> str:
        """Merge a branch into the configured one, as a reviewer does; answers the commit. Raises `NotMerged`."""
        with Repo(str(self.repository)) as repo:
            ours, theirs = repo.refs[_ref(self.branch)], repo.refs[_ref(branch)]
            base = _common(repo, ours, theirs)
            before, here, there = (_files(repo, c) if c else {} for c in (base, ours, theirs))
            changed = {p for p in {*before, *there} if before.get(p) != there.get(p)}
            moved = sorted(p for p in changed if here.get(p) not in (before.get(p), there.get(p)))
            if moved:
                raise NotMerged(f"{branch} and {self.branch} both changed {', '.join(moved)}")
            result = {p: c for p, c in here.items() if p not in changed} | {p: there[p] for p in changed if p in there}
            commit = _committed(repo, result, [ours, theirs], f"Merge {branch}")
            repo.refs[_ref(self.branch)] = commit
        return commit.decode()


def _link(place: Path, target: Path) -> None:
    if not place.is_symlink():
        place.symlink_to(target.absolute())


def _ref(branch: str) -> Ref:
    return Ref(f"refs/heads/{branch}".encode())


def _committed(repo: Repo, files: Mapping[str, bytes], parents: list[ObjectID], message: str) -> ObjectID:
    blobs = [(path.encode(), Blob.from_string(content), _MODE) for path, content in files.items()]
    repo.object_store.add_objects([(blob, None) for _, blob, _ in blobs])
    commit = Commit()
    commit.tree = commit_tree(repo.object_store, [(path, blob.id, mode) for path, blob, mode in blobs])
    commit.parents = parents
    commit.author = commit.committer = _AUTHOR
    times = [cast("Commit", repo[parent]).commit_time for parent in parents]
    commit.author_time = commit.commit_time = max(times, default=0) + 1
    commit.author_timezone = commit.commit_timezone = 0
    commit.encoding = b"UTF-8"
    commit.message = message.encode() + b"\n"
    repo.object_store.add_object(commit)
    return commit.id


def _files(repo: Repo, commit: ObjectID) -> dict[str, bytes]:
    tree = cast("Commit", repo[commit]).tree
    entries: Any = iter_tree_contents(repo.object_store, tree)
    return {e.path.decode(): cast("Blob", repo[e.sha]).data for e in entries}


def _common(repo: Repo, ours: ObjectID, theirs: ObjectID) -> ObjectID | None:
    """The newest commit that both have."""
    mine = {entry.commit.id for entry in repo.get_walker(include=[ours])}
    return next((e.commit.id for e in repo.get_walker(include=[theirs]) if e.commit.id in mine), None)
