"""A look at a FHIR base URL that somebody is typing: what answers there, fetched so that it can harm nothing.

The host is resolved once and the connection goes to that very address, with the host's name in TLS and in `Host`: a
name that means something else a moment later (DNS rebinding) gains nothing. Every address of the name must be public
where the cloud is azure; elsewhere the loopback is too. No redirect is followed, no compressed body is taken, and size
and time are capped. Nobody's credentials are sent. Owns that, and the words about what was found.
"""

import asyncio
import ipaddress
import json
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlsplit

import httpx
from pydantic import TypeAdapter, ValidationError

from runtime.errors import ProtocolError
from runtime.http import origin_of
from runtime.portal.evidence import release_of, stable_part
from runtime.portal.suffixes import Hint, hints
from schemas.problems import bare
from schemas.promotion.statement import Release
from schemas.scalars import FhirBaseUrl, address_of
from schemas.vocabulary import Cloud, EhrKind

SECONDS = 8.0
MAXIMUM_BYTES = 1024 * 1024
AT_ONCE = 8
AZURE_PLATFORM = ipaddress.IPv4Address("168.63.129.16")
"""A public address that Azure answers itself, from inside ("What is IP address 168.63.129.16?")."""

_URL: TypeAdapter[str] = TypeAdapter(FhirBaseUrl)
_HEADERS = {"accept-encoding": "identity", "connection": "close", "user-agent": "teams-ehr-connector"}
_FHIR = "application/fhir+json, application/json"
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]


@dataclass(frozen=True)
class Look:
    """What was found. `problems` say why the URL cannot be used as it is; `notes` are worth knowing."""

    host: str
    software: str | None = None
    version: str | None = None
    fhir_version: str | None = None
    release: Release | None = None
    smart: bool = False
    authorization_host: str | None = None
    token_host: str | None = None
    pkce: bool = False
    other_origins: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    hints: tuple[Hint, ...] = ()
    put_off: bool = False

    def document(self) -> dict[str, Any]:
        """As JSON, for the page's script."""
        values = {k: v for k, v in vars(self).items() if k != "hints"}
        return {**values, "hints": [{"url": h.url, "why": h.why} for h in self.hints]}


PUT_OFF = Look("", put_off=True)
"""Nobody looked: this person has just looked too often."""


class NotUsable(Exception):
    """The message says why, to whoever typed the URL."""


async def resolve(host: str, port: int) -> Sequence[str]:
    """Every address of a name, as the system resolves it."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


class Probe:
    """The looks of one process."""

    def __init__(self, client: httpx.AsyncClient, cloud: Cloud, resolve: Resolve = resolve) -> None:
        self._client, self._cloud, self._resolve = client, cloud, resolve
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def look(self, url: str, kind: EhrKind) -> Look:
        """What answers at a URL. Raises nothing: what goes wrong is said in the result."""
        host = _host_of(url)
        found = tuple(hints(url, kind))
        try:
            _URL.validate_python(url)
        except ValidationError as e:
            said = e.errors(include_url=False, include_input=False)[0]["msg"].removeprefix("Value error, ")
            return Look(host, problems=(_sentence(said),), hints=found)
        try:
            async with asyncio.timeout(SECONDS), self._slots:
                target = await self._target(url)
                metadata, smart = await asyncio.gather(
                    self._json(target, "/metadata", _FHIR),
                    self._json(target, "/.well-known/smart-configuration", "application/json"),
                )
        except TimeoutError:
            return Look(host, problems=(f"There was no whole answer within {SECONDS:.0f} seconds.",), hints=found)
        except NotUsable as e:
            return Look(host, problems=(str(e),), hints=found)
        return _described(url, host, kind, metadata, smart, found)

    # --- safely -------------------------------------------------------------------------------------------------

    async def _target(self, url: str) -> "_Target":
        """The URL with the one address to connect to. Raises `NotUsable`."""
        parts = urlsplit(url)
        if self._cloud is Cloud.AZURE and parts.scheme != "https":
            raise NotUsable("The URL has to begin with https://.")
        host, port = parts.hostname or "", parts.port or {"https": 443, "http": 80}[parts.scheme]
        try:
            addresses = [ipaddress.ip_address(a.partition("%")[0]) for a in await self._resolve(host, port)]
        except (OSError, ValueError, UnicodeError):
            raise NotUsable("This host name is not known. Is it spelled correctly, and public?") from None
        if not addresses or not all(is_allowed(a, self._cloud) for a in addresses):
            raise NotUsable("This host has no public address, so the connector in the cloud cannot reach it.")
        address = min(addresses, key=lambda a: a.version)  # of two families, the one that every network has
        return _Target(url, host, address, port)

    async def _json(self, target: "_Target", path: str, accept: str) -> "dict[str, Any] | str":
        """A JSON object, or in words why there is none. Raises `NotUsable` where the host cannot be talked to."""
        request = self._client.build_request(
            "GET",
            target.connect_to + path,
            headers={**_HEADERS, "accept": accept, "host": urlsplit(target.url).netloc},
            extensions={"sni_hostname": target.host},
        )
        try:
            response = await self._client.send(request, stream=True, follow_redirects=False)
        except httpx.TransportError as e:
            raise NotUsable(_of_transport(e)) from None
        try:
            return await _read(response)
        except httpx.TransportError:
            return "the connection was lost"
        finally:
            await response.aclose()


@dataclass(frozen=True)
class _Target:
    url: str
    host: str
    address: Address
    port: int

    @property
    def connect_to(self) -> str:
        parts = urlsplit(self.url)
        address = f"[{self.address}]" if self.address.version == 6 else str(self.address)
        return f"{parts.scheme}://{address}:{self.port}{parts.path}"


def is_allowed(address: Address, cloud: Cloud) -> bool:
    """Whether a connection may go there, whatever spelling or wrapping of another address it is."""
    inner = address_of(str(address)) or address
    if cloud is Cloud.EMULATED and inner.is_loopback:
        return True
    return all(_is_public(a) for a in {address, inner})


def _is_public(address: Address) -> bool:
    """`is_global` takes multicast and IPv6's former private addresses (`fec0::/10`, RFC 3879) for global too."""
    special = address.is_multicast or address.is_reserved or address.is_unspecified
    site_local = isinstance(address, ipaddress.IPv6Address) and address.is_site_local
    return address.is_global and not special and not site_local and address != AZURE_PLATFORM


