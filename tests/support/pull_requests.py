"""Pull requests for the gate's tests: an accepted one that promotes a connection, and what somebody changes in it.

The base revision serves `lakeside-production` as it was approved at serial 1; its test stack proposes a change of it,
which the pull request promotes with the approval of serial 2. All of it is git objects in memory.
"""

import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from dulwich.index import commit_tree
from dulwich.object_store import MemoryObjectStore
from dulwich.objects import Blob, Commit, ObjectID

from schemas.loading import Loaded, load_stack
from schemas.promotion.decision import image_digest_of
from schemas.promotion.envelope import StatementFile
from schemas.promotion.promoted import FILE, Promoted, PromotedConnection, read_promoted
from schemas.promotion.statement import ConnectionReference, at
from schemas.stack_config import StackConfig
from schemas.vocabulary import Stage
from tests.support import samples
from tests.support.statements import (
    IMAGE,
    NOW,
    accepted,
    approval,
    digest_of,
    emulated_anchors,
    private_key,
    promoted,
    statement_file,
)
from workflow.merge.gate import Gate, Outcome
from workflow.merge.pull_request import Authors, BranchRules, PullRequest, Review, User
from workflow.merge.revision import Revision

TEST_FILE, PRODUCTION_FILE = "Pulumi.local.yaml", "Pulumi.local-prod.yaml"
ORGANIZATION, CONNECTION, TEST_CONNECTION = "lakeside", "lakeside-production", "lakeside-test"
FOLDER = f"approvals/{ORGANIZATION}/{CONNECTION}"
OLD, NEW = f"{FOLDER}/approval-000001-approve.json", f"{FOLDER}/approval-000002-approve.json"
RECORD = b'provider: "5101"'
APP = 7001
RULES = BranchRules(frozenset({("connector/gate", APP)}), True, 1, True, True, True, True)
ROBIN, QUINN, PAT = User("robin"), User("quinn"), User("pat-approver")
PORTAL = User("connector-portal[bot]", "Bot")

Content = bytes | tuple[int, bytes]
Tree = dict[str, Content]


@dataclass(frozen=True)
class Step:
    """One commit of the pull request: all files after it."""

    files: Tree
    message: str = "Promote lakeside\n"
    author: User | None = ROBIN
    committer: User | None = ROBIN
    identity: bytes = b"Somebody <somebody@example.org>"


@dataclass(frozen=True)
class Scene:
    """A pull request with its base. `reviews` are of (account, state, whether of the newest commit)."""

    base: Tree
    steps: tuple[Step, ...]
    reviews: tuple[tuple[User, str, bool], ...] = ((QUINN, "APPROVED", True), (PAT, "APPROVED", True))
    opened_by: User = ROBIN
    rules: BranchRules = RULES
    elsewhere: bool = False
    base_moved: bool = False
    behind: bool = False
    store: MemoryObjectStore = field(default_factory=MemoryObjectStore)
    memory: dict[object, Loaded] = field(default_factory=dict[object, Loaded])

    @property
    def head(self) -> Tree:
        return self.steps[-1].files

    def edit(self, changes: Mapping[str, Content | None]) -> "Scene":
        """The last commit with other files; None takes one away."""
        files = {p: c for p, c in {**self.head, **changes}.items() if c is not None}
        return replace(self, steps=(*self.steps[:-1], replace(self.steps[-1], files=files)))

    def text(self, path: str, *pairs: tuple[str, str]) -> "Scene":
        """A file of the head with each first text replaced, once."""
        content = self.head[path]
        assert isinstance(content, bytes)
        changed = content.decode()
        for old, new in pairs:
            assert old in changed, f"{old!r} is not in {path}"
            changed = changed.replace(old, new, 1)
        return self.edit({path: changed.encode()})

    def last(self, **changes: Any) -> "Scene":
        return replace(self, steps=(*self.steps[:-1], replace(self.steps[-1], **changes)))

    def revisions(self) -> tuple[Revision, Revision, PullRequest]:
        root = _commit(self.store, self.base, [], "Base")
        start = _commit(self.store, {"README.md": b"other"}, [], "Other") if self.behind else root
        commits, authors = [start], dict[str, Authors]()
        for step in self.steps:
            commits.append(_commit(self.store, step.files, [commits[-1]], step.message, step.identity))
            authors[commits[-1]] = Authors(step.author, step.committer)
        head = commits[-1]
        reviews = tuple(Review(who, state, head if newest else root) for who, state, newest in self.reviews)
        base = "0" * 40 if self.base_moved else root
        pull = PullRequest(1, self.opened_by, "main", base, head, self.elsewhere, authors, reviews, self.rules)
        return Revision(self.store, root, self.memory), Revision(self.store, head, self.memory), pull

    def judged(self) -> Outcome:
        base, head, pull = self.revisions()
        gate = Gate(["local-prod"], lambda _: emulated_anchors(), lambda _: IMAGE, APP)
        return gate.judge(pull, base, head, NOW)


def codes(scene: Scene) -> set[str]:
    return {str(f.code) for f in scene.judged().findings}


