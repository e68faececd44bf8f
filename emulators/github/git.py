"""Objects, refs and trees of a bare repository, by dulwich.

Owns the way between git's objects and plain values: a tree as its files, a commit as its fields, a ref as its sha.
"""

import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from dulwich.diff_tree import RenameDetector, tree_changes
from dulwich.errors import NotTreeError
from dulwich.graph import can_fast_forward, find_merge_base
from dulwich.index import commit_tree
from dulwich.object_store import iter_tree_contents
from dulwich.objects import Blob, Commit, ObjectID, ShaFile, Tree
from dulwich.refs import Ref, check_ref_format
from dulwich.repo import Repo

from emulators.github import errors

HEADS = "refs/heads/"


@dataclass(frozen=True)
class Entry:
    """One file of a tree."""

    path: str
    mode: int
    sha: str

    @property
    def mode_text(self) -> str:
        return f"{self.mode:06o}"

    @property
    def type(self) -> str:
        return "commit" if self.mode == 0o160000 else "tree" if stat.S_ISDIR(self.mode) else "blob"


@dataclass(frozen=True)
class Change:
    """One file that differs between two trees; `status` as GitHub names it."""

    status: str
    path: str
    previous: str | None
    sha: str | None


class Git:
    """One bare repository. Shas are text."""

    def __init__(self, folder: Path, clock: Callable[[], float]) -> None:
        self.repo, self._clock = Repo(str(folder)), clock

    # --- objects ---

    def object(self, sha: str) -> ShaFile | None:
        try:
            return self.repo.object_store[ObjectID(sha.encode())]
        except KeyError:
            return None

    def blob(self, sha: str) -> bytes:
        """Raises 404."""
        found = self.object(sha)
        if not isinstance(found, Blob):
            raise errors.not_found()
        return found.as_raw_string()

    def commit(self, sha: str) -> Commit:
        """Raises 404."""
        found = self.object(sha)
        if not isinstance(found, Commit):
            raise errors.not_found()
        return found

    def add_blob(self, content: bytes) -> str:
        return self._add(Blob.from_string(content))

    def _add(self, made: ShaFile) -> str:
        self.repo.object_store.add_object(made)
        return made.id.decode()

    def tree_of(self, sha: str) -> str | None:
        """The tree that a commit or tree sha means."""
        found = self.object(sha)
        if isinstance(found, Commit):
            return found.tree.decode()
        return sha if isinstance(found, Tree) else None

    def entries(self, tree: str, *, recursive: bool, trees: bool = False) -> Iterator[Entry]:
        found = self.object(tree)
        if not isinstance(found, Tree):
            raise errors.not_found()
        if recursive:
            listed = iter_tree_contents(self.repo.object_store, found.id, include_trees=trees)
        else:
            listed = found.iteritems(name_order=True)
        for entry in listed:
            if entry.path:
                yield Entry(entry.path.decode("utf-8", "surrogateescape"), entry.mode, entry.sha.decode())

    def write_tree(self, files: Mapping[str, tuple[int, str]]) -> str:
        """A tree from its files: path to mode and sha."""
        blobs = [
            (path.encode("utf-8", "surrogateescape"), ObjectID(sha.encode()), mode)
            for path, (mode, sha) in files.items()
        ]
        try:
            return commit_tree(self.repo.object_store, blobs).decode()
        except (NotTreeError, TypeError, AttributeError):  # a file where another needs a folder
            raise errors.invalid("tree contains a path that is a file and a folder") from None

    def write_commit(
        self,
        message: str,
        tree: str,
        parents: Iterable[str],
        author: tuple[str, str, int],
        committer: tuple[str, str, int],
    ) -> str:
        commit = Commit()
        commit.tree = ObjectID(tree.encode())
        commit.parents = [ObjectID(p.encode()) for p in parents]
        commit.message = message.encode()
        commit.author, commit.committer = (f"{name} <{email}>".encode() for name, email, _ in (author, committer))
        commit.author_time, commit.commit_time = author[2], committer[2]
        commit.author_timezone = commit.commit_timezone = 0
        commit.encoding = b"UTF-8"
        return self._add(commit)

    # --- refs ---

    def ref(self, name: str) -> str | None:
        """The sha of a full ref name."""
        try:
            return self.repo.refs[Ref(name.encode())].decode()
        except (KeyError, ValueError, UnicodeEncodeError):
            return None

    def refs(self, prefix: str) -> dict[str, str]:
        found = {name.decode(): sha.decode() for name, sha in self.repo.refs.as_dict().items()}
        return {name: sha for name, sha in sorted(found.items()) if name.startswith(prefix)}

    def resolve(self, name: str) -> str | None:
        """The commit that a branch, a full ref or a sha names."""
        for candidate in (f"{HEADS}{name}", f"refs/tags/{name}", name if name.startswith("refs/") else ""):
            if candidate and (sha := self.ref(candidate)) is not None:
                return sha
        is_sha = len(name) == 40 and all(c in "0123456789abcdef" for c in name)
        return name if is_sha and isinstance(self.object(name), Commit) else None

    def valid_ref(self, name: str) -> bool:
        return (
            name.startswith("refs/")
            and name.count("/") >= 2
            and name.isascii()
            and check_ref_format(Ref(name.encode()))
        )

    def create_ref(self, name: str, sha: str) -> bool:
        return self.repo.refs.add_if_new(Ref(name.encode()), ObjectID(sha.encode()))

    def move_ref(self, name: str, old: str | None, new: str) -> bool:
        expected = ObjectID(old.encode()) if old is not None else None
        return self.repo.refs.set_if_equals(Ref(name.encode()), expected, ObjectID(new.encode()))

    def delete_ref(self, name: str, old: str) -> bool:
        return self.repo.refs.remove_if_equals(Ref(name.encode()), ObjectID(old.encode()))

    # --- history ---

    def is_fast_forward(self, old: str, new: str) -> bool:
        return can_fast_forward(self.repo, ObjectID(old.encode()), ObjectID(new.encode()))

    def merge_base(self, one: str, other: str) -> str | None:
        found = find_merge_base(self.repo, [ObjectID(one.encode()), ObjectID(other.encode())])
        return found[0].decode() if found else None

    def between(self, base: str, head: str) -> list[str]:
        """The commits that head has and base has not, oldest first."""
        walker = self.repo.get_walker(
            include=[ObjectID(head.encode())], exclude=[ObjectID(base.encode())], order="topo", reverse=True
        )
        return [entry.commit.id.decode() for entry in walker]

    def changes(self, base: str, head: str) -> list[Change]:
        """The files that differ between the trees of two commits; renames are found."""
        store = self.repo.object_store
        detector = RenameDetector(store)
        found: list[Change] = []
        old, new = self.commit(base).tree, self.commit(head).tree
        for change in tree_changes(store, old, new, rename_detector=detector):
            before = change.old.path.decode("utf-8", "surrogateescape") if change.old and change.old.path else None
            after = change.new.path.decode("utf-8", "surrogateescape") if change.new and change.new.path else None
            sha = change.new.sha.decode() if change.new and change.new.sha else None
            status = {"add": "added", "delete": "removed", "modify": "modified"}.get(change.type, "renamed")
            if change.type == "copy":
                status = "copied"
            previous = before if status in ("renamed", "copied") else None
            found.append(Change(status, cast(str, after or before), previous, sha))
        return sorted(found, key=lambda c: c.path)

    def merged_tree(self, base: str, head: str) -> str | None:
        """The tree of a merge of head into base; None where both changed one file, even at different lines."""
        common = self.merge_base(base, head)
        if common == base:
            return self.commit(head).tree.decode()
        before, ours, theirs = (self._files(sha) for sha in (common, base, head))
        merged = dict(ours)
        for path in {*before, *theirs}:
            if theirs.get(path) == before.get(path):
                continue
            if ours.get(path) not in (before.get(path), theirs.get(path)):
                return None
            if (file := theirs.get(path)) is None:
                merged.pop(path, None)
            else:
                merged[path] = file
        return self.write_tree(merged)

    def _files(self, commit: str | None) -> dict[str, tuple[int, str]]:
        if commit is None:
            return {}
        tree = self.commit(commit).tree.decode()
        return {e.path: (e.mode, e.sha) for e in self.entries(tree, recursive=True)}
