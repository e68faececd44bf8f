"""How long `connector --help` takes beside what it cannot do without: an interpreter that imports typer."""

import subprocess
import sys
import sysconfig
from pathlib import Path

from tests.bench.timing import in_turns, tell

GOAL = 3.0


def measure(rounds: int) -> None:
    connector = str(Path(sysconfig.get_path("scripts")) / "connector")
    taken = in_turns(
        rounds,
        {
            "connector": lambda: subprocess.run([connector, "--help"], check=True, capture_output=True),
            "typer": lambda: subprocess.run([sys.executable, "-c", "import typer"], check=True, capture_output=True),
        },
    )
    tell(
        "connector --help beside python -c 'import typer'",
        rounds=rounds,
        help_seconds=taken["connector"].seconds,
        import_typer_seconds=taken["typer"].seconds,
        ratio=taken["connector"].seconds / taken["typer"].seconds,
        ratio_of_processor_seconds=taken["connector"].processor_seconds / taken["typer"].processor_seconds,
        goal_at_most=GOAL,
    )
