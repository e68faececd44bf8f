"""Resource Manager of the emulated cloud for unit tests: a subscription with one group, and short ways to make things.

Nothing is started: what has a process behind it is in the store alone.
"""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest

from emulators.azure import client
from emulators.azure.arm import TYPES
from emulators.azure.blob_data import BlobData
from emulators.azure.operations import ResourceManager

TENANT = "1a1a1a1a-0000-4000-8000-000000000000"
SUBSCRIPTION = "4d4d4d4d-0000-4000-8000-0000000000dd"
EC_KEY = {"kty": "EC", "curveName": "P-256", "keyOps": ["sign", "verify"]}
ACCOUNT = {
    "kind": "StorageV2",
    "sku": {"name": "Standard_LRS"},
    "allowSharedKeyAccess": False,
    "allowBlobPublicAccess": False,
}


def without_processes(state: Path, monkeypatch: pytest.MonkeyPatch) -> ResourceManager:
    """A subscription with the group `rg`."""

    def reconciled(state: Path, wait: Collection[str] = ()) -> dict[str, Any]:
        return {"resources": {}, "services": {}}

    def nothing(state: Path) -> None:
        return None

    monkeypatch.setattr(client, "ensure_supervisor", nothing)
    monkeypatch.setattr(client, "reconcile", reconciled)
    made = ResourceManager(state, SUBSCRIPTION)
    create(made, "resources:ResourceGroup")
    return made


def create(manager: ResourceManager, kind: str, /, **inputs: Any) -> dict[str, Any]:
    token = f"azure-native:{kind}"
    return manager.create(token, place_of(token) | inputs)


def place_of(token: str) -> dict[str, str]:
    """Group and location, where a type has them."""
    row = TYPES[token]
    group = {"resourceGroupName": "rg"} if "resourceGroupName" in row.path_inputs else {}
    return group | ({"location": "eastus2"} if row.located else {})


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


def put(manager: ResourceManager, name: str) -> None:
    BlobData(manager.state, "stone").put(
        name, "1.json", b"{}", "application/json", keep_versions=False, check=lambda present: None
    )


def guid(digit: str) -> str:
    return f"{digit * 8}-0000-4000-8000-{digit * 12}"
