"""`make checkov`: the resources of production, all geographies, judged by rules that others wrote.

Owns the run: templates into the state folder, Checkov over them in an environment of its own and without a network
address to turn to, the table, and the types that no rule of it looks at. Ends with 1 where a check fails that has no
exception or an exception matches nothing, and with 2, saying NOT CHECKED, where Checkov did not see everything.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.checkov.judging import EXCEPTIONS, NotChecked, exceptions, judged, read_report
from tests.checkov.templates import templates
from tests.support.program import sample
from tests.support.samples import ROOT

STACK = "prod"
CHECKOV = ROOT / ".venv" / "rules" / "bin" / "checkov"
NOWHERE = "http://127.0.0.1:9"
"""The discard port: whatever of it would call home is refused at once."""


def report_of(folder: Path) -> dict[str, Any]:
    """What Checkov says of the templates in a folder. Raises `NotChecked`."""
    options = ["--framework", "arm", "--skip-download", "--compact", "--output", "json"]
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "HTTPS_PROXY": NOWHERE, "HTTP_PROXY": NOWHERE}
    done = subprocess.run(
        [CHECKOV, "--directory", str(folder), *options],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        return json.loads(done.stdout)
    except ValueError:
        raise NotChecked(f"Checkov ended with {done.returncode}: {done.stderr[-2000:]}") from None


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="make checkov", description=__doc__)
    parser.add_argument("--state", type=Path, required=True, help="a folder for the templates")
    folder: Path = parser.parse_args(arguments).state
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for left in folder.glob("*.json"):
        left.unlink()
    made = templates(sample(STACK).resources)
    for name, template in made.items():
        (folder / f"{name}.json").write_text(json.dumps(template, indent=2), "utf-8")
    types = [r["type"] for t in made.values() for r in t["resources"]]
    try:
        found = read_report(report_of(folder), len(types))
    except NotChecked as problem:
        print(f"NOT CHECKED: {problem}", file=sys.stderr)
        return 2
    outcome = judged(found, exceptions(EXCEPTIONS.read_text("utf-8")))
    print(outcome.table)
    seen = {c.resource.partition(".")[0] for c in found} | {".".join(c.resource.split(".")[:2]) for c in found}
    print(f"no rule of it looks at: {', '.join(sorted(set(types) - seen))}")
    print("\n".join(outcome.refused) or "nothing is refused", file=sys.stderr if outcome.refused else sys.stdout)
    return 1 if outcome.refused else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
