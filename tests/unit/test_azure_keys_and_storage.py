"""Signing keys and storage in the emulated cloud: what Resource Manager makes, keeps, and refuses."""

import json
from pathlib import Path
from typing import Any

import pytest

from emulators.azure import layout
from emulators.azure.arm import TYPES
from emulators.azure.blob_data import BlobData
from emulators.azure.differences import refreshed
from emulators.azure.errors import AzureError
from emulators.azure.operations import ResourceManager
from emulators.azure.vault_data import VaultData
from tests.support.azure_arm import (
    ACCOUNT,
    EC_KEY,
    SUBSCRIPTION,
    account,
    container,
    create,
    immutable,
    key,
    put,
    vault,
    without_processes,
)

TEST_AMERICAS = {"stage": "test", "geography": "americas"}


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ResourceManager:
    return without_processes(tmp_path, monkeypatch)


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
    arm = key(manager)
    assert refreshed(TYPES[token], inputs, manager.outputs(token, arm)) == inputs
    drifted = manager.outputs(token, arm) | {"keyOps": ["verify"]}
    assert refreshed(TYPES[token], inputs, drifted)["properties"] == EC_KEY | {"keyOps": ["verify"]}


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