async def _read(response: httpx.Response) -> dict[str, Any] | str:
    status = response.status_code
    if 300 <= status < 400:
        return f"a redirect ({status}), which is not followed"
    if not response.is_success:
        return f"status {status}"
    if response.headers.get("content-encoding", "identity").lower() not in ("", "identity"):
        return "a compressed body, which was not asked for"
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > MAXIMUM_BYTES:
            return "more than 1 MiB"
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return "something that is no JSON"
    return cast(dict[str, Any], found) if isinstance(found, dict) else "JSON that is no object"


def _of_transport(error: httpx.TransportError) -> str:
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return "The host's TLS certificate is not valid for this name, or nobody trusted vouches for it."
    if isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout)):
        return "Nothing answers at this host and port."
    return "The host closed the connection, or does not speak HTTP over TLS."


# --- in words -------------------------------------------------------------------------------------------------------


def _described(
    url: str,
    host: str,
    kind: EhrKind,
    metadata: dict[str, Any] | str,
    smart: dict[str, Any] | str,
    found: tuple[Hint, ...],
) -> Look:
    problems: list[str] = []
    notes: list[str] = []
    capability = metadata if isinstance(metadata, dict) else {}
    if isinstance(metadata, str):
        problems.append(f"There is no CapabilityStatement at /metadata below this URL: {metadata}.")
    elif capability.get("resourceType") not in ("CapabilityStatement", "Conformance"):
        problems.append("What is at /metadata below this URL is no CapabilityStatement.")
        capability = {}
    stable = stable_part(capability)
    software = cast(dict[str, str | None], stable["software"])
    release = release_of(kind, software["version"])
    if release is None:
        problems.append(f"Epic {software['version']} is older than November 2018, which virtual visits need.")
    elif release is Release.NOT_VERIFIABLE and capability:
        notes.append("The EHR does not say its version in a way that can be verified.")
    endpoints = _endpoints(smart, problems)
    others = tuple(sorted({o for o in map(_origin, endpoints.values()) if o and o != _origin(url)}))
    if others:
        notes.append("Its sign-in is at another origin, which the connection has to list.")
    pkce = isinstance(smart, dict) and "S256" in _texts(smart.get("code_challenge_methods_supported"))
    if isinstance(smart, dict) and not pkce:
        notes.append("It does not say that it supports PKCE with S256.")
    return Look(
        host,
        software["name"],
        software["version"],
        cast(str | None, stable["fhirVersion"]),
        release,
        isinstance(smart, dict),
        _host_of(endpoints["authorization_endpoint"]) or None,
        _host_of(endpoints["token_endpoint"]) or None,
        pkce,
        others,
        tuple(problems),
        tuple(notes),
        found,
    )


def _endpoints(smart: dict[str, Any] | str, problems: list[str]) -> dict[str, str]:
    names = ("authorization_endpoint", "token_endpoint")
    if isinstance(smart, str):
        problems.append(f"There is no SMART configuration below this URL: {smart}.")
        return dict.fromkeys(names, "")
    found = {name: value if isinstance(value := smart.get(name), str) else "" for name in names}
    if not all(map(_origin, found.values())):
        problems.append("Its SMART configuration lacks the sign-in endpoints.")
    return found


def _origin(url: str) -> str | None:
    try:
        return origin_of(url)
    except ProtocolError:
        return None


def _host_of(url: str) -> str:
    """Host and port as they stand in the URL, in full."""
    try:
        netloc = urlsplit(url).netloc.rpartition("@")[2]
    except ValueError:
        return ""
    return bare(netloc) if len(netloc) <= 60 else "".join(c for c in netloc if c.isprintable())


def _texts(value: object) -> list[object]:
    return cast(list[object], value) if isinstance(value, list) else []


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:].rstrip(".") + "."
