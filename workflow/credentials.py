"""The connector's client credentials, put into the emulated vaults through their data plane.

Owns what an operator does by hand in Azure: a private key as JWK for each `private_key_jwt` client (never seen by
anybody else; the EHR reads its public half from our key set), and the secrets that the EHRs made for the others.
"""

import json
import threading
import uuid
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import httpx
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from emulators import tls
from emulators.azure.client import is_running, operator_token
from emulators.azure.errors import SupervisorUnavailable
from emulators.azure.store import Store
from runtime.errors import ConnectorError
from schemas.stack_config import ClientSecretBasic, Organization, PrivateKeyJwt, StackConfig
from schemas.vocabulary import GeographyName, Stage
from workflow.errors import WorkflowError

API = {"api-version": "7.4"}
EVERY_SECONDS = 0.5


Seed = Callable[[GeographyName], list[str]]
"""Puts into a geography what it needs and has not; answers what it put there."""


@contextmanager
def seeding(state: Path, stack: StackConfig, written: list[str], others: Sequence[Seed] = ()) -> Generator[None]:
    """Seed each geography as soon as it is there while the block runs an update, and all of them at its end.

    The runtime remembers for some seconds that a credential is absent; so it finds them when it first looks. `others`
    put what else must be there early.
    """
    seeds: list[Seed] = [lambda geography: seed(state, stack, geography), *others]
    ended = threading.Event()

    def work() -> None:
        left = [(geography, each) for geography in stack.geographies for each in seeds]
        while left and not ended.wait(EVERY_SECONDS):
            for geography, each in left if is_running(state) else []:
                try:
                    written.extend(each(geography))
                except (WorkflowError, ConnectorError, SupervisorUnavailable, httpx.HTTPError, OSError):
                    continue  # not there yet; what stays wrong is told at the end
                left = [pair for pair in left if pair != (geography, each)]

    thread = threading.Thread(target=work, name="credentials", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
    for geography in stack.geographies:
        for each in seeds:
            written.extend(each(geography))


def seed(state: Path, stack: StackConfig, geography: GeographyName) -> list[str]:
    """Write a geography's credentials that are absent; answer their names. Nothing that is there is changed."""
    vault = vault_uri(state, geography, stack.stage)
    written: list[str] = []
    authorization = {"authorization": f"Bearer {operator_token(state)}"}
    with httpx.Client(verify=tls.client_context(state), trust_env=False, headers=authorization, timeout=20) as http:
        for name, value in _credentials(state, stack.served_in(geography)):
            url = f"{vault}secrets/{name}"
            found = http.get(url, params=API)
            if found.status_code == 404:
                found = http.put(url, params=API, json={"value": value()})
                written.append(name)
            if found.status_code != 200:
                raise WorkflowError(f"the vault of {geography} answered {found.status_code} for secret {name}")
    return written


def vault_uri(state: Path, geography: GeographyName, stage: Stage) -> str:
    """The emulated vault of a geography and stage, with a slash at the end. Raises WorkflowError."""
    for vault in Store(state).read().of_type("Microsoft.KeyVault/vaults"):
        tags = cast("dict[str, str]", vault.get("tags") or {})
        if (tags.get("geography"), tags.get("stage")) == (geography, stage):
            return str(vault["properties"]["vaultUri"])
    raise WorkflowError(f"the emulated cloud has no vault of {geography}, {stage}")


def _credentials(state: Path, organizations: tuple[Organization, ...]) -> Iterator[tuple[str, Any]]:
    """Name, and how to make or find the value."""
    for organization in organizations:
        for connection in organization.connections:
            clients = connection.clients
            for client in (clients.provider, clients.patient, clients.backend):
                match client.authentication if client else None:
                    case PrivateKeyJwt(key=name, algorithm=algorithm):
                        yield name, lambda a=algorithm: private_jwk(a)
                    case ClientSecretBasic(secret=name) if client:
                        yield name, lambda o=organization.id, c=client.client_id: _secret_of_ehr(state, o, c)
                    case _:
                        pass


def private_jwk(algorithm: str) -> str:
    """A new private key as JWK (RFC 7517), with a key id: RSA of 3072 bits for RS384, P-384 for ES384."""
    if algorithm == "ES384":
        jwk = ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP384R1()), as_dict=True)
    else:
        jwk = RSAAlgorithm.to_jwk(rsa.generate_private_key(public_exponent=65537, key_size=3072), as_dict=True)
    return json.dumps({**jwk, "kid": str(uuid.uuid4()), "alg": algorithm, "use": "sig"})


def _secret_of_ehr(state: Path, organization: str, client_id: str) -> str:
    """The secret that the emulated EHR made for a client. Raises WorkflowError."""
    file = state / "ehr" / organization / "clients" / f"{client_id}.secret"
    try:
        return file.read_text().strip()
    except FileNotFoundError:
        problem = WorkflowError(f"the EHR of {organization} has no secret for client {client_id}")
        problem.advice = (
            "register the client with client_secret_basic in emulators/world.yaml, or put the secret in the vault"
        )
        raise problem from None
