"""A look at a FHIR base URL: what it says, and that no URL makes it reach what it must not, hang or fill memory."""

import asyncio
import gzip
import json
import ssl
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from emulators import tls
from runtime.http import open_clients
from runtime.portal import probe as probing
from runtime.portal.probe import MAXIMUM_BYTES, Look, Probe
from runtime.portal.suffixes import hints
from schemas.vocabulary import Cloud, EhrKind

URL = "https://ehr.example.org/interconnect/api/FHIR/R4"
METADATA = {
    "resourceType": "CapabilityStatement",
    "fhirVersion": "4.0.1",
    "software": {"name": "Epic", "version": "August 2025"},
}
SMART = {
    "authorization_endpoint": "https://ehr.example.org/interconnect/oauth2/authorize",
    "token_endpoint": "https://ehr.example.org/interconnect/oauth2/token",
    "code_challenge_methods_supported": ["S256"],
}


@dataclass
class Answers:
    """An EHR without a network: answers by the end of the path, and every request it got."""

    metadata: httpx.Response | None = None
    smart: httpx.Response | None = None
    addresses: Sequence[str] = ("93.184.215.14",)
    resolved: list[str] = field(default_factory=list[str])
    requests: list[httpx.Request] = field(default_factory=list[httpx.Request])

    async def resolve(self, host: str, port: int) -> Sequence[str]:
        self.resolved.append(host)
        return self.addresses

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if request.url.path.endswith("/metadata"):
            return self.metadata or httpx.Response(200, json=METADATA)
        return self.smart or httpx.Response(200, json=SMART)

    def look(self, url: str = URL, cloud: Cloud = Cloud.AZURE, kind: EhrKind = EhrKind.EPIC) -> Look:
        client = httpx.AsyncClient(transport=httpx.MockTransport(self.answer))
        return asyncio.run(Probe(client, cloud, self.resolve).look(url, kind))


# --- what it says ---------------------------------------------------------------------------------------------------


def test_says_what_answers_there() -> None:
    look = Answers().look()
    assert look.problems == ()
    assert look.notes == ()
    assert (look.host, look.software, look.version, look.fhir_version, look.release) == (
        "ehr.example.org",
        "Epic",
        "August 2025",
        "4.0.1",
        "accepted",
    )
    assert (look.smart, look.pkce, look.authorization_host, look.token_host) == (
        True,
        True,
        "ehr.example.org",
        "ehr.example.org",
    )
    assert look.hints == ()


@pytest.mark.parametrize(
    ("metadata", "smart", "said"),
    [
        (httpx.Response(404), None, "There is no CapabilityStatement at /metadata below this URL: status 404."),
        (httpx.Response(200, text="<html>"), None, "something that is no JSON"),
        (httpx.Response(200, json=["x"]), None, "JSON that is no object"),
        (httpx.Response(200, text="[" * 100_000), None, "something that is no JSON"),
        (httpx.Response(200, json={"resourceType": "Patient"}), None, "is no CapabilityStatement"),
        (None, httpx.Response(404), "There is no SMART configuration below this URL: status 404."),
        (None, httpx.Response(200, json={}), "lacks the sign-in endpoints"),
        (
            httpx.Response(200, json={**METADATA, "software": {"name": "Epic", "version": "August 2018"}}),
            None,
            "older than November 2018",
        ),
    ],
)
def test_says_why_a_url_cannot_be_used(metadata: Any, smart: Any, said: str) -> None:
    look = Answers(metadata, smart).look()
    assert any(said in problem for problem in look.problems), look.problems


def test_a_version_that_cannot_be_read_is_no_problem_but_said() -> None:
    look = Answers(httpx.Response(200, json={**METADATA, "software": {"name": "Epic"}})).look()
    assert look.problems == ()
    assert "The EHR does not say its version in a way that can be verified." in look.notes


def test_other_ehrs_have_no_rule_of_release() -> None:
    old = {**METADATA, "software": {"name": "Other", "version": "August 2001"}}
    assert Answers(httpx.Response(200, json=old)).look(kind=EhrKind.SMART).problems == ()


