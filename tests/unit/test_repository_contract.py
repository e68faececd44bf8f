"""What the portal may do with a repository, over each adapter: read, propose on its own branches, and nothing more."""

import asyncio
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from runtime.portal.repository import (
    BranchAbsent,
    Conflict,
    ProposedChange,
    Repository,
    RepositoryRefused,
    RepositoryUnavailable,
)
from runtime.portal.repository.git import GitRepository
from tests.support.bare_repository import BareRepository
from tests.support.git_server import git_server
from tests.support.github import GitHub

STACK, ORGANIZATION = "Pulumi.local.yaml", "organizations/local/prairie.yaml"
FILES = {STACK: b"config: {}\n", ORGANIZATION: b"id: prairie\n", "README.md": b"# Read me\n", "runtime/a.py": b""}
BRANCH = "connector/edit-prairie-1"
MESSAGE = "Change prairie\n\nBecause.\n"


@dataclass(frozen=True)
class Place:
    """A repository as the portal sees it, and as it is."""

    repository: Repository
    bare: BareRepository

    another: Callable[[], Repository]
    """The same, from another process of the portal."""


TOKEN = "a-token-of-the-remote"


async def token() -> str:
    return TOKEN


@contextmanager
def in_a_folder(folder: Path, bare: BareRepository) -> Generator[Place]:
    def new() -> Repository:
        return GitRepository(bare.url, "main")

    yield Place(new(), bare, new)


@contextmanager
def over_https(folder: Path, bare: BareRepository) -> Generator[Place]:
    with git_server(bare.folder, folder, TOKEN) as server:

        def new() -> Repository:
            return GitRepository(server.url, "main", token, server.ca_bundle)

        yield Place(new(), bare, new)


@contextmanager
def at_github(folder: Path, bare: BareRepository) -> Generator[Place]:
    hub = GitHub.with_repository(bare.folder)
    yield Place(hub.repository(), bare, hub.repository)


@pytest.fixture(params=[in_a_folder, over_https, at_github])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    bare = BareRepository.new(tmp_path / "remote.git", FILES)
    with request.param(tmp_path, bare) as made:
        yield made


# --- reading --------------------------------------------------------------------------------------------------------


def test_reads_a_file_at_the_branch_at_another_and_at_a_commit(place: Place) -> None:
    first = place.bare.branches()["main"]
    place.bare.commit("main", {ORGANIZATION: b"id: other\n"})
    place.bare.commit("someones/branch", {ORGANIZATION: b"id: third\n"})

    async def run() -> None:
        assert await place.repository.read(ORGANIZATION) == b"id: other\n"
        assert await place.repository.read(ORGANIZATION, first) == b"id: prairie\n"
        assert await place.repository.read(ORGANIZATION, "someones/branch") == b"id: third\n"
        assert await place.repository.read("organizations/local/none.yaml") is None
        assert await place.repository.head() == place.bare.branches()["main"]

    asyncio.run(run())


def test_sees_what_was_pushed_since(place: Place) -> None:
    async def run() -> None:
        before = await place.repository.head()
        assert await place.repository.read(STACK) == b"config: {}\n"
        after = place.bare.commit("main", {STACK: b"config:\n"})
        assert await place.repository.head() == after != before
        assert await place.repository.read(STACK) == b"config:\n"
        assert await place.repository.read(STACK, before) == b"config: {}\n"

    asyncio.run(run())


def test_lists_the_files_of_a_folder(place: Place) -> None:
    place.bare.commit("main", {"organizations/test/a.yaml": b"", "organizations/link.yaml": (0o120000, b"/etc/passwd")})

    async def run() -> None:
        assert await place.repository.paths("organizations") == [ORGANIZATION, "organizations/test/a.yaml"]
        assert await place.repository.paths("organizations/test") == ["organizations/test/a.yaml"]
        assert await place.repository.paths("approvals") == []
        assert await place.repository.paths("") == [STACK, "README.md"]

    asyncio.run(run())


