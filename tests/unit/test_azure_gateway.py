"""What the emulated Resource Manager refuses of a gateway, its firewall, subnet and certificates, as Azure does."""

import base64
import ssl
from collections.abc import Callable
from contextlib import suppress
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs12

from emulators import tls
from emulators.azure.certificates import BROUGHT, context_of
from emulators.azure.errors import AzureError
from emulators.azure.operations import ResourceManager
from emulators.azure.vault_data import VaultData
from tests.support.azure_arm import SUBSCRIPTION, create, guid, place_of, vault, without_processes

GROUP = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg"
GATEWAY_ID = f"{GROUP}/providers/Microsoft.Network/applicationGateways/agw"
TOKEN = "azure-native:network:ApplicationGateway"
SECRETS_USER = (
    f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Authorization/roleDefinitions/"
    "4633458b-17de-408a-b874-0445c86b69e6"
)
MANAGER_RULE = {
    "name": "AllowGatewayManager",
    "priority": 100,
    "direction": "Inbound",
    "access": "Allow",
    "protocol": "Tcp",
    "sourceAddressPrefix": "GatewayManager",
    "sourcePortRange": "*",
    "destinationAddressPrefix": "*",
    "destinationPortRange": "65200-65535",
}
DENIED = MANAGER_RULE | {
    "name": "DenyAllInbound",
    "priority": 4096,
    "access": "Deny",
    "protocol": "*",
    "sourceAddressPrefix": "*",
    "destinationPortRange": "*",
}


class Edge:
    """A group with what a gateway needs; `gateway` makes one, changed by a test."""

    def __init__(self, manager: ResourceManager) -> None:
        self.manager = manager
        create(
            manager,
            "network:VirtualNetwork",
            virtualNetworkName="vnet",
            addressSpace={"addressPrefixes": ["10.1.0.0/16"]},
        )
        self.group = self.security_group("nsg", MANAGER_RULE, DENIED)
        self.subnet = self.make_subnet("gateway", "10.1.0.0/24", networkSecurityGroup={"id": self.group["id"]})
        self.address = create(
            manager,
            "network:PublicIPAddress",
            publicIpAddressName="pip",
            sku={"name": "Standard"},
            publicIPAllocationMethod="Static",
        )
        self.identity = create(manager, "managedidentity:UserAssignedIdentity", resourceName="id-entry")
        self.vault = vault(manager, application="teams-ehr-connector")
        self.firewall = firewall(manager)

    def may_read(self, scope: str) -> None:
        create(
            self.manager,
            "authorization:RoleAssignment",
            scope=scope,
            roleAssignmentName=guid("1"),
            principalId=self.identity["properties"]["principalId"],
            roleDefinitionId=SECRETS_USER,
        )

    def uri(self, name: str = "public-host") -> str:
        return f"{self.vault['properties']['vaultUri']}secrets/{name}"

    def security_group(self, name: str, *rules: dict[str, Any]) -> dict[str, Any]:
        kind = "network:NetworkSecurityGroup"
        return create(self.manager, kind, networkSecurityGroupName=name, securityRules=list(rules))

    def make_subnet(self, name: str, prefix: str, **inputs: Any) -> dict[str, Any]:
        given = {"virtualNetworkName": "vnet", "subnetName": name, "addressPrefix": prefix} | inputs
        return create(self.manager, "network:Subnet", **given)

    def inputs(self) -> dict[str, Any]:
        def part(kind: str, name: str) -> dict[str, str]:
            return {"id": f"{GATEWAY_ID}/{kind}/{name}"}

        return {
            "applicationGatewayName": "agw",
            "sku": {"name": "WAF_v2", "tier": "WAF_v2"},
            "identity": {"type": "UserAssigned", "userAssignedIdentities": [self.identity["id"]]},
            "firewallPolicy": {"id": self.firewall["id"]},
            "gatewayIPConfigurations": [{"name": "subnet", "subnet": {"id": self.subnet["id"]}}],
            "frontendIPConfigurations": [{"name": "public", "publicIPAddress": {"id": self.address["id"]}}],
            "frontendPorts": [{"name": "https", "port": 443}],
            "sslCertificates": [{"name": "one", "keyVaultSecretId": self.uri()}],
            "backendAddressPools": [{"name": "apps", "backendAddresses": [{"ipAddress": "10.1.4.4"}]}],
            "backendHttpSettingsCollection": [{"name": "apps", "protocol": "Https", "port": 443}],
            "httpListeners": [
                {
                    "name": "one",
                    "protocol": "Https",
                    "frontendIPConfiguration": part("frontendIPConfigurations", "public"),
                    "frontendPort": part("frontendPorts", "https"),
                    "sslCertificate": part("sslCertificates", "one"),
                }
            ],
            "requestRoutingRules": [
                {
                    "name": "one",
                    "priority": 100,
                    "httpListener": part("httpListeners", "one"),
                    "backendAddressPool": part("backendAddressPools", "apps"),
                    "backendHttpSettings": part("backendHttpSettingsCollection", "apps"),
                }
            ],
        }

    def gateway(self, **changes: Any) -> dict[str, Any]:
        return create(self.manager, "network:ApplicationGateway", **(self.inputs() | changes))


