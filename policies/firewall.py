"""The gateway's firewall refuses (prevention), by the rules of today; single ones are not applied to single arguments.

Those arguments are the ones that a launch, a sign-in, a notification or the portal's form cannot do without, listed
here with the rules that refuse them. A custom rule or an exception that allows lets a request past every other rule.
What the firewall logs is scrubbed of every value: they are tickets of people.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from policies.judging import Subject, each, known, policy

EXPECTED = {"mode": "Prevention", "state": "Enabled", "requestBodyCheck": True}
SCRUBBED = frozenset(
    {
        "RequestHeaderNames",
        "RequestCookieNames",
        "RequestArgNames",
        "RequestPostArgNames",
        "RequestJSONArgNames",
        "RequestIPAddress",
    }
)
"""What Azure can scrub, all of it."""
RULE_SETS = {"Microsoft_DefaultRuleSet 2.1", "Microsoft_BotManagerRuleSet 1.1"}
URL = frozenset({"931130"})
OPAQUE = frozenset({"942440", "942450", "99031002"})
EXCLUSIONS: dict[str, frozenset[str]] = {
    "Equals iss": URL,
    "Equals error_uri": URL,
    "Equals launch": OPAQUE,
    "Equals code": OPAQUE,
    "Equals state": OPAQUE,
    "Equals client_info": OPAQUE,
    "Contains validationTokens": OPAQUE,
    "Contains encryptedContent": OPAQUE,
    "Equals fhirBaseUrl": URL,
    "Equals tokenEndpointOrigins": URL,
    "Equals frameOrigins": URL,
    "EndsWith .issuer": URL,
}
"""Rules that may be left out, by how an argument's name is compared and with what."""


def judge(subject: Subject) -> Iterator[str]:
    if subject.type != "network:WebApplicationFirewallPolicy":
        return
    for key, expected in EXPECTED.items():
        if (got := subject.get("policySettings", key)) != expected:
            yield f"policySettings.{key}: expected {expected}, got {got}"
    if missing := SCRUBBED - set(_scrubbed(subject)):
        yield f"policySettings.logScrubbing: expected every value, got all but those of {_words(missing)}"
    rule_sets = list(subject.items("managedRules", "managedRuleSets"))
    names = {f"{known(s, 'ruleSetType')} {known(s, 'ruleSetVersion')}" for s in rule_sets}
    if names != RULE_SETS:
        yield f"managedRules.managedRuleSets: expected {_words(RULE_SETS)}, got {_words(names) or 'none'}"
    if any(True for one in rule_sets for _ in each(known(one, "ruleGroupOverrides"))):
        yield "managedRules.managedRuleSets: expected every rule as it is, got overrides"
    for path in (("customRules",), ("managedRules", "exceptions")):
        if any(True for _ in subject.items(*path)):
            yield f"{'.'.join(path)}: expected none"
    for exclusion in subject.items("managedRules", "exclusions"):
        yield from _exclusion(exclusion)


def _scrubbed(subject: Subject) -> Iterator[str]:
    if subject.get("policySettings", "logScrubbing", "state") != "Enabled":
        return
    for rule in subject.items("policySettings", "logScrubbing", "scrubbingRules"):
        if known(rule, "selectorMatchOperator") == "EqualsAny" and known(rule, "state") == "Enabled":
            yield str(known(rule, "matchVariable"))


def _exclusion(exclusion: Mapping[str, Any]) -> Iterator[str]:
    argument = f"{known(exclusion, 'selectorMatchOperator')} {known(exclusion, 'selector')}"
    allowed = EXCLUSIONS.get(argument)
    if known(exclusion, "matchVariable") != "RequestArgNames" or allowed is None:
        yield f"managedRules.exclusions: expected one of the known arguments, got {argument}"
        return
    rules = set(_rules(exclusion))
    if not rules <= allowed:
        yield f"managedRules.exclusions: {argument}: expected single rules of {_words(allowed)}, got {_words(rules)}"


def _rules(exclusion: Mapping[str, Any]) -> Iterator[str]:
    """The rules of an exclusion; one that names no set, group or rule is about all of them."""
    rule_sets = list(each(known(exclusion, "exclusionManagedRuleSets")))
    groups = [list(each(known(one, "ruleGroups"))) for one in rule_sets]
    rules = [list(each(known(one, "rules"))) for some in groups for one in some]
    if not rule_sets or not all(groups) or not all(rules):
        yield "all"
    yield from (str(known(rule, "ruleId")) for some in rules for rule in some)


def _words(values: Iterable[str]) -> str:
    return ", ".join(sorted(values))


POLICY = policy("firewall", "The gateway's firewall refuses, but for known arguments of launches.", judge)
