"""Signing keys, storage and groups in the emulated cloud: what Resource Manager makes, and whom data planes let in."""

import asyncio
import base64
import hashlib
import json
from collections.abc import Awaitable, Callable, Collection
from pathlib import Path
from typing import Any

import httpx
import pytest

from emulators import tls
from emulators.azure import client, layout
from emulators.azure.arm import TYPES
from emulators.azure.blob_data import BlobData
from emulators.azure.data_planes import DataPlanes
from emulators.azure.deployer import DEPLOYER_OBJECT_ID
from emulators.azure.differences import refreshed
from emulators.azure.errors import AzureError
from emulators.azure.operations import ResourceManager
from emulators.azure.tokens import DATABASE, STORAGE, VAULT
from emulators.azure.vault_data import VaultData
from emulators.world import load_world

TENANT = "1a1a1a1a-0000-4000-8000-000000000000"
SUBSCRIPTION = "4d4d4d4d-0000-4000-8000-0000000000dd"
ROLES = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Authorization/roleDefinitions/"
CRYPTO_USER = ROLES + "12338af0-0e69-4776-bea7-57ae8d297424"
BLOB_CONTRIBUTOR = ROLES + "ba92f5b4-2d11-453d-a403-e96b0029c9fe"
REVOKERS = "6f6f6f6f-0000-4000-8000-000000000001"
EC_KEY = {"kty": "EC", "curveName": "P-256", "keyOps": ["sign", "verify"]}
ACCOUNT = {
    "kind": "StorageV2",
    "sku": {"name": "Standard_LRS"},
    "allowSharedKeyAccess": False,
    "allowBlobPublicAccess": False,
}
TEST_AMERICAS = {"stage": "test", "geography": "americas"}


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ResourceManager:
    """A subscription with the group `rg`; nothing is started."""

    def reconciled(state: Path, wait: Collection[str] = ()) -> dict[str, Any]:
        return {"resources": {}, "services": {}}

    def nothing(state: Path) -> None:
        return None

    monkeypatch.setattr(client, "ensure_supervisor", nothing)
    monkeypatch.setattr(client, "reconcile", reconciled)
    made = ResourceManager(tmp_path, SUBSCRIPTION)
    create(made, "resources:ResourceGroup")
    return made


def create(manager: ResourceManager, kind: str, /, **inputs: Any) -> dict[str, Any]:
    return manager.create(f"azure-native:{kind}", {"resourceGroupName": "rg", "location": "eastus2"} | inputs)


def vault(manager: ResourceManager, **tags: str) -> dict[str, Any]:
    properties = {"tenantId": TENANT, "sku": {"name": "standard", "family": "A"}}
    return create(manager, "keyvault:Vault", vaultName="kv-one", properties=properties, tags=tags)


def key(manager: ResourceManager, name: str = "worker-signing", **properties: Any) -> dict[str, Any]:
    return create(manager, "keyvault:Key", vaultName="kv-one", keyName=name, properties=EC_KEY | properties)


def account(manager: ResourceManager, name: str = "stone", **inputs: Any) -> dict[str, Any]:
    return create(manager, "storage:StorageAccount", accountName=name, **(ACCOUNT | inputs))


def container(manager: ResourceManager, name: str, **inputs: Any) -> dict[str, Any]:
    return create(manager, "storage:BlobContainer", accountName="stone", containerName=name, **inputs)


def immutable(manager: ResourceManager, name: str, days: Any = 30, **inputs: Any) -> dict[str, Any]:
    return create(
        manager,
        "storage:BlobContainerImmutabilityPolicy",
        accountName="stone",
        containerName=name,
        immutabilityPolicyName="default",
        immutabilityPeriodSinceCreationInDays=days,
        **inputs,
    )


# --- keys ---------------------------------------------------------------------------------------------------------


def test_a_key_that_was_brought_into_the_vault_of_its_place_has_its_material_and_version(
    manager: ResourceManager,
) -> None:
    vault(manager, **TEST_AMERICAS)
    brought = json.loads(Path(layout.__file__).with_name("brought_keys.json").read_bytes())
    expected = next(
        k for k in brought if (k["stage"], k["geography"], k["name"]) == ("test", "americas", "portal-signing")
    )
    outputs = manager.outputs("azure-native:keyvault:Key", key(manager, "portal-signing"))
    assert outputs["keyUriWithVersion"].endswith(f"/keys/portal-signing/{expected['version']}")
    held = VaultData(manager.state, "kv-one").key("portal-signing")
    assert held is not None
    assert (held["pem"], held["version"]) == (expected["pem"], expected["version"])


