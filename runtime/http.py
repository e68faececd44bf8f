"""The one way out: every call to another system goes through a `Remote`, which knows the origins it may reach.

Owns timeouts (connect 5 s, 10 s in all), the refusal of redirects, the size cap (1 MiB, counted while streaming), the
allow-list that is asked before any network call, how many calls one origin may hold at once (so one that hangs takes
nothing from the others), that no cookie is kept (a host may serve many organisations), and the trusted certificate
authority. Leaves out retries (durable jobs retry) and what a body means.
"""

import asyncio
import json
import ssl
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, cast
from urllib.parse import urlsplit

import certifi
import httpx

from runtime.errors import ProtocolError, RemoteUnavailable

CONNECT_SECONDS = 5.0
TOTAL_SECONDS = 10.0
CALLS_PER_ORIGIN = 64
MAXIMUM_BYTES = 1024 * 1024


def origin_of(url: str) -> str:
    """Scheme, host and port (RFC 6454) in lower case, the default port left out. Raises `ProtocolError`."""
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        raise ProtocolError("expected a URL") from None
    if parts.scheme not in ("https", "http") or not host or "@" in parts.netloc or "\\" in url:
        raise ProtocolError("expected an http(s) URL without user info")
    if any(ord(c) <= 32 or ord(c) >= 127 for c in url):
        raise ProtocolError("expected a URL in printable ASCII")
    host = f"[{host}]" if ":" in host else host
    default = {"https": 443, "http": 80}[parts.scheme]
    return f"{parts.scheme}://{host}" + (f":{port}" if port not in (None, default) else "")


@dataclass(frozen=True)
class Response:
    """An answer, read whole."""

    status: int
    headers: httpx.Headers
    body: bytes

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300

    def json_object(self) -> dict[str, Any]:
        """The body as a JSON object. Raises `ProtocolError` for another content type, shape or broken JSON."""
        content_type = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        if not (content_type == "application/json" or content_type.endswith("+json")):
            raise ProtocolError(f"expected JSON, got another content type with status {self.status}")
        try:
            value = json.loads(self.body)
        except (ValueError, RecursionError):
            raise ProtocolError(f"expected JSON, got something else with status {self.status}") from None
        if not isinstance(value, dict):
            raise ProtocolError("expected a JSON object")
        return cast(dict[str, Any], value)


@dataclass(frozen=True)
class Slots:
    """How many calls each origin may hold: waiting for one counts as part of the call's time."""

    _by_origin: dict[str, asyncio.Semaphore] = field(default_factory=dict[str, asyncio.Semaphore])

    def of(self, origin: str) -> asyncio.Semaphore:
        return self._by_origin.setdefault(origin, asyncio.Semaphore(CALLS_PER_ORIGIN))


@dataclass(frozen=True)
class Remote:
    """Calls to one system: only to `origins`, checked before the network is touched."""

    client: httpx.AsyncClient
    origins: frozenset[str]
    slots: "Slots"

    async def request(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        data: Mapping[str, str] | None = None,
        json: object = None,
        content: bytes | None = None,
        auth: httpx.Auth | None = None,
    ) -> Response:
        """One call. Any status but 3xx, 429 and 5xx is an answer, for the caller to judge.

        Raises `RemoteUnavailable` (timeout, lost connection, 429, 5xx) and `ProtocolError` (origin not allowed,
        redirect, oversize, undecodable).
        """
        origin = origin_of(url)
        if origin not in self.origins:
            raise ProtocolError("refused to call an origin that the configuration does not name")
        request = self.client.build_request(
            method,
            url,
            params=params,
            headers=headers,
            data=dict(data) if data is not None else None,
            json=json,
            content=content,
        )
        try:
            async with asyncio.timeout(TOTAL_SECONDS), self.slots.of(origin):
                response = await self.client.send(request, stream=True, auth=auth)
                try:
                    return await _read(response)
                finally:
                    await response.aclose()
        except (TimeoutError, httpx.TransportError) as e:
            raise RemoteUnavailable(
                f"no answer within {TOTAL_SECONDS:.0f} s or connection lost: {type(e).__name__}"
            ) from e
        except httpx.DecodingError as e:  # not a TransportError
            raise ProtocolError("expected a body in the encoding that its header names") from e

    async def get(
        self, url: str, *, params: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
    ) -> Response:
        return await self.request("GET", url, params=params, headers=headers)


