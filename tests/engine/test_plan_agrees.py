# pyright: reportUnknownMemberType=false
"""The plan by which tests judge a change is the engine's own; and what is protected the engine refuses to delete."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from components.project_files import files_of
from schemas.loading import load_stack
from tests.support.imported import STACK, imported, named, planned
from tests.support.plan import Operation, plan
from tests.support.program import run, sample
from tests.support.state_types import DATA
from workflow.engine import Engine
from workflow.errors import EngineFailed

LOCK = "azure-native:authorization:ManagementLockByScope"
ANOTHER_SUBNET = "10.41.9.0/27"


@pytest.fixture
def engine(tmp_path: Path, pulumi_executable: Path) -> Engine:
    return imported(tmp_path)


def edit(engine: Engine, change: Callable[[dict[str, Any]], None]) -> None:
    file = engine.project.root / f"Pulumi.{STACK}.yaml"
    yaml = YAML()
    document: Any = yaml.load(file)
    change(document["config"])
    with file.open("w", encoding="utf-8") as out:
        yaml.dump(document, out)


def expected(engine: Engine) -> set[tuple[Operation, str]]:
    """The plan for the configuration as it is now, without the engine."""
    stack = load_stack(f"Pulumi.{STACK}.yaml", files_of(engine.project.root).text).stack
    assert stack is not None
    return named(plan(sample(STACK), run(stack, engine.project.root)))


def test_the_engine_plans_what_the_plan_says(engine: Engine) -> None:
    """Nothing; an organisation's name and a subnet in place; a geography that is not there yet."""
    assert planned(engine) == expected(engine) == set()

    def rename(config: dict[str, Any]) -> None:
        config["teams-ehr-connector:organizations"][0]["name"] = "Lamna"
        network = config["teams-ehr-connector:geographies"]["americas"]["network"]
        network["privateEndpointsSubnet"] = ANOTHER_SUBNET

    edit(engine, rename)
    in_place = planned(engine)
    assert in_place == expected(engine)
    assert {o for o, _ in in_place} == {Operation.CREATE, Operation.UPDATE, Operation.DELETE}
    assert (Operation.UPDATE, "americas-network-private-endpoints") in in_place


def test_the_engine_refuses_to_replace_and_to_delete_what_is_protected(engine: Engine) -> None:
    edit(engine, lambda config: config["teams-ehr-connector:geographies"]["americas"].update(location="centralus"))
    said = refused(engine)
    assert 'unable to replace resource "' in said
    assert '::americas-group"' in said

    def remove(config: dict[str, Any]) -> None:
        config["teams-ehr-connector:geographies"]["americas"]["location"] = "eastus2"
        del config["teams-ehr-connector:geographies"]["emea"]
        # What else is in there is at home in emea.
        config["teams-ehr-connector:organizations"] = config["teams-ehr-connector:organizations"][:1]

    edit(engine, remove)
    named = set(re.findall(r'::([\w-]+)" cannot be deleted\s+because it is protected', refused(engine)))
    state = {r.name for type_ in (*DATA, LOCK) for r in sample(STACK).of(type_) if r.name.startswith("emea-")}
    assert named, "the engine would delete it"
    assert named <= state, "what the engine names is state, or a lock on it"


def refused(engine: Engine) -> str:
    with pytest.raises(EngineFailed) as refusal:
        engine.run("preview")
    return refusal.value.advice
