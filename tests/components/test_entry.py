"""The entry of a geography: gateway, firewall, and the certificates of its hosts."""

import re
from typing import Any

import pytest
from pydantic.alias_generators import to_camel

from components.access import KEY_VAULT_SECRETS_USER
from runtime.visit.rows import HEARTBEAT_SECONDS
from schemas.stack_config import Certificates, Network
from schemas.strict_yaml import read_yaml
from schemas.vocabulary import GeographyName
from tests.support.program import guid, run, sample, stack_of
from tests.support.samples import ROOT

GATEWAY = "azure-native:network:ApplicationGateway"
FIREWALL = "azure-native:network:WebApplicationFirewallPolicy"


def gateway(stack: str, geography: str = "emea") -> dict[str, Any]:
    return sample(stack).one(GATEWAY, name=f"{geography}-gateway").inputs


def parts(gateway: dict[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    return {part["name"]: part for part in gateway[kind]}


def last(reference: dict[str, str]) -> str:
    return reference["id"].rsplit("/", 1)[1]


@pytest.mark.parametrize(
    ("stack", "hosts"),
    [
        ("prod", {"public": "visits.emea.connector.example.org"}),
        (
            "test",
            {"public": "visits-test.emea.connector.example.org", "portal": "approvals.emea.connector.example.org"},
        ),
    ],
)
def test_each_host_is_reached_over_https_alone_and_passed_on_over_https_by_its_own_name(
    stack: str, hosts: dict[str, str]
) -> None:
    made = gateway(stack)
    listeners, backends = parts(made, "httpListeners"), parts(made, "backendHttpSettingsCollection")
    probes, rules = parts(made, "probes"), parts(made, "requestRoutingRules")
    assert {name: one["hostName"] for name, one in listeners.items()} == hosts
    assert [port["port"] for port in made["frontendPorts"]] == [443]
    for name, host in hosts.items():
        assert (listeners[name]["protocol"], listeners[name]["requireServerNameIndication"]) == ("Https", True)
        assert (backends[name]["protocol"], backends[name]["port"]) == ("Https", 443)
        assert backends[name]["hostName"] == host
        assert (probes[name]["protocol"], probes[name]["host"], probes[name]["path"]) == ("Https", host, "/readyz")
        assert last(backends[name]["probe"]) == name
        assert last(rules[name]["httpListener"]) == last(rules[name]["backendHttpSettings"]) == name
    assert made["backendAddressPools"] == [
        {"name": "environment", "backendAddresses": [{"ipAddress": "10.0.0.4"}]},
    ]


def test_events_are_not_buffered_and_outlive_their_heartbeat() -> None:
    made = gateway("prod")
    assert made["globalConfiguration"] == {"enableRequestBuffering": True, "enableResponseBuffering": False}
    for backend in made["backendHttpSettingsCollection"]:
        assert HEARTBEAT_SECONDS * 4 < backend["requestTimeout"] < CONTAINER_APPS_SECONDS


CONTAINER_APPS_SECONDS = 240
"""After which Container Apps ends a quiet stream."""


def test_the_gateway_takes_tls_1_2_at_least_and_spans_zones() -> None:
    made = gateway("prod")
    assert made["sslPolicy"] == {"policyType": "Predefined", "policyName": "AppGwSslPolicy20220101S"}
    assert made["zones"] == ["1", "2", "3"]
    assert made["sku"] == {"name": "WAF_v2", "tier": "WAF_v2"}


def test_the_gateway_scales_by_stage() -> None:
    assert gateway("prod")["autoscaleConfiguration"] == {"minCapacity": 2, "maxCapacity": 10}
    assert gateway("test")["autoscaleConfiguration"] == {"minCapacity": 0, "maxCapacity": 2}


def test_the_gateway_stands_alone_in_its_subnet_behind_its_own_address() -> None:
    made = gateway("prod")
    assert [last(c["subnet"]) for c in made["gatewayIPConfigurations"]] == ["emea-network-gateway"]
    assert [last(c["publicIPAddress"]) for c in made["frontendIPConfigurations"]] == ["emea-gateway-address"]
    users = [s.name for s in sample("prod").resources if "emea-network-gateway" in str(s.inputs)]
    assert users == ["emea-gateway"]


@pytest.mark.parametrize("stack", ["test", "prod", "local"])
def test_every_host_has_a_firewall_in_prevention_mode_with_the_rules_of_today(stack: str) -> None:
    policies = {p.name: p.inputs for p in sample(stack).of(FIREWALL)}
    for made in sample(stack).of(GATEWAY):
        named = [made.inputs["firewallPolicy"], *(one["firewallPolicy"] for one in made.inputs["httpListeners"])]
        assert {last(n) for n in named} == {n for n in policies if n.startswith(made.name)}
    for policy in policies.values():
        assert (policy["policySettings"]["mode"], policy["policySettings"]["state"]) == ("Prevention", "Enabled")
        rule_sets = [(s["ruleSetType"], s["ruleSetVersion"]) for s in policy["managedRules"]["managedRuleSets"]]
        assert rule_sets == [("Microsoft_DefaultRuleSet", "2.1"), ("Microsoft_BotManagerRuleSet", "1.1")]


def excluded(policy: str) -> dict[str, set[str]]:
    """Rules by the argument that they are not applied to."""
    found = sample("test").one(FIREWALL, name=policy).inputs["managedRules"]["exclusions"]
    assert {e["matchVariable"] for e in found} == {"RequestArgNames"}
    return {
        e["selector"]: {
            rule["ruleId"]
            for rules in e["exclusionManagedRuleSets"]
            for group in rules["ruleGroups"]
            for rule in group["rules"]
        }
        for e in found
    }


def test_a_launch_is_let_through_by_exclusions_of_single_rules_for_single_arguments() -> None:
    found = excluded("emea-gateway-firewall-public")
    assert found["iss"] == found["error_uri"] == {"931130"}
    for argument in ("launch", "code", "state", "client_info", "validationTokens", "encryptedContent"):
        assert found[argument] == {"942440", "942450", "99031002"}
    assert len(found) == 8


def test_what_the_portals_form_needs_is_excluded_at_the_portals_host_alone() -> None:
    portal, public = excluded("emea-gateway-firewall-portal"), excluded("emea-gateway-firewall-public")
    forms = {"fhirBaseUrl", "tokenEndpointOrigins", "frameOrigins", ".issuer"}
    assert portal.keys() - public.keys() == forms
    assert all(portal[argument] == {"931130"} for argument in forms)
    assert public.keys() - portal.keys() == {"validationTokens", "encryptedContent"}


def test_what_the_firewall_logs_is_scrubbed_of_every_value() -> None:
    settings = sample("prod").one(FIREWALL, name="emea-gateway-firewall-public").inputs["policySettings"]
    scrubbed = settings["logScrubbing"]
    assert scrubbed["state"] == "Enabled"
    assert {(r["selectorMatchOperator"], r["state"]) for r in scrubbed["scrubbingRules"]} == {("EqualsAny", "Enabled")}
    assert {r["matchVariable"] for r in scrubbed["scrubbingRules"]} >= {
        "RequestArgNames",
        "RequestPostArgNames",
        "RequestJSONArgNames",
        "RequestCookieNames",
    }


# --- certificates -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("stack", "names"), [("prod", ["public-host"]), ("test", ["public-host", "portal-host"])])
def test_gateway_and_environment_serve_the_certificates_of_the_own_vault_without_a_version(
    stack: str, names: list[str]
) -> None:
    program = sample(stack)
    for geography in ("americas", "emea"):
        vault = program.one("azure-native:keyvault:Vault", name=f"{geography}-vault").inputs["vaultName"]
        uris = {name: f"https://{vault}.vault.azure.net/secrets/{name}" for name in names}
        found = gateway(stack, geography)["sslCertificates"]
        assert found == [{"name": name, "keyVaultSecretId": uri} for name, uri in uris.items()]
        identity = gateway(stack, geography)["identity"]["userAssignedIdentities"]
        for name, uri in uris.items():
            made = program.one("azure-native:app:Certificate", name=f"{geography}-environment-{name}").inputs
            reference = made["properties"]["certificateKeyVaultProperties"]
            assert reference == {"identity": identity[0], "keyVaultUrl": uri}
        environment = program.one("azure-native:app:ManagedEnvironment", name=f"{geography}-environment").inputs
        assert environment["identity"]["userAssignedIdentities"] == identity


def test_each_app_binds_the_certificate_of_its_own_host() -> None:
    for role, certificate in (("application", "public-host"), ("portal", "portal-host")):
        app = sample("test").one("azure-native:app:ContainerApp", name=f"emea-{role}").inputs
        (domain,) = app["configuration"]["ingress"]["customDomains"]
        assert domain["bindingType"] == "SniEnabled"
        assert domain["certificateId"].endswith(f"/emea-environment-{certificate}")


def test_the_identity_of_the_entry_reads_exactly_its_certificates() -> None:
    program = sample("test")
    principal = guid("emea-certificates-identity", "principal")
    roles = [
        (a.inputs["scope"].rsplit("/", 3)[1:], a.inputs["roleDefinitionId"].rsplit("/", 1)[1])
        for a in program.of("azure-native:authorization:RoleAssignment")
        if a.inputs["principalId"] == principal
    ]
    vault = program.one("azure-native:keyvault:Vault", name="emea-vault").inputs["vaultName"]
    assert sorted(roles) == [
        ([vault, "secrets", name], KEY_VAULT_SECRETS_USER) for name in ("portal-host", "public-host")
    ]


def test_certificates_are_read_once_the_role_and_the_way_to_the_vault_are_there() -> None:
    program = sample("prod")
    needed = {
        r.urn
        for r in program.resources
        if r.name
        in ("emea-certificates-access-public-host-entry", "emea-vault-records", "emea-network-vault-zone-link")
        and r.custom
    }
    assert len(needed) == 3
    for type_, name in ((GATEWAY, "emea-gateway"), ("azure-native:app:Certificate", "emea-environment-public-host")):
        assert needed <= program.one(type_, name=name).depends_on


def test_the_vaults_lock_comes_after_the_roles_below_it_and_goes_before_them() -> None:
    program = sample("prod")
    (role,) = [r.urn for r in program.resources if r.name == "emea-certificates-access-public-host-entry"]
    lock = program.one("azure-native:authorization:ManagementLockByScope", name="emea-governance-vault")
    assert role in lock.depends_on


def test_one_certificate_may_be_for_both_hosts() -> None:
    stack = stack_of("test")
    name = next(iter(stack.geographies))
    both = stack.geographies[name].certificates.model_copy(update={"portal_host": "public-host"})
    geography = stack.geographies[name].model_copy(update={"certificates": both})
    program = run(stack.model_copy(update={"geographies": {name: geography}, "organizations": ()}))
    assert [c["name"] for c in program.one(GATEWAY, name=f"{name}-gateway").inputs["sslCertificates"]] == [
        "public-host"
    ]
    assert len(program.of("azure-native:app:Certificate")) == 1


def test_the_gateways_address_is_an_output_for_dns() -> None:
    for outputs in sample("prod").outputs.values():
        assert {"gateway_address", "egress_address"} <= set(outputs)


# --- docs/certificates.md ---------------------------------------------------------------------------------------

DOCUMENT = (ROOT / "docs" / "certificates.md").read_text("utf-8")


def test_the_documented_setting_is_one_that_the_configuration_takes() -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", DOCUMENT, re.DOTALL)
    document: Any = read_yaml(block).value
    given = document["teams-ehr-connector:geographies"]["emea"]["certificates"]
    assert Certificates.model_validate(given) == stack_of("test").geographies[GeographyName.EMEA].certificates


def test_documented_names_are_those_that_are_emitted() -> None:
    emitted = sample("test")
    names = {i.inputs["resourceName"] for i in emitted.of("azure-native:managedidentity:UserAssignedIdentity")}
    documented = re.findall(r"`(id-[a-z-]+)<geography>-<stage>`", DOCUMENT)
    assert {f"{prefix}emea-test" for prefix in documented} == {n for n in names if n == "id-entry-emea-test"}
    assert set(re.findall(r"output `(\w+)`", DOCUMENT)) <= set(emitted.outputs["emea"])
    settings = {to_camel(field) for field in Network.model_fields}
    assert set(re.findall(r"`network\.(\w+)`", DOCUMENT)) <= settings
    for link in re.findall(r"\]\(([^)#]+)", DOCUMENT):
        assert (ROOT / "docs" / link).is_file(), link