def _commit(
    store: MemoryObjectStore,
    files: Tree,
    parents: list[str],
    message: str,
    identity: bytes = b"Base <base@example.org>",
) -> str:
    entries: list[tuple[bytes, ObjectID, int]] = []
    for path, content in files.items():
        mode, data = content if isinstance(content, tuple) else (stat.S_IFREG | 0o644, content)
        blob = Blob.from_string(data)
        store.add_object(blob)
        entries.append((path.encode("utf-8", "surrogateescape"), blob.id, mode))
    commit = Commit()
    commit.tree = commit_tree(store, entries)
    commit.parents = [ObjectID(p.encode()) for p in parents]
    commit.author = commit.committer = identity
    commit.author_time = commit.commit_time = int(NOW.timestamp())
    commit.author_timezone = commit.commit_timezone = 0
    commit.message = message.encode()
    store.add_object(commit)
    return commit.id.decode()


# --- the accepted one -----------------------------------------------------------------------------------------------

REVIEWERS = """
    reviewers:
      - github: quinn
        tenantId: 1a1a1a1a-0000-4000-8000-000000000000
        objectId: 3c3c3c3c-0000-4000-8000-0000000000a1
      - github: robin
        tenantId: 1a1a1a1a-0000-4000-8000-000000000000
        objectId: 3c3c3c3c-0000-4000-8000-0000000000a2"""


def _with_people(text: str) -> str:
    """The sample with an image by digest, reviewers, and a GitHub account of lakeside's approver."""
    text = text.replace("image: working-tree", f"image: {image_digest_of(IMAGE)}", 1)
    text = text.replace("  teams-ehr-connector:promotion:", f"  teams-ehr-connector:promotion:{REVIEWERS}", 1)
    return _after(text, "objectId: 3c3c3c3c-0000-4000-8000-000000000019", "github: pat-approver")


def _after(text: str, line: str, added: str) -> str:
    """A line added after each one that says so, as far in."""
    lines: list[str] = []
    for found in text.splitlines():
        lines.append(found)
        if found.strip() == line:
            lines.append(found[: len(found) - len(found.lstrip())] + added)
    return "\n".join(lines) + "\n"


def stack(files: Mapping[str, Content], file: str) -> StackConfig:
    def read(name: str) -> str:
        content = files[name]
        assert isinstance(content, bytes)
        return content.decode()

    loaded = load_stack(file, read)
    assert loaded.stack is not None, loaded.errors
    return loaded.stack


def approved(files: Mapping[str, Content], connection: str, serial: int, **changes: Any) -> StatementFile:
    """An approval of a production connection as the test stack of `files` proposes it, signed by the portal."""
    test = stack(files, TEST_FILE)
    organization = next(o for o in test.organizations if any(c.id == connection for c in o.connections))
    found = next(c for c in organization.connections if c.id == connection)
    stands_for = next(c for c in organization.connections if c.stage is Stage.TEST)
    reference = ConnectionReference(id=stands_for.id, sha256=digest_of(test, organization, stands_for))
    given = approval(organization, found, test=reference, serial=serial, **changes)
    key = private_key(Stage.TEST, organization.geography, "portal-signing")
    return statement_file(key, given, digest_of(test, organization, found))


def entry(files: Mapping[str, Content], connection: str, serial: int) -> PromotedConnection:
    production = stack(files, PRODUCTION_FILE)
    for organization in production.organizations:
        for found in organization.connections:
            if found.id == connection:
                sha256 = digest_of(production, organization, found)
                return PromotedConnection(sha256=sha256, promoted_at=at(NOW), serial=serial)
    raise AssertionError(connection)


CODE: Mapping[str, Content] = {
    "README.md": b"read me\n",
    "__main__.py": b"code\n",
    "policies/pack.py": b"policy\n",
    "workflow/merge/gate.py": b"gate\n",
    ".github/workflows/gate.yml": b"workflow\n",
    "schemas/promotion/anchors/emulated.json": b"anchors\n",
}


@cache
def accepted_scene() -> Scene:
    """Nothing is wrong with it."""
    files: Tree = {f: samples.text(f).encode() for f in (*samples.stack_files(), *samples.organization_files())}
    files |= CODE
    for file in (TEST_FILE, PRODUCTION_FILE):
        content = files[file]
        assert isinstance(content, bytes)
        files[file] = _with_people(content.decode()).encode()
    old = _with_old_record(files)
    now_served = promoted(stack(old, TEST_FILE))
    statements = accepted(stack(old, TEST_FILE)).statements
    base = {**old, TEST_FILE: files[TEST_FILE], FILE: now_served.text().encode()}
    base |= {s.path: s.content for s in statements}
    newer = approved(files, CONNECTION, 2)
    after = now_served.with_connection(CONNECTION, entry(files, CONNECTION, 2))
    head = {**base, PRODUCTION_FILE: files[PRODUCTION_FILE], newer.path: newer.content, FILE: after.text().encode()}
    return Scene(base, (Step(head),))


def _with_old_record(files: Tree) -> Tree:
    """Both stacks with another integration record of lakeside's production connection."""
    changed = dict(files)
    for file in (TEST_FILE, PRODUCTION_FILE):
        content = files[file]
        assert isinstance(content, bytes)
        assert content.count(RECORD) == 1
        changed[file] = content.replace(RECORD, b'provider: "4101"')
    return changed


def promoted_of(tree: Mapping[str, Content], change: Callable[[Promoted], Promoted]) -> bytes:
    content = tree[FILE]
    assert isinstance(content, bytes)
    return change(read_promoted(content)).text().encode()
