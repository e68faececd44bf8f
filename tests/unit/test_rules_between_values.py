"""Each rule between values finds what it is for, at the value, and nothing in the samples."""

from collections.abc import Iterable
from functools import cache
from typing import Any

import pytest

from schemas.problems import Severity
from schemas.rules import RULES
from tests.support.edge_rows import EDGE_ROWS
from tests.support.samples import load, replaced, stack_files, text

LOCAL, TEST, PROD = "Pulumi.local.yaml", "Pulumi.test.yaml", "Pulumi.prod.yaml"
PRAIRIE, NORTHWIND = "organizations/local/prairie.yaml", "organizations/test/northwind.yaml"

LAKESIDE_URL = "https://127.0.0.1:8471/interconnect-lakeside-tst/api/FHIR/R4"
PRAIRIE_URL = "https://127.0.0.1:8472/interconnect-prairie-tst/api/FHIR/R4"

BACKEND = (
    "      backend:\n        clientId: prairie-tst-backend\n        authentication:\n"
    "          method: private_key_jwt\n          key: prairie-tst-backend-key\n"
    "          algorithm: RS384\n"
)
EMULATION = (
    "    emulation:\n      entraUrl: https://127.0.0.1:8461\n      graphUrl: https://127.0.0.1:8462\n"
    "      caBundle: .local/ca/ca.pem\n"
)
OWN_ENDPOINTS = (
    "    nationalCloud: global\n    emulation: {entraUrl: https://entra.example.org, "
    "graphUrl: https://graph.example.org, caBundle: ca.pem}\n"
)

APAC_KEY = (
    '    trustedKeys:\n      - keyId: "'
    + "a" * 64
    + '"\n        name: portal-signing\n        version: "'
    + "b" * 32
    + '"\n        geography: apac\n        statementTypes: [approval]\n'
)

Pairs = list[tuple[str, str]]

