"""Rules of paths: what a pull request changes are plain files, at paths that everybody reads alike."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator

from schemas.promotion.promoted import FILE
from workflow.merge.reasons import Finding, GateCode
from workflow.merge.revision import Changed, Revision

_PART = r"[A-Za-z0-9_][A-Za-z0-9._-]*|\.[A-Za-z0-9_-]+[A-Za-z0-9._-]*"
_PLAIN = re.compile(rf"(?:{_PART})(?:/(?:{_PART}))*")
_ID = r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*"
_APPROVALS = re.compile(
    rf"approvals/(?:README\.md|{_ID}/{_ID}/(?:approval|rehearsal|break-glass)-[a-z0-9-]+\.json"
    rf"|revocations/[a-z]+-[a-z]+\.json)"
)


def is_plain(path: str) -> bool:
    """Whether everybody reads a path alike, and it leads nowhere else."""
    return bool(_PLAIN.fullmatch(path)) and len(path) <= 300 and ".git" not in path.lower().split("/")


def check_paths(changed: Iterable[Changed], head: Revision) -> Iterator[Finding]:
    """Of what changes, and of what the head has twice."""
    twice = _alike(head)
    for change in changed:
        if change.after is None:
            continue
        if problem := _problem(change, twice):
            expected, got = problem
            yield Finding(GateCode.PATH_UNCLEAR, expected, got, change.path)


def _problem(change: Changed, twice: frozenset[str]) -> tuple[str, str] | None:
    path = change.path
    if change.after is not None and not change.after.is_regular:
        return "a plain file", "a link or a submodule"
    if not is_plain(path):
        return "a path of letters, digits, dots, hyphens and underscores", "another one"
    if path.casefold() in twice:
        return "each path once", "two that differ in upper and lower case only"
    if path.startswith("approvals/") and path != FILE and not _APPROVALS.fullmatch(path):
        return "a statement where statements stand", "something else below approvals/"
    return None


def _alike(head: Revision) -> frozenset[str]:
    """Paths, and folders, that some file systems take for one."""
    folders = {"/".join(p.split("/")[:n]) for p in head.files for n in range(1, p.count("/") + 1)}
    counts = Counter(name.casefold() for name in {*head.files, *folders})
    twice = {name for name, count in counts.items() if count > 1}
    return frozenset(p.casefold() for p in head.files if any(_within(p.casefold(), name) for name in twice))


def _within(path: str, name: str) -> bool:
    return path == name or path.startswith(f"{name}/")