async def _read(response: httpx.Response) -> Response:
    if response.has_redirect_location or 300 <= response.status_code < 400:
        raise ProtocolError(f"expected an answer, got a redirect ({response.status_code})")
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > MAXIMUM_BYTES:
            raise ProtocolError("expected at most 1 MiB")
    _raise_for_unavailable(response)
    return Response(response.status_code, response.headers, bytes(body))


def _raise_for_unavailable(response: httpx.Response) -> None:
    if response.status_code == 429 or response.status_code >= 500:
        raise RemoteUnavailable(
            f"expected an answer, got {response.status_code}", retry_after=_seconds(response.headers.get("retry-after"))
        )


def _seconds(value: str | None) -> float | None:
    return float(value) if value and value.isdecimal() and len(value) < 6 else None


class MsalHttp:
    """The same rules for MSAL, which brings no asynchronous client: its HttpClient interface over a blocking one.

    What MSAL asks (Entra, the managed identity's endpoint) answers JSON; MSAL's own errors for 429, 5xx and anything
    else are neither ours nor told apart, so they are raised here.
    """

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def get(
        self, url: str, params: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None, **_: object
    ) -> httpx.Response:
        return self._send("GET", url, params=params, headers=headers)

    def post(
        self,
        url: str,
        params: Mapping[str, str] | None = None,
        data: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        **_: object,
    ) -> httpx.Response:
        return self._send("POST", url, params=params, data=data, headers=headers)

    def close(self) -> None:
        self._client.close()

    def _send(self, method: str, url: str, **kwargs: Any) -> httpx.Response:
        started = time.monotonic()
        try:
            with self._client.stream(method, url, **kwargs) as response:
                if response.has_redirect_location:
                    raise ProtocolError(f"expected an answer, got a redirect ({response.status_code})")
                body = bytearray()
                for chunk in response.iter_bytes():
                    body += chunk
                    if len(body) > MAXIMUM_BYTES:
                        raise ProtocolError("expected at most 1 MiB")
                    if time.monotonic() - started > TOTAL_SECONDS:
                        raise RemoteUnavailable(f"no whole answer within {TOTAL_SECONDS:.0f} s")
        except httpx.TransportError as e:
            raise RemoteUnavailable(f"no answer or connection lost: {type(e).__name__}") from e
        except httpx.DecodingError as e:
            raise ProtocolError("expected a body in the encoding that its header names") from e
        _raise_for_unavailable(response)
        headers = [(k, v) for k, v in response.headers.items() if k not in ("content-encoding", "content-length")]
        answer = Response(response.status_code, response.headers, bytes(body))
        answer.json_object()  # MSAL's ValueError for a proxy's HTML page looks like its word for an unknown tenant
        return httpx.Response(response.status_code, headers=headers, content=answer.body)


@dataclass(frozen=True)
class HttpClients:
    """The process's clients. `to()` gives the view of one remote system."""

    client: httpx.AsyncClient
    msal: MsalHttp
    slots: Slots = field(default_factory=Slots)

    def to(self, origins: Iterable[str]) -> Remote:
        """Calls to these origins only. Raises `ProtocolError` where one is not a URL."""
        return Remote(self.client, frozenset(origin_of(o) for o in origins), self.slots)

    async def aclose(self) -> None:
        await self.client.aclose()
        self.msal.close()


def open_clients(
    ca_bundle: str | None,
    transport: httpx.AsyncBaseTransport | None = None,
    blocking_transport: httpx.BaseTransport | None = None,
) -> HttpClients:
    """The client factory: the only place where an httpx client is made."""
    context = ssl.create_default_context(cafile=ca_bundle or certifi.where())
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    timeout = httpx.Timeout(TOTAL_SECONDS, connect=CONNECT_SECONDS)
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=50, keepalive_expiry=30)  # see `Slots`
    headers = {"user-agent": "teams-ehr-connector"}
    return HttpClients(
        httpx.AsyncClient(
            verify=context,
            timeout=timeout,
            limits=limits,
            headers=headers,
            follow_redirects=False,
            trust_env=False,
            cookies=_no_cookies(),
            transport=transport,
        ),
        MsalHttp(
            httpx.Client(
                verify=context,
                timeout=timeout,
                headers=headers,
                follow_redirects=False,
                trust_env=False,
                cookies=_no_cookies(),
                transport=blocking_transport,
            )
        ),
    )


def _no_cookies() -> CookieJar:
    """A jar that takes nothing: httpx would send what one answer set with every later call to the same host."""
    return CookieJar(DefaultCookiePolicy(allowed_domains=()))
