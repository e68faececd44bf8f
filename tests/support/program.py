# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""What the Pulumi program emits for a sample stack, under Pulumi's mocks: every registration, as the engine sees it.

Running to the end first and asserting afterwards keeps asserts out of `apply`, where a forgotten return hides them.
"""

import asyncio
import gc
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import pulumi
from pulumi.runtime import MockCallArgs, MockResourceArgs, Mocks, rpc, set_mocks
from pulumi.runtime.mocks import MockMonitor

from components.geography import Geography
from components.program import approvals_of, geographies, pack_all
from schemas.stack_config import PROJECT, StackConfig
from tests.support.samples import ROOT, load


@dataclass(frozen=True)
class Emitted:
    """One resource: what was registered, with inputs resolved."""

    urn: str
    type: str
    name: str
    inputs: dict[str, Any]
    parent: str
    provider: str
    depends_on: frozenset[str]
    made_from: Mapping[str, frozenset[str]]
    """Input to the URNs of the resources whose outputs it is made from."""
    protect: bool
    retain_on_delete: bool
    ignore_changes: tuple[str, ...]
    custom: bool
    id: str
    outputs: dict[str, Any]
    """What Azure answered; of a component what it registered."""

    @property
    def references(self) -> frozenset[str]:
        """The resources from which any input was made."""
        return frozenset[str]().union(*self.made_from.values())


class Program:
    """All resources of a program, in the order of registration."""

    def __init__(self, resources: list[Emitted]) -> None:
        self.resources = resources

    @property
    def outputs(self) -> dict[str, dict[str, Any]]:
        """What each geography hands out, by its name."""
        return {r.name: r.outputs for r in self.of("teams-ehr-connector:geography:Geography")}

    def of(self, type_: str) -> list[Emitted]:
        return [r for r in self.resources if r.type == type_]

    def one(self, type_: str, *, name: str) -> Emitted:
        (found,) = [r for r in self.of(type_) if r.name == name]
        return found


class _Azure(Mocks):
    """Answers as Azure would where the program reads an answer; each principal and client has an id of its own."""

    def new_resource(self, args: MockResourceArgs) -> tuple[str, dict[str, Any]]:
        inputs: dict[str, Any] = args.inputs
        answers: dict[str, Any] = {"name": _name(args)}
        if args.typ == "azure-native:managedidentity:UserAssignedIdentity":
            answers |= {"principalId": guid(args.name, "principal"), "clientId": guid(args.name, "client")}
        elif args.typ == "azure-native:keyvault:Vault":
            uri = f"https://{inputs['vaultName']}.vault.azure.net/"
            answers["properties"] = inputs["properties"] | {"vaultUri": uri}
        elif args.typ == "azure-native:storage:StorageAccount":
            answers["primaryEndpoints"] = {"blob": f"https://{inputs['accountName']}.blob.core.windows.net/"}
        elif args.typ == "azure-native:app:ManagedEnvironment":
            answers["staticIp"] = "10.0.0.4"
        elif args.typ == "azure-native:network:PublicIPAddress":
            answers["ipAddress"] = f"192.0.2.{len(args.name)}"
        elif args.typ == "azure-native:dbforpostgresql:Server":
            answers["fullyQualifiedDomainName"] = f"{inputs['serverName']}.postgres.database.azure.com"
        if "identity" in inputs:
            identities = {i: {} for i in inputs["identity"]["userAssignedIdentities"]}
            answers["identity"] = inputs["identity"] | {"userAssignedIdentities": identities}
        return _id(args), inputs | answers

    def call(self, args: MockCallArgs) -> Any:
        raise AssertionError(f"the program asks {args.token}")


class _Recorder(MockMonitor):
    def __init__(self) -> None:
        super().__init__(_Azure())
        self.emitted: list[Emitted] = []
        self.of_components: dict[str, dict[str, Any]] = {}

    def RegisterResourceOutputs(self, request: Any) -> Any:
        self.of_components[request.urn] = rpc.deserialize_properties(request.outputs)
        return super().RegisterResourceOutputs(request)

    def RegisterResource(self, request: Any) -> Any:
        response = super().RegisterResource(request)
        if request.type != "pulumi:pulumi:Stack":
            self.emitted.append(
                Emitted(
                    urn=response.urn,
                    type=request.type,
                    name=request.name,
                    inputs=rpc.deserialize_properties(request.object),
                    parent=request.parent,
                    provider=request.provider or next(iter(request.providers.values()), ""),
                    depends_on=frozenset(request.dependencies),
                    made_from={k: frozenset(d.urns) for k, d in request.propertyDependencies.items()},
                    protect=bool(request.protect),
                    retain_on_delete=bool(request.retainOnDelete),
                    ignore_changes=tuple(request.ignoreChanges),
                    custom=request.custom,
                    id=response.id,
                    outputs=rpc.deserialize_properties(response.object),
                )
            )
        return response


def guid(*parts: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_OID, "/".join(parts)))


def _id(args: MockResourceArgs) -> str:
    """Resource Manager's for what is a scope of its own, by logical names, else anything."""
    match args.typ:
        case "azure-native:keyvault:Vault":
            return f"{_PROVIDERS}/Microsoft.KeyVault/vaults/{args.inputs['vaultName']}"
        case "azure-native:containerregistry:Registry":
            return f"{_PROVIDERS}/Microsoft.ContainerRegistry/registries/{args.inputs['registryName']}"
        case "azure-native:keyvault:Key":
            return f"{_PROVIDERS}/Microsoft.KeyVault/vaults/{args.inputs['vaultName']}/keys/{args.name}"
        case "azure-native:storage:BlobContainer":
            account = f"{_PROVIDERS}/Microsoft.Storage/storageAccounts/{args.inputs['accountName']}"
            return f"{account}/blobServices/default/containers/{args.name}"
        case _:
            return f"/azure/{args.typ}/{args.name}"


