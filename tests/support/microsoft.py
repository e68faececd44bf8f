"""Running the Entra and Graph emulators for tests: real processes, real TLS, a world with free ports.

Owns the processes, a managed identity that Entra accepts, sign-in as a person does it, and a webhook that records.
"""

import base64
import hashlib
import hmac
import json
import os
import re
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import httpx
import jwt
import pytest
import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7
from cryptography.x509.oid import NameOID
from jwt.algorithms import RSAAlgorithm
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from emulators import tls
from emulators.world import World, load_world
from tests.support.ports import free_port

REPOSITORY = Path(__file__).resolve().parents[2]
HOME_TENANT = "1a1a1a1a-0000-4000-8000-000000000000"
LAKESIDE = "1a1a1a1a-0000-4000-8000-000000000001"
PRAIRIE = "1a1a1a1a-0000-4000-8000-000000000002"
APPLICATION = "2b2b2b2b-0000-4000-8000-000000000001"
REDIRECT = "https://localhost:8441/identity/callback"
AMARA = "3c3c3c3c-0000-4000-8000-000000000011"
BEN = "3c3c3c3c-0000-4000-8000-000000000012"
AMARA_UPN, AMARA_PASSWORD = "amara.okafor@lakeside.example", "okafor-sample-password"
BEN_UPN, BEN_PASSWORD = "ben.carlisle@lakeside.example", "carlisle-sample-password"
IDENTITY_ISSUER = "https://127.0.0.1:20999/managed-identity"
PRINCIPAL = "5d5d5d5d-0000-4000-8000-000000000001"
OTHER_PRINCIPAL = "5d5d5d5d-0000-4000-8000-000000000002"
PORTAL_APPLICATION = "2b2b2b2b-0000-4000-8000-000000000003"
PORTAL_PRINCIPAL = "5d5d5d5d-0000-4000-8000-000000000003"
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


def world_on_free_ports(**graph: Any) -> World:
    world = load_world(REPOSITORY / "emulators" / "world.yaml")
    entra_url, graph_url = (f"https://127.0.0.1:{free_port()}" for _ in range(2))
    return world.model_copy(
        update={
            "entra": world.entra.model_copy(update={"url": entra_url}),
            "graph": world.graph.model_copy(update={"url": graph_url, **graph}),
        }
    )


class ManagedIdentity:
    """Publishes keys and identities where the emulated Azure does, and mints its tokens."""

    def __init__(self, state: Path) -> None:
        self.key = rsa.generate_private_key(65537, 2048)
        folder = state / "azure"
        folder.mkdir(parents=True, exist_ok=True)
        public = RSAAlgorithm.to_jwk(self.key.public_key(), as_dict=True)
        keys = [{**public, "kid": "identity", "use": "sig", "alg": "RS256"}]
        (folder / "identity-jwks.json").write_text(json.dumps({"issuer": IDENTITY_ISSUER, "keys": keys}))
        group = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities"
        named = {
            "id-application-americas-test": PRINCIPAL,
            "id-portal-americas-test": PORTAL_PRINCIPAL,
            "id-somebody-else": OTHER_PRINCIPAL,
        }
        resources = {
            f"{group}/{name}".lower(): {
                "id": f"{group}/{name}",
                "name": name,
                "type": "Microsoft.ManagedIdentity/userAssignedIdentities",
                "properties": {"principalId": principal, "clientId": principal, "tenantId": HOME_TENANT},
            }
            for name, principal in named.items()
        }
        (folder / "resources.json").write_text(json.dumps({"version": 1, "resources": resources, "operations": {}}))

    def token(self, *, key: rsa.RSAPrivateKey | None = None, **claims: Any) -> str:
        now = int(time.time())
        given = {
            "iss": IDENTITY_ISSUER,
            "aud": "api://AzureADTokenExchange",
            "sub": PRINCIPAL,
            "oid": PRINCIPAL,
            "tid": HOME_TENANT,
            "iat": now,
            "nbf": now,
            "exp": now + 3600,
        }
        return jwt.encode({**given, **claims}, key or self.key, "RS256", headers={"kid": "identity"})


