"""An emulated EHR over https in this process, and a client that speaks to it as the connector does.

`running_ehr` serves one organisation with two environments; its clock and its clients' keys are the test's.
"""

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import jwt
import structlog
import uvicorn
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from emulators import tls
from emulators.ehr.app import create_app
from emulators.ehr.client_authentication import ASSERTION_TYPE
from emulators.ehr.ehr import EmulatedEhr
from emulators.ehr.instance import Instance
from emulators.hosting import HostCheck, JsonLines, RawRequestLog
from emulators.world import Appointment, Ehr, EhrClient, EhrEnvironment, EhrPatient, EhrUser
from schemas.vocabulary import ClientRole, Stage
from tests.support.ports import free_port

CONNECTOR = "https://localhost:8441"
CSN, OTHER_CSN = "1000101", "1000201"
PROVIDER, OTHER_PROVIDER = "U-1", "U-2"
PATIENT, OTHER_PATIENT = "P-1", "P-2"


class Clock:
    """The EHR's clock: this machine's, moved by `ahead` seconds."""

    def __init__(self) -> None:
        self.ahead: float = 0

    def __call__(self) -> float:
        return time.time() + self.ahead


@dataclass
class Keys:
    """The connector's signing keys and the key set that it hosts."""

    private: dict[str, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey] = field(default_factory=dict[str, Any])
    published: set[str] = field(default_factory=set[str])
    reads: int = 0

    def add_rsa(self, kid: str) -> None:
        self.private[kid] = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.published.add(kid)

    def add_ec(self, kid: str) -> None:
        self.private[kid] = ec.generate_private_key(ec.SECP384R1())
        self.published.add(kid)

    async def serve(self, request: Request) -> Response:
        self.reads += 1
        return JSONResponse({"keys": [self._public(kid) for kid in sorted(self.published)]})

    def _public(self, kid: str) -> dict[str, Any]:
        key = self.private[kid]
        if isinstance(key, rsa.RSAPrivateKey):
            public = json.loads(RSAAlgorithm.to_jwk(key.public_key()))
        else:
            public = json.loads(ECAlgorithm.to_jwk(key.public_key()))
        return {**{k: v for k, v in public.items() if k != "key_ops"}, "kid": kid, "use": "sig"}


@contextmanager
def serving(app: ASGIApp, state: Path, port: int) -> Generator[None]:
    """`app` over https on 127.0.0.1 by the state folder's certificate."""
    certificate, key = tls.server_pair(state)
    config = uvicorn.Config(
        app, "127.0.0.1", port, ssl_certfile=certificate, ssl_keyfile=str(key), log_config=None, lifespan="off"
    )
    config.timeout_graceful_shutdown = 1
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 20
    while not server.started:
        assert thread.is_alive(), "the server ended"
        assert time.monotonic() < deadline, "the server did not start"
        threading.Event().wait(0.01)
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(10)


def ehr_of(port: int, jwks_url: str) -> Ehr:
    """An EHR whose test and production clients use all three ways of authentication."""
    return Ehr(
        organization="lakeside",
        url=f"https://127.0.0.1:{port}",
        page_origins=(f"https://127.0.0.1:{port}", f"https://localhost:{port}"),
        environments=(
            EhrEnvironment(
                stage=Stage.TEST,
                instance="interconnect-tst",
                clients=_clients("tst", "lakeside-test", "private_key_jwt", jwks_url),
            ),
            EhrEnvironment(
                stage=Stage.PRODUCTION,
                instance="interconnect-prd",
                id_token_issuer=f"https://127.0.0.1:{port}/interconnect-prd/oauth2",
                clients=_clients("prd", "lakeside-production", "client_secret_basic", jwks_url),
            ),
        ),
        users=(
            EhrUser(id=PROVIDER, name="Dr. Ada Moore", entra_object_id="3c3c3c3c-0000-4000-8000-000000000011"),
            EhrUser(id=OTHER_PROVIDER, name="Dr. Bo Lind", entra_object_id="3c3c3c3c-0000-4000-8000-000000000012"),
        ),
        patients=(
            EhrPatient(id=PATIENT, name="Rosa Delgado", birth_date=date(1961, 3, 14)),
            EhrPatient(id=OTHER_PATIENT, name="Tom Whitfield", birth_date=date(1984, 11, 2)),
        ),
        appointments=(
            Appointment(csn=CSN, provider=PROVIDER, patient=PATIENT, time="09:30"),
            Appointment(csn=OTHER_CSN, provider=OTHER_PROVIDER, patient=OTHER_PATIENT, time="10:30"),
        ),
    )


