"""A bare repository in a test's folder, and commits of somebody else in it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dulwich.object_store import tree_lookup_path
from dulwich.objects import Blob, Commit, ObjectID, Tree
from dulwich.refs import Ref
from dulwich.repo import Repo

REGULAR = 0o100644
Files = Mapping[str, bytes | tuple[int, bytes]]
"""Path to content, or to mode and content."""


@dataclass(frozen=True)
class BareRepository:
    """`main` is its branch."""

    folder: Path

    @classmethod
    def new(cls, folder: Path, files: Files) -> "BareRepository":
        Repo.init_bare(folder, mkdir=True).close()
        made = cls(folder)
        made.commit("main", files)
        return made

    @property
    def url(self) -> str:
        return self.folder.as_uri()

    def branches(self) -> dict[str, str]:
        with Repo(str(self.folder)) as repo:
            prefix = b"refs/heads/"
            return {n[len(prefix) :].decode(): s.decode() for n, s in repo.get_refs().items() if n.startswith(prefix)}

    def commit(self, branch: str, files: Files, *, parents: list[str] | None = None, replace: bool = False) -> str:
        """Somebody's commit: the branch's files with these; `replace` leaves only these."""
        with Repo(str(self.folder)) as repo:
            ref = Ref(f"refs/heads/{branch}".encode())
            old = repo.refs.as_dict().get(ref)
            held = {} if replace or old is None else dict(self._entries(repo, old))
            for path, given in files.items():
                mode, content = given if isinstance(given, tuple) else (REGULAR, given)
                blob = Blob.from_string(content)
                repo.object_store.add_object(blob)
                held[path.encode()] = (mode, blob.id)
            commit = Commit()
            commit.tree = _tree(repo, held)
            commit.parents = [ObjectID(p.encode()) for p in parents] if parents is not None else [old] if old else []
            commit.author = commit.committer = b"Somebody <somebody@example.org>"
            commit.author_time = commit.commit_time = 1_780_000_000
            commit.author_timezone = commit.commit_timezone = 0
            commit.message = b"By somebody\n"
            repo.object_store.add_object(commit)
            repo.refs[ref] = commit.id
            return commit.id.decode()

    def files(self, revision: str) -> dict[str, bytes]:
        with Repo(str(self.folder)) as repo:
            entries = self._entries(repo, ObjectID(self.branches().get(revision, revision).encode()))
            return {path.decode(): repo[sha].as_raw_string() for path, (_, sha) in entries}

    def message(self, commit: str) -> str:
        return self._commit(commit).message.decode()

    def author(self, commit: str) -> str:
        return self._commit(commit).author.decode()

    def parents(self, commit: str) -> list[str]:
        return [p.decode() for p in self._commit(commit).parents]

    def mode(self, revision: str, path: str) -> int:
        with Repo(str(self.folder)) as repo:
            return tree_lookup_path(repo.__getitem__, self._commit(revision).tree, path.encode())[0]

    def _commit(self, revision: str) -> Commit:
        with Repo(str(self.folder)) as repo:
            found = repo[ObjectID(self.branches().get(revision, revision).encode())]
            assert isinstance(found, Commit)
            return found

    @staticmethod
    def _entries(repo: Repo, commit: ObjectID) -> list[tuple[bytes, tuple[int, ObjectID]]]:
        found = repo[commit]
        assert isinstance(found, Commit)
        entries = repo.object_store.iter_tree_contents(found.tree)
        return [(e.path, (e.mode, e.sha)) for e in entries if e.path and e.mode and e.sha]


def _tree(repo: Repo, files: Mapping[bytes, tuple[int, ObjectID]]) -> ObjectID:
    tree, below = Tree(), dict[bytes, dict[bytes, tuple[int, ObjectID]]]()
    for path, entry in files.items():
        folder, slash, rest = path.partition(b"/")
        if slash:
            below.setdefault(folder, {})[rest] = entry
        else:
            tree[folder] = entry
    for folder, inside in below.items():
        tree[folder] = (0o040000, _tree(repo, inside))
    repo.object_store.add_object(tree)
    return tree.id
