"""`make bench` prints one JSON line a measurement, with a ratio and its goal; how large it is is asserted nowhere."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench.__main__ import MEASUREMENTS
from tests.support.samples import ROOT


@pytest.mark.parametrize("name", MEASUREMENTS)
def test_a_measurement_is_one_line_with_its_ratio_and_goal(name: str, pulumi_executable: Path) -> None:
    command = [sys.executable, "-m", "tests.bench", "--organizations", "2", "--rounds", "1", "--only", name]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    told = json.loads(line)
    assert {"measurement", "ratio"} < told.keys()
    assert told["ratio"] > 0
    assert {"goal_at_most", "goal_at_least"} & told.keys()
