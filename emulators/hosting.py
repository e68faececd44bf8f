"""What the emulators' web processes share: state folder, Host check, raw request log, structured logs, uvicorn with TLS.

Owns how an emulated service is served, not what it answers. An emulator builds an ASGI application and calls
`serve(app, name=..., origins=..., state=...)`; it listens on 127.0.0.1 only, refuses a Host that is not one of its
configured origins with 421 (RFC 9110 section 15.5.20), and answers `GET /healthz` with 200 once it is up.
"""

import json
import os
import sys
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import structlog
import uvicorn
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from emulators import tls

STATE_VARIABLE = "CONNECTOR_STATE"
MARKER_VARIABLE = "TEAMS_EHR_CONNECTOR_STATE"
DEFAULT_STATE = Path(__file__).resolve().parent.parent / ".local"
MAXIMUM_LOGGED_BODY_BYTES = 256 * 1024


def state_folder(environment: Mapping[str, str] | None = None) -> Path:
    """The absolute state folder: `CONNECTOR_STATE`, else `.local` of the working tree; 0700 if it is made here."""
    chosen = (os.environ if environment is None else environment).get(STATE_VARIABLE)
    state = Path(chosen).absolute() if chosen else DEFAULT_STATE
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    return state


class JsonLines:
    """A 0600 file of one JSON document a line; a line is written by one append, so lines never interleave."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)

    def write(self, record: Mapping[str, Any]) -> None:
        line = json.dumps(record, ensure_ascii=False, separators=(",", ":"), default=str) + "\n"
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(descriptor, line.encode())
        finally:
            os.close(descriptor)


def now_text() -> str:
    """The time as RFC 3339, UTC, microseconds."""
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


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
        record, body = self._request(scope), bytearray()

        async def receive_and_keep() -> Message:
            message = await receive()
            if message["type"] == "http.request":
                room = MAXIMUM_LOGGED_BODY_BYTES + 1 - len(body)
                body.extend(message.get("body", b"")[:room])
            return message

        async def send_and_log(message: Message) -> None:
            if message["type"] == "http.response.start":
                record["body"] = bytes(body[:MAXIMUM_LOGGED_BODY_BYTES]).decode(errors="replace")
                if len(body) > MAXIMUM_LOGGED_BODY_BYTES:
                    record["body_cut"] = True
                record["status"] = message["status"]
                self.log.write(record)
            await send(message)

        await self.app(scope, receive_and_keep, send_and_log)

    def _request(self, scope: Scope) -> dict[str, Any]:
        came = Headers(scope=scope)
        return {
            "time": now_text(),
            "method": scope["method"],
            "path": cast(bytes, scope.get("raw_path") or scope["path"].encode()).decode("latin-1"),
            "query": scope["query_string"].decode("latin-1"),
            "headers": {name: came[name] for name in self.headers if name in came},
        }


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

    The raw log, when given, is outside the application and inside the Host check.
    """
    log = log or configure_logs(name)
    if raw_log is not None:
        app = RawRequestLog(app, raw_log, logged_headers)
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