def test_a_link_or_a_program_is_no_file_of_the_configuration(place: Place) -> None:
    place.bare.commit("main", {ORGANIZATION: (0o120000, b"/etc/passwd"), STACK: (0o100755, b"#!")})

    async def run() -> None:
        for path in (ORGANIZATION, STACK):
            with pytest.raises(RepositoryRefused):
                await place.repository.read(path)
            with pytest.raises(RepositoryRefused):
                await place.repository.propose(BRANCH, {path: b"x"}, MESSAGE)

    asyncio.run(run())
    assert set(place.bare.branches()) == {"main"}


@pytest.mark.parametrize("branch", ["connector/none", "main2"])
def test_a_branch_that_is_not_there_is_absent(place: Place, branch: str) -> None:
    with pytest.raises(BranchAbsent):
        asyncio.run(place.repository.head(branch))


def test_a_commit_that_is_not_there_is_refused(place: Place) -> None:
    with pytest.raises(RepositoryRefused):
        asyncio.run(place.repository.read(STACK, "0123456789" * 4))


# --- proposing ------------------------------------------------------------------------------------------------------


def test_a_proposal_is_one_commit_on_a_branch_of_its_own(place: Place) -> None:
    base = place.bare.branches()["main"]
    new = {ORGANIZATION: b"id: new\n", "approvals/prairie/prairie-test/a-1.json": b"{}\n"}
    made = asyncio.run(place.repository.propose(BRANCH, new, MESSAGE, base=base))
    assert isinstance(made, ProposedChange)
    assert (made.branch, place.bare.branches()) == (BRANCH, {"main": base, BRANCH: made.commit})
    assert place.bare.parents(made.commit) == [base]
    assert place.bare.message(made.commit) == MESSAGE
    assert place.bare.files(BRANCH) == {**FILES, **new}
    assert place.bare.mode(BRANCH, ORGANIZATION) == 0o100644


def test_a_proposal_removes_files_and_folders_that_are_empty_then(place: Place) -> None:
    made = asyncio.run(place.repository.propose(BRANCH, {ORGANIZATION: None, STACK: b"x"}, MESSAGE))
    assert isinstance(made, ProposedChange)
    assert place.bare.files(BRANCH) == {**{k: v for k, v in FILES.items() if k != ORGANIZATION}, STACK: b"x"}


def test_a_second_proposal_continues_the_branch(place: Place) -> None:
    async def run() -> tuple[ProposedChange | Conflict, ProposedChange | Conflict]:
        first = await place.repository.propose(BRANCH, {"approvals/a/b/c-1.json": b"1"}, MESSAGE)
        return first, await place.repository.propose(BRANCH, {"approvals/a/b/c-2.json": b"2"}, MESSAGE)

    first, second = asyncio.run(run())
    assert isinstance(first, ProposedChange)
    assert isinstance(second, ProposedChange)
    assert place.bare.parents(second.commit) == [first.commit]
    assert {"approvals/a/b/c-1.json", "approvals/a/b/c-2.json"} < set(place.bare.files(BRANCH))


def test_a_proposal_that_changes_nothing_makes_no_commit(place: Place) -> None:
    async def run() -> None:
        await place.repository.propose(BRANCH, {STACK: b"new"}, MESSAGE)
        before = place.bare.branches()
        again = await place.repository.propose(BRANCH, {STACK: b"new"}, MESSAGE)
        assert isinstance(again, ProposedChange)
        assert place.bare.branches() == before
        assert again.commit == before[BRANCH]

    asyncio.run(run())


def test_a_base_that_moved_elsewhere_is_no_conflict(place: Place) -> None:
    base = place.bare.branches()["main"]
    place.bare.commit("main", {STACK: b"config: # moved\n"})
    made = asyncio.run(place.repository.propose(BRANCH, {ORGANIZATION: b"id: new\n"}, MESSAGE, base=base))
    assert isinstance(made, ProposedChange)
    assert place.bare.parents(made.commit) == [base]


