"""Any git remote, by its own protocol: a bare folder where the cloud is emulated, https with a token elsewhere.

Owns fetching into memory (commits without their history), commits made from trees, and pushes that never replace a
commit of somebody else: a ref is set only from the value that was looked at. Nobody's git configuration is read, no
redirect is followed, no proxy is taken from the environment.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar, cast
from urllib.parse import urlsplit

import certifi
import urllib3
from dulwich.client import GitClient, HttpGitClient, HTTPUnauthorized, LocalGitClient
from dulwich.config import ConfigFile
from dulwich.errors import GitProtocolError, HangupException, NotGitRepository, SendPackError
from dulwich.file import FileLocked
from dulwich.objects import ObjectID, ShaFile
from dulwich.pack import pack_objects_to_data
from dulwich.refs import Ref
from dulwich.repo import MemoryRepo

from runtime.portal.repository.model import (
    BranchAbsent,
    Conflict,
    ProposedChange,
    RepositoryRefused,
    RepositoryUnavailable,
    checked_folder,
    checked_path,
    checked_proposal,
    checked_revision,
    is_revision,
)
from runtime.portal.repository.objects import Memory

SECONDS = 20.0
"""For each answer of the remote."""

ATTEMPTS = 8
AGAIN_SECONDS = 0.05
_DEPTH = 1
T = TypeVar("T")


class Credential(Protocol):
    """Gives the token for the remote, when it is needed."""

    async def __call__(self) -> str | None: ...


class _Moved(Exception):
    """A ref is no longer what it was when we looked."""


class GitRepository:
    """A remote by its URL: `https://...`, or `file:///...` for a bare folder."""

    def __init__(
        self, url: str, branch: str, credential: Credential | None = None, ca_bundle: str | None = None
    ) -> None:
        self._url, self._branch = url, branch
        self._credential, self._ca_bundle = credential, ca_bundle
        self._lock = asyncio.Lock()
        self._memory = Memory()

    async def head(self, branch: str | None = None) -> str:
        name = checked_revision(branch or self._branch)
        return await self._do(lambda remote: remote.tip(name))

    async def read(self, path: str, revision: str | None = None) -> bytes | None:
        checked_path(path)
        wanted = checked_revision(revision or self._branch)
        return await self._do(lambda remote: self._memory.file(remote.commit(wanted), path))

    async def paths(self, folder: str, revision: str | None = None) -> list[str]:
        checked_folder(folder)
        wanted = checked_revision(revision or self._branch)
        return await self._do(lambda remote: self._memory.paths(remote.commit(wanted), folder))

    async def propose(
        self,
        branch: str,
        files: Mapping[str, bytes | None],
        message: str,
        *,
        base: str | None = None,
        title: str | None = None,
    ) -> ProposedChange | Conflict:
        del title  # a remote without pull requests
        text = checked_proposal(branch, files, message, base)
        return await self._do(lambda remote: _propose(remote, self._branch, branch, dict(files), text, base))

    async def _do(self, work: "Callable[[_Remote], T]") -> T:
        """One conversation with the remote at a time, off the event loop."""
        token = await self._credential() if self._credential else None
        async with self._lock:
            if self._memory.is_full:
                self._memory = Memory()
            remote = _Remote(self._url, token, self._ca_bundle, self._memory)
            return await asyncio.to_thread(_translated, work, remote)


def _propose(
    remote: "_Remote", configured: str, branch: str, files: dict[str, bytes | None], message: bytes, base: str | None
) -> ProposedChange | Conflict:
    for attempt in range(1, ATTEMPTS + 1):
        refs = remote.refs()
        head = refs.get(configured)
        if head is None:
            raise RepositoryRefused("the remote does not have the configured branch")
        existing = refs.get(branch)
        if base is not None:
            moved = _moved(remote, base, [head, *([existing] if existing else [])], files)
            if moved:
                return Conflict(base, head, moved)
        parent = existing or base or head
        commit = remote.memory.commit(remote.commit(parent), files, message)
        if commit is None:
            return ProposedChange(parent, branch, None)
        try:
            remote.push(branch, existing, commit)
        except _Moved:
            time.sleep(AGAIN_SECONDS * attempt)  # in a thread of its own
            continue
        return ProposedChange(commit, branch, None)
    raise RepositoryUnavailable("the branch moved each time that it was to be pushed")


def _moved(remote: "_Remote", base: str, heads: list[str], files: Mapping[str, bytes | None]) -> tuple[str, ...]:
    """Paths of the change that are not at every head what they were at the base."""
    entry = remote.memory.entry
    then = {path: entry(remote.commit(base), path) for path in files}
    now = [(path, entry(remote.commit(head), path)) for head in heads for path in files]
    return tuple(sorted({path for path, found in now if found != then[path]}))


def _translated(work: "Callable[[_Remote], T]", remote: "_Remote") -> T:
    """dulwich's and urllib3's errors as ours, without what the remote said."""
    try:
        return work(remote)
    except HTTPUnauthorized:
        raise RepositoryRefused("the remote does not accept the credential", "Renew the remote's token.") from None
    except NotGitRepository:
        raise RepositoryRefused("there is no git repository at the configured place") from None
    except (GitProtocolError, HangupException, SendPackError, urllib3.exceptions.HTTPError, OSError) as e:
        raise RepositoryUnavailable(f"the repository did not answer as git does: {type(e).__name__}") from e


# --- the remote -----------------------------------------------------------------------------------------------------


class _Remote:
    """One conversation: what it lists, what is fetched from it, what is pushed."""

    def __init__(self, url: str, token: str | None, ca_bundle: str | None, memory: "Memory") -> None:
        self.memory = memory
        self._client, self._path, self._depth = _client(url, token, ca_bundle)
        self._refs: dict[str, str] | None = None

    def refs(self) -> dict[str, str]:
        """Branches and their commits, as they are now."""
        listed = self._client.get_refs(self._path.encode()).refs
        prefix = b"refs/heads/"
        self._refs = {
            name.removeprefix(prefix).decode("utf-8", "replace"): sha.decode()
            for name, sha in listed.items()
            if name.startswith(prefix) and sha is not None
        }
        return self._refs

    def tip(self, branch: str) -> str:
        tip = (self.refs() if self._refs is None else self._refs).get(branch)
        if tip is None:
            raise BranchAbsent("the remote does not have that branch")
        return tip

    def commit(self, revision: str) -> str:
        """The commit, with its tree in memory."""
        sha = revision if is_revision(revision) else self.tip(revision)
        if not self.memory.has(sha):
            self._fetch(sha)
        return sha

    def _fetch(self, sha: str) -> None:
        self.memory.fetched += 1
        wanted = ObjectID(sha.encode())

        def only(_: Mapping[Ref, ObjectID], depth: int | None = None) -> list[ObjectID]:
            return [wanted]

        def every(refs: Mapping[Ref, ObjectID], depth: int | None = None) -> list[ObjectID]:
            return [s for name, s in refs.items() if name.startswith(b"refs/heads/")]

        try:
            self._client.fetch(self._path, self.memory.repo, determine_wants=cast(Any, only), depth=self._depth)
        except (GitProtocolError, HangupException, KeyError):
            # A server may refuse to give what no branch names: then all of the branches, with their history.
            fresh = MemoryRepo()
            self._client.fetch(self._path, fresh, determine_wants=cast(Any, every))
            self.memory.repo = fresh
        if not self.memory.has(sha):
            raise RepositoryRefused("the remote does not have that commit")

    def push(self, branch: str, existing: str | None, commit: str) -> None:
        """Set the branch from `existing` (None: it is not there) to the commit. Raises `_Moved`."""
        ref = Ref(f"refs/heads/{branch}".encode())
        old, new = existing.encode() if existing else None, ObjectID(commit.encode())

        def update(refs: dict[Ref, ObjectID]) -> dict[Ref, ObjectID]:
            if refs.get(ref) != old:
                raise _Moved
            return {ref: new}

        try:
            sent = self._client.send_pack(self._path.encode(), update, _pack_of(self.memory.made(commit)))
        except FileLocked:  # a folder's branch, which another process is setting
            raise _Moved from None
        if any((sent.ref_status or {}).values()):
            if self.refs().get(branch) != existing:
                raise _Moved
            raise RepositoryRefused("the remote refused the push", "Check what its rules and the credential allow.")


def _pack_of(made: list[ShaFile]) -> Any:
    """What is pushed is what was made here and nothing more: the rest came from the remote."""

    def generate(have: Any, want: Any, **_: Any) -> Any:
        return pack_objects_to_data([(o, None) for o in made])

    return generate


class _Straight(urllib3.PoolManager):
    """Without redirects and retries."""

    def urlopen(self, method: str, url: str, redirect: bool = True, **kw: Any) -> Any:  # type: ignore[override]
        kw["retries"] = False
        return super().urlopen(method, url, redirect=False, **kw)


def _client(url: str, token: str | None, ca_bundle: str | None) -> tuple[GitClient, str, int | None]:
    parts = urlsplit(url)
    if parts.scheme == "file" and not parts.netloc:
        return LocalGitClient(config=ConfigFile(), quiet=True), parts.path, None
    if parts.scheme != "https" or "@" in parts.netloc or parts.query or parts.fragment:
        raise RepositoryRefused("expected a repository by an https URL")
    agent = {"User-Agent": "git/teams-ehr-connector"}
    pool = _Straight(headers=agent, cert_reqs="CERT_REQUIRED", ca_certs=ca_bundle or certifi.where(), timeout=SECONDS)
    client = HttpGitClient(
        f"https://{parts.netloc}/",
        pool_manager=pool,
        config=ConfigFile(),
        username="x-access-token" if token else None,
        password=token,
        quiet=True,
    )
    return client, parts.path, _DEPTH
