"""Each rule of the policies of the edge refuses what it is there for; a row is one change to what is emitted."""

from typing import Any

import pytest
from pulumi_policy import ResourceValidationPolicy

from policies import entry, firewall, least_access, network_edge
from tests.support.judged import UNKNOWN, changed, emitted, violations

APPS = ("network:Subnet", "americas-network-apps")
APPS_GROUP = ("network:NetworkSecurityGroup", "americas-security-apps")
GATEWAY_GROUP = ("network:NetworkSecurityGroup", "americas-security-gateway")
GATEWAY = ("network:ApplicationGateway", "americas-gateway")
CERTIFICATE = ("app:Certificate", "americas-environment-public-host")
FIREWALL = ("network:WebApplicationFirewallPolicy", "americas-gateway-firewall-public")
ROLE = ("authorization:RoleAssignment", "americas-certificates-access-public-host-entry")
VERSIONED = "https://kv.vault.azure.net/secrets/public-host/0123456789abcdef0123456789abcdef"
URI = "properties.certificateKeyVaultProperties.keyVaultUrl"
NOT_OUTSIDE = "expected nobody from outside but https at the gateway"
SETTINGS = "policySettings"
EXCLUSION = "managedRules.exclusions.0"
RULES = f"{EXCLUSION}.exclusionManagedRuleSets.0.ruleGroups.0.rules"

