"""The files of a git revision, read from its objects: nothing is checked out, and only plain files have a content."""

import errno
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from dulwich.object_store import BaseObjectStore, iter_tree_contents
from dulwich.objects import Blob, Commit, ObjectID

from schemas.loading import Loaded, load_stack
from schemas.promotion.reading import Files

REGULAR = (0o100644, 0o100755)
LARGEST_BYTES = 4 * 1024 * 1024
DEEPEST = 20


@dataclass(frozen=True)
class File:
    """A file of a tree. Paths that are not UTF-8 keep their bytes as lone surrogates."""

    mode: int
    sha: str

    @property
    def is_regular(self) -> bool:
        return self.mode in REGULAR


@dataclass(frozen=True)
class Changed:
    """A file that differs between two revisions; None where it is not there."""

    path: str
    before: File | None
    after: File | None


class Revision:
    """A commit in an object store. `memory` is shared by revisions: what was read of files is not read again."""

    def __init__(self, store: BaseObjectStore, commit: str, memory: dict[object, Loaded] | None = None) -> None:
        self.store, self.commit = store, commit
        self._memory = {} if memory is None else memory

    @property
    def _commit(self) -> Commit:
        found = self.store[ObjectID(self.commit.encode())]
        assert isinstance(found, Commit)
        return found

    @property
    def message(self) -> str:
        return self._commit.message.decode("utf-8", "replace")

    @property
    def author(self) -> bytes:
        """Name and address, as whoever committed wrote them."""
        return self._commit.author

    @property
    def parents(self) -> list[str]:
        return [p.decode() for p in self._commit.parents]

    @cached_property
    def files(self) -> dict[str, File]:
        entries = iter_tree_contents(self.store, self._commit.tree, max_depth=DEEPEST)
        return {
            e.path.decode("utf-8", "surrogateescape"): File(e.mode, e.sha.decode()) for e in entries if not _is_tree(e)
        }

    def read(self, path: str) -> bytes:
        """A plain file's content. Raises OSError."""
        file = self.files.get(path)
        if file is None:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", path)
        if not file.is_regular:
            raise PermissionError(errno.EPERM, "a link or a submodule, which is not followed", path)
        found = self.store[ObjectID(file.sha.encode())]
        if not isinstance(found, Blob) or found.raw_length() > LARGEST_BYTES:
            raise OSError(errno.EFBIG, f"a file of more than {LARGEST_BYTES} bytes", path)
        return found.as_raw_string()

    def content(self, path: str) -> bytes | None:
        """As `read`; None where there is no such file."""
        return self.read(path) if path in self.files else None

    def text(self, path: str) -> str:
        """Raises OSError, UnicodeDecodeError."""
        return self.read(path).decode("utf-8")

    def below(self, folder: str) -> Iterator[str]:
        return (p for p in self.files if p.startswith(f"{folder}/"))

    @property
    def as_files(self) -> Files:
        return Files(self.read, self.below)

    def stack(self, name: str) -> Loaded:
        """A stack's configuration, checked, or every problem in it."""
        file = f"Pulumi.{name}.yaml"
        beside = (p for p in self.files if p.endswith(".yaml") and not p.startswith("Pulumi."))
        key = tuple((p, self.files.get(p)) for p in (file, *sorted(beside)))
        if key not in self._memory:
            self._memory[key] = load_stack(file, self.text)
        return self._memory[key]

    def stacks(self) -> list[str]:
        """The names of all stacks that have a file."""
        return sorted(
            p.removeprefix("Pulumi.").removesuffix(".yaml")
            for p in self.files
            if p.startswith("Pulumi.") and p.endswith(".yaml") and p.count("/") == 0 and p != "Pulumi.yaml"
        )


def changes(before: Revision, after: Revision) -> list[Changed]:
    """The files that differ, by path. A moved file is one that went and one that came."""
    old, new = before.files, after.files
    return [Changed(p, old.get(p), new.get(p)) for p in sorted({*old, *new}) if old.get(p) != new.get(p)]


def commits_between(base: str, head: str, store: BaseObjectStore) -> list[str] | None:
    """The commits that head has and base has not; None where base is not among head's ancestors."""
    from dulwich.walk import Walker  # heavy, and needed here only

    entries = Walker(store, include=[ObjectID(head.encode())], exclude=[ObjectID(base.encode())])
    found = [entry.commit for entry in entries]
    parents = {p.decode() for commit in found for p in commit.parents}
    return [c.id.decode() for c in found] if base in parents or base == head else None


def _is_tree(entry: object) -> bool:
    return stat.S_ISDIR(getattr(entry, "mode", 0))
