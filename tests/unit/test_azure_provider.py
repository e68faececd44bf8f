"""The provider's protocol, spoken to it over gRPC: what is passed through, named, compared, and refused."""

import json
from collections.abc import Collection, Generator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import status_pb2  # pyright: ignore[reportMissingTypeStubs]
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc

from emulators.azure import client
from emulators.azure.bags import SECRET, SIGNATURE, UNKNOWN, from_wire, to_wire
from emulators.azure.provider import serve
from emulators.azure.store import Store

SUBSCRIPTION = "4d4d4d4d-0000-4000-8000-0000000000cc"


@pytest.fixture
def without_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is started."""

    def reconciled(state: Path, wait: Collection[str] = ()) -> dict[str, Any]:
        return {"resources": {}, "services": {}}

    def nothing(state: Path) -> None:
        return None

    monkeypatch.setattr(client, "ensure_supervisor", nothing)
    monkeypatch.setattr(client, "reconcile", reconciled)


@pytest.fixture
def provider(tmp_path: Path, without_processes: None) -> Generator[Any]:
    server, port = serve(tmp_path)
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub: Any = provider_pb2_grpc.ResourceProviderStub(channel)
        stub.Configure(provider_pb2.ConfigureRequest(args=to_wire({"subscriptionId": SUBSCRIPTION})))
        yield stub
    server.stop(None)


def urn(kind: str) -> str:
    return f"urn:pulumi:s::p::azure-native:{kind}::logical"


def check(provider: Any, kind: str, news: dict[str, Any], olds: dict[str, Any] | None = None) -> Any:
    request = provider_pb2.CheckRequest(urn=urn(kind), news=to_wire(news), randomSeed=b"seed")
    if olds is not None:
        request.olds.CopyFrom(to_wire(olds))
    return provider.Check(request)


def diff(provider: Any, kind: str, olds: dict[str, Any], news: dict[str, Any]) -> Any:
    request = provider_pb2.DiffRequest(urn=urn(kind), id="x", old_inputs=to_wire(olds), news=to_wire(news))
    return provider.Diff(request)


def create(provider: Any, kind: str, inputs: dict[str, Any], *, preview: bool = False) -> Any:
    return provider.Create(provider_pb2.CreateRequest(urn=urn(kind), properties=to_wire(inputs), preview=preview))


GROUP = {"resourceGroupName": "rg", "location": "eastus2"}


@pytest.mark.parametrize("kind", ["storage:FileShare", "app/v20240301:ContainerApp", "keyvault:ManagedHsm"])
def test_a_type_that_is_not_emulated_is_refused_loudly(provider: Any, kind: str) -> None:
    with pytest.raises(grpc.RpcError, match="is not emulated"):
        check(provider, kind, {})


def test_a_function_that_is_not_emulated_is_refused_loudly(provider: Any) -> None:
    with pytest.raises(grpc.RpcError, match="is not emulated"):
        provider.Invoke(provider_pb2.InvokeRequest(tok="azure-native:storage:listStorageAccountKeys"))


def test_the_client_config_names_subscription_tenant_and_deployer(provider: Any) -> None:
    answer = provider.Invoke(provider_pb2.InvokeRequest(tok="azure-native:authorization:getClientConfig"))
    values, _ = from_wire(getattr(answer, "return"))
    assert values["subscriptionId"] == SUBSCRIPTION
    assert values.keys() == {"clientId", "objectId", "subscriptionId", "tenantId"}


def test_a_missing_name_is_made_once_and_kept(provider: Any) -> None:
    first, _ = from_wire(check(provider, "managedidentity:UserAssignedIdentity", GROUP).inputs)
    assert first["resourceName"].startswith("logical")
    again, _ = from_wire(check(provider, "managedidentity:UserAssignedIdentity", GROUP, first).inputs)
    assert again["resourceName"] == first["resourceName"]
    inputs = {"scope": "/subscriptions/x", "principalId": "p", "roleDefinitionId": "r"}
    role, _ = from_wire(check(provider, "authorization:RoleAssignment", inputs).inputs)
    assert len(role["roleAssignmentName"]) == 36


def test_a_name_that_azure_does_not_make_is_required(provider: Any) -> None:
    failures = check(provider, "privatedns:PrivateZone", {"resourceGroupName": "rg"}).failures
    assert [f.property for f in failures] == ["privateZoneName"]


def test_location_comes_from_the_group(provider: Any) -> None:
    create(provider, "resources:ResourceGroup", GROUP)
    inputs, _ = from_wire(check(provider, "managedidentity:UserAssignedIdentity", {"resourceGroupName": "rg"}).inputs)
    assert inputs["location"] == "eastus2"


def test_unknown_properties_are_check_failures(provider: Any) -> None:
    failures = check(provider, "resources:ResourceGroup", GROUP | {"colour": "red"}).failures
    assert [f.property for f in failures] == ["colour"]


def test_unknowns_and_secrets_pass_through_check(provider: Any) -> None:
    secret = {SIGNATURE: SECRET, "value": "hidden"}
    news = GROUP | {"tags": {"a": UNKNOWN, "b": secret}}
    answer = check(provider, "resources:ResourceGroup", news)
    assert list(answer.failures) == []
    assert json.loads(json.dumps(dict(answer.inputs)["tags"], default=dict))["b"] == secret
    assert from_wire(answer.inputs)[0]["tags"]["a"] == UNKNOWN


def test_secret_inputs_are_secret_outputs(provider: Any) -> None:
    answer = create(
        provider, "resources:ResourceGroup", GROUP | {"tags": {"b": {SIGNATURE: SECRET, "value": "hidden"}}}
    )
    outputs, secrets = from_wire(answer.properties)
    assert outputs["tags"] == {"b": "hidden"}
    assert secrets == {("tags", "b")}


def test_a_preview_makes_nothing_and_knows_what_it_cannot_know(provider: Any, tmp_path: Path) -> None:
    inputs = GROUP | {"resourceName": "id-one", "tags": {"a": "b"}}
    answer = create(provider, "managedidentity:UserAssignedIdentity", inputs, preview=True)
    outputs, _ = from_wire(answer.properties)
    assert outputs["principalId"] == UNKNOWN
    assert outputs["name"] == "id-one"
    assert answer.id == ""
    assert not Store(tmp_path).read().resources


def test_equal_inputs_are_no_difference(provider: Any) -> None:
    answer = diff(provider, "resources:ResourceGroup", GROUP | {"tags": {"n": 1}}, GROUP | {"tags": {"n": 1.0}})
    assert answer.changes == provider_pb2.DiffResponse.DIFF_NONE


@pytest.mark.parametrize(
    ("kind", "key", "before", "after", "replaces"),
    [
        ("resources:ResourceGroup", "tags", {"a": "b"}, {"a": "c"}, []),
        ("resources:ResourceGroup", "location", "eastus2", "westus", ["location"]),
        ("managedidentity:UserAssignedIdentity", "resourceName", "a", "b", ["resourceName"]),
        ("authorization:RoleAssignment", "principalId", "a", "b", ["principalId"]),
        ("authorization:RoleAssignment", "roleDefinitionId", "a", "b", []),
        ("dbforpostgresql:Server", "availabilityZone", "1", "2", ["availabilityZone"]),
        ("dbforpostgresql:Server", "sku", {"name": "a"}, {"name": "b"}, []),
        ("network:PrivateEndpoint", "subnet", {"id": "a"}, {"id": UNKNOWN}, ["subnet"]),
        ("app:ContainerApp", "managedEnvironmentId", "a", "b", ["managedEnvironmentId"]),
        ("app:ManagedEnvironment", "vnetConfiguration", {"internal": True}, {"internal": False}, []),
        ("keyvault:Vault", "properties", {"tenantId": "a"}, {"tenantId": "b"}, []),
    ],
)
def test_create_only_properties_replace(
    provider: Any, kind: str, key: str, before: Any, after: Any, replaces: list[str]
) -> None:
    answer = diff(provider, kind, GROUP | {key: before}, GROUP | {key: after})
    assert answer.changes == provider_pb2.DiffResponse.DIFF_SOME
    assert list(answer.replaces) == replaces
    assert answer.deleteBeforeReplace == (bool(replaces) and key not in ("resourceName",))


def test_a_read_of_what_is_gone_says_so_and_of_what_drifted_shows_it(provider: Any, tmp_path: Path) -> None:
    made = create(provider, "resources:ResourceGroup", GROUP | {"tags": {"a": "b"}})
    with Store(tmp_path).transaction() as contents:
        group = contents.get(made.id)
        assert group is not None
        group["tags"] = {"a": "drifted"}
    inputs = to_wire(GROUP | {"tags": {"a": "b"}})
    request = provider_pb2.ReadRequest(urn=urn("resources:ResourceGroup"), id=made.id, inputs=inputs)
    assert from_wire(provider.Read(request).inputs)[0]["tags"] == {"a": "drifted"}
    with Store(tmp_path).transaction() as contents:
        contents.remove(made.id)
    assert provider.Read(request).id == ""


def test_a_half_made_resource_is_told_to_the_engine_with_its_id(provider: Any, tmp_path: Path) -> None:
    (tmp_path / "azure" / "faults.json").write_text(json.dumps([{"fault": "partial"}]))
    with pytest.raises(grpc.RpcError) as refused:
        create(provider, "resources:ResourceGroup", GROUP)
    error: Any = refused.value
    details = dict(error.trailing_metadata())["grpc-status-details-bin"]
    status = status_pb2.Status.FromString(details)
    failed = provider_pb2.ErrorResourceInitFailed()
    assert status.details[0].Unpack(failed)
    assert failed.id == f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg"
    assert Store(tmp_path).read().get(failed.id) is not None


def test_every_call_is_recorded_without_values_in_a_private_file(provider: Any, tmp_path: Path) -> None:
    create(provider, "resources:ResourceGroup", GROUP | {"tags": {"a": "not-in-the-record"}})
    record = tmp_path / "azure" / "calls.jsonl"
    assert record.stat().st_mode & 0o777 == 0o600
    calls = [json.loads(line) for line in record.read_text().splitlines()]
    assert [call["outcome"] for call in calls if call["call"] == "Create"] == ["ok"]
    assert "not-in-the-record" not in record.read_text()