ROWS: list[tuple[ResourceValidationPolicy, tuple[str, str], str, Any, str]] = [
    (network_edge.POLICY, APPS, "networkSecurityGroup", ..., "expected a security group, got nothing"),
    (network_edge.POLICY, APPS, "defaultOutboundAccess", ..., "expected false, got None"),
    (network_edge.POLICY, APPS, "defaultOutboundAccess", True, "expected false, got True"),
    (network_edge.POLICY, APPS_GROUP, "securityRules.0.sourceAddressPrefix", "Internet", NOT_OUTSIDE),
    (network_edge.POLICY, APPS_GROUP, "securityRules.0.sourceAddressPrefix", "VirtualNetwork", NOT_OUTSIDE),
    (network_edge.POLICY, APPS_GROUP, "securityRules.0.sourceAddressPrefix", "*", NOT_OUTSIDE),
    (network_edge.POLICY, APPS_GROUP, "securityRules.0.sourceAddressPrefix", "0.0.0.0/0", NOT_OUTSIDE),
    (network_edge.POLICY, APPS_GROUP, "securityRules.0.sourceAddressPrefix", "20.0.0.0/8", NOT_OUTSIDE),
    (network_edge.POLICY, APPS_GROUP, "securityRules.0.sourceAddressPrefixes", ["Internet"], NOT_OUTSIDE),
    (network_edge.POLICY, GATEWAY_GROUP, "securityRules.0.destinationPortRange", "80", NOT_OUTSIDE),
    (network_edge.POLICY, GATEWAY_GROUP, "securityRules.0.destinationPortRanges", ["80"], NOT_OUTSIDE),
    (network_edge.POLICY, GATEWAY_GROUP, "securityRules.0.protocol", "*", NOT_OUTSIDE),
    (network_edge.POLICY, GATEWAY_GROUP, "networkSecurityGroupName", "nsg-apps-americas", NOT_OUTSIDE),
    (network_edge.POLICY, GATEWAY_GROUP, "securityRules.3", ..., "a last inbound rule that denies everything"),
    (network_edge.POLICY, GATEWAY_GROUP, "securityRules.3.priority", 105, "a last inbound rule that denies everything"),
    (network_edge.POLICY, GATEWAY_GROUP, "securityRules.3.protocol", "Tcp", "a last inbound rule that denies"),
    (entry.POLICY, GATEWAY, "sku.tier", "Standard_v2", "sku.tier: expected WAF_v2, got Standard_v2"),
    (entry.POLICY, GATEWAY, "firewallPolicy", ..., "expected a firewall policy, got nothing"),
    (
        entry.POLICY,
        GATEWAY,
        "sslPolicy",
        ...,
        "expected AppGwSslPolicy20220101 or AppGwSslPolicy20220101S, got nothing",
    ),
    (entry.POLICY, GATEWAY, "sslPolicy.policyName", "AppGwSslPolicy20150501", "got AppGwSslPolicy20150501"),
    (entry.POLICY, GATEWAY, "sslPolicy.policyType", "Custom", "sslPolicy: expected"),
    (entry.POLICY, GATEWAY, "httpListeners.0.protocol", "Http", "httpListeners: public: expected Https, got Http"),
    (entry.POLICY, GATEWAY, "backendHttpSettingsCollection.0.protocol", "Http", "expected Https, got Http"),
    (entry.POLICY, GATEWAY, "probes.0.protocol", "Http", "probes: public: expected Https, got Http"),
    (entry.POLICY, GATEWAY, "sslCertificates.0.keyVaultSecretId", VERSIONED, "without a version, got https"),
    (entry.POLICY, GATEWAY, "sslCertificates.0.keyVaultSecretId", ..., "without a version, got nothing"),
    (entry.POLICY, GATEWAY, "sslCertificates.0.data", UNKNOWN, "data: expected nothing"),
    (entry.POLICY, GATEWAY, "sslCertificates.0.password", "hunter2", "password: expected nothing"),
    (entry.POLICY, CERTIFICATE, URI, VERSIONED, "without a version, got https"),
    (entry.POLICY, CERTIFICATE, "properties.certificateKeyVaultProperties", ..., "without a version, got nothing"),
    (entry.POLICY, CERTIFICATE, "properties.value", "MIIK", "properties.value: expected nothing"),
    (entry.POLICY, CERTIFICATE, "properties.password", UNKNOWN, "properties.password: expected nothing"),
    (firewall.POLICY, FIREWALL, f"{SETTINGS}.mode", "Detection", "expected Prevention, got Detection"),
    (firewall.POLICY, FIREWALL, f"{SETTINGS}.state", "Disabled", "expected Enabled, got Disabled"),
    (firewall.POLICY, FIREWALL, f"{SETTINGS}.requestBodyCheck", False, "expected True, got False"),
    (firewall.POLICY, FIREWALL, "managedRules.managedRuleSets.1", ..., "got Microsoft_DefaultRuleSet 2.1"),
    (
        firewall.POLICY,
        FIREWALL,
        "managedRules.managedRuleSets.0.ruleGroupOverrides",
        [{"ruleGroupName": "SQLI"}],
        "got overrides",
    ),
    (firewall.POLICY, FIREWALL, "customRules", [{"action": "Allow"}], "customRules: expected none"),
    (
        firewall.POLICY,
        FIREWALL,
        "managedRules.exceptions",
        [{"matchVariable": "RequestURI"}],
        "exceptions: expected none",
    ),
    (firewall.POLICY, FIREWALL, f"{EXCLUSION}.selector", "redirect", "known arguments, got Equals redirect"),
    (
        firewall.POLICY,
        FIREWALL,
        f"{EXCLUSION}.selectorMatchOperator",
        "EqualsAny",
        "known arguments, got EqualsAny iss",
    ),
    (firewall.POLICY, FIREWALL, f"{EXCLUSION}.matchVariable", "RequestHeaderNames", "one of the known arguments"),
    (firewall.POLICY, FIREWALL, f"{EXCLUSION}.exclusionManagedRuleSets", ..., "single rules of 931130, got all"),
    (firewall.POLICY, FIREWALL, f"{EXCLUSION}.exclusionManagedRuleSets.0.ruleGroups", [], "got all"),
    (firewall.POLICY, FIREWALL, RULES, ..., "single rules of 931130, got all"),
    (firewall.POLICY, FIREWALL, f"{RULES}.0.ruleId", "942100", "single rules of 931130, got 942100"),
    (
        least_access.POLICY,
        ROLE,
        "scope",
        "/subscriptions/s/resourceGroups/g",
        "expected a vault or one secret for Key Vault Secrets User",
    ),
]


@pytest.mark.parametrize(
    ("policy", "resource", "path", "value", "message"),
    [pytest.param(*row, marks=pytest.mark.rule(row[0].name)) for row in ROWS],
)
def test_what_breaks_a_rule_of_the_edge_is_refused(
    policy: ResourceValidationPolicy, resource: tuple[str, str], path: str, value: Any, message: str
) -> None:
    good = emitted("prod", *resource)
    assert not violations(policy, "prod", resource[0], good)
    found = violations(policy, "prod", resource[0], changed(good, path, value))
    assert any(message in v for v in found), found


@pytest.mark.rule(network_edge.POLICY.name)
def test_no_rule_at_all_is_refused() -> None:
    good = emitted("prod", *APPS_GROUP)
    assert violations(network_edge.POLICY, "prod", APPS_GROUP[0], changed(good, "securityRules", ...))
