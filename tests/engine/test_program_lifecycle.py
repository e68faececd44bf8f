# pyright: reportUnknownMemberType=false
"""The real program on the real engine, one geography of it: refused, up, unchanged, changed and back, drifted, gone."""

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from emulators.azure.store import Store
from tests.support import drift
from tests.support.one_geography import edit, keep_only
from tests.support.samples import ROOT
from tests.support.stack import TestStack

COMMITTED: dict[str, str] = json.loads((ROOT / "components" / "emitted_types.json").read_text())
PUBLIC_VAULT = """
from pulumi_azure_native import Provider, keyvault

keyvault.Vault(
    "open",
    resource_group_name="rg-connector-americas-test",
    vault_name="kv-open",
    location="eastus2",
    properties=keyvault.VaultPropertiesArgs(
        tenant_id="1a1a1a1a-0000-4000-8000-000000000000",
        sku=keyvault.SkuArgs(family="A", name="standard"),
        public_network_access="Enabled",
        network_acls=keyvault.NetworkRuleSetArgs(default_action="Allow", bypass="AzureServices"),
    ),
    tags={"application": "teams-ehr-connector", "geography": "americas", "stage": "test", "managed-by": "pulumi"},
    opts=pulumi.ResourceOptions(provider=Provider("other", subscription_id="4d4d4d4d-0000-4000-8000-0000000000ff")),
)
"""


@pytest.fixture
def stack(tmp_path: Path, pulumi_executable: Path) -> Iterator[TestStack]:
    """The sample's test stage with one geography, which is destroyed whatever the test does."""
    made = TestStack.make(tmp_path)
    keep_only(made, "americas")
    try:
        yield made
    finally:
        made.connector("down")
        assert made.until_no_processes() == []


def changes(output: str) -> dict[str, int]:
    """Resources by what was done with them, from the events that an update prints as JSON."""
    events = [json.loads(line) for line in output.splitlines()]
    (summary,) = [e["summaryEvent"] for e in events if "summaryEvent" in e]
    return summary["resourceChanges"]


def test_a_refused_configuration_stops_everything_before_the_first_resource(stack: TestStack) -> None:
    def spoil(config: dict[str, Any]) -> None:
        config["teams-ehr-connector:geographies"]["americas"]["location"] = "westeurope"
        config["teams-ehr-connector:organizations"][0]["tenantId"] = "not a tenant"

    exports = stack.exports()
    edit(stack, spoil)
    for command in (("preview",), ("up", "--yes", "--skip-preview")):
        result = stack.pulumi(*command, exports=exports)
        shown = result.stdout + result.stderr
        assert result.returncode != 0
        assert "location" in shown
        assert "organizations[0].tenantId" in shown
        assert "Pulumi.local.yaml:" in shown
        assert "Traceback" not in shown
    assert stack.arm() == {}


def test_a_policy_violation_stops_an_update_before_the_resource_is_made(stack: TestStack) -> None:
    program = stack.root / "__main__.py"
    text = program.read_text("utf-8")
    program.unlink()
    program.write_text(text + PUBLIC_VAULT, "utf-8")
    result = stack.pulumi("up", "--yes", "--skip-preview")
    shown = result.stdout + result.stderr
    assert result.returncode != 0
    assert "no-public-access" in shown
    assert "publicNetworkAccess: expected Disabled, got Enabled" in shown
    assert not [i for i in stack.arm() if "kv-open" in i]


def test_a_geography_comes_up_stays_changes_goes_back_and_goes(stack: TestStack) -> None:
    up = stack.pulumi("up", "--yes", "--skip-preview", "--json")
    assert up.returncode == 0, up.stdout[-4000:] + up.stderr[-4000:]
    (geography,) = stack.config.geographies.values()
    host = geography.public_hosts.test
    for answering in (host, geography.portal_host):
        assert httpx.get(f"https://{answering}/readyz", verify=stack.certificates).status_code == 200

    again = stack.pulumi("up", "--yes", "--skip-preview", "--json")
    assert set(changes(again.stdout)) == {"same"}
    assert violations(stack) == []

    edit(stack, rename("Lakeside Health System"))
    assert stack.pulumi("up", "--yes", "--skip-preview").returncode == 0
    edit(stack, rename("Lakeside Health"))
    back = stack.pulumi("up", "--yes", "--skip-preview")
    assert back.returncode == 0, back.stdout[-4000:] + back.stderr[-4000:]
    assert httpx.get(f"https://{host}/readyz", verify=stack.certificates).status_code == 200

    one_of_each_type_drifts_and_is_found(stack)
    open_the_vault(stack)
    assert refreshed(stack) == 1
    (opened,) = violations(stack)
    assert opened["policy"] == "no-public-access"
    assert opened["urn"].endswith("keyvault:Vault::americas-vault")
    mended = stack.pulumi("up", "--yes", "--skip-preview", "--json")
    assert changes(mended.stdout).get("update") == 1

    destroyed = stack.pulumi("destroy", "--yes", "--skip-preview")
    assert destroyed.returncode == 0, destroyed.stdout[-4000:] + destroyed.stderr[-4000:]
    assert stack.arm() == {}
    assert stack.until_no_processes() == []


def violations(stack: TestStack) -> list[dict[str, Any]]:
    """What the pack says of the state as the engine exports it."""
    file = stack.root / "exported.json"
    assert stack.pulumi("stack", "export", "--file", str(file)).returncode == 0
    judged = stack.connector("policy", str(file), "--stack", "local", "--output", "json")
    found: list[dict[str, Any]] = json.loads(judged.stdout)["violations"]
    assert judged.returncode == bool(found)
    return found


def rename(name: str) -> Callable[[dict[str, Any]], None]:
    def change(config: dict[str, Any]) -> None:
        config["teams-ehr-connector:organizations"][0]["name"] = name

    return change


def one_of_each_type_drifts_and_is_found(stack: TestStack) -> None:
    """A property of each emitted type, at any depth. DRIFT_SEED repeats a run."""
    number = drift.seed()
    print(f"{drift.SEED_VARIABLE}={number}")
    before = resources(stack)
    with Store(stack.state).transaction() as contents:
        drifts = drift.chosen(contents, before, number)
        untouched = copy.deepcopy(contents.resources)
        drift.put(contents, drifts)
    assert {d.resource.token for d in drifts} == COMMITTED.keys()
    assert refreshed(stack) == len(COMMITTED)
    assert drift.difference(before, resources(stack)) == {(d.resource.arm_id, d.path): d.now for d in drifts}
    with Store(stack.state).transaction() as contents:
        contents.resources = untouched
    assert refreshed(stack) == len(COMMITTED)
    assert drift.difference(before, resources(stack)) == {}


def resources(stack: TestStack) -> list[drift.Resource]:
    return drift.of_deployment(json.loads(stack.pulumi("stack", "export").stdout))


def refreshed(stack: TestStack) -> int | None:
    return changes(stack.pulumi("refresh", "--yes", "--skip-preview", "--json").stdout).get("update")


def open_the_vault(stack: TestStack) -> None:
    """By hand, past Pulumi."""
    with Store(stack.state).transaction() as contents:
        (vault,) = contents.of_type("Microsoft.KeyVault/vaults")
        vault["properties"]["publicNetworkAccess"] = "Enabled"
