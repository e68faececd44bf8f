"""The search for credentials can fail: one that is planted where something is kept or published is found there."""

import asyncio
import base64
import gzip
import json
import lzma
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from urllib.parse import quote

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from emulators.credentials import CredentialLog
from emulators.state import JsonLines
from schemas.integration_records import cell
from tests.support.needles import Needles, confidences, looks_like_a_credential, parts_of, private_parts

SECRET = "q7/W+x2-Zr_9Kd4mT0vB6nY1"
TOKEN = jwt.encode({"sub": "U-LAKE-1", "jti": "b0a3"}, "k" * 32, algorithm="HS256", headers={"kid": "one"})
EC = ec.generate_private_key(ec.SECP256R1())
RSA = rsa.generate_private_key(65537, 2048)


def pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> str:
    plain = serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain).decode()


def needles() -> Needles:
    return Needles(
        {
            "a secret": [SECRET.encode()],
            "a token": parts_of(TOKEN),
            "a key": [*private_parts(pem(EC)), *private_parts(pem(RSA))],
        }
    )


def envelope(value: str) -> bytes:
    payload = json.dumps({"predicate": {"reason": value}}).encode()
    return json.dumps({"payload": base64.b64encode(payload).decode(), "signatures": []}).encode()


PLACES: dict[str, Callable[[str], bytes]] = {
    "a line of a log": lambda v: json.dumps({"event": "sign-in", "error": f"answer {v} refused"}).encode(),
    "a traceback": lambda v: f"Traceback:\n  ValueError: {v!r}\n".encode(),
    "a commit's message and trailer": lambda v: f"tree 0\n\nAn edit\n\nConnector-Requester: x {v}\n".encode(),
    "the name of a branch": lambda v: f"refs/heads/promote/{v}".encode(),
    "a statement": envelope,
    "a blob that holds a statement": lambda v: json.dumps(
        {"name": "list.json", "content": base64.b64encode(envelope(v)).decode()}
    ).encode(),
    "a row of text": lambda v: f"7\tlakeside\t{v}\t\\N\n".encode(),
    "a row of bytes": lambda v: b"7\t\\\\x" + f"abc{v}".encode().hex().encode() + b"\n",
    "Pulumi's state": lambda v: json.dumps({"deployment": {"resources": [{"inputs": {"value": v}}]}}).encode(),
    "a document in chunks": lambda v: base64.b64encode(lzma.compress(json.dumps({"a": v}).encode() * 3)),
    "a compressed answer": lambda v: b"HTTP/1.1 200\r\n\r\n" + gzip.compress(v.encode()),
    "a compressed state": lambda v: zlib.compress(f"x{v}y".encode()),
    "an address": lambda v: f"https://x.example/callback?code={quote(v, safe='')}&state=1".encode(),
    "an address, all encoded": lambda v: "".join(f"%{b:02X}" for b in v.encode()).encode(),
    "a spreadsheet": lambda v: f'"provider","{cell(v)}"\r\n'.encode(),
    "a page": lambda v: f'<input type="hidden" name="token" value="{v}">'.encode(),
    "a pull request": lambda v: json.dumps({"title": "Edit", "body": f"<!-- {v} -->"}).encode(),
    "Basic credentials": lambda v: b"Basic " + base64.b64encode(f"client:{v}".encode()),
    "within something longer": lambda v: f"{'x' * 7}{v}{'y' * 9}".encode(),
}
each_place = pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)


@each_place
@pytest.mark.parametrize("whose", ["a secret", "a token"])
def test_a_credential_is_found(place: Callable[[str], bytes], whose: str) -> None:
    found = list(needles().found(place(SECRET if whose == "a secret" else TOKEN)))
    assert found
    assert all(name.startswith(whose) for name in found)


@each_place
@pytest.mark.parametrize("segment", [1, 2])
def test_claims_and_signature_of_a_token_are_found_alone(place: Callable[[str], bytes], segment: int) -> None:
    assert list(needles().found(place(TOKEN.split(".")[segment])))


@each_place
@pytest.mark.parametrize("key", [EC, RSA], ids=["EC", "RSA"])
def test_a_private_key_is_found(
    place: Callable[[str], bytes], key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
) -> None:
    assert list(needles().found(place(pem(key))))


def test_a_private_number_is_found_in_bytes_in_hex_and_as_a_jwk() -> None:
    number = EC.private_numbers().private_value.to_bytes(32)
    jwk = json.dumps({"kty": "EC", "d": base64.urlsafe_b64encode(number).rstrip(b"=").decode()})
    for data in (b"\0\1" + number + b"\2", number.hex().encode(), jwk.encode()):
        assert list(needles().found(data))


