"""Sealing, keys, client keys, logs, outgoing calls: the small parts on their own."""

import asyncio
import json
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import jwt
import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from runtime.ehr.client_authentication import sign_assertion
from runtime.ehr.client_keys import ClientKeyInvalid, parse_client_keys
from runtime.errors import ProtocolError, RemoteUnavailable, StartRefused
from runtime.http import CALLS_PER_ORIGIN, HttpClients, MsalHttp, Remote, open_clients, origin_of
from runtime.keys import NAMES, SEALING_KEY, VISIT_KEY, new_secret, parse_keys
from runtime.launch.arrival import ehr_user_hash
from runtime.logs import ALLOWED, only_allowed
from runtime.sealing import Seal, SealBroken
from tests.support.connector import private_jwk

ENTRA = "https://login.example/token"
NOW = datetime(2026, 11, 1, tzinfo=UTC)
SECRETS = {name: new_secret(name, NOW, "americas-test") for name in NAMES}
KEYS = parse_keys(SECRETS)


# --- sealing ------------------------------------------------------------------------------------------------------


@given(st.binary(max_size=2000), st.binary(max_size=100))
def test_what_is_sealed_opens_in_its_place_only(plain: bytes, context: bytes) -> None:
    sealed = KEYS.seal.seal(plain, context)
    assert KEYS.seal.open(sealed, context) == plain
    with pytest.raises(SealBroken):
        KEYS.seal.open(sealed, context + b"x")


@given(st.binary(max_size=60), st.data())
def test_a_changed_sealed_value_does_not_open(plain: bytes, data: st.DataObject) -> None:
    sealed = bytearray(KEYS.seal.seal(plain, b"row"))
    place = data.draw(st.integers(0, len(sealed) - 1))
    sealed[place] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(SealBroken):
        KEYS.seal.open(bytes(sealed), b"row")


def test_a_value_sealed_by_the_key_before_opens_while_that_key_is_kept() -> None:
    old = Seal("a", {"a": b"1" * 32})
    both = Seal("b", {"a": b"1" * 32, "b": b"2" * 32})
    assert both.open(old.seal(b"x", b""), b"") == b"x"
    with pytest.raises(SealBroken):
        old.open(both.seal(b"x", b""), b"")


@pytest.mark.parametrize("value", [b"", b"\x01", b"\x02\x01a", b"\x01\x05abc", b"\x01\x00"])
def test_what_was_never_sealed_is_refused(value: bytes) -> None:
    with pytest.raises(SealBroken):
        KEYS.seal.open(value, b"")


# --- keys ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_or_malformed_geography_key_stops_the_start(name: str) -> None:
    for value in (None, "", "x", "{}", '{"current": "a", "keys": {}}'):
        with pytest.raises(StartRefused):
            parse_keys({**SECRETS, name: value})


def test_the_notification_certificate_is_self_signed_and_lasts_two_years() -> None:
    certificate = x509.load_der_x509_certificate(KEYS.notification.certificate_der)
    certificate.verify_directly_issued_by(certificate)
    assert certificate.not_valid_after_utc - NOW > timedelta(days=700)
    assert KEYS.notification_ring[KEYS.notification.id] is KEYS.notification


def test_keys_do_not_show_themselves() -> None:
    assert json.loads(SECRETS[SEALING_KEY])["current"] not in repr(KEYS)
    assert SECRETS[VISIT_KEY] not in repr(KEYS)


def test_an_ehr_users_hash_depends_on_connection_issuer_and_subject_apart() -> None:
    parts = [("c", "i", "s"), ("ci", "", "s"), ("c", "is", ""), ("c", "i", "t"), ("d", "i", "s")]
    assert len({ehr_user_hash(b"k" * 32, *p) for p in parts}) == len(parts)
    assert ehr_user_hash(b"k" * 32, *parts[0]) != ehr_user_hash(b"l" * 32, *parts[0])


# --- client keys --------------------------------------------------------------------------------------------------