@dataclass
class Microsoft:
    """Both emulators running on one state folder."""

    world: World
    state: Path
    identity: ManagedIdentity
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict[str, subprocess.Popen[bytes]])

    @property
    def entra(self) -> str:
        return self.world.entra.url

    @property
    def graph(self) -> str:
        return self.world.graph.url

    def client(self, **options: Any) -> httpx.Client:
        return httpx.Client(verify=tls.client_context(self.state), trust_env=False, timeout=20, **options)

    def start(self, name: str) -> None:
        environment = {
            **os.environ,
            "CONNECTOR_STATE": str(self.state),
            "CONNECTOR_EMULATED_WORLD": str(self.state / "world.yaml"),
        }
        command = [sys.executable, "-m", f"emulators.{name}"]
        log = (self.state / f"{name}.log").open("ab")
        self.processes[name] = subprocess.Popen(command, env=environment, cwd=REPOSITORY, stdout=log, stderr=log)
        url = {"entra": self.entra, "graph": self.graph}[name]
        with self.client() as client:
            _until(lambda: _answers(client, f"{url}/healthz"), f"{name} to start")

    def stop(self, name: str) -> None:
        process = self.processes.pop(name)
        process.kill()
        process.wait()

    def application_token(self, tenant: str = LAKESIDE) -> str:
        with self.client() as client:
            answer = client.post(f"{self.entra}/{tenant}/oauth2/v2.0/token", data=self.token_form())
        assert answer.status_code == 200, answer.text
        return answer.json()["access_token"]

    def token_form(self, **changes: str) -> dict[str, str]:
        form = {
            "grant_type": "client_credentials",
            "client_id": APPLICATION,
            "scope": f"{self.graph}/.default",
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": self.identity.token(),
        }
        return {**form, **changes}

    def raw_log(self, name: str) -> list[dict[str, Any]]:
        lines = (self.state / name / "raw-requests.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]


@contextmanager
def running(state: Path, world: World | None = None) -> Generator[Microsoft]:
    world = world or world_on_free_ports()
    (state / "world.yaml").write_text(json.dumps(world.model_dump(mode="json", by_alias=True)))
    tls.ensure_leaf(state, ["localhost", "127.0.0.1"])
    microsoft = Microsoft(world, state, ManagedIdentity(state))
    try:
        for name in ("entra", "graph"):
            microsoft.start(name)
        yield microsoft
    finally:
        for name in list(microsoft.processes):
            microsoft.stop(name)


# --- signing in ------------------------------------------------------------------------------------------------------


def authorization_query(verifier: str, **changes: str) -> dict[str, str]:
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
    query = {
        "client_id": APPLICATION,
        "response_type": "code",
        "redirect_uri": REDIRECT,
        "scope": "openid profile",
        "state": "state-1",
        "nonce": "nonce-1",
        "prompt": "select_account",
        "code_challenge": challenge,
        "code_challenge_method": "S256",
    }
    return {k: v for k, v in {**query, **changes}.items() if v}


def reissued(
    monkeypatch: pytest.MonkeyPatch, claims: Mapping[str, object], key: rsa.RSAPrivateKey | None = None
) -> None:
    """Entra issues its next id_tokens with other claims (without those that are None), or signed by another key."""
    from emulators.entra import signing

    issue = signing.id_token

    def changed(signer: signing.SigningKey, *args: object, **options: object) -> str:
        token = issue(signer, *args, **options)  # type: ignore[arg-type]
        body = jwt.decode(token, options={"verify_signature": False}) | dict(claims)
        body = {k: v for k, v in body.items() if v is not None}
        return jwt.encode(body, key or signer.private, "RS256", headers={"kid": signer.kid})

    monkeypatch.setattr(signing, "id_token", changed)


def flow_of(page: httpx.Response) -> str:
    found = re.search(r'name="flow" value="([^"]+)"', page.text)
    assert found, page.text
    return found[1]


def sign_in(client: httpx.Client, url: str, login: str, password: str) -> dict[str, str]:
    """What the reply address receives, after picking an account and typing a password."""
    page = client.get(url)
    parts = urlsplit(url)
    action = f"{parts.scheme}://{parts.netloc}/{parts.path.split('/')[1]}/login"
    answer = client.post(action, data={"flow": flow_of(page), "login": login, "passwd": password})
    assert answer.status_code == 302, answer.text
    return dict(parse_qsl(urlsplit(answer.headers["location"]).query))


def authorize_url(microsoft: Microsoft, verifier: str, tenant: str = LAKESIDE, **changes: str) -> str:
    return f"{microsoft.entra}/{tenant}/oauth2/v2.0/authorize?{urlencode(authorization_query(verifier, **changes))}"


# --- subscribing -----------------------------------------------------------------------------------------------------


@dataclass
class Webhook:
    """An https endpoint that records notifications and decrypts them; answers what `answer` says."""

    url: str
    key: rsa.RSAPrivateKey
    certificate: str
    validations: list[str] = field(default_factory=list[str])
    bodies: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    statuses: list[int] = field(default_factory=list[int])
    echo: bool = True
    arrived: threading.Condition = field(default_factory=threading.Condition)

    def subscription(self, join_web_url: str, **changes: Any) -> dict[str, Any]:
        resource = f"communications/onlineMeetings(joinWebUrl='{quote(join_web_url, safe='')}')/meetingCallEvents"
        body = {
            "changeType": "updated",
            "notificationUrl": f"{self.url}/notify",
            "lifecycleNotificationUrl": f"{self.url}/lifecycle",
            "resource": resource,
            "expirationDateTime": (datetime.now(UTC) + timedelta(minutes=4319)).isoformat(),
            "clientState": "client-state-1",
            "includeResourceData": True,
            "encryptionCertificate": self.certificate,
            "encryptionCertificateId": "certificate-1",
        }
        return {k: v for k, v in {**body, **changes}.items() if v is not None}

    def wait(self, count: int, seconds: float = 10) -> list[dict[str, Any]]:
        """The first `count` bodies, once they are here."""
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(self.bodies) >= count, seconds), f"only {len(self.bodies)} came"
            return list(self.bodies)

    def events(self, count: int) -> list[dict[str, Any]]:
        return [self.decrypt(b["value"][0]["encryptedContent"]) for b in self.wait(count)]

    def decrypt(self, content: dict[str, str]) -> dict[str, Any]:
        sha1 = hashes.SHA1()
        wrapped, ciphertext = base64.b64decode(content["dataKey"]), base64.b64decode(content["data"])
        key = self.key.decrypt(wrapped, padding.OAEP(padding.MGF1(sha1), sha1, None))
        signature = hmac.new(key, ciphertext, hashlib.sha256).digest()
        assert hmac.compare_digest(signature, base64.b64decode(content["dataSignature"]))
        decryptor = Cipher(algorithms.AES256(key), modes.CBC(key[:16])).decryptor()
        padded = decryptor.update(ciphertext) + decryptor.finalize()
        unpadder = PKCS7(128).unpadder()
        return json.loads(unpadder.update(padded) + unpadder.finalize())

    async def receive(self, request: Request) -> Response:
        token = request.query_params.get("validationToken")
        if token is not None:
            self.validations.append(request.url.path)
            return PlainTextResponse(token if self.echo else "something else")
        body = await request.json()
        with self.arrived:
            status = self.statuses.pop(0) if self.statuses else 202
            self.bodies.append(body)
            self.arrived.notify_all()
        return Response(status_code=status)