def _clients(environment: str, connection: str, method: Any, jwks_url: str) -> tuple[EhrClient, ...]:
    def launched(role: ClientRole, method: Any, jwks_url: str | None = None) -> EhrClient:
        url = f"{CONNECTOR}/launch/{role}/{connection}"
        return EhrClient(
            client_id=f"{environment}-{role}",
            role=role,
            method=method,
            jwks_url=jwks_url,
            launch_url=url,
            redirect_uris=(f"{url}/callback",),
        )

    return (
        launched(ClientRole.PROVIDER, method, jwks_url if method == "private_key_jwt" else None),
        launched(ClientRole.PATIENT, "none"),
        EhrClient(
            client_id=f"{environment}-backend", role=ClientRole.BACKEND, method="private_key_jwt", jwks_url=jwks_url
        ),
        EhrClient(
            client_id=f"{environment}-approval",
            role=ClientRole.APPROVAL,
            method="none",
            redirect_uris=(f"{CONNECTOR}/portal/ehr/{connection}/callback",),
        ),
    )


class RunningEhr:
    """The EHR, the browser's and the connector's side of it."""

    def __init__(self, ehr: Ehr, state: Path, clock: Clock, keys: Keys) -> None:
        self.ehr, self.state, self.clock, self.keys = ehr, state, clock, keys
        self.log = structlog.testing.CapturingLogger()
        self.emulated = EmulatedEhr(ehr, state, clock, self.log)
        self.http = httpx.Client(base_url=ehr.url, verify=tls.client_context(state), trust_env=False)

    def instance(self, stage: Stage = Stage.TEST) -> Instance:
        return self.emulated.instances[stage]

    def client(self, client_id: str) -> EhrClient:
        found = [i.client(client_id) for i in self.emulated.instances.values()]
        return next(client for client in found if client is not None)

    def raw_requests(self, path: str) -> list[dict[str, Any]]:
        lines = (self.emulated.folder / "raw-requests.jsonl").read_text().splitlines()
        return [record for record in map(json.loads, lines) if record["path"] == path]

    def reasons(self) -> list[str]:
        """Why the EHR refused, by its own log."""
        return [str(call.kwargs.get("reason")) for call in self.log.calls]

    # --- the browser's side ---

    def provider_launch(self, csn: str = CSN, user: str = PROVIDER, stage: Stage = Stage.TEST) -> dict[str, str]:
        """`iss` and `launch` of a press in Hyperspace."""
        return self._pressed("/hyperspace/launch", {"csn": csn, "user": user, "environment": stage})

    def patient_launch(self, csn: str = CSN, patient: str = PATIENT, stage: Stage = Stage.TEST) -> dict[str, str]:
        """`iss` and `launch` of a press in MyChart."""
        return self._pressed("/mychart/launch", {"csn": csn, "patient": patient, "environment": stage})

    def _pressed(self, path: str, form: Mapping[str, str]) -> dict[str, str]:
        response = self.http.post(path, data=dict(form))
        assert response.status_code == 303, response.text
        return query_of(response)

    # --- the connector's side ---

    def authorize(self, client_id: str, launch: str | None, /, stage: Stage = Stage.TEST, **changes: Any) -> "Asked":
        """An authorization request; a change to None leaves the parameter out."""
        verifier = secrets.token_urlsafe(48)
        given: dict[str, Any] = {
            "response_type": "code",
            "client_id": client_id,
            "redirect_uri": self.client(client_id).redirect_uris[0],
            "scope": "launch openid fhirUser" if launch else "openid",
            "state": "a state",
            "nonce": "a nonce",
            "aud": self.instance(stage).fhir_base_url,
            "code_challenge": challenge_of(verifier),
            "code_challenge_method": "S256",
            "launch": launch,
            **changes,
        }
        return Asked(self.http.get(self.instance(stage).authorize_url, params=_without_none(given)), verifier)

    def exchange(self, client_id: str, asked: "Asked", stage: Stage = Stage.TEST, **changes: Any) -> httpx.Response:
        """A token request for a code, with the client's own authentication; a change to None leaves it out."""
        authentication, auth = self._authentication(client_id, stage)
        given: dict[str, Any] = {
            "grant_type": "authorization_code",
            "code": asked.answer.get("code", "no code"),
            "redirect_uri": self.client(client_id).redirect_uris[0],
            "code_verifier": asked.verifier,
            **authentication,
            **changes,
        }
        return self.http.post(self.instance(stage).token_url, data=_without_none(given), auth=auth)

    def secret(self, client_id: str) -> str:
        return (self.emulated.folder / "clients" / f"{client_id}.secret").read_text()

    def _authentication(self, client_id: str, stage: Stage) -> tuple[dict[str, str], Any]:
        method = self.client(client_id).method
        if method == "client_secret_basic":
            return {}, (client_id, self.secret(client_id))
        if method == "none":
            return {"client_id": client_id}, None
        return {
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": self.assertion(client_id, stage=stage),
        }, None

    def assertion(
        self,
        client_id: str,
        *,
        stage: Stage = Stage.TEST,
        kid: str = "rsa",
        signed_by: str | None = None,
        algorithm: str = "RS384",
        header: Mapping[str, Any] | None = None,
        **claims: Any,
    ) -> str:
        """A client assertion; a claim or header field changed to None is left out."""
        body: dict[str, Any] = {
            "iss": client_id,
            "sub": client_id,
            "aud": self.instance(stage).token_url,
            "jti": secrets.token_urlsafe(16),
            "exp": int(self.clock()) + 240,
            **claims,
        }
        fields: dict[str, Any] = {"kid": kid, "typ": "JWT", **(header or {})}
        key = self.keys.private[signed_by or kid]
        return jwt.encode(_without_none(body), key, algorithm, headers=_without_none(fields))

    def backend_token(self, stage: Stage = Stage.TEST, **changes: Any) -> httpx.Response:
        client_id = {Stage.TEST: "tst-backend", Stage.PRODUCTION: "prd-backend"}[stage]
        form = {
            "grant_type": "client_credentials",
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": self.assertion(client_id, stage=stage),
            **changes,
        }
        return self.http.post(self.instance(stage).token_url, data=form)

    def whole_launch(self, client_id: str, launch: str, stage: Stage = Stage.TEST) -> dict[str, Any]:
        """The token response of a launch that goes well."""
        response = self.exchange(client_id, self.authorize(client_id, launch, stage), stage)
        assert response.status_code == 200, (response.text, self.reasons())
        return response.json()


