"""What the program emits, as ARM templates: one a geography, as Resource Manager would get its resources one by one."""

from collections.abc import Iterable
from typing import Any

from emulators.azure.arm import TYPES, Row
from emulators.azure.bags import from_wire, to_wire
from tests.fidelity import MADE_NAME
from tests.support.program import Emitted

SCHEMA = "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#"


def templates(resources: Iterable[Emitted]) -> dict[str, dict[str, Any]]:
    """By geography."""
    found: dict[str, dict[str, Any]] = {}
    for emitted in resources:
        if emitted.type in TYPES:
            empty: dict[str, Any] = {"$schema": SCHEMA, "contentVersion": "1.0.0.0", "resources": []}
            template = found.setdefault(emitted.name.partition("-")[0], empty)
            template["resources"].append(as_template_has_it(emitted, TYPES[emitted.type]))
    return found


def as_template_has_it(emitted: Emitted, row: Row) -> dict[str, Any]:
    """The body of the PUT with type, version and the whole name: that of its parents too, or of what it extends."""
    inputs, _ = from_wire(to_wire(emitted.inputs))
    name = str(inputs.get(row.name_input, emitted.name + MADE_NAME))
    _, provided, tail = row.id_of("", {**inputs, row.name_input: name}).rpartition("/providers/")
    names = tail.split("/")[2::2] if provided else [name]
    if row.path.startswith("{"):
        names.insert(0, str(inputs[row.path_inputs[0]]).rpartition("/")[2])
    return {
        "type": row.arm_type,
        "apiVersion": row.api_version,
        **row.put_body(name, inputs),
        "name": "/".join(names),
    }
