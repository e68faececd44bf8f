"""Read-only properties: what the cloud answers beside what it was given, one function a kind of resource.

Owns what is computed at a write; what an earlier write computed is kept. Which type has which is in `arm.py`.
"""

import hashlib
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from emulators.azure.documents import object_at
from emulators.azure.postgres_parameters import STATIC


@dataclass(frozen=True)
class Assigned:
    """What the emulated cloud gives to a new resource."""

    tenant_id: Callable[[], str]
    reserve_port: Callable[[], int]
    identities: Callable[[str], Mapping[str, str] | None]
    """Principal and client id of a user-assigned identity by its ARM id."""


Computed = Callable[[str, Mapping[str, Any], Mapping[str, Any] | None, Assigned], dict[str, Any]]
"""(ARM id, body, body before this write or None, what the cloud gives) -> read-only properties."""


def succeeded(
    arm_id: str, body: Mapping[str, Any], before: Mapping[str, Any] | None, given: Assigned
) -> dict[str, Any]:
    return {"provisioningState": "Succeeded"}


def nothing(arm_id: str, body: Mapping[str, Any], before: Mapping[str, Any] | None, given: Assigned) -> dict[str, Any]:
    return {}


def scoped(arm_id: str, body: Mapping[str, Any], before: Mapping[str, Any] | None, given: Assigned) -> dict[str, Any]:
    return {"scope": arm_id.rsplit("/providers/", 1)[0]}


def network(arm_id: str, body: Mapping[str, Any], before: Mapping[str, Any] | None, given: Assigned) -> dict[str, Any]:
    return {"provisioningState": "Succeeded", "resourceGuid": _kept(before, "resourceGuid", _guid)}


def public_address(
    arm_id: str, body: Mapping[str, Any], before: Mapping[str, Any] | None, given: Assigned
) -> dict[str, Any]:
    """An address of the ranges for documentation (RFC 5737), which nobody has."""
    number = int(short_hash(arm_id), 16)
    return {
        "provisioningState": "Succeeded",
        "resourceGuid": _kept(before, "resourceGuid", _guid),
        "ipAddress": f"{('192.0.2', '198.51.100', '203.0.113')[number % 3]}.{number // 3 % 254 + 1}",
    }


def firewall_policy(
    arm_id: str, body: Mapping[str, Any], before: Mapping[str, Any] | None, given: Assigned
) -> dict[str, Any]:
    return {"provisioningState": "Succeeded", "resourceState": "Enabled"}


def gateway(arm_id: str, body: Mapping[str, Any], before: Mapping[str, Any] | None, given: Assigned) -> dict[str, Any]:
    return {
        "provisioningState": "Succeeded",
        "operationalState": "Running",
        "resourceGuid": _kept(before, "resourceGuid", _guid),
    }


def certificate(
    arm_id: str, body: Mapping[str, Any], before: Mapping[str, Any] | None, given: Assigned
) -> dict[str, Any]:
    return {"provisioningState": "Succeeded", "valid": True}


def endpoint(arm_id: str, body: Mapping[str, Any], before: Mapping[str, Any] | None, given: Assigned) -> dict[str, Any]:
    name = body["name"]
    card = arm_id.rsplit("/", 1)[0].rsplit("/", 1)[0] + f"/networkInterfaces/{name}.nic.{short_hash(arm_id)}"
    return {"provisioningState": "Succeeded", "networkInterfaces": [{"id": card}]}


def zone(arm_id: str, body: Mapping[str, Any], before: Mapping[str, Any] | None, given: Assigned) -> dict[str, Any]:
    return {
        "provisioningState": "Succeeded",
        "maxNumberOfRecordSets": 25000,
        "numberOfRecordSets": 1,
        "maxNumberOfVirtualNetworkLinks": 1000,
        "maxNumberOfVirtualNetworkLinksWithRegistration": 100,
    }


def link(arm_id: str, body: Mapping[str, Any], before: Mapping[str, Any] | None, given: Assigned) -> dict[str, Any]:
    return {"provisioningState": "Succeeded", "virtualNetworkLinkState": "Completed"}


def identity(arm_id: str, body: Mapping[str, Any], before: Mapping[str, Any] | None, given: Assigned) -> dict[str, Any]:
    return {
        "tenantId": given.tenant_id(),
        "principalId": _kept(before, "principalId", _guid),
        "clientId": _kept(before, "clientId", _guid),
    }


def workspace(
    arm_id: str, body: Mapping[str, Any], before: Mapping[str, Any] | None, given: Assigned
) -> dict[str, Any]:
    return {"provisioningState": "Succeeded", "customerId": _kept(before, "customerId", _guid)}


