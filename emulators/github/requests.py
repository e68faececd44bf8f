"""One request of the API: its caller, its repository, its checked body and query, and the headers of its answer.

Owns what every operation shares: the required headers, rate limits by token, strict bodies and queries, pages.
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar, cast
from urllib.parse import urlencode

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from emulators.github import errors
from emulators.github.authentication import Authentication, Caller
from emulators.github.bodies import Body
from emulators.github.git import Git
from emulators.github.site import Repository, Site

API_VERSION = "2022-11-28"
MEDIA_TYPES = frozenset({"application/vnd.github+json", "application/vnd.github.raw+json"})

_Body = TypeVar("_Body", bound=Body)


def timestamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass
class Hub:
    """What all operations work on."""

    site: Site
    authentication: Authentication
    clock: Callable[[], float] = time.time
    _used: dict[str, tuple[float, int]] = field(default_factory=dict[str, tuple[float, int]])

    def now(self) -> str:
        return timestamp(self.clock())

    def git(self, repository: Repository) -> Git:
        return Git(repository.folder, self.clock)

    def count(self, caller: Caller) -> dict[str, str]:
        """The rate limit's headers of a call. Raises 403 beyond the limit."""
        began, used = self._used.get(caller.key, (self.clock(), 0))
        if self.clock() >= began + 3600:
            began, used = self.clock(), 0
        over = used >= self.site.limit
        used = used if over else used + 1
        self._used[caller.key] = began, used
        headers = {
            "x-ratelimit-limit": str(self.site.limit),
            "x-ratelimit-remaining": str(self.site.limit - used),
            "x-ratelimit-used": str(used),
            "x-ratelimit-reset": str(int(began + 3600)),
            "x-ratelimit-resource": "core",
        }
        if over:
            raise errors.GitHubError(403, f"API rate limit exceeded for {caller.key}.", headers=headers)
        return headers


@dataclass(frozen=True)
class Call:
    """A request of somebody who may see the repository."""

    request: Request
    hub: Hub
    caller: Caller
    repository: Repository
    raw: bytes

    @property
    def git(self) -> Git:
        return self.hub.git(self.repository)

    def path(self, name: str) -> str:
        return str(self.request.path_params[name])

    def number(self, name: str) -> int:
        text = self.path(name)
        if not text.isascii() or not text.isdigit() or len(text) > 18:
            raise errors.not_found()
        return int(text)

    def require(self, permission: str, level: str) -> None:
        self.caller.require(self.repository, permission, level)

    def body(self, model: type[_Body]) -> _Body:
        return parsed(model, self.raw)

    def query(self, *known: str) -> dict[str, str]:
        """The query's parameters; unknown ones are refused."""
        found = dict(self.request.query_params)
        if unknown := set(found) - set(known) or len(found) != len(self.request.query_params.multi_items()):
            raise errors.invalid(f"Invalid request: the query has unknown or repeated parameters ({unknown})")
        return found

    def url(self, path: str) -> str:
        return f"{self.hub.site.url}/repos/{self.repository.full_name}/{path}"

    def page(self, items: Sequence[Any], *known: str) -> JSONResponse:
        """A list, cut into pages, with the Link header."""
        cut, headers = self.cut(items, *known)
        return JSONResponse(cut, headers=headers)

    def cut(self, items: Sequence[Any], *known: str) -> tuple[list[Any], dict[str, str]]:
        query = self.query("per_page", "page", *known)
        try:
            size, page = min(int(query.get("per_page", "30")), 100), int(query.get("page", "1"))
        except ValueError:
            raise errors.invalid("Invalid request: page and per_page are numbers") from None
        if size < 1 or page < 1:
            raise errors.invalid("Invalid request: page and per_page are positive")
        last = max(1, -(-len(items) // size))
        links = [(page + 1, "next"), (last, "last")] if page < last else []
        base = f"{self.hub.site.url}{self.request.url.path}"
        text = ", ".join(
            f'<{base}?{urlencode({**query, "page": number})}>; rel="{relation}"' for number, relation in links
        )
        return list(items[(page - 1) * size : page * size]), {"link": text} if text else {}


def parsed(model: type[_Body], raw: bytes) -> _Body:
    """A body as its model. Raises 400 where it is no JSON, 422 where it does not fit."""
    try:
        return model.model_validate_json(raw or b"{}")
    except ValidationError as e:
        problems = e.errors(include_url=False, include_input=False)
        if any(p["type"] == "json_invalid" for p in problems):
            raise errors.GitHubError(400, "Problems parsing JSON") from None
        names = [".".join(map(str, p["loc"])) for p in problems]
        words = "; ".join(f"{name}: {p['msg'].lower()}" for name, p in zip(names, problems, strict=True))
        raise errors.GitHubError(422, f"Invalid request.\n\n{words}") from None


def check_headers(request: Request) -> None:
    """Raises what GitHub answers without a User-Agent, and 400 without media type and version."""
    if not request.headers.get("user-agent"):
        message = "Request forbidden by administrative rules. Please make sure your request has a User-Agent header"
        raise errors.GitHubError(403, message)
    if request.headers.get("x-github-api-version") != API_VERSION:
        raise errors.GitHubError(400, f"expected the header X-GitHub-Api-Version: {API_VERSION}")
    if request.headers.get("accept") not in MEDIA_TYPES:
        raise errors.GitHubError(400, "expected the header Accept: application/vnd.github+json")


Operation = Callable[[Call], Response]


def operation(hub: Hub, work: Operation) -> Callable[[Request], Awaitable[Response]]:
    """An operation on a repository as an endpoint."""

    async def endpoint(request: Request) -> Response:
        headers: dict[str, str] = {}
        try:
            check_headers(request)
            caller = hub.authentication.caller(request.headers.get("authorization"))
            headers = hub.count(caller)
            name = f"{request.path_params['owner']}/{request.path_params['repo']}".lower()
            repository = hub.site.repositories.get(name)
            if repository is None or not caller.may_see(repository):
                raise errors.not_found()
            response = work(Call(request, hub, caller, repository, await request.body()))
        except errors.GitHubError as refused:
            response = refused.response()
        for header, value in headers.items():
            response.headers.setdefault(header, value)
        return response

    return endpoint


def answer(document: object, status: int = 200) -> JSONResponse:
    return JSONResponse(cast("Any", document), status)