def test_names_the_other_origins_of_its_sign_in() -> None:
    smart = {**SMART, "token_endpoint": "https://login.example.org:8443/token"}
    look = Answers(smart=httpx.Response(200, json=smart)).look()
    assert look.other_origins == ("https://login.example.org:8443",)
    assert look.token_host == "login.example.org:8443"


def test_what_a_server_says_of_itself_is_shown_only_as_short_plain_text() -> None:
    tricky = {
        **METADATA,
        "software": {"name": "\x1b[31mEpic", "version": "August 2025\u202e"},
        "fhirVersion": "x" * 999,
    }
    look = Answers(httpx.Response(200, json=tricky)).look()
    assert (look.software, look.version, look.fhir_version) == (None, None, None)


# --- addresses ------------------------------------------------------------------------------------------------------

NOT_PUBLIC = [
    "127.0.0.1",
    "127.8.8.8",
    "0.0.0.0",  # noqa: S104
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "169.254.169.254",
    "168.63.129.16",
    "192.0.2.1",
    "198.18.0.1",
    "224.0.0.1",
    "255.255.255.255",
    "240.0.0.1",
    "::",
    "::1",
    "fe80::1",
    "fec0::1",
    "fe80::1%eth0",
    "fc00::1",
    "ff02::1",
    "2001:db8::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:a9fe:a9fe",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b::7f00:1",
    "2002:7f00:1::",
    "2002:a9fe:a9fe::",
    "::7f00:1",
]


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_in_azure_no_address_but_a_public_one_is_called(address: str) -> None:
    answers = Answers(addresses=[address])
    assert answers.look().problems == (
        "This host has no public address, so the connector in the cloud cannot reach it.",
    )
    assert answers.requests == []


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_a_name_with_one_public_and_one_other_address_is_not_called(address: str) -> None:
    answers = Answers(addresses=["93.184.215.14", address])
    assert answers.look().problems
    assert answers.requests == []


@pytest.mark.parametrize(
    "address",
    [a for a in NOT_PUBLIC if a not in {"127.0.0.1", "127.8.8.8", "::1"} and "7f00" not in a and "127" not in a],
)
def test_the_emulated_cloud_adds_the_loopback_and_nothing_else(address: str) -> None:
    answers = Answers(addresses=[address])
    assert answers.look(cloud=Cloud.EMULATED).problems
    assert answers.requests == []


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/api/FHIR/R4",
        "https://127.1/api/FHIR/R4",
        "https://0x7f.1/api/FHIR/R4",
        "https://0177.0.0.1/api/FHIR/R4",
        "https://2130706433/api/FHIR/R4",
        "https://[::1]/api/FHIR/R4",
        "https://[::ffff:7f00:1]/api/FHIR/R4",
        "https://localhost/api/FHIR/R4",
        "https://localhost./api/FHIR/R4",
    ],
)
def test_this_machine_by_whatever_spelling_is_not_called_in_azure(url: str) -> None:
    answers = Answers()
    client = httpx.AsyncClient(transport=httpx.MockTransport(answers.answer))
    assert asyncio.run(Probe(client, Cloud.AZURE).look(url, EhrKind.EPIC)).problems
    assert answers.requests == []


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "gopher://ehr.example.org/x",
        "http://ehr.example.org/api/FHIR/R4",
        "https://user:secret@ehr.example.org/api/FHIR/R4",
        "https://ehr.example.org\\@127.0.0.1/api/FHIR/R4",
        "https://ehr.example.org/../x",
        "https://ehr.example.org/api/FHIR/R4?x=1",
        "https://ehr.example.org/api/FHIR/R4#x",
        "https://ehr.example.org:99999/x",
        "https://[fe80::1%25eth0]/x",
        "https://éhr.example.org/x",
        "https://ehr.example.org/x\r\nHost: other",
        "",
        "x" * 5000,
    ],
)
def test_what_is_no_fhir_base_url_is_neither_resolved_nor_called(url: str) -> None:
    answers = Answers()
    assert answers.look(url).problems
    assert (answers.resolved, answers.requests) == ([], [])


