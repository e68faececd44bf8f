"""What holds others: locks on state, the regions of the geography, a budget; and who hears of alerts."""

import pytest

from components.alert_rules import LOG_ALERTS, METRIC_ALERTS
from components.governance import ALLOWED_LOCATIONS
from components.sizes import BY_STAGE
from schemas.vocabulary import Stage
from tests.support.program import Emitted, run, sample, stack_of

LOCK = "azure-native:authorization:ManagementLockByScope"
STATE = {
    "azure-native:keyvault:Vault",
    "azure-native:dbforpostgresql:Server",
    "azure-native:storage:StorageAccount",
    "azure-native:operationalinsights:Workspace",
    "azure-native:containerregistry:Registry",
}
STACKS = pytest.mark.parametrize("stack", ["local", "local-prod", "test", "prod"])


def geography_of(resource: Emitted) -> str:
    return resource.name.split("-")[0]


@STACKS
def test_all_state_is_locked(stack: str) -> None:
    locks = sample(stack).of(LOCK)
    state = [r for r in sample(stack).resources if r.type in STATE]
    assert len(locks) == len(state)
    for resource in state:
        (lock,) = [lock for lock in locks if lock.inputs["scope"] == resource.id]
        assert (lock.inputs["level"], geography_of(lock)) == ("CanNotDelete", geography_of(resource))


@STACKS
def test_locks_come_after_everything_that_is_below_them_and_go_before_it(stack: str) -> None:
    """What Pulumi deletes below a lock, it deletes after the lock: a lock depends on it, and it never on a lock."""
    resources = {r.urn: r for r in sample(stack).resources}
    locks = {lock.urn for lock in sample(stack).of(LOCK)}

    def upstream(urn: str) -> set[str]:
        direct = resources[urn].depends_on & resources.keys()
        return set(direct).union(*(upstream(u) for u in direct))

    before = {geography_of(resources[u]): upstream(u) for u in locks}
    for resource in resources.values():
        geography = geography_of(resource)
        scope = str(resource.inputs.get("scope") or resource.inputs.get("resourceUri") or "")
        child = bool(
            {"vaultName", "accountName", "serverName"} & resource.inputs.keys()
        ) and not resource.type.endswith(":Secret")
        if resource.urn not in locks and (
            child or scope.startswith(("/azure/providers", "/azure/azure-native:storage"))
        ):
            assert resource.urn in before[geography], resource.name
        assert resource.urn in locks or not resource.depends_on & locks


@pytest.mark.parametrize(("stack", "kept"), [("prod", True), ("test", False), ("local-prod", False)])
def test_a_lock_stays_where_patients_are_served(stack: str, kept: bool) -> None:
    assert {(lock.protect, lock.retain_on_delete) for lock in sample(stack).of(LOCK)} == {(kept, kept)}


@STACKS
def test_azure_itself_refuses_other_regions_than_the_geographys(stack: str) -> None:
    for name, geography in stack_of(stack).geographies.items():
        assignment = sample(stack).one(
            "azure-native:authorization:PolicyAssignment", name=f"{name}-governance-locations"
        )
        assert assignment.inputs["policyDefinitionId"] == ALLOWED_LOCATIONS
        assert assignment.inputs["parameters"] == {"listOfAllowedLocations": {"value": list(geography.allowed_regions)}}
        assert assignment.inputs["scope"].endswith(f"/{name}-group")
        assert assignment.inputs["enforcementMode"] == "Default"


@pytest.mark.parametrize(("stack", "stage"), [("test", Stage.TEST), ("prod", Stage.PRODUCTION)])
def test_each_geography_has_the_budget_of_its_stage(stack: str, stage: Stage) -> None:
    budgets = sample(stack).of("azure-native:consumption:Budget")
    assert len(budgets) == len(stack_of(stack).geographies)
    for budget in budgets:
        assert budget.inputs["amount"] == BY_STAGE[stage].monthly_budget
        for notification in budget.inputs["notifications"].values():
            (group,) = notification["contactGroups"]
            assert group.endswith(f"/{geography_of(budget)}-alerts-group")


def test_every_alert_watches_its_own_geography_and_tells_the_geographys_list() -> None:
    program, stack = sample("prod"), stack_of("prod")
    for name, geography in stack.geographies.items():
        group = program.one("azure-native:monitor:ActionGroup", name=f"{name}-alerts-group")
        assert [r["emailAddress"] for r in group.inputs["emailReceivers"]] == [geography.alert_email]
        assert program.outputs[name]["alerts_go_to"] == geography.alert_email
        rules = [r for r in program.of("azure-native:monitor:ScheduledQueryRule") if geography_of(r) == name]
        metrics = [r for r in program.of("azure-native:monitor:MetricAlert") if geography_of(r) == name]
        assert (len(rules), len(metrics)) == (len(LOG_ALERTS), len(METRIC_ALERTS))
        for rule in rules:
            assert [s.rsplit("/", 1)[1] for s in rule.inputs["scopes"]] == [f"{name}-logs-workspace"]
            assert rule.inputs["actions"]["actionGroups"] == [f"/azure/{group.type}/{group.name}"]
        for metric in metrics:
            assert all(s.rsplit("/", 1)[1].startswith(f"{name}-") for s in metric.inputs["scopes"])
            assert [a["actionGroupId"] for a in metric.inputs["actions"]] == [f"/azure/{group.type}/{group.name}"]


def test_two_lists_of_two_geographies_do_not_mix() -> None:
    stack = stack_of("prod")
    geographies = {n: g.model_copy(update={"alert_email": f"{n}@example.org"}) for n, g in stack.geographies.items()}
    program = run(stack.model_copy(update={"geographies": geographies}))
    for group in program.of("azure-native:monitor:ActionGroup"):
        assert group.inputs["emailReceivers"][0]["emailAddress"] == f"{geography_of(group)}@example.org"
