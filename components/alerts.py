"""Alerts of a geography: rules over its own workspace and over metrics, and the address that hears of them.

Owns the action group and the rules; which there are is in `alert_rules.py`. Rules over logs stand in the geography's
region. Azure has metric alerts and action groups without a region (`global`): what they carry is an alert's name and
ids of resources, nothing of a log line.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
from pulumi_azure_native import monitor

from components.alert_rules import LOG_ALERTS, METRIC_ALERTS, LogAlert, MetricAlert
from components.placement import Placement

LOCATION = "global"


@dataclass(frozen=True)
class AlertsArgs:
    placement: Placement
    resource_group_name: pulumi.Input[str]
    email: str
    workspace_id: pulumi.Input[str]
    watched: Mapping[str, pulumi.Input[str]]
    """Ids of what metrics are of, by `MetricAlert.of`: of what is there."""


class Alerts(pulumi.ComponentResource):
    """`action_group_id` is where else something may be told."""

    def __init__(self, name: str, args: AlertsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("teams-ehr-connector:logs:Alerts", name, None, opts)
        self._name, self._args = name, args
        group = monitor.ActionGroup(
            f"{name}-group",
            resource_group_name=args.resource_group_name,
            action_group_name=args.placement.named("ag"),
            group_short_name="connector",
            location=LOCATION,
            enabled=True,
            email_receivers=[
                monitor.MicrosoftCommonEmailReceiverArgs(
                    name="on-call", email_address=args.email, use_common_alert_schema=True
                )
            ],
            tags=args.placement.tags,
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.action_group_id: pulumi.Output[str] = group.id
        for alert in LOG_ALERTS:
            self._over_logs(alert)
        for alert in METRIC_ALERTS:
            if alert.of in args.watched:
                self._over_metric(alert)
        self.register_outputs({})

    def _over_logs(self, alert: LogAlert) -> None:
        monitor.ScheduledQueryRule(
            f"{self._name}-{alert.name}",
            resource_group_name=self._args.resource_group_name,
            rule_name=self._args.placement.named(alert.name),
            location=self._args.placement.location,
            kind="LogAlert",
            display_name=alert.name,
            description=alert.means,
            severity=alert.severity,
            enabled=True,
            scopes=[self._args.workspace_id],
            window_size=alert.window,
            evaluation_frequency=alert.every,
            criteria=monitor.ScheduledQueryRuleCriteriaArgs(
                all_of=[
                    monitor.ConditionArgs(
                        query=alert.query,
                        metric_measure_column="value",
                        time_aggregation="Maximum",
                        operator="GreaterThan",
                        threshold=alert.above,
                    )
                ]
            ),
            auto_mitigate=True,
            # The table is there once something was logged, which is after this.
            skip_query_validation=True,
            actions=monitor.ActionsArgs(action_groups=[self.action_group_id]),
            tags=self._args.placement.tags,
            opts=pulumi.ResourceOptions(parent=self),
        )

    def _over_metric(self, alert: MetricAlert) -> None:
        monitor.MetricAlert(
            f"{self._name}-{alert.name}",
            resource_group_name=self._args.resource_group_name,
            rule_name=self._args.placement.named(alert.name),
            location=LOCATION,
            description=alert.means,
            severity=alert.severity,
            enabled=True,
            scopes=[self._args.watched[alert.of]],
            window_size=alert.window,
            evaluation_frequency=alert.every,
            criteria=monitor.MetricAlertSingleResourceMultipleMetricCriteriaArgs(
                odata_type="Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria",
                all_of=[
                    monitor.MetricCriteriaArgs(
                        criterion_type="StaticThresholdCriterion",
                        name=alert.metric,
                        metric_namespace=alert.namespace,
                        metric_name=alert.metric,
                        time_aggregation=alert.aggregation,
                        operator=alert.operator,
                        threshold=alert.threshold,
                    )
                ],
            ),
            auto_mitigate=True,
            actions=[monitor.MetricAlertActionArgs(action_group_id=self.action_group_id)],
            tags=self._args.placement.tags,
            opts=pulumi.ResourceOptions(parent=self),
        )
