"""A shell that has nothing but what `connector env` prints: preview, up, refresh and destroy, one after another."""

import re
import subprocess
import sysconfig
from pathlib import Path

import httpx
import pytest

from emulators.state import STATE_VARIABLE
from emulators.world import WORLD_VARIABLE
from tests.support.leftovers import Household, git_status
from tests.support.one_geography import keep_only
from tests.support.processes import described, in_session, supervisor
from tests.support.stack import TestStack
from workflow.project import PROJECT_VARIABLE

SCRIPT = """
eval "$({own} {connector} env)" &&
pulumi preview &&
pulumi up --yes &&
echo THIS-IS-UP && read -r _ &&
pulumi refresh --yes &&
pulumi destroy --yes
"""
PRINTED = re.compile(r'"?(?:public_?[hH]ost)"?\s*:\s*"([^"]+)"')
SECONDS = 300


@pytest.fixture
def household(tmp_path: Path) -> Household:
    return Household(tmp_path / "household")


def test_preview_up_refresh_and_destroy_end_with_zero_and_leave_nothing(
    tmp_path: Path, household: Household, pulumi_executable: Path
) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    stack = household.move_in(TestStack.make(folder))
    keep_only(stack, "americas")
    files = {f: f.read_bytes() for f in folder.glob("*.yaml")}
    # Where this test's project, state and world are: a clone has them by itself.
    own = " ".join(f"{n}={stack.environment[n]}" for n in (PROJECT_VARIABLE, STATE_VARIABLE, WORLD_VARIABLE))
    connector = Path(sysconfig.get_path("scripts")) / "connector"
    shell = subprocess.Popen(
        ["/bin/sh", "-c", SCRIPT.format(own=own, connector=connector)],
        cwd=folder,
        env={**household.environment, "PATH": "/usr/bin:/bin"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert shell.stdout is not None
    lines: list[str] = []
    try:
        for line in shell.stdout:
            if line.startswith("THIS-IS-UP"):
                break
            lines.append(line)
        said = "".join(lines)
        hosts = set(PRINTED.findall(said))
        assert len(hosts) == 1, said[-3000:]
        for host in hosts:
            for path in ("readyz", ".well-known/jwks.json"):
                assert httpx.get(f"https://{host}/{path}", verify=stack.certificates).status_code == 200
        session = supervisor(stack).pid
        rest, _ = shell.communicate("on\n", timeout=SECONDS)
        assert shell.returncode == 0, rest[-3000:]
    finally:
        shell.kill()
        shell.wait()
        stack.connector("down")

    assert stack.arm() == {}
    assert described(in_session(session)) == []
    assert stack.until_no_processes() == []
    assert household.strays() == []
    assert git_status() == household.status
    assert {f: f.read_bytes() for f in folder.glob("*.yaml")} == files, "the engine wrote into a stack's file"
