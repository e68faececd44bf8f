"""What holds whoever works beside this program: locks on state, the regions that Azure allows, a budget.

Owns three things of Resource Manager. Locks keep state, and everything below it, from being deleted, until somebody
takes the lock away, who needs a right that the deployer of resources alone does not have (README, "Going to real
Azure"). They come last and go first: whatever is below them depends on nothing here, and they on it. The policy refuses
resources in other regions than the geography's, whoever asks. The budget tells when a month costs more than its stage
should.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import pulumi
from pulumi_azure_native import authorization, consumption

from components.placement import Placement

ALLOWED_LOCATIONS = "/providers/Microsoft.Authorization/policyDefinitions/e56962a6-4747-49cd-b67b-bf8b01975c4c"
"""Built-in policy "Allowed locations" (Azure/azure-policy, General/AllowedLocations_Deny.json): every resource that has
a region must stand in one of the list; `global` ones and resource groups are left out."""


@dataclass(frozen=True)
class GovernanceArgs:
    placement: Placement
    resource_group_id: pulumi.Input[str]
    allowed_regions: Sequence[str]
    action_group_id: pulumi.Input[str]
    state: Mapping[str, pulumi.Input[str]]
    """Ids of what is locked, by the lock's name in the program."""
    after: Sequence[pulumi.Resource]
    """Everything that stands below what is locked."""


class Governance(pulumi.ComponentResource):
    def __init__(self, name: str, args: GovernanceArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("teams-ehr-connector:governance:Governance", name, None, opts)
        self._name, self._args = name, args
        for key, scope in args.state.items():
            self._lock(key, scope)
        self._allowed_locations()
        self._budget()
        self.register_outputs({})

    def _lock(self, key: str, scope: pulumi.Input[str]) -> None:
        authorization.ManagementLockByScope(
            f"{self._name}-{key}",
            lock_name="keep",
            scope=scope,
            level=authorization.LockLevel.CAN_NOT_DELETE,
            notes="State of the connector: take this lock away only to delete what it is on.",
            opts=self._args.placement.state(self, self._args.after),
        )

    def _allowed_locations(self) -> None:
        authorization.PolicyAssignment(
            f"{self._name}-locations",
            policy_assignment_name="allowed-locations",
            scope=self._args.resource_group_id,
            display_name=f"Regions of {self._args.placement.geography}",
            policy_definition_id=ALLOWED_LOCATIONS,
            enforcement_mode=authorization.EnforcementMode.DEFAULT,
            parameters={
                "listOfAllowedLocations": authorization.ParameterValuesValueArgs(value=list(self._args.allowed_regions))
            },
            opts=pulumi.ResourceOptions(parent=self),
        )

    def _budget(self) -> None:
        def told(threshold: int, kind: consumption.ThresholdType) -> consumption.NotificationArgs:
            return consumption.NotificationArgs(
                enabled=True,
                operator=consumption.OperatorType.GREATER_THAN_OR_EQUAL_TO,
                threshold=threshold,
                threshold_type=kind,
                contact_emails=[],
                contact_groups=[self._args.action_group_id],
            )

        consumption.Budget(
            f"{self._name}-budget",
            budget_name=self._args.placement.named("budget"),
            scope=self._args.resource_group_id,
            category=consumption.CategoryType.COST,
            time_grain=consumption.TimeGrainType.MONTHLY,
            amount=self._args.placement.sizes.monthly_budget,
            time_period=consumption.BudgetTimePeriodArgs(start_date=f"{datetime.now(UTC):%Y-%m}-01T00:00:00Z"),
            notifications={
                "spent": told(80, consumption.ThresholdType.ACTUAL),
                "expected": told(100, consumption.ThresholdType.FORECASTED),
            },
            # Azure takes a start in the month of creation only, and no change of it.
            opts=pulumi.ResourceOptions(parent=self, ignore_changes=["timePeriod"]),
        )