def test_the_first_key_of_a_set_signs_and_all_are_published_without_private_members() -> None:
    (first, _), (second, _) = private_jwk("new"), private_jwk("old")
    secret = json.dumps({"keys": [json.loads(first), json.loads(second)]})
    keys = parse_client_keys(secret, "RS384")
    assert [k.key_id for k in keys] == ["new", "old"]
    assert all(set(k.public_jwk) == {"kty", "n", "e", "kid", "alg", "use"} for k in keys)
    assertion = sign_assertion(secret, "RS384", "client", "https://ehr.test.invalid/token", 1_800_000_000)
    assert jwt.get_unverified_header(assertion) == {"alg": "RS384", "kid": "new", "typ": "JWT"}


def test_an_assertion_is_as_smart_asks() -> None:
    secret, key = private_jwk()
    url = "https://ehr.test.invalid/oauth2/token"
    one, other = (sign_assertion(secret, "RS384", "client", url, 1_800_000_000) for _ in range(2))
    claims: dict[str, Any] = jwt.decode(
        one, key.public_key(), ["RS384"], audience=url, options={"verify_exp": False, "verify_iat": False}
    )
    assert claims["iss"] == claims["sub"] == "client"
    assert claims["aud"] == url, "a string: lists break real servers"
    assert 0 < claims["exp"] - 1_800_000_000 <= 300
    assert claims["jti"] != jwt.decode(other, options={"verify_signature": False})["jti"]


@pytest.mark.parametrize("secret", ["", "x", "[]", "{}", '{"keys": []}', '{"kty": "oct", "k": "AA"}'])
def test_a_secret_that_is_no_private_jwk_is_refused(secret: str) -> None:
    with pytest.raises(ClientKeyInvalid):
        parse_client_keys(secret, "RS384")


def test_a_key_for_another_algorithm_or_a_public_one_is_refused() -> None:
    secret, _ = private_jwk()
    public = {k: v for k, v in json.loads(secret).items() if k in ("kty", "n", "e", "kid")}
    for value, algorithm in ((secret, "ES384"), (json.dumps(public), "RS384")):
        with pytest.raises(ClientKeyInvalid):
            parse_client_keys(value, algorithm)


# --- logs ---------------------------------------------------------------------------------------------------------


def test_a_log_line_holds_only_listed_keys() -> None:
    line = only_allowed(
        None, "info", {"event": "x", "patient": "Rosa", "url": "https://x?y", "code": "c", "reason": None}
    )
    assert line == {"event": "x", "code": "c"}
    assert not ALLOWED & {"url", "query", "path", "patient", "session_id", "token", "body", "exception", "exc_info"}


def test_long_values_are_cut() -> None:
    assert len(str(only_allowed(None, "info", {"reason": "x" * 5000})["reason"])) == 300


# --- outgoing calls -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://a.example/x", "https://a.example"),
        ("https://A.example:443/x", "https://a.example"),
        ("https://a.example:8443", "https://a.example:8443"),
        ("http://[::1]:80/", "http://[::1]"),
    ],
)
def test_an_origin_is_scheme_host_and_port(url: str, origin: str) -> None:
    assert origin_of(url) == origin


@pytest.mark.parametrize(
    "url",
    [
        "",
        "x",
        "/x",
        "ftp://a/",
        "https://",
        "https://u@a/",
        "https://u:p@a/",
        "https://a\\@b/",
        "https://a:99999/",
        "https://a /",
        "javascript:x",
    ],
)
def test_what_has_no_plain_origin_is_refused(url: str) -> None:
    with pytest.raises(ProtocolError):
        origin_of(url)


def remote(answer: Callable[[httpx.Request], httpx.Response], *origins: str) -> Remote:
    return open_clients(None, httpx.MockTransport(answer)).to(origins or ("https://a.example",))


def msal_http(answer: Callable[[httpx.Request], httpx.Response]) -> MsalHttp:
    return open_clients(None, None, httpx.MockTransport(answer)).msal


def get(to: Remote, url: str = "https://a.example/x") -> Any:
    return asyncio.run(to.get(url))


def test_an_origin_that_is_not_listed_is_never_called() -> None:
    called: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        called.append(request)
        return httpx.Response(200)

    for url in ("https://b.example/x", "http://a.example/x", "https://a.example:444/x", "https://a.example.b.example/"):
        with pytest.raises(ProtocolError):
            get(remote(answer), url)
    assert called == []