def firewall(manager: ResourceManager, name: str = "waf", **rules: Any) -> dict[str, Any]:
    managed = {"managedRuleSets": [{"ruleSetType": "Microsoft_DefaultRuleSet", "ruleSetVersion": "2.1"}]} | rules
    return create(manager, "network:WebApplicationFirewallPolicy", policyName=name, managedRules=managed)


@pytest.fixture
def edge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Edge:
    return Edge(without_processes(tmp_path, monkeypatch))


@pytest.fixture
def readable(edge: Edge) -> Edge:
    edge.may_read(f"{edge.vault['id']}/secrets/public-host")
    return edge


def test_a_gateway_that_has_what_it_needs_is_made_and_stays_the_same(readable: Edge) -> None:
    made = readable.gateway()
    inputs = place_of(TOKEN) | readable.inputs()
    assert readable.manager.update(TOKEN, made["id"], inputs)["properties"] == made["properties"]


@pytest.mark.parametrize(
    ("kind", "key"),
    [
        ("httpListeners", "frontendIPConfiguration"),
        ("httpListeners", "frontendPort"),
        ("httpListeners", "sslCertificate"),
        ("requestRoutingRules", "httpListener"),
        ("requestRoutingRules", "backendAddressPool"),
        ("requestRoutingRules", "backendHttpSettings"),
    ],
)
def test_a_part_names_parts_that_exist(readable: Edge, kind: str, key: str) -> None:
    parts = deepcopy(readable.inputs()[kind])
    parts[0][key]["id"] += "-absent"
    with pytest.raises(AzureError, match=f"-absent, referenced by {kind}.0.{key}.id"):
        readable.gateway(**{kind: parts})


def test_a_listener_has_a_rule_and_a_rule_a_listener_of_its_own(readable: Edge) -> None:
    with pytest.raises(AzureError, match="no rule uses the listener one"):
        readable.gateway(requestRoutingRules=[])
    (rule,) = readable.inputs()["requestRoutingRules"]
    with pytest.raises(AzureError, match="share a priority or a listener"):
        readable.gateway(requestRoutingRules=[rule, rule | {"name": "two", "priority": 110}])


def test_a_firewall_policy_needs_a_gateway_with_a_firewall(readable: Edge) -> None:
    standard = {"name": "Standard_v2", "tier": "Standard_v2"}
    with pytest.raises(AzureError, match="ApplicationGatewayFirewallPolicyNotSupportedForSku"):
        readable.gateway(sku=standard)
    with pytest.raises(AzureError, match="gateways of SKU Standard_v2"):
        readable.gateway(sku=standard, firewallPolicy=None)


def test_an_exclusion_is_from_a_rule_set_that_is_used(edge: Edge) -> None:
    other = [{"ruleSetType": "OWASP", "ruleSetVersion": "3.2"}]
    one = {"matchVariable": "RequestArgNames", "selectorMatchOperator": "Equals", "selector": "iss"}
    with pytest.raises(AzureError, match=r"excludes from OWASP 3\.2, not used"):
        firewall(edge.manager, "other", exclusions=[one | {"exclusionManagedRuleSets": other}])


# --- the subnet -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "rules",
    [
        [DENIED],
        [MANAGER_RULE | {"destinationPortRange": "443"}, DENIED],
        [MANAGER_RULE | {"sourceAddressPrefix": "AzureLoadBalancer"}, DENIED],
        [MANAGER_RULE, DENIED | {"priority": 101, "name": "Then"}][1:],
        [],
    ],
)
def test_a_gateways_subnet_lets_in_what_runs_it(readable: Edge, rules: list[dict[str, Any]]) -> None:
    group = readable.security_group("closed", *rules)
    subnet = readable.make_subnet("other", "10.1.1.0/24", networkSecurityGroup={"id": group["id"]})
    with pytest.raises(AzureError, match="blocks incoming traffic on ports 65200 - 65535"):
        readable.gateway(gatewayIPConfigurations=[{"name": "subnet", "subnet": {"id": subnet["id"]}}])


