"""`make fidelity`: every emitted resource as Resource Manager would get it, against Azure's own definitions.

Owns the run over all sample stacks (both stages, all geographies, on Azure and emulated), the table, and the comparison
of the committed extract with the folder that it was made from. Ends with 1 where a property is not as Azure takes it,
and with 2, saying NOT CHECKED, where there is no such folder.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from emulators.azure.arm import TYPES
from emulators.azure.bags import from_wire, to_wire
from emulators.azure.definitions.check import Violation, check
from emulators.azure.definitions.extract import extract, text_of
from emulators.azure.definitions.reading import TYPES_FILE, Definitions, NoDefinition
from tests.support.program import Emitted, sample
from tests.support.samples import ROOT

STACKS = ("test", "prod", "local", "local-prod")
COMMITTED: dict[str, str] = json.loads((ROOT / "components" / "emitted_types.json").read_text())
DEFINITIONS = frozenset((row.arm_type, row.api_version) for row in TYPES.values())
MADE_NAME = "0a1b2c3d"
"""What stands for the hexadecimal digits that azure-native puts behind a name that it makes."""


@dataclass
class Fidelity:
    """What was checked, by type token, and what is wrong: (resource, violation)."""

    instances: Counter[str] = field(default_factory=Counter[str])
    properties: Counter[str] = field(default_factory=Counter[str])
    violations: list[tuple[str, Violation]] = field(default_factory=list[tuple[str, Violation]])

    def see(self, definitions: Definitions, stack: str, emitted: Emitted) -> None:
        """Check one resource."""
        resource = f"{stack}: {emitted.type.removeprefix('azure-native:')} {emitted.name}"
        row = TYPES.get(emitted.type)
        if row is None:
            self.violations.append((resource, Violation("type", "a row of emulators/azure/arm.py", emitted.type)))
            return
        inputs, _ = from_wire(to_wire(emitted.inputs))  # whole numbers are whole
        body = row.put_body(str(inputs.get(row.name_input, emitted.name + MADE_NAME)), inputs)
        found = check(definitions.body(row.arm_type, row.api_version), body)
        self.instances[emitted.type] += 1
        self.properties[emitted.type] += found.properties
        self.violations += [(resource, violation) for violation in found.violations]

    def table(self) -> str:
        """Type, API version, instances, properties checked; a line each, with the sums."""
        rows = [("type", "API version", "instances", "properties")]
        for token in sorted(COMMITTED.keys() | self.instances):
            name, version = token.removeprefix("azure-native:"), COMMITTED.get(token, "not committed")
            rows.append((name, version, str(self.instances[token]), str(self.properties[token])))
        checked = f"{len(self.instances)} of {len(COMMITTED.keys() | self.instances)} types"
        rows.append((checked, "", str(self.instances.total()), str(self.properties.total())))
        widths = [max(len(row[i]) for row in rows) for i in range(4)]
        return "\n".join(
            f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c:>{widths[2]}}  {d:>{widths[3]}}".rstrip() for a, b, c, d in rows
        )

    def refused(self) -> list[str]:
        """A line for each violation, and for each committed type that nothing emits."""
        never = [
            f"{token}: components/emitted_types.json names it, nothing emits it"
            for token in sorted(COMMITTED.keys() - self.instances.keys())
        ]
        return [f"{resource}: {violation}" for resource, violation in self.violations] + never


def checked(definitions: Definitions, stacks: Iterable[str] = STACKS) -> Fidelity:
    """Everything that the program emits for these stacks."""
    fidelity = Fidelity()
    for stack in stacks:
        for emitted in sample(stack).resources:
            if emitted.type.startswith("azure-native:"):
                fidelity.see(definitions, stack, emitted)
    return fidelity


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="make fidelity", description="Emitted resources against Azure's definitions.")
    parser.add_argument("--types", type=Path, required=True, help="generated/ of Azure/bicep-types-az, or a part of it")
    folder: Path = parser.parse_args(arguments).types
    if not folder.is_dir():
        print(
            f"NOT CHECKED: Azure's definitions are not at {folder}.\n"
            "Set ARM_TYPES to `generated` of a clone of https://github.com/Azure/bicep-types-az, "
            "or to a part of it with the same paths.",
            file=sys.stderr,
        )
        return 2
    try:
        definitions = extract(folder, DEFINITIONS)
    except NoDefinition as e:
        print(f"NOT CHECKED: {e}", file=sys.stderr)
        return 2
    fidelity = checked(definitions)
    refused = fidelity.refused()
    if text_of(definitions) != TYPES_FILE.read_text():
        refused.append(
            f"{TYPES_FILE.relative_to(ROOT)} is not what {folder} holds of the emitted types: read what changed, "
            f"then `python -m emulators.azure.definitions.extract {folder}`"
        )
    print(fidelity.table())
    print("\n".join(refused) or "every property is as Azure defines it", file=sys.stderr if refused else sys.stdout)
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
