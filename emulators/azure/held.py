"""What resources hold beyond the store: secrets and keys of a vault, blobs of an account, images of a registry.

Owns how a write through Resource Manager reaches a data plane, and what is deleted there with a resource. The data are
in `vault_data.py`, `blob_data.py` and `images.py`.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

from emulators.azure.blob_data import BlobData, account_of
from emulators.azure.documents import object_at
from emulators.azure.errors import AzureError
from emulators.azure.store import Contents
from emulators.azure.vault_data import VaultData

BROUGHT_KEYS = Path(__file__).with_name("brought_keys.json")
"""Signing keys whose public halves the image of the emulated cloud lists: they must be the same in every run."""
CONTAINER = "Microsoft.Storage/storageAccounts/blobServices/containers"
POLICY = f"{CONTAINER}/immutabilityPolicies"


def write_secret(state: Path, contents: Contents, arm: dict[str, Any], inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The secret with its URIs, once its value is in the vault."""
    vault_id, _, name = arm["id"].rpartition("/secrets/")
    vault = contents.get(vault_id)
    assert vault is not None
    data, value = VaultData(state, vault["name"]), inputs["properties"].get("value")
    present = data.secret(name)
    if present is None or (value is not None and present["value"] != value):
        content_type = inputs["properties"].get("contentType")
        present = data.set_secret(name, str(value or ""), content_type=content_type, tags=inputs.get("tags"))
    uri = f"{vault['properties']['vaultUri']}secrets/{name}"
    arm["properties"] |= {"secretUri": uri, "secretUriWithVersion": f"{uri}/{present['version']}"}
    return arm


def write_key(state: Path, contents: Contents, arm: dict[str, Any]) -> dict[str, Any]:
    """The key as it is in the vault, made if it is not there: brought from elsewhere, or new."""
    vault_id, _, name = arm["id"].rpartition("/keys/")
    vault = contents.get(vault_id)
    assert vault is not None
    data, properties = VaultData(state, vault["name"]), arm["properties"]
    key, brought = data.key(name), _brought(vault, name)
    if key is None and brought is not None:
        key = data.bring_key(name, brought["pem"], brought["version"])
    elif key is None:
        curve, size = properties.get("curveName") or "P-256", properties.get("keySize") or 2048
        key = data.create_key(name, properties["kty"], curve=curve, size=size)
    uri = f"{vault['properties']['vaultUri']}keys/{name}"
    properties |= {"keyUri": uri, "keyUriWithVersion": f"{uri}/{key['version']}", "attributes": key["attributes"]}
    return arm


def _brought(vault: Mapping[str, Any], name: str) -> dict[str, Any] | None:
    """The key that was brought into the vault of this stage and geography under this name, if one was."""
    tags = object_at(vault, "tags")
    place = (tags.get("stage"), tags.get("geography"), name)
    keys = cast(list[dict[str, Any]], json.loads(BROUGHT_KEYS.read_bytes()))
    return next((k for k in keys if (k["stage"], k["geography"], k["name"]) == place), None)


def check_immutable(state: Path, contents: Contents, arm: Mapping[str, Any]) -> None:
    """A container with a policy must be empty before it can be deleted; with its account it goes all the same."""
    if arm["type"] != CONTAINER or not [r for r in contents.below(arm["id"]) if r["type"] == POLICY]:
        return
    if BlobData(state, account_of(arm["id"])).names(arm["name"]):
        message = f"the container '{arm['name']}' has an immutability policy and is not empty"
        raise AzureError(409, "ContainerImmutabilityPolicyFailure", message)


def delete(state: Path, gone: Iterable[Mapping[str, Any]]) -> None:
    """What resources that are gone held."""
    for arm in gone:
        match arm["type"]:
            case "Microsoft.KeyVault/vaults":
                VaultData(state, arm["name"]).clear()
            case "Microsoft.KeyVault/vaults/secrets" | "Microsoft.KeyVault/vaults/keys":
                vault_id, kind, name = arm["id"].rsplit("/", 2)
                VaultData(state, vault_id.rsplit("/", 1)[1]).delete(kind, name)
            case "Microsoft.Storage/storageAccounts":
                BlobData(state, arm["name"]).clear()
            case "Microsoft.ContainerRegistry/registries":
                (state / "azure" / "registries" / arm["properties"]["loginServer"]).unlink(missing_ok=True)
            case _ if arm["type"] == CONTAINER:
                BlobData(state, account_of(arm["id"])).remove_container(arm["name"])
            case _:
                pass