ROWS: list[tuple[str, str, Pairs, str]] = [
    # code, file, texts to replace, path of the value that is reported
    *EDGE_ROWS,
    (
        "region-outside-geography",
        LOCAL,
        [("location: eastus2", "location: westeurope")],
        "geographies.americas.location",
    ),
    (
        "region-outside-geography",
        LOCAL,
        [("- centralus", "- westeurope")],
        "geographies.americas.allowedRegions[1]",
    ),
    ("location-not-allowed", LOCAL, [("location: eastus2", "location: westus")], "geographies.americas.location"),
    (
        "public-host-repeated",
        LOCAL,
        [("production: localhost:8452", "production: localhost:8441")],
        "geographies.emea.publicHosts.production",
    ),
    (
        "subnet-outside-address-space",
        LOCAL,
        [("databaseSubnet: 10.21.2.0/28", "databaseSubnet: 10.99.2.0/28")],
        "geographies.americas.network.databaseSubnet",
    ),
    (
        "subnets-overlap",
        LOCAL,
        [("databaseSubnet: 10.21.2.0/28", "databaseSubnet: 10.21.1.0/28")],
        "geographies.americas.network.databaseSubnet",
    ),
    (
        "subnet-too-small",
        LOCAL,
        [("appsSubnet: 10.21.0.0/23", "appsSubnet: 10.21.0.0/28")],
        "geographies.americas.network.appsSubnet",
    ),
    ("organization-id-repeated", PRAIRIE, [("id: prairie\n", "id: lakeside\n")], "organizations[1].id"),
    ("organization-geography-missing", TEST, [("    emea:\n", "    apac:\n")], "organizations[1].geography"),
    (
        "guest-account",
        LOCAL,
        [
            (
                "approver:\n            tenantId: 1a1a1a1a-0000-4000-8000-000000000001",
                "approver:\n            tenantId: 1a1a1a1a-0000-4000-8000-000000000009",
            )
        ],
        "organizations[0].connections[0].approver.tenantId",
    ),
    (
        "guest-account",
        LOCAL,
        [
            (
                "administrators:\n        - tenantId: 1a1a1a1a-0000-4000-8000-000000000001",
                "administrators:\n        - tenantId: 1a1a1a1a-0000-4000-8000-000000000009",
            )
        ],
        "organizations[0].administrators[0].tenantId",
    ),
    (
        "connection-id-repeated",
        PRAIRIE,
        [("id: prairie-test", "id: lakeside-test")],
        "organizations[1].connections[0].id",
    ),
    (
        "stage-mixed",
        PROD,
        [("          stage: production", "          stage: test")],
        "organizations[0].connections[0].stage",
    ),
    (
        "fhir-url-not-shared",
        PRAIRIE,
        [(PRAIRIE_URL, LAKESIDE_URL.replace("lakeside", "LakeSide"))],
        "organizations[1].connections[0].fhirBaseUrl",
    ),
    (
        "fhir-url-not-shared",
        PRAIRIE,
        [(PRAIRIE_URL, f"{LAKESIDE_URL}\n    sharedWith: [lakeside]")],
        "organizations[0].connections[0].fhirBaseUrl",
    ),
    (
        "fhir-url-not-shared",
        PRAIRIE,
        [(PRAIRIE_URL, LAKESIDE_URL.replace("lakeside", "l%61keside").replace("api", "%61pi"))],
        "organizations[1].connections[0].fhirBaseUrl",
    ),
    (
        "fhir-url-not-shared",
        PRAIRIE,
        [(PRAIRIE_URL, f"{LAKESIDE_URL.replace('tst', 'prd')}\n    sharedWith: [lakeside]")],
        "organizations[1].connections[0].fhirBaseUrl",
    ),
    (
        "sharing-without-partner",
        PRAIRIE,
        [(PRAIRIE_URL, f"{PRAIRIE_URL}\n    sharedWith: [lakeside]")],
        "organizations[1].connections[0].sharedWith[0]",
    ),
    ("epic-url-unusual", PRAIRIE, [(PRAIRIE_URL, f"{PRAIRIE_URL}B")], "organizations[1].connections[0].fhirBaseUrl"),
    (
        "backend-client-missing",
        PRAIRIE,
        [
            (
                BACKEND,
                "",
            )
        ],
        "organizations[1].connections[0].clients.backend",
    ),
    (
        "frame-origins-missing",
        PRAIRIE,
        [
            (
                "frameOrigins:\n      - https://127.0.0.1:8472\n      - https://ehr.prairie.example:8472",
                "frameOrigins: []",
            )
        ],
        "organizations[1].connections[0].frameOrigins",
    ),
    (
        "external-connection-status-unused",
        PRAIRIE,
        [("ehr: epic\n", "ehr: smart\n    externalConnectionStatus: {method: POST}\n")],
        "organizations[1].connections[0].externalConnectionStatus",
    ),
    (
        "context-keys-repeated",
        PRAIRIE,
        [("departmentId: departmentId", "departmentId: sessionId")],
        "organizations[1].connections[0].launchContextKeys.departmentId",
    ),
    (
        "client-id-in-both-stages",
        PRAIRIE,
        [("clientId: prairie-prd-backend", "clientId: prairie-tst-backend")],
        "organizations[1].connections[1].clients.backend.clientId",
    ),
    (
        "client-id-repeated",
        PRAIRIE,
        [("clientId: prairie-tst-patient", "clientId: prairie-tst-provider")],
        "organizations[1].connections[0].clients.patient.clientId",
    ),
    (
        "credential-shared",
        PRAIRIE,
        [("key: prairie-tst-backend-key", "key: lakeside-tst-backend-key")],
        "organizations[1].connections[0].clients.backend.authentication.key",
    ),
    (
        "credential-name-reserved",
        PRAIRIE,
        [("key: prairie-tst-backend-key", "key: visit-key")],
        "organizations[1].connections[0].clients.backend.authentication.key",
    ),
    (
        "credential-name-reserved",
        PRAIRIE,
        [("key: prairie-tst-backend-key", "key: americas-configuration-0123456789abcdef")],
        "organizations[1].connections[0].clients.backend.authentication.key",
    ),
    (
        "emulation-missing",
        LOCAL,
        [
            (
                EMULATION,
                "",
            )
        ],
        "microsoft365.emulation",
    ),
    (
        "national-cloud-with-emulation",
        LOCAL,
        [("    emulation:\n", "    nationalCloud: global\n    emulation:\n")],
        "microsoft365.nationalCloud",
    ),
    ("national-cloud-missing", TEST, [("    nationalCloud: global\n", "")], "microsoft365.nationalCloud"),
    (
        "emulation-in-azure",
        TEST,
        [
            (
                "    nationalCloud: global\n",
                OWN_ENDPOINTS,
            )
        ],
        "microsoft365.emulation",
    ),
    (
        "public-host-repeated",
        LOCAL,
        [("portalHost: localhost:8446", "portalHost: localhost:8441")],
        "geographies.apac.portalHost",
    ),
    ("portal-host-missing", LOCAL, [("      portalHost: localhost:8445\n", "")], "geographies.emea.portalHost"),
    (
        "portal-host-unused",
        PROD,
        [
            (
                "      network:\n        addressSpace: 10.41",
                "      portalHost: approvals.example.org\n      network:\n        addressSpace: 10.41",
            )
        ],
        "geographies.americas.portalHost",
    ),
    (
        "replicas-in-azure",
        TEST,
        [("      portalHost: approvals.emea", "      replicas: 3\n      portalHost: approvals.emea")],
        "geographies.emea.replicas",
    ),
    (
        "portal-application-missing",
        LOCAL,
        [("    portalApplicationId: 2b2b2b2b-0000-4000-8000-000000000003\n", "")],
        "microsoft365.portalApplicationId",
    ),
    (
        "repository-missing",
        LOCAL,
        [("    repository:\n      folder: .local/repository.git\n", "")],
        "promotion.repository",
    ),
    (
        "repository-ambiguous",
        LOCAL,
        [("      folder: .local/repository.git\n", "      branch: main\n")],
        "promotion.repository",
    ),
    (
        "repository-folder-in-azure",
        TEST,
        [
            (
                "      url: https://github.com/contoso-health/teams-ehr-connector-config\n",
                "      folder: repository.git\n",
            )
        ],
        "promotion.repository.folder",
    ),
    ("promotion-source-missing", PROD, [("    source: test\n", "")], "promotion.source"),
    (
        "trusted-key-repeated",
        LOCAL,
        [
            (
                "6c322f7e423d996d3bba6244df3c0345ab76285e8cfe2f15c27bb57295f6541b",
                "3bd38eeb24bbbb7a7f91f3b84824ac161a9cffd20640411f575628709a788250",
            )
        ],
        "promotion.trustedKeys[1].keyId",
    ),
    (
        "trusted-key-geography-missing",
        TEST,
        [("    trustedKeys: []\n", APAC_KEY)],
        "promotion.trustedKeys[0].geography",
    ),
]

