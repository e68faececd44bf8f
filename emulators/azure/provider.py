"""`pulumi-resource-azure-native`: Pulumi's provider protocol (provider.proto) in front of the emulated cloud.

Owns the translation between property bags and Resource Manager's operations, autonaming, and what a preview knows.
Types and functions that are not emulated are refused, never answered. One process for each Pulumi provider; it prints
its port, as the engine expects, and ends when the engine does.
"""

import hashlib
import os
import re
import signal
import sys
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import grpc
from google.protobuf import any_pb2, empty_pb2
from google.rpc import status_pb2  # pyright: ignore[reportMissingTypeStubs]
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc

from emulators.azure import bags, client, input_types
from emulators.azure.arm import NESTED_PROPERTIES, TYPES, Row
from emulators.azure.bags import UNKNOWN
from emulators.azure.computed import Assigned
from emulators.azure.deployer import DEPLOYER_CLIENT_ID, DEPLOYER_OBJECT_ID
from emulators.azure.differences import changes, refreshed, same_place
from emulators.azure.documents import object_at
from emulators.azure.errors import AzureError, PartialWrite, SupervisorUnavailable
from emulators.azure.faults import CallRecord
from emulators.azure.operations import ResourceManager
from emulators.state import state_folder

VERSION = "3.29.0"
DEFAULT_SUBSCRIPTION = "4d4d4d4d-0000-4000-8000-000000000000"
GUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Provider(provider_pb2_grpc.ResourceProviderServicer):
    """One provider of a program: one subscription, perhaps a default location."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.record = CallRecord(state)
        self.location: str | None = None
        self.manager = ResourceManager(state, DEFAULT_SUBSCRIPTION)

    # --- the provider itself ------------------------------------------------------------------------------------

    def Handshake(self, request: Any, context: Any) -> Any:
        self.record.write("Handshake")
        return provider_pb2.ProviderHandshakeResponse(accept_secrets=True, accept_outputs=True)

    def Attach(self, request: Any, context: Any) -> Any:
        self.record.write("Attach")
        return empty_pb2.Empty()

    def GetPluginInfo(self, request: Any, context: Any) -> Any:
        return plugin_pb2.PluginInfo(version=VERSION)

    def GetSchema(self, request: Any, context: Any) -> Any:
        self.record.write("GetSchema")
        return provider_pb2.GetSchemaResponse(schema=f'{{"name": "azure-native", "version": "{VERSION}"}}')

    def CheckConfig(self, request: Any, context: Any) -> Any:
        news, _ = bags.from_wire(request.news)
        self.record.write("CheckConfig", urn=request.urn)
        subscription = news.get("subscriptionId", UNKNOWN)
        if subscription != UNKNOWN and not GUID.fullmatch(str(subscription)):
            failure = provider_pb2.CheckFailure(property="subscriptionId", reason="expected a subscription id (a GUID)")
            return provider_pb2.CheckResponse(failures=[failure])
        return provider_pb2.CheckResponse(inputs=request.news)

    def DiffConfig(self, request: Any, context: Any) -> Any:
        olds, _ = bags.from_wire(request.old_inputs)
        news, _ = bags.from_wire(request.news)
        changed = [k for k in sorted(olds.keys() | news.keys()) if olds.get(k) != news.get(k)]
        replaces = [key for key in changed if key == "subscriptionId"]
        some = provider_pb2.DiffResponse.DIFF_SOME if changed else provider_pb2.DiffResponse.DIFF_NONE
        return provider_pb2.DiffResponse(changes=some, diffs=changed, replaces=replaces)

    def Configure(self, request: Any, context: Any) -> Any:
        values, _ = bags.from_wire(request.args)
        values |= {k.rpartition(":")[2]: v for k, v in request.variables.items()}
        subscription = values.get("subscriptionId") or os.environ.get("ARM_SUBSCRIPTION_ID") or DEFAULT_SUBSCRIPTION
        self.record.write("Configure", urn=request.urn, subscription=subscription)
        self.location = _region(values.get("location"))
        self.manager = ResourceManager(self.state, str(subscription))
        if self.manager.store.read().has_processes:
            client.ensure_supervisor(self.state)
        return provider_pb2.ConfigureResponse(
            acceptSecrets=True, acceptOutputs=True, supportsPreview=True, acceptResources=False
        )

    def Invoke(self, request: Any, context: Any) -> Any:
        self.record.write("Invoke", function=request.tok)
        if request.tok != "azure-native:authorization:getClientConfig":
            context.abort(grpc.StatusCode.UNIMPLEMENTED, f"{request.tok} is not emulated")
        answer = {
            "clientId": DEPLOYER_CLIENT_ID,
            "objectId": DEPLOYER_OBJECT_ID,
            "subscriptionId": self.manager.subscription_id,
            "tenantId": self.manager.tenant_id,
        }
        response = provider_pb2.InvokeResponse()
        getattr(response, "return").CopyFrom(bags.to_wire(answer))  # the field's name is a keyword
        return response

    def Cancel(self, request: Any, context: Any) -> Any:
        self.record.write("Cancel")
        return empty_pb2.Empty()

    # --- resources ----------------------------------------------------------------------------------------------

    def Check(self, request: Any, context: Any) -> Any:
        token, row = self._type(request, context)
        with self._recorded("Check", token, request.urn, context):
            olds, _ = bags.from_wire(request.olds)
            news, secrets = bags.from_wire(request.news)
            failures = list(input_types.check(token, news))
            if row.name_input not in news:
                name = self._name(row, request, olds)
                if name is None:
                    failures.append((row.name_input, f"missing required property '{row.name_input}'"))
                else:
                    news[row.name_input] = name
            if row.located:
                location = news.get("location") or olds.get("location") or self.location
                location = location or self.manager.location_of_group(news.get("resourceGroupName"))
                if location is not None:
                    news["location"] = location if location == UNKNOWN else _region(location)
            return provider_pb2.CheckResponse(
                inputs=bags.to_wire(news, secrets),
                failures=[provider_pb2.CheckFailure(property=path, reason=reason) for path, reason in failures],
            )

    def Diff(self, request: Any, context: Any) -> Any:
        token, row = self._type(request, context)
        with self._recorded("Diff", token, request.urn, context):
            before, _ = bags.from_wire(request.old_inputs)
            after, _ = bags.from_wire(request.news)
            found = [c for c in changes(row, before, after) if c.path.split(".")[0] not in request.ignoreChanges]
            detailed = {c.path: _property_diff(c.kind, c.replaces) for c in found}
            replaces = sorted({_root(c.path) for c in found if c.replaces})
            response = provider_pb2.DiffResponse
            return response(
                changes=response.DIFF_SOME if found else response.DIFF_NONE,
                diffs=sorted({_root(c.path) for c in found}),
                replaces=replaces,
                detailedDiff=detailed,
                hasDetailedDiff=True,
                deleteBeforeReplace=bool(replaces) and same_place(row, before, after),
            )

    def Create(self, request: Any, context: Any) -> Any:
        token, row = self._type(request, context)
        with self._recorded("Create", token, request.urn, context, preview=request.preview or None) as call:
            inputs, secrets = bags.from_wire(request.properties)
            if request.preview:
                return provider_pb2.CreateResponse(properties=bags.to_wire(self._expected(token, row, inputs), secrets))
            arm = self.manager.create(token, inputs)
            call["id"] = arm["id"]
            return provider_pb2.CreateResponse(id=arm["id"], properties=self._outputs(token, arm, secrets))

    def Read(self, request: Any, context: Any) -> Any:
        token, row = self._type(request, context)
        with self._recorded("Read", token, request.urn, context, id=request.id):
            arm = self.manager.read(token, request.id)
            if arm is None:
                return provider_pb2.ReadResponse()
            inputs, secrets = bags.from_wire(request.inputs)
            outputs = self.manager.outputs(token, arm)
            found = refreshed(row, inputs, outputs) if inputs else self._imported(token, row, arm, outputs)
            return provider_pb2.ReadResponse(
                id=arm["id"], properties=self._outputs(token, arm, secrets), inputs=bags.to_wire(found, secrets)
            )

    def Update(self, request: Any, context: Any) -> Any:
        token, row = self._type(request, context)
        with self._recorded("Update", token, request.urn, context, id=request.id, preview=request.preview or None):
            inputs, secrets = bags.from_wire(request.news)
            if request.preview:
                olds, _ = bags.from_wire(request.olds)
                expected = _merged(olds, self.manager.outputs(token, row.to_arm(request.id, inputs)))
                return provider_pb2.UpdateResponse(properties=bags.to_wire(expected, secrets))
            arm = self.manager.update(token, request.id, inputs)
            return provider_pb2.UpdateResponse(properties=self._outputs(token, arm, secrets))

    def Delete(self, request: Any, context: Any) -> Any:
        token, _ = self._type(request, context)
        with self._recorded("Delete", token, request.urn, context, id=request.id):
            self.manager.delete(token, request.id)
            return empty_pb2.Empty()

    # --- parts --------------------------------------------------------------------------------------------------

    def _type(self, request: Any, context: Any) -> tuple[str, Row]:
        token = request.type or request.urn.split("::")[2].rpartition("$")[2]
        if token not in TYPES:
            self.record.write("refused", type=token, urn=request.urn)
            message = f"{token} is not emulated: emulators/azure/arm.py lists the types that are"
            context.abort(grpc.StatusCode.UNIMPLEMENTED, message)
        return token, TYPES[token]

    def _recorded(self, call: str, token: str, urn: str, context: Any, **fields: Any) -> "_Call":
        return _Call(self, call, {"type": token, "urn": urn} | fields, context)

    def _outputs(self, token: str, arm: Mapping[str, Any], secrets: frozenset[bags.Path]) -> Any:
        return bags.to_wire(self.manager.outputs(token, arm), secrets)

    def _name(self, row: Row, request: Any, olds: Mapping[str, Any]) -> str | None:
        """The name it had, or one made as azure-native makes them: logical name and eight hex digits, or a GUID."""
        if row.name_input in olds:
            return cast(str, olds[row.name_input])
        if row.autonamed is None:
            return None
        digest = hashlib.sha256(request.randomSeed or os.urandom(32)).digest()
        if row.autonamed == "guid":
            return str(uuid.UUID(bytes=digest[:16], version=4))
        logical = request.name or request.urn.rsplit("::", 1)[1]
        return f"{logical}{digest.hex()[:8]}"

    def _expected(self, token: str, row: Row, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """What a create will answer, as far as it can be known before: everything computed is unknown."""
        arm = row.to_arm(row.id_of(self.manager.subscription_id, inputs), inputs)
        given = Assigned(lambda: self.manager.tenant_id, lambda: 0, lambda _: None)
        arm["name"] = inputs.get(row.name_input, UNKNOWN)
        arm["properties"] |= dict.fromkeys(row.computed(arm["id"], arm, None, given), UNKNOWN)
        ingress = object_at(arm, "properties.configuration.ingress")
        if ingress:
            arm["properties"]["configuration"] = arm["properties"]["configuration"] | {
                "ingress": ingress | {"fqdn": UNKNOWN}
            }
        return self.manager.outputs(token, arm)

    def _imported(self, token: str, row: Row, arm: Mapping[str, Any], outputs: Mapping[str, Any]) -> dict[str, Any]:
        """Inputs of a resource that Pulumi did not make: what the cloud has, and path inputs from its id."""
        computed = row.computed(
            arm["id"], arm, arm, Assigned(lambda: self.manager.tenant_id, lambda: 0, lambda _: None)
        )
        taken = input_types.properties_of(token).keys() - (set() if token in NESTED_PROPERTIES else computed.keys())
        inputs = {key: value for key, value in outputs.items() if key in taken and key not in ("name", "type", "id")}
        pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", re.sub(r"^\{(\w+)\}", r"(?P<\1>/.+)", row.path))
        match = re.search(f"{pattern}$", arm["id"], re.IGNORECASE)
        return inputs | (match.groupdict() if match else {})


class _Call:
    """Records one call with its outcome and time, and turns refusals into gRPC errors."""

    def __init__(self, provider: Provider, call: str, fields: dict[str, Any], context: Any) -> None:
        self._provider, self._call, self._fields, self._context = provider, call, fields, context

    def __enter__(self) -> dict[str, Any]:
        self._began = time.monotonic()
        return self._fields

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        outcome = "ok" if error is None else getattr(error, "code", type(error).__name__)
        milliseconds = round((time.monotonic() - self._began) * 1000)
        self._provider.record.write(self._call, **self._fields, outcome=str(outcome), milliseconds=milliseconds)
        if isinstance(error, PartialWrite):
            outputs = self._provider.manager.outputs(self._fields["type"], error.arm)
            failed = provider_pb2.ErrorResourceInitFailed(
                id=error.arm["id"], properties=bags.to_wire(outputs), reasons=[error.message]
            )
            detail = any_pb2.Any()
            detail.Pack(failed)
            status = status_pb2.Status(code=grpc.StatusCode.UNKNOWN.value[0], message=str(error), details=[detail])
            self._context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
            self._context.abort(grpc.StatusCode.UNKNOWN, str(error))
        if isinstance(error, AzureError | SupervisorUnavailable | bags.UnsupportedValue):
            self._context.abort(grpc.StatusCode.UNKNOWN, str(error))


def _property_diff(kind: str, replaces: bool) -> Any:
    name = kind.upper() + ("_REPLACE" if replaces else "")
    return provider_pb2.PropertyDiff(kind=provider_pb2.PropertyDiff.Kind.Value(name), inputDiff=True)


def _root(path: str) -> str:
    return re.split(r"[.\[]", path, maxsplit=1)[0]


def _region(location: Any) -> str | None:
    """Resource Manager's spelling of a region's display name."""
    return None if location is None else str(location).lower().replace(" ", "")


def _merged(old: Any, new: Any) -> Any:
    if isinstance(old, dict) and isinstance(new, dict):
        olds, news = cast(dict[str, Any], old), cast(dict[str, Any], new)
        return olds | {key: _merged(olds.get(key), value) for key, value in news.items()}
    return new


def serve(state: Path) -> tuple[grpc.Server, int]:
    """A running gRPC server on a free loopback port."""
    server = grpc.server(
        ThreadPoolExecutor(max_workers=128),
        options=[("grpc.max_receive_message_length", 400 << 20), ("grpc.max_send_message_length", 400 << 20)],
    )
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(Provider(state), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, port


def _end_with_parent(end: Callable[[], None]) -> None:
    """The engine may be killed: then nobody else ends us."""
    parent = os.getppid()
    while os.getppid() == parent:
        time.sleep(0.5)
    end()


def main() -> None:
    server, port = serve(state_folder())
    done = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: done.set())
    threading.Thread(target=_end_with_parent, args=(done.set,), daemon=True).start()
    print(port, flush=True)
    done.wait()
    server.stop(0.1).wait(1.0)
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
