"""Managed identity and Key Vault on the wire: who gets a token, and what a token opens."""

import base64
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
from starlette.testclient import TestClient

from emulators.azure.key_vault import KeyVault
from emulators.azure.managed_identity import ManagedIdentityEndpoint
from emulators.azure.tokens import DATABASE, EXCHANGE, VAULT, Issuer, Principal, Token
from emulators.azure.vault_data import VaultData

TENANT = "1a1a1a1a-0000-4000-8000-000000000000"
ONE = Principal(
    "7a7a7a7a-0000-4000-8000-000000000001", "7b7b7b7b-0000-4000-8000-000000000001", "/subscriptions/s/id-one"
)
TWO = Principal(
    "7a7a7a7a-0000-4000-8000-000000000002", "7b7b7b7b-0000-4000-8000-000000000002", "/subscriptions/s/id-two"
)


@pytest.fixture
def issuer(tmp_path: Path) -> Issuer:
    return Issuer(tmp_path, TENANT, "https://127.0.0.1:1/issuer/v2.0")


Asked = list[tuple[str, Token]]


@pytest.fixture
def asked() -> Asked:
    """Database tokens that were announced before they were given."""
    return []


@pytest.fixture
def endpoint(issuer: Issuer, asked: Asked) -> ManagedIdentityEndpoint:
    async def announce(object_id: str, token: Token) -> None:
        asked.append((object_id, token))

    return ManagedIdentityEndpoint(issuer, "http://127.0.0.1:1", lambda object_id: object_id != "gone", announce)


Ask = Callable[..., Any]


@pytest.fixture
def ask(endpoint: ManagedIdentityEndpoint) -> Ask:
    http: Any = TestClient(endpoint.app)

    def asking(header: str, client_id: str, resource: str = VAULT, version: str = "2019-08-01") -> Any:
        parameters = {"api-version": version, "resource": resource, "client_id": client_id}
        return http.get("/msi/token", params=parameters, headers={"x-identity-header": header})

    return asking


def test_a_token_is_for_the_identity_and_audience_asked_for_and_stays_the_same(
    endpoint: ManagedIdentityEndpoint, ask: Ask, issuer: Issuer
) -> None:
    given = endpoint.assign((ONE, TWO))
    answer = ask(given.header, ONE.client_id).json()
    claims = issuer.verify(answer["access_token"], VAULT)
    assert (claims["oid"], claims["sub"], claims["tid"]) == (ONE.object_id, ONE.object_id, TENANT)
    assert claims["xms_mirid"] == ONE.resource_id
    assert int(answer["expires_on"]) == claims["exp"]
    assert ask(given.header, ONE.client_id).json()["access_token"] == answer["access_token"]


@pytest.mark.parametrize(
    ("header", "client_id", "resource", "version", "status"),
    [
        ("wrong", ONE.client_id, VAULT, "2019-08-01", 401),
        ("", ONE.client_id, VAULT, "2019-08-01", 401),
        (None, TWO.client_id, VAULT, "2019-08-01", 400),
        (None, "", VAULT, "2019-08-01", 400),
        (None, ONE.client_id, "https://graph.microsoft.com", "2019-08-01", 400),
        (None, ONE.client_id, VAULT, "2017-09-01", 400),
    ],
)
def test_a_token_is_refused(
    endpoint: ManagedIdentityEndpoint,
    ask: Ask,
    header: str | None,
    client_id: str,
    resource: str,
    version: str,
    status: int,
) -> None:
    given = endpoint.assign((ONE,))
    answer = ask(given.header if header is None else header, client_id, resource, version)
    assert answer.status_code == status
    assert "access_token" not in answer.text


def test_a_withdrawn_endpoint_and_a_deleted_identity_get_nothing(endpoint: ManagedIdentityEndpoint, ask: Ask) -> None:
    given = endpoint.assign((ONE, Principal("gone", TWO.client_id)))
    assert ask(given.header, TWO.client_id).status_code == 400
    endpoint.withdraw(given)
    assert ask(given.header, ONE.client_id).status_code == 401


def test_a_token_for_the_database_is_a_password_before_it_is_given(
    endpoint: ManagedIdentityEndpoint, ask: Ask, asked: Asked
) -> None:
    given = endpoint.assign((ONE,))
    answer = ask(given.header, ONE.client_id, DATABASE).json()
    assert [(object_id, token.text) for object_id, token in asked] == [(ONE.object_id, answer["access_token"])]
    ask(given.header, ONE.client_id, EXCHANGE)
    assert len(asked) == 1


# --- the vault ----------------------------------------------------------------------------------------------------


@pytest.fixture
def permitted() -> set[tuple[str, str]]:
    """(object id, action) pairs."""
    return {
        (ONE.object_id, action)
        for action in ("secrets/getSecret", "secrets/readMetadata", "keys/read", "keys/sign", "keys/verify")
    }


@pytest.fixture
def vault(issuer: Issuer, tmp_path: Path, permitted: set[tuple[str, str]]) -> Any:
    data = VaultData(tmp_path, "kv-one")
    data.set_secret("present", "old")
    data.set_secret("present", "value")
    data.create_key("signing", "EC", curve="P-256")
    data.create_key("signing-rsa", "RSA")
    app = KeyVault("/v", "https://127.0.0.1:2", data, issuer, lambda who, vault, action: (who, action) in permitted).app
    return TestClient(app)


