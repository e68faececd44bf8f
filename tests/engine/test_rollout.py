"""How an image comes to a geography on the real engine: registry first; a pause holds, a missing digest is refused."""

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.support.one_geography import edit, keep_only
from tests.support.stack import TestStack

MISSING = "sha256:" + 64 * "b"


@pytest.fixture
def stack(tmp_path: Path, pulumi_executable: Path) -> Iterator[TestStack]:
    made = TestStack.make(tmp_path)
    keep_only(made, "americas")
    try:
        yield made
    finally:
        made.connector("down")
        assert made.until_no_processes() == []


def configure(stack: TestStack, image: str, *, paused: bool) -> None:
    def change(config: dict[str, Any]) -> None:
        config["teams-ehr-connector:image"] = image
        config["teams-ehr-connector:geographies"]["americas"]["paused"] = paused

    edit(stack, change)


def test_a_geography_is_made_and_its_image_follows_then_a_pause_holds_and_a_missing_digest_is_refused(
    stack: TestStack,
) -> None:
    exports = stack.exports()
    configure(stack, "none", paused=False)
    first = stack.pulumi("up", "--yes", "--skip-preview", exports=exports)
    assert first.returncode == 0, first.stdout + first.stderr
    kinds = {r["type"] for r in stack.arm().values()}
    assert {"Microsoft.ContainerRegistry/registries", "Microsoft.ManagedIdentity/userAssignedIdentities"} < kinds
    assert "Microsoft.App/containerApps" not in kinds

    configure(stack, "working-tree", paused=False)
    up = stack.pulumi("up", "--yes", "--skip-preview", exports=exports)
    assert up.returncode == 0, up.stdout + up.stderr
    running = revisions(stack)
    assert len(running) == 3, running

    configure(stack, MISSING, paused=True)
    held = stack.pulumi("up", "--yes", "--skip-preview", "--expect-no-changes", exports=exports)
    assert held.returncode == 0, held.stdout + held.stderr

    configure(stack, MISSING, paused=False)
    refused = stack.pulumi("up", "--yes", "--skip-preview", exports=exports)
    assert refused.returncode != 0
    assert f"@{MISSING} was not copied to cramericastst" in refused.stdout + refused.stderr
    host = stack.config.geographies[next(iter(stack.config.geographies))].public_hosts.test
    assert httpx.get(f"https://{host}/readyz", verify=stack.certificates).status_code == 200
    assert revisions(stack) == running

    configure(stack, "working-tree", paused=False)
    again = stack.pulumi("up", "--yes", "--skip-preview", exports=exports)
    assert again.returncode == 0, again.stdout + again.stderr
    images = {c["image"] for r in stack.arm().values() for c in containers(r)}
    assert not [i for i in images if MISSING in i], json.dumps(sorted(images))


def revisions(stack: TestStack) -> set[str]:
    """Which revisions run, in whichever processes: a container that a probe finds wanting is started again."""
    found: set[str] = set()
    for process in stack.named("-m runtime"):
        with suppress(psutil.Error):
            found.add(process.environ()["CONTAINER_APP_REVISION"])
    return found


def containers(resource: dict[str, Any]) -> list[dict[str, Any]]:
    return resource["properties"].get("template", {}).get("containers", [])