@pytest.mark.parametrize("moved", ["main", BRANCH])
def test_a_touched_file_that_moved_is_a_conflict_that_names_it(place: Place, moved: str) -> None:
    base = place.bare.branches()["main"]
    place.bare.commit(moved, {**FILES, ORGANIZATION: b"id: theirs\n"}, parents=[base])
    before = place.bare.branches()
    made = asyncio.run(
        place.repository.propose(BRANCH, {ORGANIZATION: b"id: mine\n", STACK: b"mine"}, MESSAGE, base=base)
    )
    assert made == Conflict(base, before["main"], (ORGANIZATION,))
    assert place.bare.branches() == before


def test_a_file_that_somebody_added_meanwhile_is_a_conflict(place: Place) -> None:
    base = place.bare.branches()["main"]
    place.bare.commit("main", {"organizations/local/new.yaml": b"theirs"})
    new = {"organizations/local/new.yaml": b"mine"}
    assert isinstance(asyncio.run(place.repository.propose(BRANCH, new, MESSAGE, base=base)), Conflict)


def test_somebody_elses_commit_on_our_branch_stays(place: Place) -> None:
    theirs = place.bare.commit(BRANCH, {**FILES, "approvals/x/y/z-1.json": b"theirs"})
    made = asyncio.run(place.repository.propose(BRANCH, {"approvals/x/y/z-2.json": b"ours"}, MESSAGE))
    assert isinstance(made, ProposedChange)
    assert place.bare.parents(made.commit) == [theirs]
    assert place.bare.files(BRANCH)["approvals/x/y/z-1.json"] == b"theirs"


def test_proposals_at_once_all_arrive(place: Place) -> None:
    names = [f"approvals/a/b/c-{n}.json" for n in range(4)]

    async def run() -> None:
        portals = [place.repository, place.another(), place.another(), place.another()]
        await asyncio.gather(*(p.propose(BRANCH, {n: b"{}"}, MESSAGE) for p, n in zip(portals, names, strict=True)))

    asyncio.run(run())
    assert set(names) < set(place.bare.files(BRANCH))


# --- what no adapter may do -----------------------------------------------------------------------------------------

TRICKS = [
    "../Pulumi.local.yaml",
    "/etc/passwd",
    "organizations/../__main__.py",
    "organizations/./a.yaml",
    "organizations//a.yaml",
    "organizations\\a.yaml",
    "organizations/.git/a.yaml",
    "organizations/GIT~1/a.yaml",
    ".git/config",
    "organizations/a.yaml/",
    "organizations/a.yaml\n",
    "organizations/a.yaml\0",
    "organizations/%2e%2e/a.yaml",
    "organizations/ä.yaml",
    "organizations/a .yaml",
    "organizations/a./b.yaml",
    "organizations/-/a.yaml/../../x.yaml",
    "Pulumi.yaml",
    "Pulumi..yaml",
    "pulumi.local.yaml",
    "approvals/a.yaml",
    "approvals/a/.b.json",
    "__main__.py",
    ".github/workflows/gate.yaml",
    "schemas/promotion/anchors/azure.json",
    "",
]


@pytest.mark.parametrize("path", TRICKS)
def test_no_path_leads_out_of_the_configuration(place: Place, path: str) -> None:
    before = place.bare.branches()
    with pytest.raises(RepositoryRefused):
        asyncio.run(place.repository.propose(BRANCH, {path: b"x"}, MESSAGE))
    with pytest.raises(RepositoryRefused):
        asyncio.run(place.repository.read(path))
    assert place.bare.branches() == before


