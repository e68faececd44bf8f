"""Whom the emulated cloud's data planes let in: roles at one key, one container; identities, and members of groups."""

import asyncio
import base64
import hashlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from emulators import tls
from emulators.azure.data_planes import DataPlanes
from emulators.azure.deployer import DEPLOYER_OBJECT_ID
from emulators.azure.errors import AzureError
from emulators.azure.operations import ResourceManager
from emulators.azure.tokens import STORAGE, VAULT
from emulators.world import load_world
from tests.support.azure_arm import (
    SUBSCRIPTION,
    TENANT,
    account,
    container,
    create,
    guid,
    immutable,
    key,
    vault,
    without_processes,
)

ROLES = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Authorization/roleDefinitions/"
CRYPTO_USER = ROLES + "12338af0-0e69-4776-bea7-57ae8d297424"
SECRETS_USER = ROLES + "4633458b-17de-408a-b874-0445c86b69e6"
BLOB_CONTRIBUTOR = ROLES + "ba92f5b4-2d11-453d-a403-e96b0029c9fe"
REVOKERS = "6f6f6f6f-0000-4000-8000-000000000001"


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ResourceManager:
    return without_processes(tmp_path, monkeypatch)


def test_a_role_is_assigned_to_a_group_of_the_home_tenant_alone(manager: ResourceManager) -> None:
    made = vault(manager)
    inputs = {"scope": made["id"], "roleDefinitionId": CRYPTO_USER, "principalType": "Group"}
    create(manager, "authorization:RoleAssignment", principalId=REVOKERS, roleAssignmentName=guid("1"), **inputs)
    stranger = "6f6f6f6f-0000-4000-8000-0000000000ff"
    with pytest.raises(AzureError, match="PrincipalNotFound"):
        create(manager, "authorization:RoleAssignment", principalId=stranger, roleAssignmentName=guid("2"), **inputs)


def test_the_groups_that_the_samples_name_have_whoever_deploys_as_a_member() -> None:
    groups = load_world().entra.groups_of(TENANT)
    assert {group for group, members in groups.items() if DEPLOYER_OBJECT_ID in members} >= {
        REVOKERS,
        "6f6f6f6f-0000-4000-8000-000000000002",
    }


class Wire:
    """Vault and account of the store over TLS, asked as somebody."""

    def __init__(self, planes: DataPlanes, http: httpx.AsyncClient) -> None:
        self.planes, self.http = planes, http

    async def sign(self, who: str, key: dict[str, Any]) -> int:
        value = base64.urlsafe_b64encode(hashlib.sha256(b"payload").digest()).rstrip(b"=").decode()
        url = f"{key['properties']['keyUriWithVersion']}/sign?api-version=7.4"
        answer = await self.http.post(
            url, json={"alg": "ES256", "value": value}, headers={"authorization": f"Bearer {self._token(who, VAULT)}"}
        )
        assert answer.status_code != 200 or answer.json()["kid"] == key["properties"]["keyUriWithVersion"]
        return answer.status_code

    async def put(self, who: str, url: str, name: str) -> int:
        headers = {
            "authorization": f"Bearer {self._token(who, STORAGE)}",
            "x-ms-version": "2021-12-02",
            "x-ms-blob-type": "BlockBlob",
        }
        return (await self.http.put(f"{url}{name}/1.json", content=b"{}", headers=headers)).status_code

    async def read(self, who: str, url: str) -> int:
        headers = {"authorization": f"Bearer {self._token(who, VAULT)}"}
        return (await self.http.get(f"{url}?api-version=7.4", headers=headers)).status_code

    def _token(self, who: str, audience: str) -> str:
        if who == "deployer":
            return self.planes.operator_token(audience).text
        principal = self.planes.principal_of(who)
        assert principal is not None
        return self.planes.issuer.token(principal, audience).text


