"""What the emulated Resource Manager refuses of a body, and of a change, as Azure does."""

from pathlib import Path
from typing import Any

import pytest

from emulators.azure.definitions.change import not_changeable, with_frozen
from emulators.azure.definitions.reading import supplement
from emulators.azure.errors import AzureError
from emulators.azure.operations import ResourceManager
from emulators.azure.rules import check_change
from tests.support.azure_arm import SUBSCRIPTION, TENANT, account, create, guid, place_of, vault, without_processes

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


ROLES = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Authorization/roleDefinitions"
SECRETS_USER = "4633458b-17de-408a-b874-0445c86b69e6"
OTHER = "/subscriptions/4d4d4d4d-0000-4000-8000-0000000000ee"


@pytest.mark.parametrize(
    ("kind", "inputs", "status", "code"),
    [
        ("resources:ResourceGroup", {"resourceGroupName": "ends-with."}, 400, "InvalidResourceName"),
        ("resources:ResourceGroup", {"resourceGroupName": "rg"}, 409, "Conflict"),
        ("keyvault:Vault", {"resourceGroupName": "absent", "vaultName": "kv-two"}, 404, "ResourceGroupNotFound"),
        ("keyvault:Vault", {"vaultName": "kv--two"}, 400, "InvalidResourceName"),
        ("network:Subnet", {"virtualNetworkName": "absent", "subnetName": "s"}, 404, "ParentResourceNotFound"),
        ("privatedns:VirtualNetworkLink", {"privateZoneName": "a.b", "virtualNetworkLinkName": "l"}, 404, "Parent"),
        ("authorization:RoleAssignment", {"scope": OTHER}, 403, "LinkedAuthorizationFailed"),
        ("authorization:RoleAssignment", {"scope": f"{GROUP}absent"}, 404, "ResourceGroupNotFound"),
        (
            "authorization:RoleAssignment",
            {"scope": f"{GROUP}/providers/Microsoft.KeyVault/vaults/absent"},
            404,
            "ParentResourceNotFound",
        ),
        ("authorization:RoleAssignment", {"scope": GROUP, "roleAssignmentName": "reader"}, 400, "InvalidResourceName"),
        ("authorization:RoleAssignment", {"scope": GROUP, "principalId": guid("2")}, 400, "PrincipalNotFound"),
        ("authorization:RoleAssignment", {"scope": GROUP, "roleDefinitionId": f"{ROLES}/{guid('3')}"}, 404, "RoleDef"),
    ],
)
def test_places_names_and_roles_that_azure_does_not_take(
    manager: ResourceManager, kind: str, inputs: dict[str, Any], status: int, code: str
) -> None:
    vault = {"properties": {"tenantId": TENANT, "sku": {"name": "standard", "family": "A"}}}
    role = {"roleAssignmentName": guid("1"), "principalId": guid("1"), "roleDefinitionId": f"{ROLES}/{SECRETS_USER}"}
    given = {"keyvault:Vault": vault, "authorization:RoleAssignment": role}.get(kind, {}) | inputs
    with pytest.raises(AzureError, match=code) as refused:
        create(manager, kind, **given)
    assert refused.value.status == status


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


def test_a_databases_storage_grows_and_never_shrinks() -> None:
    def server(size: int) -> dict[str, Any]:
        storage = {"storageSizeGB": size}
        return {"name": "psql", "type": "Microsoft.DBforPostgreSQL/flexibleServers", "properties": {"storage": storage}}

    check_change(server(128), server(256))
    check_change(server(128), server(128))
    with pytest.raises(AzureError, match="storage of 256 GB cannot be made smaller") as refused:
        check_change(server(256), server(128))
    assert refused.value.status == 400