def call(vault: Any, path: str, token: str | None, method: str = "GET", **arguments: Any) -> Any:
    headers = {} if token is None else {"authorization": f"Bearer {token}"}
    return vault.request(method, path, params={"api-version": "7.4"}, headers=headers, **arguments)


def test_the_last_version_is_read_and_an_older_one_by_name(vault: Any, issuer: Issuer) -> None:
    token = issuer.token(ONE, VAULT).text
    answer = call(vault, "/secrets/present", token).json()
    assert answer["value"] == "value"
    version = answer["id"].rsplit("/", 1)[1]
    assert call(vault, f"/secrets/present/{version}", token).json()["value"] == "value"
    assert call(vault, "/secrets/absent", token).status_code == 404
    listed = call(vault, "/secrets", token).json()["value"]
    assert [item["id"] for item in listed] == ["https://127.0.0.1:2/secrets/present"]
    assert "value" not in listed[0]


def test_without_a_token_the_vault_challenges(vault: Any) -> None:
    answer = call(vault, "/secrets/present", None)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer authorization=")


def test_a_token_of_another_audience_signer_or_time_is_refused(vault: Any, issuer: Issuer, tmp_path: Path) -> None:
    stranger = Issuer(tmp_path / "stranger", TENANT, issuer.issuer).token(ONE, VAULT).text
    claims = jwt.decode(issuer.token(ONE, VAULT).text, options={"verify_signature": False})
    unsigned = jwt.encode(claims, "", algorithm="none")
    expired = jwt.encode(claims | {"exp": claims["iat"] - 1}, _key_of(tmp_path), algorithm="RS256")
    for token in (issuer.token(ONE, DATABASE).text, stranger, unsigned, expired, "nonsense"):
        assert call(vault, "/secrets/present", token).status_code == 401


def _key_of(state: Path) -> bytes:
    return (state / "azure" / "identity-signing-key.pem").read_bytes()


def test_without_a_role_the_vault_refuses(vault: Any, issuer: Issuer) -> None:
    assert call(vault, "/secrets/present", issuer.token(TWO, VAULT).text).status_code == 403
    one = issuer.token(ONE, VAULT).text
    assert call(vault, "/secrets/new", one, "PUT", json={"value": "x"}).status_code == 403
    assert call(vault, "/keys/new/create", one, "POST", json={"kty": "EC"}).status_code == 403


def test_another_api_version_is_refused(vault: Any, issuer: Issuer) -> None:
    headers = {"authorization": f"Bearer {issuer.token(ONE, VAULT).text}"}
    assert vault.get("/secrets/present", params={"api-version": "2.0"}, headers=headers).status_code == 400


@pytest.mark.parametrize(
    ("name", "algorithm"), [("signing", "ES256"), ("signing-rsa", "RS256"), ("signing-rsa", "RS384")]
)
def test_what_a_key_signs_its_public_part_verifies(vault: Any, issuer: Issuer, name: str, algorithm: str) -> None:
    token = issuer.token(ONE, VAULT).text
    jwk = call(vault, f"/keys/{name}", token).json()["key"]
    version = jwk["kid"].rsplit("/", 1)[1]
    head = base64.urlsafe_b64encode(b'{"alg":"%s"}' % algorithm.encode()).rstrip(b"=").decode()
    message = f"{head}.e30"
    digest = hashlib.sha384 if algorithm.endswith("384") else hashlib.sha256
    value = base64.urlsafe_b64encode(digest(message.encode()).digest()).rstrip(b"=").decode()
    body = {"alg": algorithm, "value": value}
    signature = call(vault, f"/keys/{name}/{version}/sign", token, "POST", json=body).json()["value"]
    jwt.decode(f"{message}.{signature}", jwt.PyJWK.from_dict(jwk, algorithm=algorithm).key, algorithms=[algorithm])
    check = {"alg": algorithm, "digest": value, "value": signature}
    assert call(vault, f"/keys/{name}/{version}/verify", token, "POST", json=check).json() == {"value": True}
    forged = check | {"value": base64.urlsafe_b64encode(bytes(len(signature) * 3 // 4)).rstrip(b"=").decode()}
    assert call(vault, f"/keys/{name}/{version}/verify", token, "POST", json=forged).json() == {"value": False}


def test_an_algorithm_of_another_key_type_is_refused(vault: Any, issuer: Issuer) -> None:
    token = issuer.token(ONE, VAULT).text
    version = call(vault, "/keys/signing", token).json()["key"]["kid"].rsplit("/", 1)[1]
    answer = call(vault, f"/keys/signing/{version}/sign", token, "POST", json={"alg": "RS256", "value": "AA"})
    assert answer.status_code == 400


def test_secrets_and_keys_are_private_files(vault: Any, tmp_path: Path) -> None:
    files = [f for f in (tmp_path / "azure").rglob("*") if f.is_file() and f.name != "identity-jwks.json"]
    assert len(files) > 3
    assert {f.stat().st_mode & 0o077 for f in files} == {0}