def test_a_cookie_of_one_answer_comes_with_no_other_call() -> None:
    """A host may serve many organisations, and the process calls it for all of them."""
    sent: list[str | None] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request.headers.get("cookie"))
        return httpx.Response(200, headers={"set-cookie": "session=of-one; Path=/"}, json={})

    asked, blocking = remote(answer), msal_http(answer)
    for _ in range(2):
        get(asked)
        blocking.get("https://a.example/x")
    assert sent == [None] * 4


@pytest.mark.parametrize("status", [300, 301, 302, 303, 307, 308])
def test_redirects_are_refused(status: int) -> None:
    with pytest.raises(ProtocolError):
        get(remote(lambda _: httpx.Response(status, headers={"location": "https://a.example/y"})))


def test_a_body_over_one_mebibyte_is_refused_while_it_streams() -> None:
    sent: list[int] = []

    class Endless(httpx.AsyncByteStream):
        async def __aiter__(self):
            while True:
                sent.append(65536)
                yield b"x" * 65536

    with pytest.raises(ProtocolError):
        get(remote(lambda _: httpx.Response(200, stream=Endless())))
    assert sum(sent) <= 1024 * 1024 + 2 * 65536


@pytest.mark.parametrize(("status", "after", "seconds"), [(429, "7", 7.0), (503, None, None), (500, "soon", None)])
def test_throttling_and_server_errors_are_unavailable(status: int, after: str | None, seconds: float | None) -> None:
    headers = {"retry-after": after} if after else {}
    with pytest.raises(RemoteUnavailable) as unavailable:
        get(remote(lambda _: httpx.Response(status, headers=headers)))
    assert unavailable.value.retry_after == seconds


@pytest.mark.parametrize("status", [429, 500, 503])
def test_throttling_and_server_errors_are_unavailable_to_msal_too(status: int) -> None:
    with pytest.raises(RemoteUnavailable):
        msal_http(lambda _: httpx.Response(status, json={"error": "temporarily_unavailable"})).post(ENTRA)


def test_a_page_in_place_of_json_is_a_protocol_error_to_msal() -> None:
    with pytest.raises(ProtocolError):
        msal_http(lambda _: httpx.Response(200, html="<h1>Proxy</h1>")).post(ENTRA)
    refused = msal_http(lambda _: httpx.Response(400, json={"error": "invalid_tenant"})).post(ENTRA)
    assert refused.status_code == 400


def test_a_lost_connection_is_unavailable() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("slow", request=request)

    with pytest.raises(RemoteUnavailable):
        get(remote(answer))


def test_an_origin_that_hangs_takes_nothing_from_the_others() -> None:
    """Over real connections: a transport of a test has no pool."""

    async def run() -> list[int]:
        full, stop, hanging = asyncio.Event(), asyncio.Event(), 0

        async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal hanging
            hanging += 1
            if hanging >= CALLS_PER_ORIGIN:
                full.set()
            await stop.wait()
            writer.close()

        async def well(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            await writer.drain()
            writer.close()

        servers = [await asyncio.start_server(s, "127.0.0.1", 0) for s in (hang, well)]
        dead, alive = (f"http://127.0.0.1:{s.sockets[0].getsockname()[1]}" for s in servers)
        clients = open_clients(None)
        calls = [asyncio.create_task(clients.to([dead]).get(dead)) for _ in range(400)]
        await full.wait()
        async with asyncio.timeout(5):
            answer = await clients.to([alive]).get(alive)
        held = hanging
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        stop.set()
        await clients.aclose()
        for server in servers:
            server.close()
        return [answer.status, held]

    assert asyncio.run(run()) == [200, CALLS_PER_ORIGIN]


def test_a_body_that_does_not_decode_is_a_protocol_error() -> None:
    broken = {"content-encoding": "gzip", "content-type": "application/json"}
    with pytest.raises(ProtocolError):
        get(remote(lambda _: httpx.Response(200, headers=broken, stream=httpx.ByteStream(b"no gzip"))))
    with pytest.raises(ProtocolError):
        msal_http(lambda _: httpx.Response(200, headers=broken, stream=httpx.ByteStream(b"no gzip"))).get(ENTRA)


def test_the_environments_proxies_and_authorities_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    clients: HttpClients = open_clients(None)
    assert clients.client.trust_env is False
    assert clients.client.follow_redirects is False
    assert clients.client.timeout.connect == 5.0
    assert ssl.create_default_context().verify_mode is ssl.CERT_REQUIRED