def test_a_name_is_resolved_once_and_called_at_that_address_under_its_own_name() -> None:
    answers = Answers(addresses=["93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"])
    answers.look("https://ehr.example.org:8443/api/FHIR/R4")
    assert answers.resolved == ["ehr.example.org"]
    assert {(r.url.host, r.url.port, r.headers["host"], r.extensions["sni_hostname"]) for r in answers.requests} == {
        ("93.184.215.14", 8443, "ehr.example.org:8443", "ehr.example.org")
    }


def test_nothing_of_anybodys_credentials_is_sent() -> None:
    answers = Answers()
    answers.look()
    sent = {name for r in answers.requests for name in r.headers}
    assert sent <= {"host", "accept", "accept-encoding", "connection", "user-agent"}


def test_a_redirect_is_said_and_not_followed() -> None:
    answers = Answers(metadata=httpx.Response(302, headers={"location": "http://169.254.169.254/metadata"}))
    assert "a redirect (302), which is not followed" in answers.look().problems[0]
    assert len(answers.requests) == 2


# --- over a network: size, time, TLS --------------------------------------------------------------------------------


@dataclass
class Server:
    port: int
    sent: int = 0


@asynccontextmanager
async def serving(
    state: Path, head: bytes, chunk: bytes, times: int, wait: float = 0, name: str = "localhost"
) -> AsyncGenerator[Server]:
    """A TLS server on the loopback that answers everything with these bytes, piece by piece."""
    pem, key = tls.ensure_leaf(state, [name])
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pem, key)

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(head)
            for _ in range(times):
                writer.write(chunk)
                await writer.drain()
                server.sent += len(chunk)
                await asyncio.sleep(wait)
            writer.close()
        except (OSError, asyncio.IncompleteReadError):
            writer.close()

    listening = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=context)
    server = Server(listening.sockets[0].getsockname()[1])
    async with listening:
        yield server


async def at_loopback(host: str, port: int) -> Sequence[str]:
    return ["127.0.0.1"]


def look_at(
    state: Path,
    head: bytes,
    chunk: bytes = b"",
    times: int = 1,
    *,
    host: str = "localhost",
    trusted: bool = True,
    **options: Any,
) -> tuple[Look, Server, float]:
    async def run() -> tuple[Look, Server, float]:
        async with serving(state, head, chunk, times, **options) as server:
            clients = open_clients(str(tls.ca_certificate(state)) if trusted else None)
            began = time.monotonic()
            try:
                url = f"https://{host}:{server.port}/api/FHIR/R4"
                look = await Probe(clients.client, Cloud.EMULATED, at_loopback).look(url, EhrKind.EPIC)
            finally:
                await clients.aclose()
            return look, server, time.monotonic() - began

    return asyncio.run(run())


OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


def test_looks_over_tls_under_the_hosts_own_name(tmp_path: Path) -> None:
    body = json.dumps({**METADATA, **SMART}).encode()
    head = OK + b"Content-Length: %d\r\n\r\n" % len(body)
    look, *_ = look_at(tmp_path, head, body, name="ehr.example.org", host="ehr.example.org")
    assert (look.software, look.smart, look.problems) == ("Epic", True, ())


def test_a_huge_body_is_not_read_to_its_end(tmp_path: Path) -> None:
    look, server, _ = look_at(tmp_path, OK + b"\r\n", b"x" * 65536, 4096)
    assert "more than 1 MiB" in look.problems[0]
    assert server.sent < 40 * MAXIMUM_BYTES  # of 256 MiB each; sockets hold some


def test_a_decompression_bomb_is_not_unpacked(tmp_path: Path) -> None:
    bomb = gzip.compress(b"[" + b" " * 50_000_000)
    look, *_ = look_at(tmp_path, OK + b"Content-Encoding: gzip\r\n\r\n", bomb)
    assert "a compressed body, which was not asked for" in look.problems[0]


