"""Git Data: blobs, trees, commits and refs as GitHub's API has them; contents, read.

Owns the rules of refs: fast-forward unless forced, protected branches move by pull requests only, and an app without
the permission `workflows` moves no branch to a commit with other workflow files.
"""

import base64
import binascii
import re
from datetime import UTC, datetime
from typing import Any

from dulwich.objects import Blob, Commit, Tree
from starlette.responses import JSONResponse, Response

from emulators.github import bodies, errors
from emulators.github.git import HEADS
from emulators.github.requests import Call, answer, timestamp

WORKFLOWS = ".github/workflows/"


class GitData:
    """The operations. `pushers` remembers who moved a branch through the API: repository and ref to login."""

    def __init__(self) -> None:
        self.pushers: dict[tuple[int, str], tuple[str, str]] = {}

    # --- blobs ---

    def create_blob(self, call: Call) -> Response:
        call.require("contents", "write")
        body = call.body(bodies.NewBlob)
        try:
            content = base64.b64decode(body.content) if body.encoding == "base64" else body.content.encode()
        except (binascii.Error, ValueError):
            raise errors.invalid("content is not valid Base64") from None
        sha = call.git.add_blob(content)
        return answer({"sha": sha, "url": call.url(f"git/blobs/{sha}")}, 201)

    def blob(self, call: Call) -> Response:
        call.require("contents", "read")
        sha = call.path("sha")
        content = call.git.blob(sha)
        return answer(
            {
                "sha": sha,
                "url": call.url(f"git/blobs/{sha}"),
                "size": len(content),
                "encoding": "base64",
                "content": base64.encodebytes(content).decode(),
            }
        )

    # --- trees ---

    def create_tree(self, call: Call) -> Response:
        call.require("contents", "write")
        body, git = call.body(bodies.NewTree), call.git
        files: dict[str, tuple[int, str]] = {}
        if body.base_tree is not None:
            base = git.tree_of(body.base_tree)
            if base is None:
                raise errors.not_found()
            files = {e.path: (e.mode, e.sha) for e in git.entries(base, recursive=True)}
        for entry in body.tree:
            _put(call, files, entry)
        sha = git.write_tree(files)
        return answer(self._tree_document(call, sha, recursive=False), 201)

    def tree(self, call: Call) -> Response:
        call.require("contents", "read")
        query = call.query("recursive")
        tree = call.git.tree_of(call.path("sha"))
        if tree is None:
            commit = call.git.resolve(call.path("sha"))
            tree = call.git.tree_of(commit) if commit else None
        if tree is None:
            raise errors.not_found()
        return answer(self._tree_document(call, tree, recursive="recursive" in query))

    def _tree_document(self, call: Call, sha: str, *, recursive: bool) -> dict[str, Any]:
        entries = [
            {"path": e.path, "mode": e.mode_text, "type": e.type, "sha": e.sha}
            for e in call.git.entries(sha, recursive=recursive, trees=True)
        ]
        return {"sha": sha, "url": call.url(f"git/trees/{sha}"), "tree": entries, "truncated": False}

    # --- commits ---

    def create_commit(self, call: Call) -> Response:
        call.require("contents", "write")
        body, git = call.body(bodies.NewCommit), call.git
        if not isinstance(git.object(body.tree), Tree):
            raise errors.invalid("Tree SHA does not exist")
        for parent in body.parents:
            if not isinstance(git.object(parent), Commit):
                raise errors.invalid("Parent SHA does not exist or is not a commit object")
        own = bodies.Identity(name=call.caller.account.login, email=email_of(call.caller.account.login))
        author = self._identity(call, body.author or own)
        committer = self._identity(call, body.committer or body.author or own)
        sha = git.write_commit(body.message, body.tree, body.parents, author, committer)
        return answer(commit_document(call, sha), 201)

    def _identity(self, call: Call, given: bodies.Identity) -> tuple[str, str, int]:
        if given.date is None:
            return given.name, given.email, int(call.hub.clock())
        moment = datetime.strptime(given.date, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
        return given.name, given.email, int(moment.timestamp())

    def commit(self, call: Call) -> Response:
        call.require("contents", "read")
        return answer(commit_document(call, call.path("sha")))

    # --- refs ---

    def ref(self, call: Call) -> Response:
        call.require("contents", "read")
        name = f"refs/{call.path('ref')}"
        sha = call.git.ref(name)
        if sha is None:
            raise errors.not_found()
        return answer(_ref_document(call, name, sha))

    def matching_refs(self, call: Call) -> Response:
        call.require("contents", "read")
        found = call.git.refs(f"refs/{call.path('ref')}")
        return call.page([_ref_document(call, name, sha) for name, sha in found.items()])

    def create_ref(self, call: Call) -> Response:
        call.require("contents", "write")
        body, git = call.body(bodies.NewRef), call.git
        if not git.valid_ref(body.ref):
            raise errors.invalid("Reference name is invalid: expected refs/heads/<branch> or refs/tags/<tag>")
        if git.object(body.sha) is None:
            raise errors.invalid("Object does not exist")
        if git.ref(body.ref) is not None:
            raise errors.invalid("Reference already exists")
        self._check_write(call, body.ref, None, body.sha)
        if not git.create_ref(body.ref, body.sha):
            raise errors.invalid("Reference already exists")
        self._pushed(call, body.ref, body.sha)
        return answer(_ref_document(call, body.ref, body.sha), 201)

    def update_ref(self, call: Call) -> Response:
        call.require("contents", "write")
        name, git = f"refs/{call.path('ref')}", call.git
        body = call.body(bodies.ChangedRef)
        old = git.ref(name)
        if old is None:
            raise errors.invalid("Reference does not exist")
        if git.object(body.sha) is None:
            raise errors.invalid("Object does not exist")
        self._check_write(call, name, old, body.sha)
        if not body.force and not git.is_fast_forward(old, body.sha):
            raise errors.invalid("Update is not a fast forward")
        if not git.move_ref(name, old, body.sha):
            raise errors.GitHubError(409, "Reference cannot be updated: it moved meanwhile")
        self._pushed(call, name, body.sha)
        return answer(_ref_document(call, name, body.sha))

    def delete_ref(self, call: Call) -> Response:
        call.require("contents", "write")
        name, git = f"refs/{call.path('ref')}", call.git
        old = git.ref(name)
        if old is None:
            raise errors.invalid("Reference does not exist")
        self._check_write(call, name, old, None)
        git.delete_ref(name, old)
        return Response(status_code=204)

    def _pushed(self, call: Call, name: str, sha: str) -> None:
        self.pushers[call.repository.id, name] = sha, call.caller.account.login

    def _check_write(self, call: Call, name: str, old: str | None, new: str | None) -> None:
        if not name.startswith((HEADS, "refs/tags/")):
            raise errors.invalid("Reference cannot be written: expected a branch or a tag")
        if name.removeprefix(HEADS) in call.repository.rules and name.startswith(HEADS):
            message = "Repository rule violations found\n\nChanges must be made through a pull request.\n\n"
            raise errors.invalid(message)
        if new is not None and call.caller.permissions is not None:
            before = old or call.git.ref(f"{HEADS}{call.repository.default_branch}")
            if _workflows(call, before) != _workflows(call, new):
                call.require("workflows", "write")

    # --- contents ---

    def contents(self, call: Call) -> Response:
        call.require("contents", "read")
        query = call.query("ref")
        git, path = call.git, call.path("path").strip("/")
        commit = git.resolve(query.get("ref", call.repository.default_branch))
        if commit is None:
            raise errors.GitHubError(404, f"No commit found for the ref {query.get('ref', '')}")
        tree = git.tree_of(commit) or ""
        if path == "":
            return answer([_content(call, e.path, e.path, e.type, e.sha) for e in git.entries(tree, recursive=False)])
        for entry in git.entries(tree, recursive=True, trees=True):
            if entry.path == path:
                return self._content_of(call, path, entry.type, entry.sha)
        raise errors.not_found()

    def _content_of(self, call: Call, path: str, kind: str, sha: str) -> Response:
        if kind == "tree":
            listed = call.git.entries(sha, recursive=False)
            return answer([_content(call, e.path, f"{path}/{e.path}", e.type, e.sha) for e in listed])
        content = call.git.blob(sha)
        if call.request.headers.get("accept") == "application/vnd.github.raw+json":
            return Response(content, media_type="application/vnd.github.raw+json; charset=utf-8")
        body = {"size": len(content), "encoding": "base64", "content": base64.encodebytes(content).decode()}
        return JSONResponse(_content(call, path.rpartition("/")[2], path, kind, sha) | body)


def email_of(login: str) -> str:
    """The address by which GitHub knows that a commit is an account's."""
    return f"{login}@users.noreply.github.test"


def login_of(call: Call, email: str) -> str | None:
    """The account of a commit's address; anybody can write any address into a commit."""
    login = email.removesuffix("@users.noreply.github.test")
    accounts = call.hub.site.accounts
    bots = {a.bot.login.lower(): a.bot for a in call.hub.site.apps.values()}
    found = accounts.get(login.lower()) or bots.get(login.lower()) if login != email else None
    return found.login if found else None


def commit_document(call: Call, sha: str) -> dict[str, Any]:
    """A commit of Git Data."""
    commit = call.git.commit(sha)
    return {
        "sha": sha,
        "url": call.url(f"git/commits/{sha}"),
        "author": _person(commit.author, commit.author_time),
        "committer": _person(commit.committer, commit.commit_time),
        "message": commit.message.decode("utf-8", "replace"),
        "tree": {"sha": commit.tree.decode(), "url": call.url(f"git/trees/{commit.tree.decode()}")},
        "parents": [{"sha": p.decode(), "url": call.url(f"git/commits/{p.decode()}")} for p in commit.parents],
        "verification": {"verified": False, "reason": "unsigned", "signature": None, "payload": None},
    }


def _person(identity: bytes, seconds: float) -> dict[str, str]:
    name, _, email = identity.decode("utf-8", "replace").partition(" <")
    return {"name": name, "email": email.removesuffix(">"), "date": timestamp(seconds)}


def _ref_document(call: Call, name: str, sha: str) -> dict[str, Any]:
    found = call.git.object(sha)
    kind = "blob" if isinstance(found, Blob) else "tree" if isinstance(found, Tree) else "commit"
    return {
        "ref": name,
        "url": call.url(f"git/{name}"),
        "object": {"type": kind, "sha": sha, "url": call.url(f"git/commits/{sha}")},
    }


def _content(call: Call, name: str, path: str, kind: str, sha: str) -> dict[str, Any]:
    shown = {"blob": "file", "tree": "dir", "commit": "submodule"}[kind]
    return {"type": shown, "name": name, "path": path, "sha": sha, "url": call.url(f"contents/{path}")}


def _put(call: Call, files: dict[str, tuple[int, str]], entry: bodies.TreeEntry) -> None:
    if _is_malformed(entry.path):
        raise errors.invalid("tree.path contains a malformed path component")
    if entry.sha is not None and entry.content is not None:
        raise errors.invalid("Must supply either tree.sha or tree.content, not both")
    if entry.type != {"040000": "tree", "160000": "commit"}.get(entry.mode, "blob"):
        raise errors.invalid("tree.type does not fit tree.mode")
    below = f"{entry.path}/"
    for path in [p for p in files if p == entry.path or p.startswith(below)]:
        del files[path]
    if entry.content is not None:
        files[entry.path] = (int(entry.mode, 8), call.git.add_blob(entry.content.encode()))
    elif entry.sha is not None:
        _put_object(call, files, entry, entry.sha)
    elif "sha" not in entry.model_fields_set:
        raise errors.invalid("Must supply tree.sha or tree.content")


def _put_object(call: Call, files: dict[str, tuple[int, str]], entry: bodies.TreeEntry, sha: str) -> None:
    found = call.git.object(sha)
    if entry.type == "tree":
        if not isinstance(found, Tree):
            raise errors.invalid(f"tree.sha {sha} is not a valid tree")
        for inner in call.git.entries(sha, recursive=True):
            files[f"{entry.path}/{inner.path}"] = (inner.mode, inner.sha)
        return
    if entry.type == "blob" and not isinstance(found, Blob):
        raise errors.invalid(f"tree.sha {sha} is not a valid blob")
    files[entry.path] = (int(entry.mode, 8), sha)


def _is_malformed(path: str) -> bool:
    parts = path.split("/")
    return any(p in ("", ".", "..") or p.lower() == ".git" or re.search(r"[\x00-\x1f\\]", p) for p in parts)


def _workflows(call: Call, commit: str | None) -> dict[str, str]:
    tree = call.git.tree_of(commit) if commit else None
    if tree is None:
        return {}
    return {e.path: e.sha for e in call.git.entries(tree, recursive=True) if e.path.startswith(WORKFLOWS)}
