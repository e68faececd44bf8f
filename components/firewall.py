"""The web application firewall: Microsoft's default rules and its bot rules, in prevention mode.

Owns policies. What is left out of the evaluation is left out for single rules and single arguments, for which a refusal
would be certain or likely (rules of "Web Application Firewall DRS and CRS rule groups and rules"):

    931130            refuses a URL of another host than this one: `iss` of every launch (SMART App Launch; RFC 9207),
                      `error_uri` of a sign-in that was refused (RFC 6749), an EHR's URLs in the portal's form
    942440, 942450,   take two hyphens, or 0x, in a random base64url value for SQL: `launch`, `code`, `state` and
    99031002          `client_info` of the same protocols, tokens and sealed data of Graph's notifications

Each host has a policy of its own: the portal's exclusions do not hold where launches arrive. What the firewall writes
into its log is scrubbed of values: they are tickets of people, and of patients.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_azure_native import network

from components.placement import Placement

RULES, RULES_VERSION = "Microsoft_DefaultRuleSet", "2.1"
BOTS, BOTS_VERSION = "Microsoft_BotManagerRuleSet", "1.1"
OFF_DOMAIN = {"RFI": ("931130",)}
LOOKS_LIKE_SQL = {"SQLI": ("942440", "942450"), "MS-ThreatIntel-SQLI": ("99031002",)}
SCRUBBED = (
    "RequestArgNames",
    "RequestPostArgNames",
    "RequestJSONArgNames",
    "RequestCookieNames",
    "RequestHeaderNames",
    "RequestIPAddress",
)
LARGEST_BODY_KB = 1024
"""What the largest request of ours may have: a delivery of notifications."""


@dataclass(frozen=True)
class Exclusion:
    """An argument that some rules, by their group, are not applied to. `operator` compares its name."""

    argument: str
    rules: dict[str, tuple[str, ...]]
    operator: str = "Equals"


PROTOCOLS = (
    Exclusion("iss", OFF_DOMAIN),
    Exclusion("error_uri", OFF_DOMAIN),
    *(Exclusion(argument, LOOKS_LIKE_SQL) for argument in ("launch", "code", "state", "client_info")),
)
"""Of launches and sign-ins, at both hosts."""
NOTIFICATIONS = (
    Exclusion("validationTokens", LOOKS_LIKE_SQL, "Contains"),
    Exclusion("encryptedContent", LOOKS_LIKE_SQL, "Contains"),
)
FORMS = (
    *(Exclusion(argument, OFF_DOMAIN) for argument in ("fhirBaseUrl", "tokenEndpointOrigins", "frameOrigins")),
    Exclusion(".issuer", OFF_DOMAIN, "EndsWith"),
)


@dataclass(frozen=True)
class FirewallArgs:
    placement: Placement
    resource_group_name: pulumi.Input[str]
    host: str
    """For which host it is: a word of the name in Azure."""
    exclusions: Sequence[Exclusion]


class Firewall(pulumi.ComponentResource):
    def __init__(self, name: str, args: FirewallArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("teams-ehr-connector:entry:Firewall", name, None, opts)
        policy = network.WebApplicationFirewallPolicy(
            name,
            resource_group_name=args.resource_group_name,
            policy_name=args.placement.named(f"waf-{args.host}"),
            location=args.placement.location,
            policy_settings=network.PolicySettingsArgs(
                state="Enabled",
                mode="Prevention",
                request_body_check=True,
                request_body_enforcement=True,
                request_body_inspect_limit_in_kb=LARGEST_BODY_KB,
                max_request_body_size_in_kb=LARGEST_BODY_KB,
                file_upload_enforcement=True,
                file_upload_limit_in_mb=1,
                log_scrubbing=network.PolicySettingsLogScrubbingArgs(
                    state="Enabled",
                    scrubbing_rules=[
                        network.WebApplicationFirewallScrubbingRulesArgs(
                            match_variable=what, selector_match_operator="EqualsAny", state="Enabled"
                        )
                        for what in SCRUBBED
                    ],
                ),
            ),
            managed_rules=network.ManagedRulesDefinitionArgs(
                managed_rule_sets=[
                    network.ManagedRuleSetArgs(rule_set_type=RULES, rule_set_version=RULES_VERSION),
                    network.ManagedRuleSetArgs(rule_set_type=BOTS, rule_set_version=BOTS_VERSION),
                ],
                exclusions=[_exclusion(one) for one in args.exclusions],
            ),
            tags=args.placement.tags,
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.id: pulumi.Output[str] = policy.id
        self.register_outputs({})


def _exclusion(one: Exclusion) -> network.OwaspCrsExclusionEntryArgs:
    groups = [
        network.ExclusionManagedRuleGroupArgs(
            rule_group_name=group, rules=[network.ExclusionManagedRuleArgs(rule_id=rule) for rule in rules]
        )
        for group, rules in one.rules.items()
    ]
    return network.OwaspCrsExclusionEntryArgs(
        match_variable="RequestArgNames",
        selector_match_operator=one.operator,
        selector=one.argument,
        exclusion_managed_rule_sets=[
            network.ExclusionManagedRuleSetArgs(rule_set_type=RULES, rule_set_version=RULES_VERSION, rule_groups=groups)
        ],
    )
