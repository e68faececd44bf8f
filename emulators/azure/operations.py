"""Resource Manager: create, read, update and delete of the emitted types, over the store and the supervisor.

Owns the order of a write: fault asked for, existence, parents, rules, the store, then the real thing behind it. Knows
nothing of gRPC (`provider.py`). A PostgreSQL server takes one write at a time; another gets ServerIsBusy.
"""

import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from emulators.azure import certificates, client, held, names, rules
from emulators.azure.arm import NESTED_PROPERTIES, TYPES, Row
from emulators.azure.computed import Assigned
from emulators.azure.definitions.change import not_changeable, with_frozen
from emulators.azure.definitions.check import check
from emulators.azure.deployer import DEPLOYER_OBJECT_ID
from emulators.azure.documents import object_at
from emulators.azure.errors import AzureError, PartialWrite
from emulators.azure.faults import FAULTS, take_fault
from emulators.azure.ports import OF_RESOURCES, free_port
from emulators.azure.postgres_parameters import recorded_only
from emulators.azure.store import Contents, Store
from emulators.azure.supervisor_ids import owner_of, server_of

if TYPE_CHECKING:
    from emulators.world import World

THROTTLED_ATTEMPTS = 5
THROTTLED_PAUSE_SECONDS = 0.2
SERVER_WRITE_SECONDS = 0.2
"""How long a server is busy with one write at the least: real ones take seconds, so overlaps must not go by luck."""