IN_AZURE: list[tuple[str, str, str]] = [
    # code, what the FHIR base URL of a stack in Azure becomes, why
    ("http-in-azure", "http://localhost/api/FHIR/R4", "http"),
    ("address-in-azure", "https://localhost/api/FHIR/R4", "loopback by name"),
    ("address-in-azure", "https://127.0.0.1/api/FHIR/R4", "loopback by address"),
    ("address-in-azure", "https://[::1]/api/FHIR/R4", "loopback of IPv6"),
    ("address-in-azure", "https://10.1.2.3/api/FHIR/R4", "private address"),
    ("address-in-azure", "https://169.254.169.254/api/FHIR/R4", "link-local address, the cloud's metadata"),
    ("address-in-azure", "https://2130706433/api/FHIR/R4", "loopback as one number"),
    ("address-in-azure", "https://0x7f.1/api/FHIR/R4", "loopback in hexadecimal"),
    ("address-in-azure", "https://127.1/api/FHIR/R4", "loopback shortened"),
    ("address-in-azure", "https://0177.0.0.1/api/FHIR/R4", "loopback in octal"),
    ("address-in-azure", "https://[::ffff:7f00:1]/api/FHIR/R4", "loopback mapped into IPv6"),
    ("address-in-azure", "https://[64:ff9b::a9fe:a9fe]/api/FHIR/R4", "metadata behind NAT64"),
    ("address-in-azure", "https://[2002:7f00:1::]/api/FHIR/R4", "loopback in 6to4"),
    ("address-in-azure", "https://0.0.0.0/api/FHIR/R4", "unspecified address"),
    ("address-in-azure", "https://localhost./api/FHIR/R4", "loopback by rooted name"),
    ("address-in-azure", "https://1.2.3.4.5/api/FHIR/R4", "no address and no name"),
    ("address-in-azure", "https://ehr/api/FHIR/R4", "a name without domain"),
]