def on_the_wire(state: Path, scenario: Callable[[Wire], Awaitable[None]]) -> None:
    async def run() -> None:
        async def nothing(object_id: str, token: str, expires: int) -> None:
            return None

        tls.ensure_leaf(state, ["localhost", "127.0.0.1"])
        planes = DataPlanes(state, TENANT, nothing, load_world().entra.groups_of(TENANT))
        await planes.start()
        contents = planes.store.read()
        for arm in contents.of_type("Microsoft.KeyVault/vaults"):
            await planes.open_vault(arm)
        for arm in contents.of_type("Microsoft.Storage/storageAccounts"):
            await planes.open_account(arm)
        try:
            async with httpx.AsyncClient(verify=tls.client_context(state), trust_env=False) as http:
                await scenario(Wire(planes, http))
        finally:
            await planes.stop()

    asyncio.run(run())


def test_a_role_at_one_key_opens_that_key_alone_to_an_identity_and_to_the_members_of_a_group(
    manager: ResourceManager,
) -> None:
    vault(manager)
    of_worker, of_revokers = key(manager), key(manager, "revocation-signing")
    worker = create(manager, "managedidentity:UserAssignedIdentity", resourceName="id-worker")
    other = create(manager, "managedidentity:UserAssignedIdentity", resourceName="id-other")
    principal = worker["properties"]["principalId"]
    for scope, who, name in ((of_worker["id"], principal, "1"), (of_revokers["id"], REVOKERS, "2")):
        inputs = {"roleDefinitionId": CRYPTO_USER, "principalId": who, "roleAssignmentName": guid(name)}
        create(manager, "authorization:RoleAssignment", scope=scope, **inputs)

    async def scenario(wire: Wire) -> None:
        assert await wire.sign(worker["id"], of_worker) == 200
        assert await wire.sign(worker["id"], of_revokers) == 403
        assert await wire.sign("deployer", of_revokers) == 200
        assert await wire.sign("deployer", of_worker) == 403
        assert await wire.sign(other["id"], of_worker) == 403

    on_the_wire(manager.state, scenario)


def test_a_role_at_one_secret_opens_that_secret_alone(manager: ResourceManager) -> None:
    url = vault(manager)["properties"]["vaultUri"]
    own, _ = (
        create(manager, "keyvault:Secret", vaultName="kv-one", secretName=name, properties={"value": "do-not-tell"})
        for name in ("client-one", "client-one-more")
    )
    worker = create(manager, "managedidentity:UserAssignedIdentity", resourceName="id-worker")
    inputs = {"roleDefinitionId": SECRETS_USER, "principalId": worker["properties"]["principalId"]}
    create(manager, "authorization:RoleAssignment", scope=own["id"], roleAssignmentName=guid("1"), **inputs)

    async def scenario(wire: Wire) -> None:
        assert await wire.read(worker["id"], f"{url}secrets/client-one") == 200
        assert await wire.read(worker["id"], f"{url}secrets/client-one-more") == 403
        assert await wire.read(worker["id"], f"{url}secrets/client-two") == 403
        assert await wire.read(worker["id"], f"{url}secrets") == 403, "a list is of the vault"

    on_the_wire(manager.state, scenario)


def test_a_role_at_one_container_opens_that_container_alone(manager: ResourceManager) -> None:
    url = account(manager)["properties"]["primaryEndpoints"]["blob"]
    heads, revocations = container(manager, "audit-heads"), container(manager, "revocations")
    immutable(manager, "audit-heads")
    worker = create(manager, "managedidentity:UserAssignedIdentity", resourceName="id-worker")
    principal = worker["properties"]["principalId"]
    for scope, who, name in ((heads["id"], principal, "1"), (revocations["id"], REVOKERS, "2")):
        inputs = {"roleDefinitionId": BLOB_CONTRIBUTOR, "principalId": who, "roleAssignmentName": guid(name)}
        create(manager, "authorization:RoleAssignment", scope=scope, **inputs)

    async def scenario(wire: Wire) -> None:
        assert await wire.put(worker["id"], url, "audit-heads") == 201
        assert await wire.put(worker["id"], url, "audit-heads") == 409, "written once"
        assert await wire.put(worker["id"], url, "revocations") == 403
        assert await wire.put("deployer", url, "revocations") == 201
        assert await wire.put("deployer", url, "revocations") == 201, "replaced"
        assert await wire.put("deployer", url, "audit-heads") == 403

    on_the_wire(manager.state, scenario)
