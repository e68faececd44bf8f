"""An exported state as `pulumi stack export` writes it, made of what the program emits for a sample stack."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

from tests.support.program import Emitted, Program

SECRET = {
    "4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270",
    "ciphertext": "v1:bm9uY2U=:Y2lwaGVydGV4dA==",
}
State = dict[str, Any]


def exported(program: Program, stack: str) -> State:
    resources = [_resource(r, stack) for r in program.resources]
    return {"version": 3, "deployment": {"manifest": {}, "resources": resources}}


def of(state: State, name: str) -> State:
    """The resource of a state by its logical name; a component may have the same."""
    resources = state["deployment"]["resources"]
    (found,) = [r for r in resources if r["custom"] and r["urn"].endswith(f"::{name}")]
    return found


def drifted(state: State, name: str, change: Callable[[State], None]) -> State:
    """The state after somebody changed a resource by hand and `pulumi refresh` found it."""
    made = deepcopy(state)
    change(of(made, name)["outputs"])
    return made


def _resource(resource: Emitted, stack: str) -> State:
    def of_stack(urn: str) -> str:
        return urn.replace("urn:pulumi:stack::", f"urn:pulumi:{stack}::")

    made: State = {
        "urn": of_stack(resource.urn),
        "type": resource.type,
        "custom": resource.custom,
        "inputs": deepcopy(resource.inputs),
        "outputs": deepcopy(resource.outputs),
        "propertyDependencies": {k: [of_stack(u) for u in sorted(urns)] for k, urns in resource.made_from.items()},
    }
    if resource.protect:
        made["protect"] = True
    return made
