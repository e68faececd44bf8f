"""`python -m runtime` as the platform runs it: an environment, a vault over TLS, tokens from the identity endpoint."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Generator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from emulators import tls
from runtime.keys import NAMES, new_secret
from schemas.configuration_document import Chunks, pack
from schemas.handover import Handover
from schemas.vocabulary import GeographyName, RuntimeRole, Stage
from tests.support.connector import document, settings_for
from tests.support.ehr_emulator import serving
from tests.support.ports import free_port
from tests.support.postgres import (
    APPLICATION,
    APPLICATION_PRINCIPAL,
    INIT,
    INIT_PRINCIPAL,
    PASSWORD,
    ROLES,
    PostgresServer,
    give_password,
    running_postgres,
)
from tests.support.smart_server import organization
from tests.support.statements import private_key, revocations, statement_file

ROOT = Path(__file__).parents[2]


@cache
def packed() -> Chunks:
    """Made once: its statements are signed anew each time."""
    return pack(document(organization()))


@dataclass(frozen=True)
class Platform:
    """A vault, a storage account, a managed identity endpoint and a database, and the environment that names them."""

    server: PostgresServer
    secrets: dict[str, str]
    state: Path
    vault_port: int

    def environment(self, role: RuntimeRole, **changes: Any) -> dict[str, str]:
        login, principal = (INIT, INIT_PRINCIPAL) if role is RuntimeRole.INIT else (APPLICATION, APPLICATION_PRINCIPAL)
        chunks = packed()
        given: dict[str, Any] = {
            "role": role,
            "key_vault_url": f"https://127.0.0.1:{self.vault_port}/",
            "storage_url": f"https://127.0.0.1:{self.vault_port}/",
            "ca_bundle": str(tls.ca_certificate(self.state)),
            "configuration_sha256": chunks.sha256,
            "managed_identity_client_id": principal,
            **changes,
        }
        handover: Handover = settings_for(self.server, "connector", login, **given).handover
        return {
            **handover.environment(),
            "IDENTITY_ENDPOINT": f"https://127.0.0.1:{self.vault_port}/msi/token",
            "IDENTITY_HEADER": "the header",
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
        }


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Generator[Platform]:
    state, port = tmp_path_factory.mktemp("platform"), free_port()
    tls.ensure_leaf(state, ["localhost", "127.0.0.1"])
    secrets = {"configuration-0000": packed().values[0]}

    async def token(request: Request) -> Response:
        if request.headers.get("x-identity-header") != "the header":
            return Response(status_code=401)
        return JSONResponse({"access_token": PASSWORD, "expires_on": "4000000000", "token_type": "Bearer"})

    async def secret(request: Request) -> Response:
        name = request.path_params["name"]
        if request.headers.get("authorization") != f"Bearer {PASSWORD}":
            return Response(status_code=401)
        if request.method == "PUT":
            secrets[name] = (await request.json())["value"]
        return JSONResponse({"value": secrets[name]}) if name in secrets else Response(status_code=404)

    async def list_(request: Request) -> Response:
        if request.headers.get("authorization") != f"Bearer {PASSWORD}":
            return Response(status_code=401)
        now = datetime.now(UTC)
        key = private_key(Stage.TEST, GeographyName.AMERICAS, "revocation-signing")
        return Response(statement_file(key, revocations(GeographyName.AMERICAS, Stage.TEST, now, version=2)).content)

    routes = [
        Route("/msi/token", token),
        Route("/secrets/{name}", secret, methods=["GET", "PUT"]),
        Route("/revocations/list.json", list_),
    ]
    with running_postgres() as server, serving(Starlette(routes=routes), state, port):
        yield Platform(server, secrets, state, port)


def run(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "runtime"]
    return subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=90)


def lines(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


def test_init_then_application_start_and_stop_as_processes(platform: Platform) -> None:
    roles = ",".join(f"{role}={principal}" for role, principal in ROLES.items())
    done = run(platform.environment(RuntimeRole.INIT, database_roles=roles))
    assert done.returncode == 0, done.stdout + done.stderr
    assert lines(done.stdout)[-1]["event"] == "prepared"
    with platform.server.administrator() as connection:
        give_password(connection, APPLICATION)
    port = free_port()
    environment = platform.environment(RuntimeRole.APPLICATION) | {"CONTAINER_APP_PORT": str(port)}
    process = subprocess.Popen(
        [sys.executable, "-m", "runtime"], env=environment, cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout
        said: list[dict[str, Any]] = []
        for line in process.stdout:
            said.append(json.loads(line))
            if said[-1]["event"] == "started":
                break
        assert said[-1]["event"] == "started", said
        standing = [s["state"] for s in said if s["event"] == "standing"]
        assert standing == ["approved"], "decided before it started, with the list that was published"
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", transport=httpx.HTTPTransport(retries=5)) as http:
            assert _ready(http) == "ready\n"
            assert http.get("/.well-known/jwks.json", headers={"host": "localhost:8441"}).json() == {"keys": []}
            assert http.get("/.well-known/jwks.json").status_code == 421
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)
    assert process.returncode == 0


def _ready(http: httpx.Client) -> str:
    for _ in range(200):
        try:
            answer = http.get("/readyz")
        except httpx.ConnectError:
            continue
        if answer.status_code == 200:
            return answer.text
    raise AssertionError("the application did not become ready")


@pytest.mark.parametrize(
    "changes",
    [
        {"CONNECTOR_CLOUD": "azure"},
        {"CONNECTOR_SECRET": "s3cret"},
        {"CONNECTOR_TRUSTED_KEYS": "s3cret"},
        {"CONNECTOR_STAGE": "staging"},
        {"IDENTITY_HEADER": ""},
        {"CONNECTOR_CONFIGURATION_SHA256": "0" * 64},
    ],
)
def test_a_refused_start_ends_with_78_and_says_why_without_values(platform: Platform, changes: dict[str, str]) -> None:
    for name in NAMES:
        platform.secrets.setdefault(name, new_secret(name, datetime.now(UTC), "test"))
    done = run({**platform.environment(RuntimeRole.APPLICATION), **changes})
    assert done.returncode == 78, done.stdout + done.stderr
    last = lines(done.stdout)[-1]
    assert last["event"] == "start refused"
    assert last["reason"]
    assert "s3cret" not in done.stdout + done.stderr
    assert done.stderr == ""