def test_a_group_or_a_subnet_is_not_closed_under_a_gateway(readable: Edge) -> None:
    readable.gateway()
    manager, blocked = readable.manager, "blocks incoming traffic on ports 65200 - 65535"
    token = "azure-native:network:NetworkSecurityGroup"
    inputs = place_of(token) | {"networkSecurityGroupName": "nsg", "securityRules": [DENIED]}
    with pytest.raises(AzureError, match=blocked):
        manager.update(token, readable.group["id"], inputs)
    closed = readable.security_group("closed", DENIED)
    token = "azure-native:network:Subnet"
    inputs = {"resourceGroupName": "rg", "virtualNetworkName": "vnet", "subnetName": "gateway"}
    inputs |= {"addressPrefix": "10.1.0.0/24"}
    with pytest.raises(AzureError, match=blocked):
        manager.update(token, readable.subnet["id"], inputs | {"networkSecurityGroup": {"id": closed["id"]}})


def test_a_gateway_stands_in_nobody_elses_subnet(readable: Edge) -> None:
    delegations = [{"name": "apps", "serviceName": "Microsoft.App/environments"}]
    delegated = readable.make_subnet("apps", "10.1.1.0/24", delegations=delegations)
    shared = readable.make_subnet("endpoints", "10.1.2.0/24")
    create(readable.manager, "network:PrivateEndpoint", privateEndpointName="pe", subnet={"id": shared["id"]})
    for subnet, code in ((delegated, "SubnetIsDelegated"), (shared, "CannotHaveOtherResources")):
        with pytest.raises(AzureError, match=code):
            readable.gateway(gatewayIPConfigurations=[{"name": "subnet", "subnet": {"id": subnet["id"]}}])
    with pytest.raises(AzureError, match="expected one subnet"):
        readable.gateway(gatewayIPConfigurations=[])


def test_nobody_else_comes_into_a_gateways_subnet(readable: Edge) -> None:
    readable.gateway()
    subnet = {"id": readable.subnet["id"]}
    with pytest.raises(AzureError, match="CannotHaveOtherResources"):
        create(readable.manager, "network:PrivateEndpoint", privateEndpointName="pe", subnet=subnet)


def test_what_a_gateway_uses_stays(readable: Edge) -> None:
    made = readable.gateway()
    manager = readable.manager
    used: list[tuple[str, dict[str, Any], str]] = [
        ("network:PublicIPAddress", readable.address, "PublicIPAddressCannotBeDeleted"),
        ("network:WebApplicationFirewallPolicy", readable.firewall, "ResourceInUse"),
        ("network:Subnet", readable.subnet, "ResourceInUse"),
    ]
    for kind, resource, code in used:
        with pytest.raises(AzureError, match=code):
            manager.delete(f"azure-native:{kind}", resource["id"])
    manager.delete(TOKEN, made["id"])
    for kind, resource, _ in used:
        manager.delete(f"azure-native:{kind}", resource["id"])
        assert manager.store.read().get(resource["id"]) is None


# --- certificates -----------------------------------------------------------------------------------------------


def test_certificates_of_the_runs_authority_are_in_a_vault_of_ours(edge: Edge) -> None:
    data = VaultData(edge.manager.state, "kv-one")
    assert data.names("secrets") == sorted(BROUGHT)
    authority = x509.load_pem_x509_certificate(tls.ca_certificate(edge.manager.state).read_bytes())
    for name, hosts in BROUGHT.items():
        secret = data.secret(name) or {}
        assert secret["contentType"] == "application/x-pkcs12"
        key, certificate, _ = pkcs12.load_key_and_certificates(base64.b64decode(secret["value"]), None)
        assert key is not None
        assert certificate is not None
        certificate.verify_directly_issued_by(authority)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert tuple(names.get_values_for_type(x509.DNSName)) == hosts


def test_a_vault_keeps_its_certificates_through_an_update_and_they_go_with_it(edge: Edge) -> None:
    token = "azure-native:keyvault:Vault"
    data = VaultData(edge.manager.state, "kv-one")
    before = data.secret("public-host")
    properties = {"tenantId": edge.vault["properties"]["tenantId"], "sku": edge.vault["properties"]["sku"]}
    inputs = {"vaultName": "kv-one", "properties": properties, "tags": {"application": "teams-ehr-connector", "a": "b"}}
    edge.manager.update(token, edge.vault["id"], place_of(token) | inputs)
    assert data.secret("public-host") == before
    edge.manager.delete(token, edge.vault["id"])
    assert data.names("secrets") == []
    assert not edge.manager.store.read().below(edge.vault["id"])