def vault(arm_id: str, body: Mapping[str, Any], before: Mapping[str, Any] | None, given: Assigned) -> dict[str, Any]:
    return {
        "provisioningState": "Succeeded",
        "vaultUri": _kept(before, "vaultUri", lambda: f"https://127.0.0.1:{given.reserve_port()}/"),
    }


def server(arm_id: str, body: Mapping[str, Any], before: Mapping[str, Any] | None, given: Assigned) -> dict[str, Any]:
    return {
        "state": "Ready",
        "minorVersion": "0",
        "fullyQualifiedDomainName": _kept(
            before, "fullyQualifiedDomainName", lambda: f"127.0.0.1:{given.reserve_port()}"
        ),
    }


def administrator(
    arm_id: str, body: Mapping[str, Any], before: Mapping[str, Any] | None, given: Assigned
) -> dict[str, Any]:
    return {"objectId": body["name"]}


def configuration(
    arm_id: str, body: Mapping[str, Any], before: Mapping[str, Any] | None, given: Assigned
) -> dict[str, Any]:
    return {"isConfigPendingRestart": body["name"] in STATIC, "isReadOnly": False}


def environment(
    arm_id: str, body: Mapping[str, Any], before: Mapping[str, Any] | None, given: Assigned
) -> dict[str, Any]:
    domain = f"{short_hash(arm_id)}.{body.get('location', 'unknown')}.azurecontainerapps.io"
    return {
        "provisioningState": "Succeeded",
        "defaultDomain": domain,
        "staticIp": "127.0.0.1",
        "eventStreamEndpoint": f"https://{body.get('location')}.azurecontainerapps.dev{arm_id}/eventstream",
    }


def app(arm_id: str, body: Mapping[str, Any], before: Mapping[str, Any] | None, given: Assigned) -> dict[str, Any]:
    """`operations.py` adds the ingress's FQDN, which needs the environment's domain."""
    revision = f"{body['name']}--{short_hash(repr(body.get('properties', {}).get('template')))[:7]}"
    return {
        "provisioningState": "InProgress",
        "runningStatus": "Running",
        "latestRevisionName": revision,
        "latestReadyRevisionName": (before or {}).get("properties", {}).get("latestReadyRevisionName", ""),
        "customDomainVerificationId": hashlib.sha256(given.tenant_id().encode()).hexdigest().upper(),
        "outboundIpAddresses": ["127.0.0.1"],
    }


def secret(arm_id: str, body: Mapping[str, Any], before: Mapping[str, Any] | None, given: Assigned) -> dict[str, Any]:
    """`operations.py` fills in the URIs once the value is in the vault."""
    return {"secretUri": "", "secretUriWithVersion": ""}


def key(arm_id: str, body: Mapping[str, Any], before: Mapping[str, Any] | None, given: Assigned) -> dict[str, Any]:
    """`operations.py` fills in the URIs once the key is in the vault."""
    return {"keyUri": "", "keyUriWithVersion": ""}


def account(arm_id: str, body: Mapping[str, Any], before: Mapping[str, Any] | None, given: Assigned) -> dict[str, Any]:
    location = body.get("location")
    blob = object_at(before, "properties.primaryEndpoints").get("blob")
    return {
        "provisioningState": "Succeeded",
        "primaryEndpoints": {"blob": blob or f"https://127.0.0.1:{given.reserve_port()}/"},
        "primaryLocation": location,
        "statusOfPrimary": "available",
    }


def registry(arm_id: str, body: Mapping[str, Any], before: Mapping[str, Any] | None, given: Assigned) -> dict[str, Any]:
    """Log-in servers by cloud: azurecr.io, azurecr.us of Azure Government, azurecr.cn of Azure in China."""
    location = str(body.get("location"))
    domain = "us" if location.startswith("usgov") else "cn" if location.startswith("china") else "io"
    return {
        "provisioningState": "Succeeded",
        "loginServer": f"{body['name']}.azurecr.{domain}".lower(),
        "creationDate": _kept(before, "creationDate", lambda: datetime.now(UTC).isoformat()),
        "dataEndpointHostNames": [],
    }


def container(
    arm_id: str, body: Mapping[str, Any], before: Mapping[str, Any] | None, given: Assigned
) -> dict[str, Any]:
    return {"leaseState": "Available", "leaseStatus": "Unlocked"}


def immutability(
    arm_id: str, body: Mapping[str, Any], before: Mapping[str, Any] | None, given: Assigned
) -> dict[str, Any]:
    return {"state": "Unlocked"}


def _kept(before: Mapping[str, Any] | None, key: str, make: Callable[[], str]) -> str:
    return (before or {}).get("properties", {}).get(key) or make()


def _guid() -> str:
    return str(uuid.uuid4())


def short_hash(text: str) -> str:
    return hashlib.sha256(text.lower().encode()).hexdigest()[:16]
