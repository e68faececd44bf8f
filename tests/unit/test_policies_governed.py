"""Logs, locks and regions are judged on the whole stack: what is emitted passes, and each lack is told."""

from collections.abc import Callable, Mapping
from contextlib import chdir
from dataclasses import dataclass
from typing import Any

import pytest
from pulumi_policy import PolicyResource, StackValidationArgs, StackValidationPolicy
from pulumi_policy.proxy import unknown_checking_proxy

from components.diagnostics import CATEGORIES
from policies import governed
from schemas.stack_config import PROJECT
from tests.support.judged import OPTIONS, changed
from tests.support.program import sample
from tests.support.samples import ROOT

NAMED_BY = {
    governed.SETTING: ("resourceUri", "workspaceId"),
    governed.LOCK: ("scope",),
    governed.ASSIGNMENT: ("scope",),
    "storage:BlobServiceProperties": ("accountName",),
}
"""Properties by which a resource says what it is on."""


@dataclass
class Stack:
    """A sample stack, to be changed: inputs by type and name, and what properties name."""

    name: str
    inputs: dict[tuple[str, str], dict[str, Any]]
    ids: Mapping[tuple[str, str], str]

    @classmethod
    def of(cls, name: str) -> "Stack":
        emitted = {
            (r.type.removeprefix("azure-native:"), r.name): r
            for r in sample(name).resources
            if r.type.startswith("azure-native:")
        }
        return cls(name, {k: dict(r.inputs) for k, r in emitted.items()}, {k: r.id for k, r in emitted.items()})

    def change(self, type_: str, name: str, path: str, value: Any) -> None:
        self.inputs[type_, name] = changed(self.inputs[type_, name], path, value)

    def resources(self) -> list[PolicyResource]:
        made = {key: self._resource(key) for key in self.inputs}
        for key, resource in made.items():
            for property_ in NAMED_BY.get(key[0], ()):
                value = str(self.inputs[key].get(property_))
                resource.property_dependencies[property_] = [r for k, r in made.items() if value in self._ids(k)]
        return list(made.values())

    def _resource(self, key: tuple[str, str]) -> PolicyResource:
        urn = f"urn:pulumi:{self.name}::{PROJECT}::azure-native:{key[0]}::{key[1]}"
        props = unknown_checking_proxy(self.inputs[key])
        return PolicyResource(f"azure-native:{key[0]}", props, urn, key[1], OPTIONS, None, None, [], {})

    def _ids(self, key: tuple[str, str]) -> set[str]:
        own = {self.inputs[key]["accountName"]} if key[0] == "storage:StorageAccount" else set[str]()
        return own | {self.ids[key]} if key in self.ids else own


def judged(policy: StackValidationPolicy, stack: Stack) -> dict[str, str]:
    """Violations by the name of the resource."""
    told: dict[str, str] = {}
    with chdir(ROOT):
        policy.validate(  # pyright: ignore[reportUnknownMemberType]
            StackValidationArgs(stack.resources()),
            lambda message, urn=None: told.update({str(urn).rsplit("::", 1)[1]: message}),
        )
    return told


@pytest.mark.parametrize("policy", [governed.LOGS, governed.LOCKS, governed.REGIONS], ids=lambda policy: policy.name)
@pytest.mark.parametrize("name", ["local", "local-prod", "test", "prod"])
def test_what_the_components_emit_passes(name: str, policy: StackValidationPolicy) -> None:
    assert judged(policy, Stack.of(name)) == {}


def test_the_policy_knows_the_types_that_the_components_audit() -> None:
    assert CATEGORIES.keys() == governed.AUDITABLE


@pytest.mark.rule(governed.LOGS.name)
@pytest.mark.parametrize("key", ["workspace", "network", "vault", "blobs", "database", "environment"])
def test_a_resource_without_a_setting_is_told(key: str) -> None:
    stack = Stack.of("prod")
    del stack.inputs[governed.SETTING, f"emea-diagnostics-{key}"]
    (told,) = judged(governed.LOGS, stack).values()
    assert told == "expected a diagnostic setting to the log workspace of emea, got logs that go nowhere"


def _to_another_geography(stack: Stack) -> None:
    americas = stack.inputs[governed.SETTING, "americas-diagnostics-vault"]["workspaceId"]
    stack.change(governed.SETTING, "emea-diagnostics-vault", "workspaceId", americas)


def _switched_off(stack: Stack) -> None:
    logs = [{"category": "AuditEvent", "enabled": False}]
    stack.change(governed.SETTING, "emea-diagnostics-vault", "logs", logs)


@pytest.mark.rule(governed.LOGS.name)
@pytest.mark.parametrize(("change", "got"), [(_to_another_geography, "go to americas"), (_switched_off, "go nowhere")])
def test_logs_that_leave_the_geography_or_are_off_are_told(change: Callable[[Stack], None], got: str) -> None:
    stack = Stack.of("prod")
    change(stack)
    told = judged(governed.LOGS, stack)
    assert list(told) == ["emea-vault"]
    assert told["emea-vault"].endswith(got)


@pytest.mark.rule(governed.LOCKS.name)
@pytest.mark.parametrize("key", ["vault", "database", "storage", "workspace"])
def test_state_without_a_lock_is_told_in_production_on_azure_alone(key: str) -> None:
    for name, told in (("prod", 1), ("test", 0), ("local-prod", 0)):
        stack = Stack.of(name)
        del stack.inputs[governed.LOCK, f"americas-governance-{key}"]
        found = judged(governed.LOCKS, stack)
        assert len(found) == told, name
        assert all(message.startswith("expected a lock of the level CanNotDelete") for message in found.values())


@pytest.mark.rule(governed.LOCKS.name)
def test_a_lock_that_holds_nothing_is_none() -> None:
    stack = Stack.of("prod")
    stack.change(governed.LOCK, "americas-governance-vault", "level", "NotSpecified")
    assert list(judged(governed.LOCKS, stack)) == ["americas-vault"]


@pytest.mark.rule(governed.REGIONS.name)
@pytest.mark.parametrize(
    ("path", "value", "got"),
    [
        ("parameters.listOfAllowedLocations.value", ["eastus2"], "got eastus2"),
        ("parameters.listOfAllowedLocations.value", ["centralus", "eastus2", "westeurope"], "eastus2, westeurope"),
        ("enforcementMode", "DoNotEnforce", "got no such policy"),
        ("policyDefinitionId", "/providers/Microsoft.Authorization/policyDefinitions/other", "got no such policy"),
    ],
)
def test_an_assignment_that_allows_other_regions_is_told(path: str, value: Any, got: str) -> None:
    stack = Stack.of("prod")
    stack.change(governed.ASSIGNMENT, "americas-governance-locations", path, value)
    told = judged(governed.REGIONS, stack)
    assert list(told) == ["americas-group"]
    assert told["americas-group"].startswith(
        "expected a policy that allows the regions of americas (centralus, eastus2)"
    )
    assert told["americas-group"].endswith(got)


@pytest.mark.rule(governed.REGIONS.name)
def test_a_group_without_the_policy_is_told() -> None:
    stack = Stack.of("prod")
    del stack.inputs[governed.ASSIGNMENT, "emea-governance-locations"]
    assert list(judged(governed.REGIONS, stack)) == ["emea-group"]