@pytest.mark.parametrize("head", [OK + b"\r\n", b"HTTP/1.1 200 OK\r\n"])
def test_a_server_that_drips_is_left_in_time(tmp_path: Path, head: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, "SECONDS", 0.6)
    chunk = b"X-Drip: 1\r\n" if head.endswith(b"OK\r\n") else b" "
    look, _, seconds = look_at(tmp_path, head, chunk, 100, wait=0.05)
    assert "no whole answer" in look.problems[0]
    assert seconds < 3


def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    look, server, _ = look_at(tmp_path, OK + b"\r\n", b"{}", trusted=False)
    assert look.problems[0].startswith("The host's TLS certificate is not valid for this name")
    assert server.sent == 0


def test_a_certificate_of_another_name_is_refused(tmp_path: Path) -> None:
    look, server, _ = look_at(tmp_path, OK + b"\r\n", b"{}", name="other.example.org", host="ehr.example.org")
    assert look.problems[0].startswith("The host's TLS certificate is not valid for this name")
    assert server.sent == 0


@pytest.mark.parametrize("head", [b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 200 OK\r\nX: " + b"x" * 300_000])
def test_what_speaks_no_http_is_said(tmp_path: Path, head: bytes) -> None:
    look, *_ = look_at(tmp_path, head)
    assert look.problems == ("The host closed the connection, or does not speak HTTP over TLS.",)


def test_a_closed_port_is_said() -> None:
    async def run() -> Look:
        clients = open_clients(None)
        try:
            probe = Probe(clients.client, Cloud.EMULATED, at_loopback)
            return await probe.look("https://localhost:1/api/FHIR/R4", EhrKind.EPIC)
        finally:
            await clients.aclose()

    assert asyncio.run(run()).problems == ("Nothing answers at this host and port.",)


# --- hints ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("https://e.example/i/api/FHIR/R4", None),
        ("https://e.example/i/api/FHIR/R4/", "https://e.example/i/api/FHIR/R4"),
        ("https://e.example/i/api/fhir/r4", "https://e.example/i/api/FHIR/R4"),
        ("https://e.example/i/api/FHIR/R4/metadata", "https://e.example/i/api/FHIR/R4"),
        ("https://e.example/i/api/FHIR/R4/metadata?_format=json", "https://e.example/i/api/FHIR/R4"),
        ("https://e.example/i/api/FHIR/R4/.well-known/smart-configuration", "https://e.example/i/api/FHIR/R4"),
        ("https://e.example/i/api/FHIR/DSTU2", "https://e.example/i/api/FHIR/R4"),
        ("https://e.example/i/api/FHIR/STU3/", "https://e.example/i/api/FHIR/R4"),
        ("https://e.example/i/oauth2/authorize", "https://e.example/i/api/FHIR/R4"),
        ("https://e.example/i/oauth2", "https://e.example/i/api/FHIR/R4"),
        ("https://e.example/i/api", "https://e.example/i/api/FHIR/R4"),
        ("https://e.example/i", "https://e.example/i/api/FHIR/R4"),
        ("https://e.example", "https://e.example/api/FHIR/R4"),
        ("e.example", None),
        ("https://a@e.example/i", None),
        ("https://e.example:x/i", None),
        ("javascript:alert(1)", None),
        ("", None),
    ],
)
def test_hints_name_the_url_that_is_meant_at_epic(typed: str, meant: str | None) -> None:
    found = list(hints(typed, EhrKind.EPIC))
    assert [h.url for h in found] == ([meant] if meant else [])
    assert all(h.why for h in found)


def test_other_ehrs_have_no_usual_end() -> None:
    assert list(hints("https://e.example/fhir", EhrKind.SMART)) == []
    assert [h.url for h in hints("https://e.example/fhir/metadata", EhrKind.SMART)] == ["https://e.example/fhir"]
