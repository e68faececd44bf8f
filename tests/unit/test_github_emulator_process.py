"""The emulated GitHub as a process: TLS on the loopback, a site that a file declares, ids and tokens in another."""

import json
import os
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from dulwich.repo import Repo

from emulators import tls
from tests.support.github_site import FULL_NAME, HEADERS
from tests.support.samples import ROOT
from workflow.merge.app_token import app_token


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture(scope="module")
def served(
    tmp_path_factory: pytest.TempPathFactory, key: rsa.RSAPrivateKey
) -> Generator[tuple[httpx.Client, dict[str, Any], Path]]:
    state = tmp_path_factory.mktemp("github")
    Repo.init_bare(str(state / "repository.git"), mkdir=True).close()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"https://127.0.0.1:{free.getsockname()[1]}"
    pem = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    app = {"slug": "gate", "publicKey": pem.decode(), "permissions": {"checks": "write"}, "repositories": [FULL_NAME]}
    repository = {"name": FULL_NAME, "folder": str(state / "repository.git"), "roles": {"robin": "write"}}
    declared = {"url": url, "people": ["robin"], "repositories": [repository], "apps": [app]}
    (state / "github").mkdir()
    (state / "github" / "site.json").write_text(json.dumps(declared))
    environment = {**os.environ, "CONNECTOR_STATE": str(state)}
    process = subprocess.Popen([sys.executable, "-m", "emulators.github"], cwd=ROOT, env=environment)
    try:
        _until_up(process, url, state)
        known = json.loads((state / "github" / "known.json").read_text())
        with httpx.Client(base_url=url, verify=tls.client_context(state), headers=HEADERS, trust_env=False) as http:
            yield http, known, state
    finally:
        process.terminate()
        process.wait(10)


def _until_up(process: "subprocess.Popen[bytes]", url: str, state: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(f"{url}/healthz", verify=tls.client_context(state), trust_env=False).status_code == 200:
                return
        except (httpx.TransportError, OSError):
            time.sleep(0.1)
    raise AssertionError(f"the emulated GitHub did not come up ({process.poll()})")


def test_people_call_it_with_the_token_that_it_made(served: tuple[httpx.Client, dict[str, Any], Path]) -> None:
    http, known, state = served
    authorization = {"authorization": f"Bearer {known['tokens']['robin']}"}
    assert http.get(f"/repos/{FULL_NAME}", headers=authorization).json()["full_name"] == FULL_NAME
    assert http.get(f"/repos/{FULL_NAME}").status_code == 401
    assert stat.S_IMODE((state / "github" / "known.json").stat().st_mode) == 0o600


def test_an_app_gets_a_token_by_its_key(
    served: tuple[httpx.Client, dict[str, Any], Path], key: rsa.RSAPrivateKey
) -> None:
    http, known, _ = served
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    ids = known["apps"]["gate"]
    with app_token(http, ids["appId"], ids["installationId"], pem, FULL_NAME, {"checks": "write"}) as token:
        answer = http.get(f"/repos/{FULL_NAME}", headers={"authorization": f"Bearer {token}"})
    assert answer.status_code == 200


def test_another_host_name_is_misdirected(served: tuple[httpx.Client, dict[str, Any], Path]) -> None:
    assert served[0].get("/app", headers={"host": "api.github.com"}).status_code == 421
