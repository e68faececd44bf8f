"""The pack over an exported state: the same policies, without Pulumi's engine, without Azure, without a network.

Owns reading what `pulumi stack export` writes (deployment version 3) and asking every policy about every resource:
about what the program asked for (inputs), and about what Azure answered when it was last read (outputs over inputs), so
that a drift which a refresh found is judged. What is secret in the state stays ciphertext: to a policy it is not known.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from pulumi_policy import (
    Policy,
    PolicyCustomTimeouts,
    PolicyResource,
    PolicyResourceOptions,
    ReportViolation,
    ResourceValidationArgs,
    ResourceValidationPolicy,
    StackValidationArgs,
    StackValidationPolicy,
)
from pulumi_policy.proxy import UNKNOWN_STRING_VALUE, unknown_checking_proxy

from policies import approval
from policies.pack import POLICIES

VERSION = 3
SIGNATURE, SECRET = "4dabf18193072939515e22adb298388d", "1b47061264138c4ac30d75fd1eb44270"
"""The key by which a value of Pulumi's says what it is, and what it says of a secret."""

Properties = Mapping[str, Any]


class StateInvalid(ValueError):
    """The file is no exported state; `str()` says what was expected."""


@dataclass(frozen=True)
class Resource:
    """One resource of a state. `answered` is what Azure said, over what was asked for; both without secrets."""

    urn: str
    type: str
    inputs: Properties
    answered: Properties
    protected: bool
    dependencies: Mapping[str, Sequence[str]]
    """URNs of the resources that a property's value comes from, by property."""

    @property
    def name(self) -> str:
        return self.urn.rpartition("::")[2]


@dataclass(frozen=True)
class Violation:
    urn: str
    policy: str
    message: str


@dataclass(frozen=True)
class State:
    """An exported state: the stack that it is of, and its resources in their order."""

    stack: str
    resources: tuple[Resource, ...]


def read_state(content: bytes) -> State:
    """Raises `StateInvalid`."""
    try:
        document = json.loads(content)
        if document["version"] != VERSION:
            raise StateInvalid(f"expected a deployment of version {VERSION}, got {document['version']}")
        found = tuple(_resource(r) for r in document["deployment"].get("resources") or ())
        stacks = {r.urn.split(":", 3)[2] for r in found}
    except (ValueError, TypeError, KeyError, AttributeError, IndexError) as problem:
        if isinstance(problem, StateInvalid):
            raise
        raise StateInvalid("expected what `pulumi stack export` writes: a deployment with resources") from None
    if len(stacks) != 1:
        raise StateInvalid(f"expected resources of one stack, got {', '.join(sorted(stacks)) or 'no resources'}")
    return State(stacks.pop(), found)


def judge(resources: Sequence[Resource], project: Path, policies: Sequence[Policy] = ()) -> list[Violation]:
    """Every violation once, in the order of the resources. `project` holds the stacks' files and `approvals/`.

    `policies` are those of the pack where none is given, with a memory of this call.
    """
    asked = policies or [approval.Approved().policy if p is approval.POLICY else p for p in POLICIES]
    found: dict[Violation, None] = {}
    with chdir(project):
        for policy in asked:
            for urn, message in _violations(policy, resources):
                found.setdefault(Violation(urn, policy.name, message))
    order = {r.urn: n for n, r in enumerate(resources)}
    return sorted(found, key=lambda v: order[v.urn])


def _resource(given: Mapping[str, Any]) -> Resource:
    made_from: Mapping[str, Any] = given.get("propertyDependencies") or {}
    inputs, outputs = _known(given.get("inputs") or {}), _known(given.get("outputs") or {})
    return Resource(
        urn=given["urn"],
        type=given["type"],
        inputs=inputs,
        answered=_over(inputs, outputs),
        protected=bool(given.get("protect")),
        dependencies={k: tuple(v or ()) for k, v in made_from.items()},
    )


def _known(value: Any) -> Any:
    """Without what is secret, encrypted or not."""
    if isinstance(value, Mapping):
        bag = cast("Mapping[str, Any]", value)
        return UNKNOWN_STRING_VALUE if bag.get(SIGNATURE) == SECRET else {k: _known(v) for k, v in bag.items()}
    return [_known(v) for v in cast("list[Any]", value)] if isinstance(value, list) else value


def _over(inputs: Any, outputs: Any) -> Any:
    """Outputs over inputs, bag by bag: Azure does not answer everything that it was told."""
    if not isinstance(inputs, Mapping) or not isinstance(outputs, Mapping):
        return outputs
    below, above = cast("Mapping[str, Any]", inputs), cast("Mapping[str, Any]", outputs)
    return {**below, **{k: _over(below.get(k), v) for k, v in above.items()}}


def _violations(policy: Policy, resources: Sequence[Resource]) -> Iterator[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    if isinstance(policy, ResourceValidationPolicy):
        for resource in resources:
            for properties in (resource.inputs, resource.answered):
                policy.validate(  # pyright: ignore[reportUnknownMemberType]
                    _args(resource, properties), _reporting(found, resource.urn)
                )
    elif isinstance(policy, StackValidationPolicy):
        policy.validate(  # pyright: ignore[reportUnknownMemberType]
            StackValidationArgs(_of_stack(resources)), _reporting(found, "")
        )
    return iter(found)


def _reporting(found: list[tuple[str, str]], of: str) -> ReportViolation:
    def report(message: str, urn: str | None = None) -> None:
        found.append((urn or of, message))

    return report


def _args(resource: Resource, properties: Properties) -> ResourceValidationArgs:
    seen = cast("Properties", unknown_checking_proxy(dict(properties)))
    return ResourceValidationArgs(resource.type, seen, resource.urn, resource.name, _options(resource), None)


def _of_stack(resources: Sequence[Resource]) -> list[PolicyResource]:
    """As the engine hands over a stack: what a property depends on are resources of the same list."""
    made = {r.urn: _alone(r) for r in resources}
    for resource in resources:
        for property_, urns in resource.dependencies.items():
            made[resource.urn].property_dependencies[property_] = [made[u] for u in urns if u in made]
    return list(made.values())


def _alone(resource: Resource) -> PolicyResource:
    seen = cast("Properties", unknown_checking_proxy(dict(resource.answered)))
    return PolicyResource(resource.type, seen, resource.urn, resource.name, _options(resource), None, None, [], {})


def _options(resource: Resource) -> PolicyResourceOptions:
    return PolicyResourceOptions(resource.protected, [], None, [], PolicyCustomTimeouts(0, 0, 0), [])
