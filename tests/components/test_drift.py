"""Whatever was given and can be read back is found when it drifts: every property of every emitted resource.

The engine's test of drift takes one property of each type by a seed; this is why it holds for every seed.
"""

import copy

import pytest

from emulators.azure.arm import NESTED_PROPERTIES, TYPES
from emulators.azure.bags import from_wire, leaves, to_wire
from emulators.azure.differences import changes, refreshed
from emulators.azure.store import Contents
from tests.support import drift
from tests.support.program import sample


def emitted(token: str) -> list[drift.Resource]:
    found: list[drift.Resource] = []
    for resource in sample("local").of(token):
        inputs, _ = from_wire(to_wire(resource.inputs))
        inputs = {TYPES[token].name_input: resource.name} | inputs
        found.append(drift.Resource(token, TYPES[token].id_of("s", inputs), inputs))
    return found


@pytest.mark.parametrize("token", sorted(TYPES))
def test_every_property_that_drifts_is_found_and_nothing_else(token: str) -> None:
    row, count = TYPES[token], 0
    for resource in emitted(token):
        arm = row.to_arm(resource.arm_id, resource.inputs)
        before = Contents()
        before.put(arm)
        for one in drift.possible(before, resource):
            now = Contents()
            now.put(copy.deepcopy(arm))
            drift.put(now, [one])
            outputs = row.to_outputs(now.get(resource.arm_id) or {}, nested=token in NESTED_PROPERTIES)
            found = dict(leaves(refreshed(row, resource.inputs, outputs)))
            assert found == dict(leaves(dict(resource.inputs))) | {one.path: one.now}
            assert len(changes(row, resource.inputs, refreshed(row, resource.inputs, outputs))) == 1
            count += 1
    assert count, "nothing of this type can be seen to drift"
