"""What each change that people make would do: it is done in place, and no plan replaces or deletes state.

State is what `tests/support/state_types.py` names: vault, keys, server, database, storage, logs, and where they stand.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from components.sizes import BY_STAGE, DatabaseSize
from emulators.azure.arm import TYPES
from schemas.vocabulary import GeographyName, Stage
from tests.support.plan import PROVIDER, Operation, Step, edited, lost, plan, summary, with_value
from tests.support.program import Emitted, Program, run, sample, stack_of
from tests.support.state_types import DATA, KEPT, MADE_AGAIN, PLACES

STACKS = ("local", "prod")
NEW_DOCUMENT = {"create": {"keyvault:Secret"}, "update": {"app:ContainerApp"}, "let go": {"keyvault:Secret"}}
"""The configuration document is another one: the old one's chunks stay in the vault, apps start with the new one."""


def changed(stack: str, **values: Any) -> list[Step]:
    """The plan of a sample whose configuration has other values."""
    return plan(sample(stack), run(stack_of(stack).model_copy(update=values)))


def geographies_of(steps: list[Step]) -> set[str]:
    return {step.resource.name.partition("-")[0] for step in steps}


def of(type_: str) -> Callable[[Emitted], bool]:
    return lambda resource: resource.type == f"azure-native:{type_}"


@pytest.mark.parametrize("stack", STACKS)
def test_the_same_configuration_changes_nothing(stack: str) -> None:
    assert plan(sample(stack), run(stack_of(stack))) == []


@pytest.mark.parametrize("stack", STACKS)
def test_an_image_rolls_the_apps_and_nothing_else(stack: str) -> None:
    steps = changed(stack, image=f"sha256:{'a' * 64}")
    assert lost(steps) == []
    assert summary(steps) == {"update": {"app:ContainerApp"}}
    assert {change.path.partition("[")[0] for step in steps for change in step.changed} == {
        "template.containers",
        "template.initContainers",
    }


PRODUCTION = BY_STAGE[Stage.PRODUCTION]
SIZES = {
    "more replicas": (
        replace(
            PRODUCTION,
            apps={role: replace(size, replicas=4, most_replicas=20) for role, size in PRODUCTION.apps.items()},
        ),
        {"app:ContainerApp"},
    ),
    "larger containers": (
        replace(
            PRODUCTION, apps={role: replace(size, cpu=2.0, memory="4Gi") for role, size in PRODUCTION.apps.items()}
        ),
        {"app:ContainerApp"},
    ),
    "a larger database, with backups for fewer days": (
        replace(PRODUCTION, database=DatabaseSize("Standard_E16ds_v5", "MemoryOptimized", 1024, "SameZone", 21)),
        {"dbforpostgresql:Server"},
    ),
    "logs for longer": (
        replace(PRODUCTION, log_days=730),
        {"operationalinsights:Workspace"},
    ),
}


