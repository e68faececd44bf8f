"""`make many`: a thousand organisations on this machine: the preview, the update, and a launch at the last of them.

A project of its own in a temporary folder: organisations in files, three connections each, everything approved. The
last one is a hospital of the emulated world, so that somebody can press "Begin virtual visit" there. Prints JSON lines.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from schemas.vocabulary import Stage
from tests.bench.organizations import as_yaml, renamed
from tests.support.stack import Running, TestStack
from workflow.people import Provider

LAST = "prairie"
STACK = "Pulumi.local.yaml"
SECONDS = 1800.0


def fill(stack: TestStack, organizations: int) -> None:
    """All but the last are made of the last one's file; their clients need no secret that an EHR made."""
    yaml = YAML(typ="safe", pure=True)
    root = stack.root
    last = f"organizations/local/{LAST}.yaml"
    model: Any = yaml.load(root / last)  # pyright: ignore[reportUnknownMemberType]
    paths: list[str] = []
    for number in range(organizations - 1):
        name = f"clinic-{number:04d}"
        paths.append(f"organizations/local/{name}.yaml")
        (root / paths[-1]).write_text(as_yaml(without_secrets(renamed(model, LAST, name, number))), "utf-8")
    document: Any = yaml.load(root / STACK)  # pyright: ignore[reportUnknownMemberType]
    document["config"]["teams-ehr-connector:organizations"] = [*paths, last]
    (root / STACK).write_text(as_yaml(document), "utf-8")


def without_secrets(organization: dict[str, Any]) -> dict[str, Any]:
    for connection in organization["connections"]:
        connection["clients"]["provider"]["authentication"] = {"method": "none"}
        connection["clients"]["backend"]["authentication"]["algorithm"] = "ES384"
    return organization


def timed(what: str, began: float, **more: object) -> None:
    print(json.dumps({"step": what, "seconds": round(time.perf_counter() - began, 1), **more}), flush=True)


def preview(stack: TestStack) -> None:
    began = time.perf_counter()
    done: subprocess.CompletedProcess[str] = stack.pulumi("preview", "--non-interactive")
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"[-3000:]
    timed("preview", began, said=done.stdout.strip().splitlines()[-3:])


async def launch(stack: TestStack) -> str:
    """Press at the last organisation; the sign-in page says that the launch was accepted."""
    world = stack.world
    ehr = next(e for e in world.ehrs if e.organization == LAST)
    provider = Provider(ehr, Stage.TEST, ehr.users[0], world.entra, stack.certificates)
    try:
        return (await provider.press(ehr.appointments[0].csn)).path
    finally:
        await provider.browser.close()


def main() -> int:
    parser = argparse.ArgumentParser(prog="make many", description=__doc__)
    parser.add_argument("--organizations", type=int, default=1000)
    count = parser.parse_args().organizations
    with tempfile.TemporaryDirectory(prefix="many-") as folder:
        stack = TestStack.make(Path(folder), approved=False)
        began = time.perf_counter()
        fill(stack, count)
        stack.approve()
        timed("made", began, organizations=count)
        preview(stack)
        began = time.perf_counter()
        running = Running(stack)
        try:
            running.until_up(SECONDS)
            timed("up", began)
            began = time.perf_counter()
            path = asyncio.run(launch(stack))
            timed("launch at the last", began, page=path)
            assert path == "/identity/wait", path
        finally:
            code = running.end()
            stack.kill()
        return code


if __name__ == "__main__":
    sys.exit(main())