class ResourceManager:
    """One subscription, as one provider sees it."""

    def __init__(self, state: Path, subscription_id: str) -> None:
        self.state, self.subscription_id = state, subscription_id
        self.store = Store(state)

    @cached_property
    def world(self) -> "World":
        """Read only when it is needed, because that takes a while."""
        from emulators.world import load_world

        return load_world()

    @property
    def tenant_id(self) -> str:
        """The tenant of the subscription: the platform team's own."""
        return self.world.entra.registrations[0].home_tenant_id

    def create(self, token: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """The new ARM resource. Raises AzureError; PartialWrite where it exists all the same."""
        row = TYPES[token]
        arm_id = self._id(row, inputs)
        fault = self._fault("create", token, arm_id)
        with self._one_write_at_a_time(arm_id):
            with self.store.transaction() as contents:
                if contents.get(arm_id) is not None:
                    raise AzureError(409, "Conflict", f"cannot create already existing resource '{arm_id}'")
                self._check_place(row, arm_id, contents)
                arm = self._body(row, arm_id, inputs, None, contents)
                contents.put(arm)
            return self._bring_up(token, arm, inputs, None, fault)

    def update(self, token: str, arm_id: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """The resource after a PUT over it. Raises AzureError; PartialWrite where it was written all the same."""
        row = TYPES[token]
        self._fault("update", token, arm_id)
        with self._one_write_at_a_time(arm_id):
            with self.store.transaction() as contents:
                before = contents.get(arm_id)
                if before is None:
                    raise AzureError(404, "ResourceNotFound", f"{arm_id} does not exist")
                if row.written_once:
                    return before
                arm = self._body(row, arm_id, inputs, before, contents)
                contents.put(arm)
            return self._bring_up(token, arm, inputs, before, None)

    def read(self, token: str, arm_id: str) -> dict[str, Any] | None:
        self._fault("read", token, arm_id)
        return self.store.read().get(arm_id)

    def delete(self, token: str, arm_id: str) -> None:
        """Idempotent. What is nested in a resource, and assigned at it, goes with it."""
        self._fault("delete", token, arm_id)
        with self._one_write_at_a_time(arm_id):
            with self.store.transaction() as contents:
                arm = contents.get(arm_id)
                if arm is None:
                    return
                rules.check_delete(contents, arm)
                held.check_immutable(self.state, contents, arm)
                gone = [arm, *contents.below(arm_id)]
                for resource in gone:
                    contents.remove(resource["id"])
                last, had_process = not contents.resources, any(contents.row(r).process for r in gone)
                identities = any("principalId" in r["properties"] and "clientId" in r["properties"] for r in gone)
            held.delete(self.state, gone)
            if last:
                self._end_supervisor()
            elif had_process or identities:
                servers = {owner_of(r["id"]) for r in gone} & self.store.read().resources.keys()
                if identities:
                    servers |= {
                        a["id"].lower() for a in self.store.read().of_type("Microsoft.DBforPostgreSQL/flexibleServers")
                    }
                client.reconcile(self.state, servers)

    def location_of_group(self, name: object) -> str | None:
        """Where a resource group is, if it exists."""
        group = self.store.read().get(f"/subscriptions/{self.subscription_id}/resourceGroups/{name}")
        return None if group is None else cast(str, group["location"])

    def outputs(self, token: str, arm: Mapping[str, Any]) -> dict[str, Any]:
        return TYPES[token].to_outputs(arm, nested=token in NESTED_PROPERTIES)

    # --- the steps of a write -----------------------------------------------------------------------------------

    def _id(self, row: Row, inputs: Mapping[str, Any]) -> str:
        arm_id = row.id_of(self.subscription_id, inputs)
        if arm_id.split("/")[2].lower() != self.subscription_id.lower():
            message = f"the scope {arm_id} is outside this provider's subscription {self.subscription_id}"
            raise AzureError(403, "LinkedAuthorizationFailed", message)
        return arm_id

    def _check_place(self, row: Row, arm_id: str, contents: Contents) -> None:
        parent = row.parent_of(arm_id)
        subscription = f"/subscriptions/{self.subscription_id}"
        if parent.lower() != subscription.lower() and contents.get(parent) is None:
            code = "ParentResourceNotFound" if "/providers/" in parent else "ResourceGroupNotFound"
            raise AzureError(404, code, f"{parent}, in which {arm_id.rsplit('/', 1)[1]} would be, does not exist")
        if row.globally_named:
            name = arm_id.rsplit("/", 1)[1].lower()
            if any(arm["name"].lower() == name for arm in contents.of_type(row.arm_type)):
                raise AzureError(
                    409, "NameAlreadyExists", f"the name '{name}' is already in use by another subscription or group"
                )

    def _body(
        self, row: Row, arm_id: str, inputs: Mapping[str, Any], before: dict[str, Any] | None, contents: Contents
    ) -> dict[str, Any]:
        name = arm_id.rsplit("/", 1)[1]
        names.check(row.arm_type, name)
        refused = check(row.definition, row.put_body(name, inputs)).violations
        if refused:
            raise AzureError(400, "InvalidRequestContent", f"{row.arm_type} '{name}': {'; '.join(map(str, refused))}")
        arm = row.to_arm(arm_id, inputs)
        if before is not None:
            fixed = not_changeable(row.arm_type, before, arm)
            if fixed:
                message = f"Changing property '{fixed[0]}' of {row.arm_type} '{name}' is not allowed: make it anew"
                raise AzureError(409, "PropertyChangeNotAllowed", message)
            arm = with_frozen(row.arm_type, before, arm)
            rules.check_change(before, arm)
        rules.check_write(contents, arm, lambda: self._principals(contents))
        certificates.check(self.state, contents, arm)
        if row.arm_type == "Microsoft.KeyVault/vaults/secrets":
            rules.check_secret(str(inputs["properties"].get("value") or ""))
        given = Assigned(
            lambda: self.tenant_id, lambda: free_port(OF_RESOURCES, contents.ports()), lambda i: _identity(contents, i)
        )
        arm["properties"] |= row.computed(arm_id, arm, before, given)
        assigned = object_at(arm, "identity.userAssignedIdentities")
        if assigned:
            found = {arm_id: dict(_identity(contents, arm_id) or {}) for arm_id in assigned}
            arm["identity"] = arm["identity"] | {"userAssignedIdentities": found}
        self._add_fqdn(arm, contents)
        return arm

    def _add_fqdn(self, arm: dict[str, Any], contents: Contents) -> None:
        properties = arm["properties"]
        ingress = object_at(properties, "configuration.ingress")
        if arm["type"] != "Microsoft.App/containerApps" or not ingress:
            return
        environment = contents.get(properties.get("managedEnvironmentId") or properties.get("environmentId"))
        assert environment is not None
        internal = "" if ingress.get("external") else "internal."
        fqdn = f"{arm['name']}.{internal}{environment['properties']['defaultDomain']}"
        properties["configuration"] = properties["configuration"] | {"ingress": ingress | {"fqdn": fqdn}}
        properties["latestRevisionFqdn"] = fqdn.replace(arm["name"], properties["latestRevisionName"], 1)

    def _bring_up(
        self,
        token: str,
        arm: dict[str, Any],
        inputs: Mapping[str, Any],
        before: dict[str, Any] | None,
        fault: str | None,
    ) -> dict[str, Any]:
        """The real thing behind a resource; then the resource as it is in the store."""
        if token == "azure-native:keyvault:Secret":
            arm = held.write_secret(self.state, self.store.read(), arm, inputs)
        elif token == "azure-native:keyvault:Key":
            arm = held.write_key(self.state, self.store.read(), arm)
        elif token == "azure-native:keyvault:Vault":
            with self.store.transaction() as contents:
                certificates.bring(self.state, contents, arm)
        client.ensure_supervisor(self.state)
        if fault == "partial":
            raise PartialWrite(FAULTS["partial"](arm["id"]), self._finish(arm, "Failed"))
        row = TYPES[token]
        recorded = token.endswith(":Configuration") and recorded_only(arm["name"])
        if row.process and not recorded:
            answer = client.reconcile(self.state, [arm["id"]])
            outcome = answer["resources"].get(owner_of(arm["id"]), {"state": "ready"})
            if outcome["state"] != "ready":
                self._fail(row, arm, before, AzureError(outcome["status"], outcome["code"], outcome["error"]))
        return self._finish(arm, "Succeeded")

    def _fail(self, row: Row, arm: dict[str, Any], before: dict[str, Any] | None, error: AzureError) -> None:
        """A child that its server refused is not there; an app or server that does not run exists and has failed."""
        nested = server_of(arm["id"]) not in (None, arm["id"].lower())
        if nested:
            with self.store.transaction() as contents:
                contents.put(before) if before is not None else contents.remove(arm["id"])
            client.reconcile(self.state)
            raise error
        arm = self._finish(arm, "Failed")
        raise PartialWrite(error, arm)

    def _finish(self, arm: dict[str, Any], state: str) -> dict[str, Any]:
        if "provisioningState" in arm["properties"]:
            arm["properties"]["provisioningState"] = state
        if arm["type"] == "Microsoft.App/containerApps" and state == "Succeeded":
            arm["properties"]["latestReadyRevisionName"] = arm["properties"]["latestRevisionName"]
        if self.store.read().get(arm["id"]) == arm:
            return arm  # most have nothing behind them: one write is enough
        with self.store.transaction() as contents:
            if contents.get(arm["id"]) is not None:
                contents.put(arm)
        return arm

    def _end_supervisor(self) -> None:
        client.end_with_the_last_resource(self.state)

    @contextmanager
    def _one_write_at_a_time(self, arm_id: str) -> Generator[None]:
        server = server_of(arm_id)
        if server is None:
            yield
            return
        began = time.monotonic()
        with self.store.transaction() as contents:
            if contents.holder(server) is not None:
                name = server.rsplit("/", 1)[1]
                message = f"Cannot complete operation while server '{name}' is busy processing another operation."
                raise AzureError(409, "ServerIsBusy", message)
            contents.hold(server)
        try:
            yield
            time.sleep(max(0.0, SERVER_WRITE_SECONDS - (time.monotonic() - began)))
        finally:
            with self.store.transaction() as contents:
                contents.release(server)

    def _fault(self, operation: str, token: str, arm_id: str) -> str | None:
        """Raise the fault that is asked for; a throttled call is tried again, as the SDKs do. Returns "partial"."""
        for _ in range(THROTTLED_ATTEMPTS):
            fault = take_fault(self.state, operation, token, arm_id)
            if fault is None or fault == "partial":
                return fault
            if fault != "throttled":
                raise FAULTS[fault](arm_id)
            time.sleep(THROTTLED_PAUSE_SECONDS)
        raise FAULTS["throttled"](arm_id)

    def _principals(self, contents: Contents) -> set[str]:
        identities = contents.of_type("Microsoft.ManagedIdentity/userAssignedIdentities")
        users = {user.object_id for tenant in self.world.entra.tenants for user in tenant.users}
        groups = set(self.world.entra.groups_of(self.tenant_id))
        return {arm["properties"]["principalId"] for arm in identities} | users | groups | {DEPLOYER_OBJECT_ID}


def _identity(contents: Contents, arm_id: str) -> Mapping[str, str] | None:
    arm = contents.get(arm_id)
    if arm is None:
        return None
    return {"principalId": arm["properties"]["principalId"], "clientId": arm["properties"]["clientId"]}
