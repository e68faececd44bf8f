"""What a thousand organisations cost: a preview of production with them, beside one with a single one, in turns.

Both on the real engine with the policy pack on, everything approved, rehearsed and promoted. Program (with the process
beside it) and pack each decide every connection and verify every signature: they are counted where that happens
(`counting.py`). What reading the files costs is taken off: one bare parse of them (`read_yaml`, `read_json`), timed in
the same run.
"""

import json
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from components.program import digest_of_working_tree
from components.project_files import files_of
from schemas.loading import load_stack
from schemas.promotion.approvals import Approvals
from schemas.promotion.canonical import read_json
from schemas.strict_yaml import read_yaml
from tests.bench.counting import FILE, PACK, PROGRAM, counted
from tests.bench.engine import preview
from tests.bench.organizations import FIRST_PORT, as_yaml
from tests.bench.timing import in_turns, tell
from tests.support import statements
from tests.support.promotion import put
from tests.support.samples import ROOT
from tests.support.stack import TestStack

GOAL = 1.3
MODEL = "organizations/local/prairie.yaml"
CONNECTIONS = 3
"""Of production, an organisation."""
STACKS = ("local", "local-prod")

RUN_COUNTED = """\
import sys

sys.path.insert(0, {root!r})

from tests.bench.counting import run_counted

run_counted({who!r}, {main!r}, {counts!r})
"""


def organization(model: dict[str, Any], number: int) -> dict[str, Any]:
    """One of a test stack like the sample's: a connection of test, and as many of production as are counted."""
    port = model["connections"][0]["fhirBaseUrl"].split("/")[2].rpartition(":")[2]
    text = json.dumps(model).replace("prairie", f"clinic-{number:04d}").replace(f":{port}", f":{FIRST_PORT + number}")
    made = json.loads(text)
    test, production = made["connections"]
    others = [
        json.loads(json.dumps(production).replace("-prd", f"-prd{n}").replace("-production", f"-production-{n}"))
        for n in range(2, CONNECTIONS + 1)
    ]
    made["connections"] = [test, production, *others]
    return made


def project(folder: Path, organizations: int) -> TestStack:
    """Both stages' files with so many organisations in files of their own, and everything that production needs."""
    folder.mkdir()
    stack = TestStack.make(folder, "local-prod", approved=False)
    model: Any = YAML(typ="safe", pure=True).load(stack.root / MODEL)  # pyright: ignore[reportUnknownMemberType]
    paths: dict[str, list[str]] = {name: [] for name in STACKS}
    for number in range(organizations):
        made = organization(model, number)
        copies = {
            "local": made,
            "local-prod": {**made, "connections": [c for c in made["connections"] if c["stage"] == "production"]},
        }
        for name, content in copies.items():
            paths[name].append(f"organizations/{name}/{made['id']}.yaml")
            (stack.root / paths[name][-1]).write_text(as_yaml(content), "utf-8")
    for name in STACKS:
        file = stack.root / f"Pulumi.{name}.yaml"
        document: Any = YAML(typ="safe", pure=True).load(file)  # pyright: ignore[reportUnknownMemberType]
        document["config"]["teams-ehr-connector:organizations"] = paths[name]
        file.write_text(as_yaml(document), "utf-8")
    sign(stack)
    count(stack)
    return stack


def sign(stack: TestStack) -> None:
    test = load_stack("Pulumi.local.yaml", files_of(stack.root).text).stack
    assert test is not None
    now = datetime.now(UTC)
    files = statements.accepted(test, now, digest_of_working_tree(ROOT)).statements
    put(stack.root, Approvals(files, statements.promoted(test, now)))


def count(stack: TestStack) -> None:
    """The program and the pack of the project are the product's own, run by what counts."""
    counts = str(stack.root / FILE)
    pack = stack.root / "policies"
    (stack.root / "__main__.py").unlink()
    pack.unlink()
    pack.mkdir()
    (pack / "PulumiPolicy.yaml").write_bytes((ROOT / "policies" / "PulumiPolicy.yaml").read_bytes())
    for file, who, main in (
        (stack.root / "__main__.py", PROGRAM, ROOT / "__main__.py"),
        (pack / "__main__.py", PACK, ROOT / "policies" / "__main__.py"),
    ):
        file.write_text(RUN_COUNTED.format(root=str(ROOT), who=who, main=str(main), counts=counts), "utf-8")


def parse(stack: TestStack) -> None:
    """Each file once, as the program reads them: of both stages, because production is compared with what test
    proposes, and every statement.
    """
    for name in STACKS:
        for file in [stack.root / f"Pulumi.{name}.yaml", *sorted((stack.root / "organizations" / name).iterdir())]:
            assert read_yaml(file.read_text("utf-8")).readable
    for file in sorted((stack.root / "approvals").rglob("*.json")):
        assert read_json(file.read_bytes())


def measure(organizations: int, rounds: int) -> None:
    with tempfile.TemporaryDirectory(prefix="previews-") as folder:
        stacks = {"one": project(Path(folder, "one"), 1), "many": project(Path(folder, "many"), organizations)}
        exports = {name: stack.exports() for name, stack in stacks.items()}
        resources: dict[str, int] = {}

        def previewed(name: str) -> None:
            (stacks[name].root / FILE).unlink(missing_ok=True)
            resources[name] = preview(stacks[name], exports[name])

        taken = in_turns(rounds, {name: lambda name=name: previewed(name) for name in stacks})
        parsing = in_turns(rounds, {"parse": lambda: parse(stacks["many"])})["parse"].seconds
        did = counted(stacks["many"].root / FILE)
        one, many = taken["one"].seconds, taken["many"].seconds
    tell(
        f"a preview of {organizations} organisations beside one of a single organisation",
        rounds=rounds,
        organizations=organizations,
        resources=resources,
        one_seconds=one,
        many_seconds=many,
        bare_parse_seconds=parsing,
        counted=did,
        ratio=(many - parsing) / one,
        ratio_with_the_parse=many / one,
        goal_at_most=GOAL,
    )
