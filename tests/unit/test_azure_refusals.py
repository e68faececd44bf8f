"""What the emulated Resource Manager refuses of a body, and of a change, as Azure does."""

from pathlib import Path
from typing import Any

import pytest

from emulators.azure.definitions.change import not_changeable, with_frozen
from emulators.azure.definitions.reading import supplement
from emulators.azure.errors import AzureError
from emulators.azure.operations import ResourceManager
from tests.support.azure_arm import SUBSCRIPTION, TENANT, account, create, place_of, vault, without_processes

GROUP = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg"


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ResourceManager:
    return without_processes(tmp_path, monkeypatch)


def vault_with(manager: ResourceManager, **properties: Any) -> dict[str, Any]:
    base = {"tenantId": TENANT, "sku": {"name": "standard", "family": "A"}}
    return create(manager, "keyvault:Vault", vaultName="kv-one", properties=base | properties)


@pytest.mark.parametrize(
    ("properties", "named"),
    [
        ({"enablePurgeProtectoin": True}, "properties.enablePurgeProtectoin: expected a property of"),
        ({"hsmPoolResourceId": "x"}, "properties.hsmPoolResourceId: expected nothing, because it is read-only"),
        ({"tenantId": "t"}, "properties.tenantId: expected"),
        ({"sku": {"name": "standard"}}, "properties.sku.family: expected what Sku requires, got nothing"),
        ({"sku": {"name": "gold", "family": "A"}}, "properties.sku.name: expected one of premium, standard"),
        ({"networkAcls": {"ipRules": [{"value": 1}]}}, r"properties.networkAcls.ipRules\[0\].value: expected a string"),
        ({"publicNetworkAccess": False}, "properties.publicNetworkAccess: expected a string, got false"),
    ],
)
def test_a_body_that_is_not_as_defined_is_refused_and_the_property_named(
    manager: ResourceManager, properties: dict[str, Any], named: str
) -> None:
    with pytest.raises(AzureError, match=named) as refused:
        vault_with(manager, **properties)
    assert (refused.value.status, refused.value.code) == (400, "InvalidRequestContent")
    assert manager.store.read().get(f"{GROUP}/providers/Microsoft.KeyVault/vaults/kv-one") is None


def test_an_update_that_is_not_as_defined_changes_nothing(manager: ResourceManager) -> None:
    made = vault(manager)
    inputs = place_of("azure-native:keyvault:Vault") | {"vaultName": "kv-one", "properties": {"tenantId": TENANT}}
    with pytest.raises(AzureError, match=r"properties.sku: expected what VaultProperties requires"):
        manager.update("azure-native:keyvault:Vault", made["id"], inputs)
    assert manager.store.read().get(made["id"]) == made


def test_an_input_that_azure_names_otherwise_is_kept_under_azures_name(manager: ResourceManager) -> None:
    made = account(manager, enableHttpsTrafficOnly=True)
    assert made["properties"]["supportsHttpsTrafficOnly"] is True
    assert manager.outputs("azure-native:storage:StorageAccount", made)["enableHttpsTrafficOnly"] is True


def at(path: str, value: object) -> dict[str, Any]:
    """A document with a value at a dotted path."""
    head, _, rest = path.partition(".")
    return {head: at(rest, value) if rest else value}


def facts(kind: str) -> list[Any]:
    return [
        pytest.param(arm_type, entry, id=f"{arm_type} {entry['path']}")
        for arm_type, entries in supplement()[kind].items()
        for entry in entries
    ]


@pytest.mark.parametrize(("arm_type", "entry"), facts("refused"))
def test_what_azure_does_not_change_is_refused(arm_type: str, entry: dict[str, Any]) -> None:
    path, before = entry["path"], entry.get("from", "before")
    assert not_changeable(arm_type, at(path, before), at(path, before)) == []
    assert not_changeable(arm_type, at(path, before), at(path, "after")) == [path]
    assert not_changeable(arm_type, {}, at(path, before)) == ([] if "from" in entry else [path])


@pytest.mark.parametrize(("arm_type", "entry"), facts("frozen"))
def test_what_azure_ignores_stays_as_it_was(arm_type: str, entry: dict[str, Any]) -> None:
    before, now = at(entry["path"], "before"), at(entry["path"], "after")
    assert with_frozen(arm_type, before, now) == before
    assert with_frozen(arm_type, at("properties.other", 1), now) == {"properties": {}}


def test_purge_protection_is_for_good_and_a_refused_change_is_none(manager: ResourceManager) -> None:
    token = "azure-native:keyvault:Vault"
    made = vault_with(manager)

    def update(**properties: Any) -> dict[str, Any]:
        given = {"tenantId": TENANT, "sku": made["properties"]["sku"]} | properties
        return manager.update(token, made["id"], place_of(token) | {"vaultName": "kv-one", "properties": given})

    on = update(enablePurgeProtection=True)
    with pytest.raises(AzureError, match=r"'properties.enablePurgeProtection' .* is not allowed") as refused:
        update(enablePurgeProtection=False)
    assert (refused.value.status, refused.value.code) == (409, "PropertyChangeNotAllowed")
    assert manager.store.read().get(made["id"]) == on
