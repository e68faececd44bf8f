"""An emulated GitHub for tests: a bare repository, people and apps, and a clock that stands still until it is moved.

Owns who there is in it, and pushing to the bare repository as git does.
"""

import asyncio
import itertools
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from dulwich.index import commit_tree
from dulwich.object_store import iter_tree_contents
from dulwich.objects import Blob, Commit, ObjectID
from dulwich.refs import Ref
from dulwich.repo import Repo
from starlette.types import ASGIApp

from emulators.github.app import create_app
from emulators.github.git_data import email_of
from emulators.github.site import App, Installation, Level, Site

FULL_NAME = "example/connector"
HEADERS = {
    "accept": "application/vnd.github+json",
    "x-github-api-version": "2022-11-28",
    "user-agent": "tests",
}
_KEYS = [rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(2)]
Files = Mapping[str, bytes | tuple[int, bytes] | None]
"""By path: content, None to delete, or mode and content."""


class _InProcess(httpx.BaseTransport):
    def __init__(self, app: ASGIApp) -> None:
        self._app = httpx.ASGITransport(app)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return asyncio.run(self._answer(request))

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        response = await self._app.handle_async_request(request)
        return httpx.Response(response.status_code, headers=response.headers, content=await response.aread())


def in_process(app: ASGIApp, url: str) -> httpx.Client:
    """A client of an application in this process."""
    return httpx.Client(transport=_InProcess(app), base_url=url)


@dataclass
class Api:
    """The API as somebody calls it; paths are below the repository where they do not begin with a slash."""

    client: httpx.Client
    authorization: str

    def __call__(self, method: str, path: str, json: object = None, **headers: str) -> Any:
        url = path if path.startswith("/") else f"/repos/{FULL_NAME}/{path}".rstrip("/")
        sent = {**HEADERS, "authorization": self.authorization, **headers}
        return self.client.request(method, url, json=json, headers=sent)

    def made(self, method: str, path: str, json: object = None) -> Any:
        """The document of a call that must succeed."""
        response = self(method, path, json)
        assert response.is_success, f"{method} {path}: {response.status_code} {response.text}"
        return response.json() if response.content else None

    def refused(self, method: str, path: str, json: object = None, **headers: str) -> tuple[int, str]:
        """Status and message of a call that must fail."""
        response = self(method, path, json, **headers)
        assert response.status_code >= 400, f"{method} {path}: {response.status_code} {response.text}"
        document = response.json()
        assert set(document) <= {"message", "errors", "documentation_url", "status"}
        assert document["status"] == str(response.status_code)
        return response.status_code, document["message"]


@dataclass
class GitHub:
    """One site with one repository."""

    folder: Path
    now: float = 1_780_315_200.0
    site: Site = field(default_factory=Site)

    def __post_init__(self) -> None:
        self.git = Repo.init_bare(str(self.folder), mkdir=True)
        self.git.refs.set_symbolic_ref(Ref(b"HEAD"), Ref(b"refs/heads/main"))
        self.repository = self.site.add_repository(FULL_NAME, self.folder)
        self.client = in_process(create_app(self.site, clock=lambda: self.now), self.site.url)
        self._keys = iter(_KEYS)
        self._jti = itertools.count()
        self.keys: dict[int, rsa.RSAPrivateKey] = {}

    # --- who there is ---

    def add_app(self, slug: str, permissions: dict[str, Level]) -> Installation:
        """An app, installed in the repository."""
        key = next(self._keys)
        app = self.site.add_app(slug, key.public_key(), permissions)
        self.keys[app.id] = key
        return self.site.install(app, [self.repository])

    def jwt(self, app: App, **claims: object) -> str:
        given = {"iss": str(app.id), "iat": int(self.now) - 60, "exp": int(self.now) + 540, "jti": str(next(self._jti))}
        return jwt.encode({**given, **claims}, self.keys[app.id], algorithm="RS256")

    def as_installation(self, installation: Installation, **limits: object) -> Api:
        api = Api(self.client, f"Bearer {self.jwt(installation.app)}")
        token = api.made("POST", f"/app/installations/{installation.id}/access_tokens", limits)["token"]
        return Api(self.client, f"Bearer {token}")

    def add_person(self, login: str, role: Level | None = "write") -> Api:
        self.site.add_account(login)
        if role is not None:
            self.repository.roles[login] = role
        return Api(self.client, f"Bearer {self.site.personal_token(login)}")

    # --- git ---

    def head(self, branch: str = "main") -> str:
        return self.git.refs[Ref(f"refs/heads/{branch}".encode())].decode()

    def push(
        self, branch: str, files: Files, author: str = "robin", message: str = "A change", start: str | None = None
    ) -> str:
        """A commit on a branch, pushed; a new branch starts at `start`, else where main is."""
        refs, name = self.git.refs, Ref(f"refs/heads/{branch}".encode())
        parent = refs[name] if name in refs else ObjectID(start.encode()) if start else None
        if parent is None and Ref(b"refs/heads/main") in refs:
            parent = refs[Ref(b"refs/heads/main")]
        tree = self._files_of(parent)
        for path, content in files.items():
            tree.pop(path, None)
            if content is not None:
                mode, data = content if isinstance(content, tuple) else (stat.S_IFREG | 0o644, content)
                blob = Blob.from_string(data)
                self.git.object_store.add_object(blob)
                tree[path] = (mode, blob.id)
        commit = Commit()
        blobs = [(path.encode(), sha, mode) for path, (mode, sha) in tree.items()]
        commit.tree = commit_tree(self.git.object_store, blobs)
        commit.parents = [parent] if parent else []
        commit.author = commit.committer = f"{author} <{email_of(author)}>".encode()
        commit.author_time = commit.commit_time = int(self.now)
        commit.author_timezone = commit.commit_timezone = 0
        commit.message = message.encode()
        self.git.object_store.add_object(commit)
        refs[name] = commit.id
        return commit.id.decode()

    def _files_of(self, commit: ObjectID | None) -> dict[str, tuple[int, ObjectID]]:
        if commit is None:
            return {}
        found = self.git.object_store[commit]
        assert isinstance(found, Commit)
        entries = iter_tree_contents(self.git.object_store, found.tree)
        return {e.path.decode(): (e.mode, e.sha) for e in entries if e.path and e.mode and e.sha}