@each_place
def test_nothing_is_found_where_nothing_is(place: Callable[[str], bytes]) -> None:
    assert list(needles().found(place("q7/W+x2-Zr_8Qd3mT0vB6nY1"))) == []


def test_public_keys_and_the_head_of_a_token_are_no_secret() -> None:
    public = EC.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    ) + RSA.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    assert list(needles().found(public + TOKEN.split(".")[0].encode())) == []


def test_it_is_told_where_it_was_found() -> None:
    assert needles().found_in([("a.log", b""), ("b.log", SECRET.encode())])[0].startswith("b.log: a secret, b'q7/W'…")
    assert needles().found_in([(f"{SECRET}.log", b"")]), "in a name, too"


@pytest.mark.parametrize("value", [TOKEN, pem(EC), f"ghs_{'0a' * 18}"])
def test_a_credential_that_nobody_remembers_is_seen_by_its_looks(value: str) -> None:
    assert looks_like_a_credential(f"printed {value} at the end".encode())
    assert looks_like_a_credential(base64.b64encode(value.encode()))
    assert looks_like_a_credential(b"digest eyJhIjoxfQ, -----BEGIN PUBLIC KEY-----") == []


# --- what is gathered -----------------------------------------------------------------------------------------------


async def _answer(request: Request) -> Response:
    await request.body()
    if request.url.path == "/page":
        return RedirectResponse("/elsewhere")
    return JSONResponse({"access_token": "issued-access", "id_token": "issued-id", "scope": "openid"})


def test_an_emulator_notes_which_credentials_come_and_go(tmp_path: Path) -> None:
    log = JsonLines(tmp_path / "credentials.jsonl")
    app = Starlette(routes=[Route("/{path:path}", _answer, methods=["GET", "POST"])])
    basic = base64.b64encode(b"client:a%2Bsecret").decode()

    async def ask() -> None:
        transport = httpx.ASGITransport(CredentialLog(app, log))
        async with httpx.AsyncClient(transport=transport, base_url="https://x.example") as http:
            await http.get("/page")
            form = {"client_assertion": "an.assertion", "scope": "openid"}
            await http.post("/token", data=form, headers={"authorization": f"Basic {basic}"})
            await http.get("/secrets", headers={"authorization": "Bearer a-bearer", "x-identity-header": "a-header"})

    asyncio.run(ask())
    said: list[tuple[str, Iterable[str], Iterable[str]]] = [
        (r["path"], r["received"], r["issued"]) for r in map(json.loads, log.path.read_text().splitlines())
    ]
    issued = ["issued-access", "issued-id"]
    assert said == [
        ("/token", ["a+secret", "an.assertion"], issued),
        ("/secrets", ["a-header", "a-bearer"], issued),
    ]
    assert log.path.stat().st_mode & 0o777 == 0o600


def test_everything_that_a_stack_holds_in_confidence_is_gathered(tmp_path: Path) -> None:
    def put(path: str, content: object) -> None:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")

    put("entra/credentials.jsonl", '{"received": ["received-value"], "issued": ["issued-value"]}\n')
    put("azure/vaults/v/secrets/sealing-key.json", [{"value": "an-older-sealing-key"}, {"value": "a-sealing-key"}])
    put("azure/vaults/v/secrets/ehr-key.json", [{"value": json.dumps({"pem": pem(RSA)})}])
    for chunk in ("emea-configuration-ffc58adb599f678b8044a03f", "emea-configuration-ffc58adb599f678b8044a03f-0001"):
        put(f"azure/vaults/v/secrets/{chunk}.json", [{"value": "a-chunk-of-the-document"}])
    put("azure/vaults/v/secrets/configuration-key.json", [{"value": "a-secret-of-that-name"}])
    put("azure/vaults/v/keys/portal-signing.json", [{"pem": pem(EC)}])
    put("entra/signing-key.pem", pem(RSA))
    put("ca/ca.pem", "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n")
    put("ehr/prairie/clients/prairie-tst-patient.secret", "a-client-secret\n")
    put("passphrase", "a-passphrase")
    found = confidences(tmp_path)
    assert found["credentials of entra"] == {b"received-value", b"issued-value"}
    secrets = {b"an-older-sealing-key", b"a-sealing-key", b"a-secret-of-that-name", *private_parts(pem(RSA))}
    assert secrets >= found["secrets of the vaults"]
    assert {b"a-sealing-key", b"a-secret-of-that-name"} <= found["secrets of the vaults"]
    assert found["keys of the vaults"] == set(private_parts(pem(EC)))
    assert found["key files"] == {p for p in private_parts(pem(RSA)) if len(p) >= 12}
    assert found["files of secrets"] == {b"a-client-secret", b"a-passphrase"}