@cache
def codes_of_sample(stack_file: str) -> set[str]:
    return {p.code for p in load(stack_file).problems}


def of_rules(rows: Iterable[tuple[Any, ...]], ids: Iterable[str]) -> list[Any]:
    """Rows whose first value is the code of their rule."""
    return [pytest.param(*r, id=i, marks=pytest.mark.rule(r[0])) for r, i in zip(rows, ids, strict=True)]


@pytest.mark.parametrize(("code", "file", "pairs", "path"), of_rules(ROWS, [f"{r[0]} {n}" for n, r in enumerate(ROWS)]))
def test_a_rule_reports_its_violation_at_the_value(code: str, file: str, pairs: Pairs, path: str) -> None:
    stack_file = file if file.startswith("Pulumi.") else f"Pulumi.{file.split('/')[1]}.yaml"
    before = codes_of_sample(stack_file)
    found = [p for p in load(stack_file, replaced(file, *pairs)).problems if p.code not in before]
    assert (code, path) in [(p.code, p.path) for p in found]
    assert all(p.severity is RULES[p.code].severity for p in found)


@pytest.mark.parametrize(("code", "url", "why"), of_rules(IN_AZURE, [r[2] for r in IN_AZURE]))
def test_a_stack_in_azure_reaches_only_public_hosts_over_https(code: str, url: str, why: str) -> None:
    (old,) = {line.split(": ")[1] for line in text(NORTHWIND).splitlines() if "fhirBaseUrl" in line and "-tst" in line}
    found = load(TEST, replaced(NORTHWIND, (old, url))).errors
    assert (code, "organizations[1].connections[0].fhirBaseUrl") in [(p.code, p.path) for p in found]


PUBLIC_HOSTS = [
    ("port-in-azure", "visits.example.org:8443"),
    ("host-in-azure", "localhost"),
    ("host-in-azure", "10.0.0.1"),
    ("host-in-azure", "8.8.8.8"),
    ("host-in-azure", "0x7f.1"),
]


@pytest.mark.parametrize(("code", "host"), of_rules(PUBLIC_HOSTS, [r[1] for r in PUBLIC_HOSTS]))
def test_a_public_host_in_azure_is_a_public_name_without_port(code: str, host: str) -> None:
    (old,) = {
        line.strip() for line in text(TEST).splitlines() if line.strip().startswith("test: ") and "americas" in line
    }
    found = load(TEST, replaced(TEST, (old, f"test: {host}"))).errors
    assert (code, "geographies.americas.publicHosts.test") in [(p.code, p.path) for p in found]


@pytest.mark.rule("port-in-azure", "host-in-azure")
def test_a_portal_in_azure_has_a_public_name_without_port() -> None:
    (old,) = {line.strip() for line in text(TEST).splitlines() if "portalHost" in line and "americas" in line}
    found = load(TEST, replaced(TEST, (old, "portalHost: localhost:8444"))).errors
    assert {"port-in-azure", "host-in-azure"} <= {p.code for p in found if p.path == "geographies.americas.portalHost"}


