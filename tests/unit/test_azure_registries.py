"""The emulated container registries: what they refuse, which images they have, and who may pull."""

from pathlib import Path
from typing import Any

import pytest

from emulators.azure import layout
from emulators.azure.errors import AzureError
from emulators.azure.images import Images
from emulators.azure.operations import ResourceManager
from emulators.azure.registry_rules import check_pull
from emulators.azure.roles import ACR_PULL
from emulators.azure.store import Contents
from schemas.image import image_digest
from tests.support.azure_arm import SUBSCRIPTION, create, without_processes

GROUP = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg"
REGISTRY = f"{GROUP}/providers/Microsoft.ContainerRegistry/registries/crone"
IDENTITY = f"{GROUP}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/id-one"
CLOSED = {"sku": {"name": "Premium"}, "adminUserEnabled": False, "publicNetworkAccess": "Disabled"}
IMAGE = "crone.azurecr.io/teams-ehr-connector@sha256:" + 64 * "a"


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ResourceManager:
    return without_processes(tmp_path, monkeypatch)


def registry(manager: ResourceManager, **inputs: Any) -> dict[str, Any]:
    return create(manager, "containerregistry:Registry", registryName="crone", **(CLOSED | inputs))


@pytest.mark.parametrize(
    ("location", "server"),
    [("eastus2", "crone.azurecr.io"), ("usgovvirginia", "crone.azurecr.us"), ("chinanorth3", "crone.azurecr.cn")],
)
def test_its_log_in_server_is_of_its_cloud(manager: ResourceManager, location: str, server: str) -> None:
    assert registry(manager, location=location)["properties"]["loginServer"] == server


@pytest.mark.parametrize(
    ("code", "inputs"),
    [
        ("NotEmulated", {"sku": {"name": "Basic"}}),
        ("NotEmulated", {"adminUserEnabled": True}),
        ("NotEmulated", {"anonymousPullEnabled": True}),
        ("NotEmulated", {"policies": {"retentionPolicy": {"status": "enabled", "days": 7}}}),
        ("NotEmulated", {"policies": {"quarantinePolicy": {"status": "enabled"}}}),
        (
            "CannotDisableExport",
            {"publicNetworkAccess": "Enabled", "policies": {"exportPolicy": {"status": "disabled"}}},
        ),
    ],
)
def test_a_registry_that_azure_or_this_cloud_does_not_take_is_refused(
    manager: ResourceManager, code: str, inputs: dict[str, Any]
) -> None:
    with pytest.raises(AzureError) as refused:
        registry(manager, **inputs)
    assert refused.value.code == code


def test_its_name_is_taken_in_the_world(manager: ResourceManager) -> None:
    registry(manager)
    create(manager, "resources:ResourceGroup", resourceGroupName="other", location="eastus2")
    with pytest.raises(AzureError, match="already in use"):
        registry(manager, resourceGroupName="other")


# --- who may pull ---


def contents(scope: str | None = REGISTRY, role: str = ACR_PULL, principal: str = "p-1") -> Contents:
    found = Contents({}, {})
    server = {"loginServer": "crone.azurecr.io"}
    kind = "Microsoft.ContainerRegistry/registries"
    found.put({"id": REGISTRY, "type": kind, "name": "crone", "properties": server})
    kind = "Microsoft.ManagedIdentity/userAssignedIdentities"
    found.put({"id": IDENTITY, "type": kind, "name": "id-one", "properties": {"principalId": "p-1"}})
    if scope is not None:
        assigned = {"principalId": principal, "roleDefinitionId": f"/providers/x/roleDefinitions/{role}"}
        kind = "Microsoft.Authorization/roleAssignments"
        found.put({"id": f"{scope}/providers/{kind}/1", "type": kind, "name": "1", "properties": assigned})
    return found


def app(image: str = IMAGE, server: str = "crone.azurecr.io", identity: str = IDENTITY) -> dict[str, Any]:
    return {
        "identity": {"userAssignedIdentities": {IDENTITY: {}}},
        "properties": {
            "configuration": {"registries": [{"server": server, "identity": identity}]},
            "template": {"containers": [{"image": image}], "initContainers": [{"image": image}]},
        },
    }


@pytest.mark.parametrize("scope", [REGISTRY, GROUP, f"/subscriptions/{SUBSCRIPTION}"])
def test_an_identity_with_the_role_at_the_registry_or_above_pulls(scope: str) -> None:
    check_pull(contents(scope), app())


@pytest.mark.parametrize(
    ("found", "wanted", "message"),
    [
        (contents(None), app(), "'id-one' lacks the role AcrPull at 'crone.azurecr.io'"),
        (contents(role="acdd72a7-3385-48ef-bd42-f606fba81ae7"), app(), "lacks the role AcrPull"),
        (contents(principal="p-2"), app(), "lacks the role AcrPull"),
        (contents(REGISTRY + "two"), app(), "lacks the role AcrPull"),
        (contents(), app(server="other.azurecr.io"), "no identity of the app is named for 'crone.azurecr.io'"),
        (contents(), app(identity=IDENTITY + "-2"), "no identity of the app is named"),
        (contents(), app(image=IMAGE.replace("crone", "crtwo")), "no registry of this cloud has the log-in server"),
    ],
)
def test_an_app_that_may_not_pull_its_image_is_refused(found: Contents, wanted: dict[str, Any], message: str) -> None:
    with pytest.raises(AzureError, match=message) as refused:
        check_pull(found, wanted)
    assert refused.value.code == "InvalidParameterValueInContainerTemplate"


# --- which images it has ---


def test_an_image_that_was_not_copied_to_the_registry_is_missing(tmp_path: Path) -> None:
    tree, state = tmp_path / "tree", tmp_path / "state"
    for name, text in (
        ("runtime/__main__.py", "print(1)"),
        ("schemas/a.py", "A = 1"),
        ("requirements/runtime.txt", "a"),
    ):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text)
    images = Images(state, tree)
    digest = image_digest(images.files())

    def image(server: str, digest: str = digest) -> str:
        return f"{server}.azurecr.io/teams-ehr-connector@sha256:{digest}"

    folder = images.folder_of(image("crone"))
    assert (folder / "runtime" / "__main__.py").read_text() == "print(1)"
    assert not (folder / "emulators").exists()
    (tree / "schemas" / "a.py").write_text("A = 2")
    assert images.folder_of(image("crone")) == folder, "what ran from there stays there"
    with pytest.raises(AzureError, match=r"manifest unknown: .* was not copied to crtwo.azurecr.io"):
        images.folder_of(image("crtwo"))
    images.copy("crtwo.azurecr.io", digest)
    assert images.folder_of(image("crtwo")) == folder
    with pytest.raises(AzureError, match="manifest unknown"):
        images.folder_of(image("crone", "0" * 64))
    with pytest.raises(AzureError, match="by digest"):
        images.folder_of("crone.azurecr.io/teams-ehr-connector:latest")
    layout.remove_what_was_made(state)
    assert not (state / "azure" / "registries").exists()