@pytest.mark.parametrize("tags", [{}, {"stage": "test"}, {"stage": "production", "geography": "americas"}])
def test_elsewhere_a_key_is_new(manager: ResourceManager, tags: dict[str, str]) -> None:
    vault(manager, **tags)
    brought = {k["version"] for k in json.loads(Path(layout.__file__).with_name("brought_keys.json").read_bytes())}
    assert key(manager, "portal-signing")["properties"]["keyUriWithVersion"].rsplit("/", 1)[1] not in brought


def test_a_key_is_made_once_and_a_second_put_changes_nothing(manager: ResourceManager) -> None:
    vault(manager)
    made = key(manager)
    inputs = {"resourceGroupName": "rg", "vaultName": "kv-one", "keyName": "worker-signing"}
    after = manager.update(
        "azure-native:keyvault:Key", made["id"], inputs | {"properties": {"kty": "RSA"}, "tags": {"a": "b"}}
    )
    assert after == made
    assert VaultData(manager.state, "kv-one").key("worker-signing", version_of(made)) is not None


def version_of(made: dict[str, Any]) -> str:
    return made["properties"]["keyUriWithVersion"].rsplit("/", 1)[1]


def test_a_refresh_finds_the_inputs_of_a_key_as_they_were(manager: ResourceManager) -> None:
    vault(manager)
    token = "azure-native:keyvault:Key"
    inputs = {"resourceGroupName": "rg", "vaultName": "kv-one", "keyName": "worker-signing", "properties": EC_KEY}
    assert refreshed(TYPES[token], inputs, manager.outputs(token, key(manager))) == inputs


def test_a_key_goes_with_its_vault_and_no_secret_of_it_is_in_the_store(manager: ResourceManager) -> None:
    made = vault(manager)
    assert "PRIVATE" not in json.dumps(key(manager))
    manager.delete("azure-native:keyvault:Vault", made["id"])
    assert VaultData(manager.state, "kv-one").names("keys") == []


# --- what is refused ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "inputs", "code"),
    [
        ("keyvault:Key", {"vaultName": "absent", "keyName": "k", "properties": EC_KEY}, "ParentResourceNotFound"),
        ("keyvault:Key", {"vaultName": "kv-one", "keyName": "a_b", "properties": EC_KEY}, "InvalidResourceName"),
        ("keyvault:Key", {"vaultName": "kv-one", "keyName": "k", "properties": {"kty": "EC-HSM"}}, "BadParameter"),
        (
            "keyvault:Key",
            {"vaultName": "kv-one", "keyName": "k", "properties": EC_KEY | {"keyOps": ["sign", "wrapKey"]}},
            "NotEmulated",
        ),
        ("storage:StorageAccount", ACCOUNT | {"accountName": "no-hyphens"}, "InvalidResourceName"),
        ("storage:StorageAccount", ACCOUNT | {"accountName": "Upper"}, "InvalidResourceName"),
        ("storage:StorageAccount", ACCOUNT | {"accountName": "ab"}, "InvalidResourceName"),
        ("storage:StorageAccount", ACCOUNT | {"accountName": "a" * 25}, "InvalidResourceName"),
        ("storage:StorageAccount", ACCOUNT | {"accountName": "two", "allowSharedKeyAccess": True}, "NotEmulated"),
        ("storage:StorageAccount", ACCOUNT | {"accountName": "two", "isHnsEnabled": True}, "NotEmulated"),
        ("storage:StorageAccount", ACCOUNT | {"accountName": "two", "location": "atlantis"}, "LocationNotAvailable"),
        ("storage:BlobContainer", {"accountName": "absent", "containerName": "heads"}, "ParentResourceNotFound"),
        ("storage:BlobContainer", {"accountName": "stone", "containerName": "a--b"}, "InvalidResourceName"),
        (
            "storage:BlobContainer",
            {"accountName": "stone", "containerName": "heads", "publicAccess": "Blob"},
            "PublicAccessNotPermitted",
        ),
        (
            "storage:BlobServiceProperties",
            {"accountName": "stone", "blobServicesName": "other"},
            "InvalidResourceName",
        ),
        (
            "storage:BlobServiceProperties",
            {"accountName": "absent", "blobServicesName": "default"},
            "ParentResourceNotFound",
        ),
        (
            "storage:BlobContainerImmutabilityPolicy",
            {
                "accountName": "stone",
                "containerName": "absent",
                "immutabilityPolicyName": "default",
                "immutabilityPeriodSinceCreationInDays": 1,
            },
            "ParentResourceNotFound",
        ),
    ],
)
def test_what_azure_refuses_is_refused(manager: ResourceManager, kind: str, inputs: dict[str, Any], code: str) -> None:
    vault(manager)
    account(manager)
    with pytest.raises(AzureError, match=code):
        create(manager, kind, **inputs)


