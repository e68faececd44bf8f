# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# (ruamel.yaml is typed in parts.)
"""The examples in `policies/examples/`, read; an example is one resource, or several that are judged together."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pulumi_policy import Policy
from ruamel.yaml import YAML

from policies.pack import POLICIES
from policies.state import Resource, judge
from schemas.stack_config import PROJECT
from tests.support.samples import ROOT

FOLDER = ROOT / "policies" / "examples"
KEYS = {"what", "stack", "type", "properties", "protect", "needs", "resources", "violations"}


@dataclass(frozen=True)
class Example:
    policy: Policy
    what: str
    resources: tuple[Resource, ...]
    violations: tuple[str, ...]
    """What the policy must say, whole; nothing of an example that passes."""

    def judged(self) -> tuple[str, ...]:
        return tuple(v.message for v in judge(self.resources, ROOT, [self.policy]))


def examples(kind: str) -> list[Example]:
    """`passes` or `fails` of every policy."""
    return [example for policy in POLICIES for example in of_policy(policy, kind)]


def of_policy(policy: Policy, kind: str) -> Iterator[Example]:
    file = FOLDER / f"{policy.name}.yaml"
    document: Mapping[str, Any] = YAML(typ="safe").load(file) if file.exists() else {}
    assert set(document) <= {"passes", "fails"}, file.name
    for given in document.get(kind, ()):
        assert set(given) <= KEYS, (file.name, set(given) - KEYS)
        resources = _resources(given.get("resources", [given]), given.get("stack", "prod"))
        yield Example(policy, given["what"], resources, tuple(given.get("violations", ())))


def _resources(given: Sequence[Mapping[str, Any]], stack: str) -> tuple[Resource, ...]:
    types = [f"azure-native:{r['type']}" for r in given]
    urns = [f"urn:pulumi:{stack}::{PROJECT}::{type_}::example-{n}" for n, type_ in enumerate(types)]
    return tuple(
        Resource(
            urn=urns[number],
            type=types[number],
            inputs=resource["properties"],
            answered=resource["properties"],
            protected=bool(resource.get("protect")),
            dependencies={k: (urns[n],) for k, n in resource.get("needs", {}).items()},
        )
        for number, resource in enumerate(given)
    )