def test_a_vault_of_somebody_else_is_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vault(without_processes(tmp_path, monkeypatch))
    assert VaultData(tmp_path, "kv-one").names("secrets") == []


Reader = Callable[[Edge, str], dict[str, Any]]


def gateway_with(edge: Edge, uri: str) -> dict[str, Any]:
    return edge.gateway(sslCertificates=[{"name": "one", "keyVaultSecretId": uri}])


def environment_with(edge: Edge, uri: str) -> dict[str, Any]:
    identity = {"type": "UserAssigned", "userAssignedIdentities": [edge.identity["id"]]}
    create(edge.manager, "app:ManagedEnvironment", environmentName="cae", identity=identity)
    properties = {"certificateKeyVaultProperties": {"identity": edge.identity["id"], "keyVaultUrl": uri}}
    kind = "app:Certificate"
    return create(edge.manager, kind, environmentName="cae", certificateName="one", properties=properties)


READERS = [gateway_with, environment_with]


@pytest.mark.parametrize("reader", READERS)
def test_a_certificate_that_may_be_read_is_taken(reader: Reader, readable: Edge) -> None:
    assert reader(readable, readable.uri())["properties"]["provisioningState"] == "Succeeded"


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("scope", ["", "/secrets/portal-host"])
def test_a_certificate_that_its_identity_may_not_read_is_refused(reader: Reader, scope: str, edge: Edge) -> None:
    if scope:
        edge.may_read(edge.vault["id"] + scope)
    with pytest.raises(AzureError, match="access denied for the secret"):
        reader(edge, edge.uri())


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("uri", ["{vault}secrets/other", "https://127.0.0.1:1/secrets/public-host", "public-host"])
def test_a_certificate_that_no_vault_has_is_missing(reader: Reader, uri: str, edge: Edge) -> None:
    edge.may_read(edge.vault["id"])
    with pytest.raises(AzureError, match="the vault has no certificate at"):
        reader(edge, uri.format(vault=edge.vault["properties"]["vaultUri"]))


def test_a_certificate_is_read_by_an_identity_of_its_environment(readable: Edge) -> None:
    create(readable.manager, "app:ManagedEnvironment", environmentName="cae")
    reference = {"identity": readable.identity["id"], "keyVaultUrl": readable.uri()}
    properties = {"certificateKeyVaultProperties": reference}
    with pytest.raises(AzureError, match="is not assigned to the environment"):
        create(readable.manager, "app:Certificate", environmentName="cae", certificateName="one", properties=properties)


def test_an_environment_shows_the_certificate_that_the_vault_has_now(readable: Edge) -> None:
    certificate = environment_with(readable, readable.uri())
    state, contents = readable.manager.state, readable.manager.store.read()
    data = VaultData(state, "kv-one")
    for _ in range(2):
        secret = data.secret("public-host") or {}
        _, brought, _ = pkcs12.load_key_and_certificates(base64.b64decode(secret["value"]), None)
        assert brought is not None
        context = context_of(state, contents, certificate["id"], "localhost:8441")
        assert shown_by(context, tls.client_context(state)) == brought.public_bytes(serialization.Encoding.DER)
        data.set_secret("public-host", (data.secret("portal-host") or {})["value"])  # a renewal


def test_a_host_is_not_served_with_a_certificate_that_is_gone(readable: Edge) -> None:
    certificate = environment_with(readable, readable.uri())
    state, contents = readable.manager.state, readable.manager.store.read()
    VaultData(state, "kv-one").delete("secrets", "public-host")
    with pytest.raises(AzureError, match="CertificateNotFound"):
        context_of(state, contents, certificate["id"], "localhost:8441")


def shown_by(server: ssl.SSLContext, client: ssl.SSLContext) -> bytes | None:
    """The leaf, DER, of a handshake in memory."""
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = (
        client.wrap_bio(to_client, to_server, server_hostname="localhost"),
        server.wrap_bio(to_server, to_client, server_side=True),
    )
    for _ in range(4):
        for side in sides:
            with suppress(ssl.SSLWantReadError):
                side.do_handshake()
    return sides[0].getpeercert(binary_form=True)