def test_an_accounts_name_is_taken_for_everybody(manager: ResourceManager) -> None:
    account(manager)
    create(manager, "resources:ResourceGroup", resourceGroupName="other")
    with pytest.raises(AzureError, match="NameAlreadyExists"):
        account(manager, resourceGroupName="other")


@pytest.mark.parametrize("days", [0, 146_001, None])
def test_a_policy_of_immutability_is_for_days(manager: ResourceManager, days: int | None) -> None:
    account(manager)
    container(manager, "heads")
    with pytest.raises(AzureError, match="between 1 and 146000 days"):
        immutable(manager, "heads", days)


def put(manager: ResourceManager, name: str) -> None:
    BlobData(manager.state, "stone").put(
        name, "1.json", b"{}", "application/json", keep_versions=False, check=lambda present: None
    )


def test_an_immutable_container_that_is_not_empty_stays_and_goes_with_its_account(manager: ResourceManager) -> None:
    made, heads = account(manager), container(manager, "heads")
    immutable(manager, "heads")
    put(manager, "heads")
    with pytest.raises(AzureError, match="ContainerImmutabilityPolicyFailure"):
        manager.delete("azure-native:storage:BlobContainer", heads["id"])
    manager.delete("azure-native:storage:StorageAccount", made["id"])
    assert BlobData(manager.state, "stone").names("heads") == []


def test_a_container_without_a_policy_goes_with_what_it_holds(manager: ResourceManager) -> None:
    account(manager)
    made = container(manager, "revocations")
    put(manager, "revocations")
    manager.delete("azure-native:storage:BlobContainer", made["id"])
    assert BlobData(manager.state, "stone").names("revocations") == []


def test_the_blob_endpoint_is_an_address_of_its_own_that_stays(manager: ResourceManager) -> None:
    endpoint = account(manager)["properties"]["primaryEndpoints"]["blob"]
    assert endpoint.startswith("https://127.0.0.1:")
    assert endpoint.endswith("/")
    assert int(endpoint.rstrip("/").rpartition(":")[2]) in manager.store.read().ports()
    arm_id = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg/providers/Microsoft.Storage/storageAccounts/stone"
    inputs = {"resourceGroupName": "rg", "location": "eastus2", "accountName": "stone", "tags": {"a": "b"}} | ACCOUNT
    after = manager.update("azure-native:storage:StorageAccount", arm_id, inputs)
    assert after["properties"]["primaryEndpoints"]["blob"] == endpoint


def test_a_role_is_assigned_to_a_group_of_the_home_tenant_alone(manager: ResourceManager) -> None:
    made = vault(manager)
    inputs = {"scope": made["id"], "roleDefinitionId": CRYPTO_USER, "principalType": "Group"}
    create(manager, "authorization:RoleAssignment", principalId=REVOKERS, roleAssignmentName=guid("1"), **inputs)
    stranger = "6f6f6f6f-0000-4000-8000-0000000000ff"
    with pytest.raises(AzureError, match="PrincipalNotFound"):
        create(manager, "authorization:RoleAssignment", principalId=stranger, roleAssignmentName=guid("2"), **inputs)


def guid(digit: str) -> str:
    return f"{digit * 8}-0000-4000-8000-{digit * 12}"


def test_the_groups_that_the_samples_name_have_whoever_deploys_as_a_member() -> None:
    groups = load_world().entra.groups_of(TENANT)
    assert {group for group, members in groups.items() if DEPLOYER_OBJECT_ID in members} >= {
        REVOKERS,
        "6f6f6f6f-0000-4000-8000-000000000002",
    }


# --- whom data planes let in --------------------------------------------------------------------------------------


def test_a_database_token_lets_the_deployer_in_by_the_name_of_each_of_its_groups(tmp_path: Path) -> None:
    given: dict[str, str] = {}

    async def grant(object_id: str, token: str, expires: int) -> None:
        given[object_id] = token

    async def let_in() -> str:
        groups = {"auditors": frozenset({DEPLOYER_OBJECT_ID}), "others": frozenset({"somebody"})}
        planes = DataPlanes(tmp_path, TENANT, grant, groups)
        token = planes.operator_token(DATABASE)
        await planes.let_into_databases(token)
        return token.text

    token = asyncio.run(let_in())
    assert given == {DEPLOYER_OBJECT_ID: token, "auditors": token}


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