@pytest.mark.rule("working-tree-in-azure")
def test_a_stack_in_azure_runs_no_working_tree() -> None:
    (old,) = {line.split("image: ")[1] for line in text(TEST).splitlines() if "connector:image: " in line}
    found = load(TEST, replaced(TEST, (old, "working-tree"))).errors
    assert ("working-tree-in-azure", "image") in [(p.code, p.path) for p in found]


ADDRESS = pytest.mark.rule("address-in-azure")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        pytest.param("tokenEndpointOrigins", "[https://127.1]", marks=ADDRESS),
        ("tokenEndpointOrigins", "[http://localhost:8471]"),
        pytest.param("frameOrigins", "['https://[::ffff:7f00:1]']", marks=ADDRESS),
        pytest.param("issuer", "https://2130706433/oauth2", marks=ADDRESS),
        ("issuer", "http://127.0.0.1/oauth2"),
    ],
)
def test_every_url_of_a_connection_in_azure_is_of_a_public_host(key: str, value: str) -> None:
    connection = "fhirBaseUrl: https://fhir-acc"
    changes = [(connection, f"{key}: {value}\n    {connection}")]
    if key == "frameOrigins":
        changes.append(("    frameOrigins:\n      - https://hyper", "    tokenEndpointOrigins:\n      - https://hyper"))
    if key == "issuer":
        start = text(NORTHWIND).index("issuer: ")
        changes = [(text(NORTHWIND)[start : text(NORTHWIND).index("\n", start)], f"issuer: {value}")]
    found = [p for p in load(TEST, replaced(NORTHWIND, *changes)).errors if key in p.path]
    assert {p.code for p in found} & {"address-in-azure", "http-in-azure"}, found


def test_sharing_a_url_that_both_declare_is_accepted() -> None:
    changes = replaced(PRAIRIE, (PRAIRIE_URL, f"{LAKESIDE_URL}\n    sharedWith: [lakeside]"))
    changes |= replaced(LOCAL, (LAKESIDE_URL, f"{LAKESIDE_URL}\n          sharedWith: [prairie]"))
    assert load("Pulumi.local.yaml", changes).errors == ()


def test_every_rule_has_a_row() -> None:
    shown = {row[0] for row in ROWS} | {row[0] for row in IN_AZURE}
    assert set(RULES) == shown | {"port-in-azure", "host-in-azure", "working-tree-in-azure"}


@pytest.mark.parametrize("file", stack_files())
def test_the_sample_stacks_have_no_errors(file: str) -> None:
    assert load(file).errors == ()


@pytest.mark.rule("epic-url-unusual")
def test_the_url_of_the_vendor_documentation_is_valid_and_only_warned_about() -> None:
    url = "https://lamnahealthcare.org/fihr/auth/connect-ocurprd-oauth/api/FHDST"
    assert url in text(TEST)
    warnings = [p for p in load(TEST).problems if p.code == "epic-url-unusual"]
    assert warnings
    assert all(p.severity is Severity.WARNING for p in warnings)


@pytest.mark.rule("connection-id-repeated", "location-not-allowed", "organization-id-repeated")
def test_one_broken_organisation_hides_no_problem_of_others_nor_of_its_own_valid_parts() -> None:
    changes = replaced(
        PRAIRIE, ("name: Prairie Children's Hospital", "name: 12"), ("id: prairie-test", "id: lakeside-test")
    )
    changes |= replaced(LOCAL, ("location: eastus2", "location: westus"), ("id: rheinland\n", "id: lakeside\n"))
    found = {(p.code, p.path) for p in load(LOCAL, changes).errors}
    assert found == {
        ("type", "organizations[1].name"),
        ("connection-id-repeated", "organizations[1].connections[0].id"),
        ("location-not-allowed", "geographies.americas.location"),
        ("organization-id-repeated", "organizations[2].id"),
    }


def test_a_value_that_is_wrong_by_itself_is_not_reported_again_by_a_rule() -> None:
    changes = replaced(
        LOCAL, ("location: eastus2", "location: 12"), ("tenantId: 1a1a1a1a-0000-4000-8000-000000000001", "tenantId: x")
    )
    assert {p.code for p in load(LOCAL, changes).errors} == {"type", "value"}