@pytest.mark.parametrize("size", SIZES)
def test_another_size_is_taken_in_place(size: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes, types = SIZES[size]
    before = sample("prod")
    monkeypatch.setattr("components.sizes.BY_STAGE", {**BY_STAGE, Stage.PRODUCTION: sizes})
    steps = plan(before, run(stack_of("prod")))
    assert lost(steps) == []
    assert summary(steps) == {"update": types}


@pytest.mark.parametrize("stack", STACKS)
def test_an_organisation_that_is_added_is_another_document_in_its_own_geography(stack: str) -> None:
    organizations = stack_of(stack).organizations
    another = organizations[0].model_copy(update={"id": "another", "name": "Another"})
    steps = changed(stack, organizations=(*organizations, another))
    assert lost(steps) == []
    assert summary(steps) == NEW_DOCUMENT
    assert geographies_of(steps) == {str(another.geography)}


def test_another_version_of_a_key_is_pinned_without_touching_keys() -> None:
    promotion = stack_of("local").promotion
    first, *others = promotion.trusted_keys
    pinned = (first.model_copy(update={"version": "f" * 32}), *others)
    steps = changed("local", promotion=promotion.model_copy(update={"trusted_keys": pinned}))
    assert lost(steps) == []
    assert summary(steps) == NEW_DOCUMENT


@pytest.mark.parametrize("stack", STACKS)
def test_a_region_that_is_allowed_more_moves_nothing(stack: str) -> None:
    geographies = {
        name: config.model_copy(update={"allowed_regions": (*config.allowed_regions, "norwayeast")})
        for name, config in stack_of(stack).geographies.items()
    }
    steps = changed(stack, geographies=geographies)
    assert lost(steps) == []
    assert summary(steps).items() <= {"update": {"authorization:PolicyAssignment"}}.items()


def last(stack: str) -> GeographyName:
    return list(stack_of(stack).geographies)[-1]


@cache
def without_the_last(stack: str) -> Program:
    whole, gone = stack_of(stack), last(stack)
    geographies = {name: config for name, config in whole.geographies.items() if name != gone}
    organizations = tuple(o for o in whole.organizations if o.geography != gone)
    return run(whole.model_copy(update={"geographies": geographies, "organizations": organizations}))


@pytest.mark.parametrize("stack", STACKS)
def test_a_geography_that_is_added_touches_no_other(stack: str) -> None:
    steps = plan(without_the_last(stack), sample(stack))
    assert lost(steps) == []
    assert summary(steps).keys() == {"create"}
    assert geographies_of(steps) == {str(last(stack))}


@pytest.mark.parametrize("stack", STACKS)
def test_a_geography_that_is_removed_touches_no_other(stack: str) -> None:
    steps = plan(sample(stack), without_the_last(stack))
    assert geographies_of(steps) == {str(last(stack))}
    assert summary(steps).keys() == {"delete", "let go"}


def test_a_geography_is_removed_from_production_on_azure_by_nobody() -> None:
    """Each piece of state is protected, so the engine refuses the update; and Azure would keep it."""
    steps = [s for s in plan(sample("prod"), without_the_last("prod")) if s.resource.type in DATA]
    assert {step.resource.type for step in steps} == DATA.keys()
    assert {(step.operation, step.refusal) for step in steps} == {(Operation.LET_GO, "it is protected")}


@pytest.mark.parametrize("type_", sorted(DATA))
@pytest.mark.parametrize(("stack", "kept"), [("prod", True), ("test", False), ("local", False), ("local-prod", False)])
def test_data_is_protected_and_kept_where_it_serves_patients_on_azure(stack: str, kept: bool, type_: str) -> None:
    resources = sample(stack).of(type_)
    assert resources, "nothing of this type is emitted"
    for resource in resources:
        assert (resource.protect, resource.retain_on_delete or not kept) == (kept, True), resource.name


def test_of_every_emitted_type_it_is_said_whether_it_holds_state() -> None:
    emitted = {r.type for stack in STACKS for r in sample(stack).resources if r.custom} - {PROVIDER}
    unknown = emitted - KEPT - MADE_AGAIN
    assert not unknown, f"tests/support/state_types.py: say of {sorted(unknown)} what is lost with one, or nothing"
    assert not DATA.keys() & PLACES.keys()
    assert not KEPT & MADE_AGAIN


# --- that a plan shows what it must ---------------------------------------------------------------------------------


def one(program: Program, type_: str) -> Emitted:
    return program.of(type_)[0]


@pytest.mark.parametrize("type_", sorted(KEPT & {r.type for r in sample("prod").resources}))
def test_state_of_another_name_is_a_replacement(type_: str) -> None:
    resource, name = one(sample("prod"), type_), TYPES[type_].name_input
    renamed = edited(sample("prod"), lambda r: r.urn == resource.urn, lambda i: i | {name: "another"})
    steps = plan(sample("prod"), renamed)
    (step,) = [s for s in steps if s.resource.urn == resource.urn]
    assert (step.operation, step.replacing) == (Operation.REPLACE, [name])
    refused = ": refused, it is protected" if type_ in DATA else ""
    shown = f"replace {type_.removeprefix('azure-native:')} {resource.name} ({name}){refused}"
    assert shown in lost(steps)


@pytest.mark.parametrize("type_", sorted(KEPT & {r.type for r in sample("local").resources}))
def test_a_resource_of_another_urn_is_made_and_the_old_one_deleted(type_: str) -> None:
    resource = one(sample("local"), type_)
    moved = replace(resource, urn=f"{resource.urn}-2", name=f"{resource.name}-2")
    program = Program([moved if r is resource else r for r in sample("local").resources])
    created, gone = plan(sample("local"), program)
    assert (created.operation, created.resource) == (Operation.CREATE, moved)
    assert gone.resource is resource
    assert lost([gone]) or gone.operation is Operation.LET_GO


def test_what_is_in_a_replaced_resource_is_replaced_with_it() -> None:
    vault = one(sample("local"), "azure-native:keyvault:Vault")
    moved = edited(sample("local"), lambda r: r.urn == vault.urn, lambda i: with_value(i, ("location",), "centralus"))
    replaced = {s.resource.name for s in plan(sample("local"), moved) if s.operation is Operation.REPLACE}
    geography = vault.name.partition("-")[0]
    assert {vault.name, f"{geography}-signing-key-worker", f"{geography}-vault-access-init"} <= replaced
    assert f"{geography}-vault-endpoint" not in replaced, "an endpoint is pointed elsewhere in place"


def test_another_subscription_is_a_replacement_of_everything() -> None:
    whole = stack_of("local")
    name, config = next(iter(whole.geographies.items()))
    moved = config.model_copy(update={"subscription_id": "4d4d4d4d-0000-4000-8000-0000000000ee"})
    steps = changed("local", geographies={**whole.geographies, name: moved})
    mine = {r.urn for r in sample("local").resources if r.custom and r.name.partition("-")[0] == str(name)}
    assert {s.resource.urn for s in steps if s.operation is Operation.REPLACE} == mine


def test_another_month_changes_no_budget() -> None:
    path = ("timePeriod", "startDate")
    later = edited(sample("prod"), of("consumption:Budget"), lambda i: with_value(i, path, "2030-01-01T00:00:00Z"))
    assert plan(sample("prod"), later) == []


def test_what_azure_would_answer_409_to_is_told() -> None:
    path = ("backup", "geoRedundantBackup")
    redundant = edited(
        sample("local"), of("dbforpostgresql:Server"), lambda inputs: with_value(inputs, path, "Enabled")
    )
    steps = plan(sample("local"), redundant)
    refused = "refused, Azure changes no properties.backup.geoRedundantBackup"
    assert sorted(lost(steps)) == [
        f"update dbforpostgresql:Server {g}-database-server: {refused}" for g in ("americas", "apac", "emea")
    ]
