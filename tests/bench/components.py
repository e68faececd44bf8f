"""What our components cost: a preview of the program, and of one that declares the same resources flat, in turns.

Both run on the real engine with the policy pack on, from the same files, and read and decide the same before their
first resource; only the declarations differ (`declared.py`). Nothing is deployed.
"""

import tempfile
from pathlib import Path

from tests.bench.declared import flat_program
from tests.bench.engine import preview
from tests.bench.timing import in_turns, tell
from tests.support.program import run
from tests.support.samples import ROOT
from tests.support.stack import TestStack

GOAL = 1.15
DECLARES = "for name, args in geographies(stack, packed, project).items():\n"


def flat_source(program: str, flat: str) -> str:
    """The program up to its declarations, then those of the flat one."""
    before, declares, _ = program.partition(DECLARES)
    assert declares, f"expected the program to say {DECLARES!r}"
    return f"{before}geographies(stack, packed, project)\n{flat}"


def measure(rounds: int) -> None:
    with tempfile.TemporaryDirectory(prefix="components-") as folder:
        stack = TestStack.make(Path(folder))
        ours = (ROOT / "__main__.py").read_text("utf-8")
        resources = run(stack.config, stack.root).resources
        programs = {"components": ours, "flat": flat_source(ours, flat_program(resources))}
        place = stack.root / "__main__.py"
        place.unlink()
        exports = stack.exports()
        created: dict[str, int] = {}

        def previewed(name: str) -> None:
            place.write_text(programs[name], "utf-8")
            created[name] = preview(stack, exports)

        taken = in_turns(rounds, {name: lambda name=name: previewed(name) for name in programs})
    components = sum(not r.custom for r in resources)
    assert created["components"] - components == created["flat"], created
    tell(
        "a preview of our components beside one of the same resources declared flat",
        rounds=rounds,
        resources=created["flat"],
        components=components,
        components_seconds=taken["components"].seconds,
        flat_seconds=taken["flat"].seconds,
        ratio=taken["components"].seconds / taken["flat"].seconds,
        ratio_of_processor_seconds=taken["components"].processor_seconds / taken["flat"].processor_seconds,
        goal_at_most=GOAL,
    )
