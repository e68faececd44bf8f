"""The ASGI application: which routes there are, and what holds for every response.

Owns the host check (only the configured public host; probes excepted), security headers, the access log without
queries, and how exceptions become pages. Leaves out the routes themselves: each package has its `routes()`.
"""

import time
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import cast

from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from runtime.bootstrap import Services
from runtime.errors import METHOD_NOT_ALLOWED, NOT_FOUND, UNAVAILABLE, UNEXPECTED, Refusal, Unavailable
from runtime.logs import log, where
from runtime.pages.rendering import HERE, refusal_page

HEADERS = {
    "strict-transport-security": "max-age=63072000; includeSubDomains",
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",  # under no-referrer our own forms would send `Origin: null`
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
}
PROBES = ("/livez", "/readyz")


@dataclass(frozen=True)
class Words:
    """How an application says what holds for all its pages; `page` shows a refusal."""

    not_found: Refusal = NOT_FOUND
    unavailable: Refusal = UNAVAILABLE
    unexpected: Refusal = UNEXPECTED
    page: Callable[[Refusal], Response] = refusal_page

    async def http_exception(self, _: Request, error: Exception) -> Response:
        """Of the router and of static files; only a method is refused with another status than 404 by either."""
        is_method = cast(HTTPException, error).status_code == METHOD_NOT_ALLOWED.status
        return self.page(METHOD_NOT_ALLOWED if is_method else self.not_found)

    async def when_unavailable(self, _: Request, error: Exception) -> Response:
        log.warning("unavailable", error=type(error).__name__)
        return self.page(self.unavailable)


def routes() -> list[BaseRoute]:
    """Every route of the application."""
    import runtime.health
    import runtime.identity.routes
    import runtime.jwks
    import runtime.launch.routes
    import runtime.meeting.routes
    import runtime.visit.routes

    return [
        *runtime.health.routes(),
        *runtime.jwks.routes(),
        *runtime.launch.routes.routes(),
        *runtime.identity.routes.routes(),
        *runtime.meeting.routes.routes(),
        *runtime.visit.routes.routes(),
        Mount("/static", StaticFiles(directory=HERE / "static"), name="static"),
    ]


def create_application(
    services: Services,
    lifespan: Callable[[Starlette], AbstractAsyncContextManager[None]] | None = None,
    all_routes: list[BaseRoute] | None = None,
    words: Words | None = None,
) -> Starlette:
    """The application over these services. The caller opens and closes them."""
    words = words or Words()
    application = Starlette(
        routes=routes() if all_routes is None else all_routes,
        middleware=[Middleware(EveryResponse, public_host=services.settings.public_host, words=words)],
        exception_handlers={
            HTTPException: words.http_exception,
            Unavailable: words.when_unavailable,
        },
        lifespan=lifespan or _no_lifespan,
    )
    application.state.services = services
    return application


@asynccontextmanager
async def _no_lifespan(_: Starlette) -> AsyncGenerator[None]:
    yield


class EveryResponse:
    """Host check, security headers, the page for what nobody foresaw, access log."""

    def __init__(self, app: ASGIApp, public_host: str, words: Words) -> None:
        self._app = app
        self._host = public_host.lower()
        self._words = words

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.monotonic(), 0

        async def with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            await self._answer(scope)(scope, receive, with_headers)
        except Exception as e:
            log.error("unexpected", error=type(e).__name__, where=where(e))
            if status:
                raise  # half an answer is out: only closing the connection says so
            await self._words.page(self._words.unexpected)(scope, receive, with_headers)
        finally:
            if scope["path"] not in PROBES:
                self._log(scope, status, started)

    def _answer(self, scope: Scope) -> ASGIApp:
        if scope["path"] not in PROBES and not self._is_ours(Headers(scope=scope)):
            return PlainTextResponse("This host is not served here.\n", 421)
        if scope["method"] == "HEAD" and not scope["path"].startswith("/static/"):
            return PlainTextResponse(status_code=405)  # a link scanner's HEAD must not use up a state
        return self._app

    def _is_ours(self, headers: Headers) -> bool:
        hosts = headers.getlist("host")
        return len(hosts) == 1 and hosts[0].lower() == self._host

    def _log(self, scope: Scope, status: int, started: float) -> None:
        route = scope.get("route")
        log.info(
            "request",
            method=scope["method"] if scope["method"] in ("GET", "POST", "HEAD") else "other",
            route=getattr(route, "path", "none"),
            connection=_known_connection(scope),
            status=status,
            milliseconds=round((time.monotonic() - started) * 1000),
        )


def _known_connection(scope: Scope) -> str | None:
    """The connection in the path, where the configuration knows it: other values are the visitor's text."""
    name = scope.get("path_params", {}).get("connection")
    services = cast(Services, scope["app"].state.services) if "app" in scope else None
    return name if name and services and services.configuration.connection(name) else None
