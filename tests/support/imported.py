"""A stack of the real engine whose state is made from what the program emits: nothing was brought up for it.

Owns the project folder of the sample's production on Azure, which no test could bring up, and its state. A preview over
it asks the emulated provider what differs, and makes nothing.
"""

import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from emulators.azure.arm import TYPES
from schemas.stack_config import PROJECT
from tests.support.plan import PROVIDER, Operation, Step
from tests.support.program import Emitted, Program, sample
from tests.support.samples import ROOT, organization_files, stack_files
from workflow.engine import Engine
from workflow.project import Project

STACK = "prod"
LINKED = ("__main__.py", "Pulumi.yaml", "components", "policies", "requirements", "runtime", "schemas", ".venv")
OPERATIONS = {
    "create": Operation.CREATE,
    "update": Operation.UPDATE,
    "replace": Operation.REPLACE,
    "delete": Operation.DELETE,
}
"""What the engine calls them; the two halves of a replacement are in its `replace`."""


def imported(folder: Path) -> Engine:
    """The sample's production, as it stands in the working tree and as if it were up."""
    for name in LINKED:
        (folder / name).symlink_to(ROOT / name)
    for name in (*stack_files(), *organization_files()):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes((ROOT / name).read_bytes())
    engine = Engine(Project(folder, folder / ".local"), STACK, lambda _: None)
    engine.prepare()
    engine.import_deployment(deployment(sample(STACK)))
    return engine


def deployment(program: Program) -> dict[str, Any]:
    """The state after an update by this program, as `pulumi stack export` writes it."""
    resources: list[dict[str, Any]] = [{"urn": _STACK_URN, "custom": False, "type": "pulumi:pulumi:Stack"}]
    urns = _urns(program)
    resources += [_state(resource, urns) for resource in program.resources]
    manifest = {"time": "2026-01-01T00:00:00Z", "magic": "", "version": ""}
    return {"version": 3, "deployment": {"manifest": manifest, "resources": resources}}


def _urns(program: Program) -> dict[str, str]:
    """The mocks' URNs to the engine's, which name the types of all parents."""
    urns: dict[str, str] = {}
    for resource in program.resources:
        _, _, above = urns.get(resource.parent, "").rpartition(f"::{PROJECT}::")
        kind = f"{above.partition('::')[0]}${resource.type}" if above else resource.type
        urns[resource.urn] = f"urn:pulumi:{STACK}::{PROJECT}::{kind}::{resource.name}"
    return urns


def _state(resource: Emitted, urns: Mapping[str, str]) -> dict[str, Any]:
    row = TYPES.get(resource.type)
    added = {row.name_input: resource.outputs["name"]} if row else {}
    if resource.type == PROVIDER:
        added = {"version": version("pulumi-azure-native")}
    provider, _, provider_id = resource.provider.rpartition("::")
    state = {
        "urn": urns[resource.urn],
        "custom": resource.custom,
        "type": resource.type,
        "id": resource.id if resource.custom else "",
        "inputs": added | resource.inputs,
        "outputs": added | resource.outputs,
        "parent": urns.get(resource.parent, _STACK_URN),
        "provider": f"{urns[provider]}::{provider_id}" if resource.custom and provider else "",
        "dependencies": sorted(urns[urn] for urn in resource.depends_on),
        "propertyDependencies": {k: sorted(urns[urn] for urn in found) for k, found in resource.made_from.items()},
        "protect": resource.protect,
        "retainOnDelete": resource.retain_on_delete,
    }
    return {key: value for key, value in state.items() if value}


def planned(engine: Engine) -> set[tuple[Operation, str]]:
    """What a preview would do, and to which resource by the name in its URN. Raises `EngineFailed`."""
    steps = json.loads(engine.run("preview", "--json"))["steps"]
    return {(OPERATIONS[s["op"]], s["urn"].rpartition("::")[2]) for s in steps if s["op"] in OPERATIONS}


def named(steps: list[Step]) -> set[tuple[Operation, str]]:
    """The same of a plan: the engine has one word for what it deletes, whether Azure keeps it or not."""
    gone = {Operation.LET_GO: Operation.DELETE}
    return {(gone.get(step.operation, step.operation), step.resource.name) for step in steps}


_STACK_URN = f"urn:pulumi:{STACK}::{PROJECT}::pulumi:pulumi:Stack::{PROJECT}-{STACK}"
