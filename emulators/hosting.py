"""What the emulators' web processes share: Host check, raw request log, structured logs, uvicorn with TLS.

Owns how an emulated service is served, not what it answers. An emulator builds an ASGI application and calls
`serve(app, name=..., origins=..., state=...)`; it listens on 127.0.0.1 only, refuses a Host that is not one of its
configured origins with 421 (RFC 9110 section 15.5.20), and answers `GET /healthz` with 200 once it is up.
"""

import sys
from collections import deque
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import structlog
import uvicorn
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from emulators import tls
from emulators.credentials import CredentialLog
from emulators.state import MARKER_VARIABLE, STATE_VARIABLE, JsonLines, now_text, state_folder

__all__ = [
    "MARKER_VARIABLE",
    "STATE_VARIABLE",
    "HostCheck",
    "JsonLines",
    "RawRequestLog",
    "configure_logs",
    "now_text",
    "serve",
    "state_folder",
]

MAXIMUM_LOGGED_BODY_BYTES = 256 * 1024


class HostCheck:
    """Refuses every Host (`name:port`) that is not configured; answers GET /healthz."""

    def __init__(self, app: ASGIApp, origins: Collection[str]) -> None:
        self.app = app
        self.hosts = {urlsplit(origin).netloc.lower() for origin in origins}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        host = Headers(scope=scope).getlist("host")
        if len(host) != 1 or host[0].lower() not in self.hosts:
            await PlainTextResponse("Misdirected Request: this service has other host names\n", 421)(
                scope, receive, send
            )
        elif scope["path"] == "/healthz" and scope["method"] in ("GET", "HEAD"):
            await PlainTextResponse("ok\n")(scope, receive, send)
        else:
            await self.app(scope, receive, send)


class RawRequestLog:
    """Records each request as it came: time, method, path, query, `headers` of it, body (text), and the status given.

    Health checks are left out. Bodies beyond 256 KiB are cut, `body_cut` says so.
    """

    def __init__(self, app: ASGIApp, log: JsonLines, headers: Sequence[str]) -> None:
        self.app, self.log, self.headers = app, log, tuple(h.lower() for h in headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        record = self._request(scope)
        ahead, body = await _read_ahead(receive)
        record["body"] = body[:MAXIMUM_LOGGED_BODY_BYTES].decode(errors="replace")
        if len(body) > MAXIMUM_LOGGED_BODY_BYTES:
            record["body_cut"] = True

        async def receive_again() -> Message:
            return ahead.popleft() if ahead else await receive()

        async def send_and_log(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.log.write(record | {"status": message["status"]})
            await send(message)

        await self.app(scope, receive_again, send_and_log)

    def _request(self, scope: Scope) -> dict[str, Any]:
        came = Headers(scope=scope)
        return {
            "time": now_text(),
            "method": scope["method"],
            "path": cast(bytes, scope.get("raw_path") or scope["path"].encode()).decode("latin-1"),
            "query": scope["query_string"].decode("latin-1"),
            "headers": {name: came[name] for name in self.headers if name in came},
        }


async def _read_ahead(receive: Receive) -> tuple[deque[Message], bytes]:
    """The messages of a body, up to what is logged of it: also of one that the application never reads."""
    ahead, body = deque[Message](), b""
    while len(body) <= MAXIMUM_LOGGED_BODY_BYTES:
        message = await receive()
        ahead.append(message)
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    return ahead, body


def configure_logs(name: str) -> Any:
    """One JSON document a line on standard output; returns the process's logger."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(default=str),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stdout),
        cache_logger_on_first_use=True,
    )
    return structlog.get_logger().bind(process=name)


def serve(
    app: ASGIApp,
    *,
    name: str,
    origins: Sequence[str],
    state: Path,
    raw_log: JsonLines | None = None,
    logged_headers: Sequence[str] = ("host", "authorization", "content-type", "user-agent"),
    log: Any = None,
) -> None:
    """Serve `app` over TLS on 127.0.0.1 at the port of the first origin, until SIGTERM. Exits 98 if the port is taken.

    The raw log, when given, is outside the application and inside the Host check; beside it stands which credentials
    came and went.
    """
    log = log or configure_logs(name)
    if raw_log is not None:
        credentials = JsonLines(raw_log.path.with_name("credentials.jsonl"))
        app = CredentialLog(RawRequestLog(app, raw_log, logged_headers), credentials)
    port = urlsplit(origins[0]).port or 443
    certificate, key = tls.server_pair(state)
    config = uvicorn.Config(
        HostCheck(app, origins),
        host="127.0.0.1",
        port=port,
        ssl_certfile=str(certificate),
        ssl_keyfile=str(key),
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="auto",
        timeout_graceful_shutdown=1,
        timeout_keep_alive=30,
    )
    _run(config, log, f"https://127.0.0.1:{port}", port)


def _run(config: uvicorn.Config, log: Any, url: str, port: int) -> None:
    try:
        socket = _bound(config.host, port)
    except OSError as e:
        log.error("port is taken", port=port, problem=str(e), advice=f"free port {port} of 127.0.0.1, or give another")
        raise SystemExit(98) from None
    log.info("listening", url=url)
    uvicorn.Server(config).run(sockets=[socket])


def _bound(host: str, port: int) -> Any:
    import socket

    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
        bound.listen(2048)
    except OSError:
        bound.close()
        raise
    return bound