@pytest.mark.parametrize(
    "branch",
    [
        "main",
        "refs/heads/connector/x",
        "connector",
        "connector/",
        "connector/../main",
        "connector/x.lock",
        "connector/x y",
        "connector//x",
        "connector/x\n",
        "connector/@{-1}",
        "Connector/x",
        "promote/x:main",
        "connector/" + "x" * 100,
    ],
)
def test_no_branch_but_our_own_is_written(place: Place, branch: str) -> None:
    before = place.bare.branches()
    with pytest.raises(RepositoryRefused):
        asyncio.run(place.repository.propose(branch, {STACK: b"x"}, MESSAGE))
    assert place.bare.branches() == before


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"organizations/a.yaml": b"1", "organizations/A.yaml": b"2"},
        {"organizations/a.yaml": b"x" * 600_000},
        {"organizations/local/prairie.yaml/x.yaml": b"below a file"},
    ],
)
def test_changes_that_would_not_be_what_they_seem_are_refused(place: Place, files: dict[str, bytes | None]) -> None:
    with pytest.raises(RepositoryRefused):
        asyncio.run(place.repository.propose(BRANCH, files, MESSAGE))
    assert set(place.bare.branches()) == {"main"}


@pytest.mark.parametrize("message", ["", " \n", "a\x1b[31mb", "a\rb", "a\u202eb"])
def test_a_message_is_plain_lines(place: Place, message: str) -> None:
    with pytest.raises(RepositoryRefused):
        asyncio.run(place.repository.propose(BRANCH, {STACK: b"x"}, message))


@pytest.mark.parametrize("base", ["main", "HEAD~1", "0123"])
def test_a_base_is_a_commit(place: Place, base: str) -> None:
    with pytest.raises(RepositoryRefused):
        asyncio.run(place.repository.propose(BRANCH, {STACK: b"x"}, MESSAGE, base=base))


# --- git alone ------------------------------------------------------------------------------------------------------


def test_a_commit_names_nobody(tmp_path: Path) -> None:
    bare = BareRepository.new(tmp_path / "remote.git", FILES)
    made = asyncio.run(GitRepository(bare.url, "main").propose(BRANCH, {STACK: b"x"}, MESSAGE))
    assert isinstance(made, ProposedChange)
    assert bare.author(made.commit) == "Teams EHR connector <connector@invalid>"


def test_a_folder_without_a_repository_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RepositoryRefused):
        asyncio.run(GitRepository(tmp_path.as_uri(), "main").head())


@pytest.mark.parametrize("url", ["http://git.example.org/x", "ssh://git@example.org/x", "https://a@b.example/x", "/x"])
def test_a_remote_is_a_folder_or_over_https(url: str) -> None:
    with pytest.raises(RepositoryRefused):
        asyncio.run(GitRepository(url, "main").head())


def test_a_remote_that_is_away_is_unavailable() -> None:
    with pytest.raises(RepositoryUnavailable):
        asyncio.run(GitRepository("https://127.0.0.1:1/x.git", "main").head())


def test_a_wrong_token_is_refused_and_not_sent_on_by_a_redirect(tmp_path: Path) -> None:
    bare = BareRepository.new(tmp_path / "remote.git", FILES)

    async def wrong() -> str:
        return "another"

    with git_server(bare.folder, tmp_path, TOKEN) as server, git_server(bare.folder, tmp_path, TOKEN) as elsewhere:
        with pytest.raises(RepositoryRefused):
            asyncio.run(GitRepository(server.url, "main", wrong, server.ca_bundle).head())
        server.redirect_to = elsewhere.url.removesuffix("/repository.git")
        with pytest.raises(RepositoryUnavailable):
            asyncio.run(GitRepository(server.url, "main", token, server.ca_bundle).head())
        assert elsewhere.asked == []


def test_a_remote_whose_certificate_nobody_vouches_for_is_unavailable(tmp_path: Path) -> None:
    bare = BareRepository.new(tmp_path / "remote.git", FILES)
    with git_server(bare.folder, tmp_path, TOKEN) as server:
        with pytest.raises(RepositoryUnavailable):
            asyncio.run(GitRepository(server.url, "main", token).head())
        assert server.asked == []