def _name(args: MockResourceArgs) -> str:
    """The name in Azure: the one given, else autonamed."""
    given = [v for k, v in args.inputs.items() if k in _NAMES.get(args.typ, ())]
    return str(given[0]) if given else f"{args.name}0a1b2c3d"


_PROVIDERS = "/azure/providers"
_NAMES = {
    "azure-native:app:ManagedEnvironment": ("environmentName",),
    "azure-native:containerregistry:Registry": ("registryName",),
    "azure-native:dbforpostgresql:Server": ("serverName",),
    "azure-native:keyvault:Secret": ("secretName",),
    "azure-native:keyvault:Vault": ("vaultName",),
    "azure-native:network:PrivateEndpoint": ("privateEndpointName",),
    "azure-native:network:VirtualNetwork": ("virtualNetworkName",),
    "azure-native:privatedns:PrivateZone": ("privateZoneName",),
    "azure-native:resources:ResourceGroup": ("resourceGroupName",),
    "azure-native:storage:BlobContainer": ("containerName",),
    "azure-native:storage:StorageAccount": ("accountName",),
}


def stack_of(name: str) -> StackConfig:
    stack = load(f"Pulumi.{name}.yaml").stack
    assert stack is not None
    return stack


@cache
def sample(name: str) -> Program:
    """The program of a sample stack; run once."""
    return run(stack_of(name))


def run(stack: StackConfig, project: Path = ROOT) -> Program:
    """The program of a stack configuration, run to its end, without the gate that `__main__.py` puts before it."""

    def program() -> None:
        for name, args in geographies(stack, pack_all(stack, approvals_of(project)), project).items():
            Geography(name, args)

    return Program(registered(program, stack))


def registered(program: Callable[[], object], stack: StackConfig) -> list[Emitted]:
    """What a program registers, in that order."""
    recorder = _Recorder()
    asyncio.set_event_loop(asyncio.new_event_loop())
    set_mocks(recorder.mocks, project=PROJECT, stack=str(stack.stage), preview=False, monitor=recorder)
    # A program makes some hundred thousand objects at once: collecting in between takes as long as all the rest.
    gc.disable()
    try:
        pulumi.runtime.test(program)()
    finally:
        gc.enable()
    return [replace(r, outputs=recorder.of_components.get(r.urn, r.outputs)) for r in recorder.emitted]
