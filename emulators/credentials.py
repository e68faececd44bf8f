"""Which credentials came and which were given out, for whoever has to prove that they went nowhere else.

Owns `credentials.jsonl` beside an emulator's raw log (0600, one JSON document a request that had any): the values of
Authorization and X-IDENTITY-HEADER, of the forms' fields in `RECEIVED`, and of the answers' fields in `ISSUED`. A value
stands there as it was on the wire; of Basic credentials, their password.
"""

import base64
import binascii
import json
from collections import deque
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, unquote_plus

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from emulators.state import JsonLines, now_text

RECEIVED = frozenset({
    "assertion", "client_assertion", "client_secret", "code", "code_verifier", "id_token", "passwd", "refresh_token",
})  # fmt: skip
ISSUED = frozenset({"access_token", "id_token", "refresh_token", "token"})
MOST_BYTES = 256 * 1024


class CredentialLog:
    """Passes everything on as it is, and records what is a credential."""

    def __init__(self, app: ASGIApp, log: JsonLines) -> None:
        self.app, self.log = app, log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers, body, answer = Headers(scope=scope), deque[bytes](), deque[bytes]()
        is_json = False

        async def receive_and_keep() -> Message:
            message = await receive()
            _keep(body, message)
            return message

        async def send_and_keep(message: Message) -> None:
            nonlocal is_json
            if message["type"] == "http.response.start":
                is_json = Headers(raw=message["headers"]).get("content-type", "").startswith("application/json")
            elif is_json:
                _keep(answer, message)
            await send(message)

        await self.app(scope, receive_and_keep, send_and_keep)
        received = [*_of_headers(headers), *_of_form(headers, b"".join(body))]
        issued = list(_of_answer(b"".join(answer)))
        if received or issued:
            about = {"time": now_text(), "method": scope["method"], "path": scope["path"]}
            self.log.write({**about, "received": received, "issued": issued})


def _keep(parts: deque[bytes], message: Message) -> None:
    part = message.get("body", b"")
    if part and sum(map(len, parts)) + len(part) <= MOST_BYTES:
        parts.append(part)


def _of_headers(headers: Headers) -> Iterator[str]:
    if identity := headers.get("x-identity-header"):
        yield identity
    scheme, _, value = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            yield unquote_plus(base64.b64decode(value).decode().partition(":")[2])
        except (binascii.Error, UnicodeDecodeError):
            return
    elif value:
        yield value


def _of_form(headers: Headers, body: bytes) -> Iterator[str]:
    if headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        yield from (value for name, value in parse_qsl(body.decode("utf-8", "replace")) if name in RECEIVED)


def _of_answer(body: bytes) -> Iterator[str]:
    try:
        document: Any = json.loads(body) if body else None
    except ValueError:
        return
    if isinstance(document, dict):
        yield from (str(v) for k, v in document.items() if k in ISSUED)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