@contextmanager
def webhook(state: Path) -> Generator[Webhook]:
    key, certificate = encryption_certificate()
    port = free_port()
    hook = Webhook(f"https://127.0.0.1:{port}", key, certificate)
    app = Starlette(routes=[Route("/{name}", hook.receive, methods=["POST"])])
    pem, private = tls.ensure_leaf(state, ["localhost", "127.0.0.1"])
    config = uvicorn.Config(
        app, host="127.0.0.1", port=port, ssl_certfile=str(pem), ssl_keyfile=str(private), log_config=None
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    _until(lambda: server.started, "the webhook to start")
    try:
        yield hook
    finally:
        server.should_exit = server.force_exit = True
        thread.join(5)


def encryption_certificate(bits: int = 2048) -> tuple[rsa.RSAPrivateKey, str]:
    """A key and its self-signed certificate as base64 DER."""
    key = rsa.generate_private_key(65537, bits)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "notifications")])
    now = datetime.now(UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    return key, base64.b64encode(built.public_bytes(serialization.Encoding.DER)).decode()


def new_verifier() -> str:
    return secrets.token_urlsafe(48)


def _answers(client: httpx.Client, url: str) -> bool:
    try:
        return client.get(url).status_code == 200
    except httpx.HTTPError:
        return False


def _until(condition: Callable[[], bool], what: str, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited {seconds} s for {what}"
        time.sleep(0.02)
