"""Git's objects in memory: which file a commit holds at a path, and a commit made on top of another.

Only regular files are read or replaced: what is a link, a program or a submodule at a path of ours is refused, since
its content would not be what a reader of the file sees.
"""

import time
from collections.abc import Iterator, Mapping
from typing import cast

from dulwich.objects import Blob, Commit, ObjectID, ShaFile, Tree
from dulwich.repo import MemoryRepo

from runtime.portal.repository.model import RepositoryRefused

REGULAR = 0o100644
_FOLDER = 0o040000
MOST_FETCHES = 200
AUTHOR = b"Teams EHR connector <connector@invalid>"
"""Nobody: the trailer of the message says who asked (RFC 2606 keeps `.invalid` from ever being an address)."""

Entry = tuple[int, bytes] | None
"""Mode and object id, or nothing there."""


class Memory:
    """Objects fetched so far, by their digest: what is held stays right whatever the remote does."""

    def __init__(self) -> None:
        self.repo = MemoryRepo()
        self.fetched = 0
        self._made: dict[bytes, ShaFile] = {}

    @property
    def is_full(self) -> bool:
        return self.fetched > MOST_FETCHES

    def has(self, commit: str) -> bool:
        return ObjectID(commit.encode()) in self.repo.object_store

    def entry(self, commit: str, path: str) -> Entry:
        """What stands at a path."""
        tree, found = self._root(commit), None
        *folders, name = path.encode().split(b"/")
        for folder in folders:
            found = _get(tree, folder)
            if found is None or found[0] != _FOLDER:
                return None
            tree = self._tree(found[1])
        return _get(tree, name)

    def file(self, commit: str, path: str) -> bytes | None:
        """A regular file's content."""
        found = self.entry(commit, path)
        if found is None:
            return None
        if found[0] != REGULAR:
            raise RepositoryRefused("expected a regular file at a path of the configuration")
        blob = self.repo.object_store[ObjectID(found[1])]
        return blob.data if isinstance(blob, Blob) else None

    def paths(self, commit: str, folder: str) -> list[str]:
        """Regular files below a folder; directly in it where it is the root."""
        if not folder:
            return sorted(
                name.decode("utf-8", "replace") for name, mode, _ in _items(self._root(commit)) if mode == REGULAR
            )
        found = self.entry(commit, folder)
        return sorted(self._below(found[1], folder)) if found and found[0] == _FOLDER else []

    def _below(self, tree: bytes, prefix: str) -> list[str]:
        paths: list[str] = []
        for name, mode, sha in _items(self._tree(tree)):
            path = f"{prefix}/{name.decode('utf-8', 'replace')}"
            if mode == _FOLDER:
                paths += self._below(sha, path)
            elif mode == REGULAR:
                paths.append(path)
        return paths

    def commit(self, parent: str, files: Mapping[str, bytes | None], message: bytes) -> str | None:
        """A commit on top of another; None where the files change nothing."""
        self._made = {}
        root = self._root(parent)
        changed = root
        for path, content in files.items():
            if (there := self.entry(parent, path)) is not None and there[0] != REGULAR:
                raise RepositoryRefused("expected a regular file at a path of the configuration")
            changed = self._with(changed, path.encode().split(b"/"), content) or Tree()
        if changed.id == root.id:
            return None
        commit = Commit()
        commit.tree, commit.parents = changed.id, [ObjectID(parent.encode())]
        commit.author = commit.committer = AUTHOR
        commit.author_time = commit.commit_time = int(time.time())
        commit.author_timezone = commit.commit_timezone = 0
        commit.encoding, commit.message = b"UTF-8", message
        self._add(changed)
        self._add(commit)
        return commit.id.decode()

    def _with(self, tree: Tree, parts: list[bytes], content: bytes | None) -> Tree | None:
        """The tree with a file set or removed; None where nothing is left of it."""
        result, name = cast(Tree, tree.copy()), parts[0]
        if len(parts) > 1:
            found = _get(tree, name)
            if found is not None and found[0] != _FOLDER:
                raise RepositoryRefused("expected a folder where the path of a file leads through")
            below = self._with(self._tree(found[1]) if found else Tree(), parts[1:], content)
            if below is not None:
                self._add(below)
                result[name] = (_FOLDER, below.id)
            elif found is not None:
                del result[name]
        elif content is not None:
            blob = Blob.from_string(content)
            self._add(blob)
            result[name] = (REGULAR, blob.id)
        elif _get(tree, name) is not None:
            del result[name]
        return result if len(result) else None

    def _add(self, made: ShaFile) -> None:
        self.repo.object_store.add_object(made)
        self._made[made.id] = made

    def made(self, commit: str) -> list[ShaFile]:
        """A commit made here last, with the new ones of its trees and files."""
        return list(self._reachable(commit.encode()))

    def _reachable(self, sha: bytes) -> Iterator[ShaFile]:
        found = self._made.get(sha)
        if found is not None:
            yield found
        if isinstance(found, Commit):
            yield from self._reachable(found.tree)
        elif isinstance(found, Tree):
            for _, _, below in _items(found):
                yield from self._reachable(below)

    def _root(self, commit: str) -> Tree:
        found = self.repo.object_store[ObjectID(commit.encode())]
        if not isinstance(found, Commit):
            raise RepositoryRefused("expected a commit")
        return self._tree(found.tree)

    def _tree(self, sha: bytes) -> Tree:
        found = self.repo.object_store[ObjectID(sha)]
        if not isinstance(found, Tree):
            raise RepositoryRefused("expected a folder")
        return found


def _get(tree: Tree, name: bytes) -> Entry:
    if name not in tree:
        return None
    mode, sha = tree[name]
    return mode, sha


def _items(tree: Tree) -> list[tuple[bytes, int, bytes]]:
    return [(entry.path, entry.mode, entry.sha) for entry in tree.items()]  # pyright: ignore[reportReturnType] # of a parsed tree, all are there
