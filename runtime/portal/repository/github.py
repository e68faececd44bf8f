"""GitHub, as a GitHub App: the Git Data API for commits, pull requests for review; one repository, two permissions.

Owns the app's token ("Authenticating as a GitHub App installation": a JWT by the app's key for an installation token,
asked with the least that a proposal needs) and the calls. Commits have no author of ours, so GitHub names the app and
signs them. A ref is created, or moved forward, never forced.
"""

import asyncio
import base64
import binascii
import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import quote

import jwt

from runtime.errors import ProtocolError, RemoteUnavailable
from runtime.http import HttpClients, Response
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
from runtime.vault import Vault
from schemas.promotion_config import GitHubApp

PERMISSIONS = {"contents": "write", "pull_requests": "write", "metadata": "read"}
JWT_SECONDS = 540
CLOCK_SKEW_SECONDS = 60
TOKEN_SECONDS = 3000
"""An installation token lives an hour."""

ATTEMPTS = 4
_REGULAR = "100644"
_VERSION = {"accept": "application/vnd.github+json", "x-github-api-version": "2022-11-28"}
_ALREADY_THERE = 422


@dataclass
class GitHubRepository:
    """A repository at GitHub, or at a GitHub Enterprise Server."""

    http: HttpClients
    vault: Vault
    app: GitHubApp
    owner: str
    name: str
    branch: str
    _token: tuple[str, float] | None = None
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    _trees: "dict[str, dict[str, _Entry]]" = field(default_factory=dict[str, "dict[str, _Entry]"])
    _blobs: dict[str, bytes] = field(default_factory=dict[str, bytes])

    async def head(self, branch: str | None = None) -> str:
        name = checked_revision(branch or self.branch)
        found = await self._ref(name)
        if found is None:
            raise BranchAbsent("the remote does not have that branch")
        return found

    async def read(self, path: str, revision: str | None = None) -> bytes | None:
        checked_path(path)
        found = await self._entry(await self._commit_of(revision), path)
        if found is None:
            return None
        if found.mode != _REGULAR:
            raise RepositoryRefused("expected a regular file at a path of the configuration")
        return await self._blob(found.sha)

    async def paths(self, folder: str, revision: str | None = None) -> list[str]:
        checked_folder(folder)
        commit = await self._commit_of(revision)
        tree = await self._root(commit)
        for part in folder.split("/") if folder else ():
            found = (await self._tree(tree)).get(part)
            if found is None or found.kind != "tree":
                return []
            tree = found.sha
        return sorted(await self._below(tree, f"{folder}/" if folder else "", deep=bool(folder)))

    async def propose(
        self,
        branch: str,
        files: Mapping[str, bytes | None],
        message: str,
        *,
        base: str | None = None,
        title: str | None = None,
    ) -> ProposedChange | Conflict:
        checked_proposal(branch, files, message, base)
        for _ in range(ATTEMPTS):
            head, existing = await self.head(), await self._ref(branch)
            heads = [head, *([existing] if existing else [])]
            if base is not None and (moved := await self._moved(base, heads, files)):
                return Conflict(base, head, moved)
            parent = existing or base or head
            commit = await self._new_commit(parent, files, message)
            if commit is not None and not await self._set_ref(branch, existing, commit):
                continue
            url = await self._pull_request(branch, title) if title and (commit or existing) else None
            return ProposedChange(commit or parent, branch, url)
        raise RepositoryUnavailable("the branch moved each time that it was to be pushed")

    # --- reading ------------------------------------------------------------------------------------------------

    async def _commit_of(self, revision: str | None) -> str:
        wanted = checked_revision(revision or self.branch)
        return wanted if is_revision(wanted) else await self.head(wanted)

    async def _ref(self, branch: str) -> str | None:
        response = await self._call("GET", f"git/ref/heads/{quote(branch)}", absent=True)
        return _sha(response.get("object")) if response is not None else None

    async def _root(self, commit: str) -> str:
        found = await self._call("GET", f"git/commits/{commit}", absent=True)
        if found is None:
            raise RepositoryRefused("the remote does not have that commit")
        return _sha(found.get("tree"))

    async def _tree(self, sha: str) -> "dict[str, _Entry]":
        if sha not in self._trees:
            found = await self._call("GET", f"git/trees/{sha}")
            entries = found.get("tree")
            if found.get("truncated") or not isinstance(entries, list):
                raise RepositoryRefused("a folder of the repository has too many files")
            self._trees[sha] = {e.name: e for e in map(_entry, cast(list[object], entries))}
        return self._trees[sha]

    async def _entry(self, commit: str, path: str, *, to_write: bool = False) -> "_Entry | None":
        tree = await self._root(commit)
        *folders, name = path.split("/")
        for part in folders:
            found = (await self._tree(tree)).get(part)
            if found is not None and found.kind != "tree" and to_write:
                raise RepositoryRefused("expected a folder where the path of a file leads through")
            if found is None or found.kind != "tree":
                return None
            tree = found.sha
        return (await self._tree(tree)).get(name)

    async def _below(self, tree: str, prefix: str, *, deep: bool) -> list[str]:
        paths: list[str] = []
        for entry in (await self._tree(tree)).values():
            if entry.kind == "tree" and deep:
                paths += await self._below(entry.sha, f"{prefix}{entry.name}/", deep=True)
            elif entry.kind == "blob" and entry.mode == _REGULAR:
                paths.append(prefix + entry.name)
        return paths

    async def _blob(self, sha: str) -> bytes:
        if sha not in self._blobs:
            found = await self._call("GET", f"git/blobs/{sha}")
            content = found.get("content")
            if found.get("encoding") != "base64" or not isinstance(content, str):
                raise RepositoryUnavailable("expected a file's content in base64")
            try:
                self._blobs[sha] = base64.b64decode("".join(content.split()), validate=True)
            except binascii.Error:
                raise RepositoryUnavailable("expected a file's content in base64") from None
        return self._blobs[sha]

    async def _moved(self, base: str, heads: list[str], files: Mapping[str, bytes | None]) -> tuple[str, ...]:
        moved: set[str] = set()
        for path in files:
            then = await self._entry(base, path)
            moved |= {path for head in heads if await self._entry(head, path) != then}
        return tuple(sorted(moved))

    # --- writing ------------------------------------------------------------------------------------------------

    async def _new_commit(self, parent: str, files: Mapping[str, bytes | None], message: str) -> str | None:
        root = await self._root(parent)
        entries: list[dict[str, str | None]] = []
        for path, content in files.items():
            there = await self._entry(parent, path, to_write=True)
            if there is not None and there.mode != _REGULAR:
                raise RepositoryRefused("expected a regular file at a path of the configuration")
            if content is None:
                if there is not None:
                    entries.append({"path": path, "mode": _REGULAR, "type": "blob", "sha": None})
                continue
            body = {"content": base64.b64encode(content).decode(), "encoding": "base64"}
            blob = _sha(await self._call("POST", "git/blobs", body))
            if there is None or there.sha != blob:
                entries.append({"path": path, "mode": _REGULAR, "type": "blob", "sha": blob})
        if not entries:
            return None
        tree = _sha(await self._call("POST", "git/trees", {"base_tree": root, "tree": entries}))
        commit = {"message": message, "tree": tree, "parents": [parent]}
        return _sha(await self._call("POST", "git/commits", commit))

    async def _set_ref(self, branch: str, existing: str | None, commit: str) -> bool:
        """Whether the branch is at the commit now; not so where it moved in between."""
        if existing is None:
            body: dict[str, object] = {"ref": f"refs/heads/{branch}", "sha": commit}
            return await self._call("POST", "git/refs", body, conflict=True) is not None
        body = {"sha": commit, "force": False}
        return await self._call("PATCH", f"git/refs/heads/{quote(branch)}", body, conflict=True) is not None

    async def _pull_request(self, branch: str, title: str) -> str | None:
        opened = await self._listed(f"{self.owner}:{branch}")
        if opened is None:
            body = {"title": title, "head": branch, "base": self.branch, "body": "", "maintainer_can_modify": False}
            opened = await self._call("POST", "pulls", body)
        url = opened.get("html_url")
        return url if isinstance(url, str) and url.startswith("https://") else None

    async def _listed(self, head: str) -> dict[str, Any] | None:
        response = await self._send("GET", "pulls", params={"head": head, "base": self.branch, "state": "open"})
        found = _json_array(response)
        return cast(dict[str, Any], found[0]) if found and isinstance(found[0], dict) else None

    # --- calls --------------------------------------------------------------------------------------------------

    async def _call(
        self, method: str, path: str, body: object = None, *, absent: bool = False, conflict: bool = False
    ) -> Any:
        """The JSON object that GitHub answers; None for 404 where `absent`, for 422 where `conflict`."""
        response = await self._send(method, path, body)
        if (absent and response.status == 404) or (conflict and response.status in (409, _ALREADY_THERE)):
            return None
        if not response.ok:
            raise _refusal(response)
        try:
            return response.json_object()
        except ProtocolError as e:
            raise RepositoryUnavailable("GitHub answered something else than JSON") from e

    async def _send(
        self, method: str, path: str, body: object = None, params: Mapping[str, str] | None = None
    ) -> Response:
        token = await self._installation_token()
        url = f"{self.app.api_url}/repos/{quote(self.owner)}/{quote(self.name)}/{path}"
        return await self._request(method, url, token, body, params)

    async def _request(
        self, method: str, url: str, token: str, body: object, params: Mapping[str, str] | None = None
    ) -> Response:
        headers = {**_VERSION, "authorization": f"Bearer {token}"}
        try:
            response = await self.http.to([self.app.api_url]).request(
                method, url, headers=headers, json=body, params=params
            )
        except (RemoteUnavailable, ProtocolError) as e:
            raise RepositoryUnavailable(f"GitHub did not answer: {e}") from e
        if response.status == 403 and response.headers.get("x-ratelimit-remaining") == "0":
            raise RepositoryUnavailable("GitHub's rate limit is used up")
        return response

    async def _installation_token(self) -> str:
        async with self._lock:
            if self._token is None or self._token[1] <= time.monotonic():
                self._token = (await self._new_token(), time.monotonic() + TOKEN_SECONDS)
            return self._token[0]

    async def _new_token(self) -> str:
        pem = await self.vault.secret(self.app.key)
        if not pem:
            raise RepositoryRefused(
                f"the vault has no secret {self.app.key}", "Put the GitHub App's private key there."
            )
        now = int(time.time())
        claims = {
            "iat": now - CLOCK_SKEW_SECONDS,
            "exp": now + JWT_SECONDS,
            "iss": self.app.app_id,
            "jti": secrets.token_hex(16),
        }
        try:
            assertion = jwt.encode(claims, pem, "RS256")
        except (ValueError, TypeError, jwt.PyJWTError):
            raise RepositoryRefused(f"the secret {self.app.key} is no RSA key in PEM") from None
        url = f"{self.app.api_url}/app/installations/{quote(self.app.installation_id, safe='')}/access_tokens"
        body = {"repositories": [self.name], "permissions": PERMISSIONS}
        response = await self._request("POST", url, assertion, body)
        if not response.ok:
            raise _refusal(response)
        token = response.json_object().get("token")
        if not isinstance(token, str) or not token:
            raise RepositoryUnavailable("GitHub gave no installation token")
        return token


@dataclass(frozen=True)
class _Entry:
    """What stands in a tree under a name."""

    name: str
    mode: str
    kind: str
    sha: str


def _entry(value: object) -> _Entry:
    if isinstance(value, dict):
        found = cast(dict[str, object], value)
        fields = [found.get(k) for k in ("path", "mode", "type", "sha")]
        if all(isinstance(f, str) for f in fields):
            return _Entry(*cast(list[str], fields))
    raise RepositoryUnavailable("expected a tree's entries")


def _sha(value: object) -> str:
    sha = cast(dict[str, object], value).get("sha") if isinstance(value, dict) else None
    if not isinstance(sha, str) or not is_revision(sha):
        raise RepositoryUnavailable("expected an object's id")
    return sha


def _json_array(response: Response) -> list[object]:
    if not response.ok:
        raise _refusal(response)
    try:
        found: object = json.loads(response.body)
    except ValueError:
        found = None
    if not isinstance(found, list):
        raise RepositoryUnavailable("GitHub answered something else than a list")
    return cast(list[object], found)


def _refusal(response: Response) -> RepositoryRefused:
    advice = "Check the GitHub App's installation, its permissions (contents and pull requests) and branch rules."
    return RepositoryRefused(f"GitHub answered {response.status}", advice)
