"""Locks, the policy of allowed locations and budgets in the emulated Azure: what they refuse, and what of them is."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from components.governance import ALLOWED_LOCATIONS
from emulators.azure.errors import AzureError
from emulators.azure.operations import ResourceManager
from tests.support.azure_arm import SUBSCRIPTION, account, container, create, vault, without_processes

GROUP = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg"
VAULT = "azure-native:keyvault:Vault"
LOCK = "authorization:ManagementLockByScope"


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ResourceManager:
    return without_processes(tmp_path, monkeypatch)


def lock(manager: ResourceManager, scope: str, level: str = "CanNotDelete") -> dict[str, Any]:
    return create(manager, LOCK, scope=scope, lockName="keep", level=level)


def test_what_is_locked_is_deleted_only_when_the_lock_is_gone(manager: ResourceManager) -> None:
    locked = vault(manager)
    kept = lock(manager, locked["id"])
    with pytest.raises(AzureError, match="cannot perform delete operation because following scope") as refused:
        manager.delete(VAULT, locked["id"])
    assert (refused.value.status, refused.value.code) == (409, "ScopeLocked")
    assert manager.store.read().get(locked["id"]) is not None
    manager.delete(f"azure-native:{LOCK}", kept["id"])
    manager.delete(VAULT, locked["id"])
    assert manager.store.read().get(locked["id"]) is None


def test_a_lock_holds_what_is_below_it_and_the_group_around_it_and_nothing_beside(manager: ResourceManager) -> None:
    locked, beside = account(manager), vault(manager)
    create(manager, "storage:BlobServiceProperties", accountName="stone", blobServicesName="default")
    below = container(manager, "inside")
    lock(manager, locked["id"])
    for token, arm_id in (("storage:BlobContainer", below["id"]), ("resources:ResourceGroup", GROUP)):
        with pytest.raises(AzureError, match="ScopeLocked"):
            manager.delete(f"azure-native:{token}", arm_id)
    manager.delete(VAULT, beside["id"])


def test_a_locked_resource_can_be_changed(manager: ResourceManager) -> None:
    locked = account(manager)
    lock(manager, GROUP)
    inputs = {"resourceGroupName": "rg", "accountName": "stone", "location": "eastus2", "tags": {"a": "b"}}
    given = {"kind": "StorageV2", "sku": {"name": "Standard_LRS"}}
    closed = {"allowSharedKeyAccess": False, "allowBlobPublicAccess": False}
    manager.update("azure-native:storage:StorageAccount", locked["id"], inputs | given | closed)


def test_a_lock_that_stops_writes_is_not_emulated(manager: ResourceManager) -> None:
    with pytest.raises(AzureError, match="locks of the level ReadOnly"):
        lock(manager, GROUP, "ReadOnly")


def assignment(manager: ResourceManager, *regions: str, **inputs: Any) -> dict[str, Any]:
    given: dict[str, Any] = {
        "scope": GROUP,
        "policyAssignmentName": "allowed-locations",
        "policyDefinitionId": ALLOWED_LOCATIONS,
        "parameters": {"listOfAllowedLocations": {"value": list(regions)}},
    }
    return create(manager, "authorization:PolicyAssignment", **(given | inputs))


def test_a_resource_in_a_region_that_is_not_allowed_is_refused(manager: ResourceManager) -> None:
    assignment(manager, "centralus")
    with pytest.raises(AzureError, match="'kv-one' was disallowed by policy") as refused:
        vault(manager)
    assert (refused.value.status, refused.value.code) == (403, "RequestDisallowedByPolicy")


def test_allowed_regions_global_resources_and_groups_pass(manager: ResourceManager) -> None:
    assignment(manager, "EastUS2")
    vault(manager)
    create(manager, "privatedns:PrivateZone", privateZoneName="a.example.org", location="global")
    create(manager, "resources:ResourceGroup", resourceGroupName="other", location="westeurope")


def test_an_assignment_that_is_not_enforced_refuses_nothing(manager: ResourceManager) -> None:
    assignment(manager, "centralus", enforcementMode="DoNotEnforce")
    vault(manager)


@pytest.mark.parametrize(
    ("inputs", "code"),
    [
        ({"policyDefinitionId": f"{ALLOWED_LOCATIONS[:-1]}d"}, "PolicyDefinitionNotFound"),
        ({"parameters": {}}, "MissingPolicyParameter"),
        ({"parameters": {"allowed": {"value": ["eastus2"]}}}, "UndefinedPolicyParameter"),
    ],
)
def test_an_assignment_gives_the_definition_what_it_asks_for(
    manager: ResourceManager, inputs: dict[str, Any], code: str
) -> None:
    with pytest.raises(AzureError, match=code):
        assignment(manager, "eastus2", **inputs)


def budget(manager: ResourceManager, start: str, **changes: Any) -> dict[str, Any]:
    spent: dict[str, Any] = {
        "enabled": True,
        "operator": "GreaterThan",
        "threshold": 80,
        "contactEmails": ["on-call@example.org"],
    }
    return create(
        manager,
        "consumption:Budget",
        scope=GROUP,
        budgetName="budget",
        category="Cost",
        amount=100,
        timeGrain="Monthly",
        timePeriod={"startDate": start},
        notifications={"spent": spent | changes},
    )


def this_month() -> str:
    return f"{datetime.now(UTC):%Y-%m}-01T00:00:00Z"


@pytest.mark.parametrize(
    "start", ["2020-01-01T00:00:00Z", this_month().replace("-01T", "-02T"), "2999-01-01T00:00:00Z"]
)
def test_a_budget_starts_with_this_month_or_a_coming_one(manager: ResourceManager, start: str) -> None:
    with pytest.raises(AzureError, match="first of this month"):
        budget(manager, start)
    budget(manager, this_month())


@pytest.mark.parametrize(("changes", "said"), [({"contactEmails": []}, "contact"), ({"threshold": 1001}, "threshold")])
def test_a_budget_tells_somebody_in_time(manager: ResourceManager, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(AzureError, match=said):
        budget(manager, this_month(), **changes)