@dataclass(frozen=True)
class Asked:
    """What an authorization request was answered, and the PKCE verifier behind it."""

    response: httpx.Response
    verifier: str

    @property
    def answer(self) -> dict[str, str]:
        return query_of(self.response)


def _without_none(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def challenge_of(verifier: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def query_of(response: httpx.Response) -> dict[str, str]:
    """The query of the address to which a response redirects."""
    return dict(parse_qsl(urlsplit(response.headers["location"]).query))


@contextmanager
def running_ehr(state: Path) -> Generator[RunningEhr]:
    """One EHR over https under its own CA, and the connector's key set, with keys `rsa` and `ec`, on another port."""
    state.mkdir(parents=True, exist_ok=True)
    tls.ensure_leaf(state, ["localhost", "127.0.0.1"])
    keys, port, keys_port = Keys(), free_port(), free_port()
    keys.add_rsa("rsa")
    keys.add_ec("ec")
    key_server = Starlette(routes=[Route("/.well-known/jwks.json", keys.serve)])
    ehr = ehr_of(port, f"https://localhost:{keys_port}/.well-known/jwks.json")
    running = RunningEhr(ehr, state, Clock(), keys)
    raw_log = JsonLines(running.emulated.folder / "raw-requests.jsonl")
    app = HostCheck(RawRequestLog(create_app(running.emulated), raw_log, ["epic-client-id"]), ehr.page_origins)
    with serving(key_server, state, keys_port), serving(app, state, port), running.http:
        yield running
