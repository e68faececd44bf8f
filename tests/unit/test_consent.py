"""What a hospital consents to: the exact address, permissions bound to calls, manifests, the Teams script, files."""

import ast
import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.entra import stage_outputs
from emulators.world import AppRegistration, load_world
from schemas.access_policy import access_policy_script, quoted
from schemas.graph_permissions import CONNECTOR, SIGN_IN, PermissionType
from schemas.registration import consent_url, consent_urls, registrations
from schemas.stack_config import NATIONAL_CLOUDS, Organization, StackConfig, exchange_audience
from schemas.vocabulary import GeographyName
from tests.support.command import connector
from tests.support.program import guid, sample, stack_of
from tests.support.samples import ROOT

TENANT = "1a1a1a1a-0000-4000-8000-000000000001"


def named(name: str) -> Organization:
    return stack_of("prod").organizations[0].model_copy(update={"name": name})


# --- the address ----------------------------------------------------------------------------------------------------


def test_the_address_of_consent_is_spelled_as_entra_documents_it() -> None:
    stack = stack_of("prod")
    application = stack.microsoft365.application_id
    assert consent_urls(stack, GeographyName.EMEA, TENANT) == {
        application: f"https://login.microsoftonline.com/{TENANT}/v2.0/adminconsent?client_id={application}"
        "&scope=https%3A%2F%2Fgraph.microsoft.com%2F.default"
        "&redirect_uri=https%3A%2F%2Fvisits.emea.connector.example.org%2Fidentity%2Fconsented"
    }


@pytest.mark.parametrize("cloud", NATIONAL_CLOUDS)
def test_in_a_national_cloud_entra_graph_and_the_exchange_are_that_clouds(cloud: str) -> None:
    microsoft365 = stack_of("prod").microsoft365.model_copy(update={"national_cloud": cloud})
    expected = NATIONAL_CLOUDS[cloud]
    url = consent_url(microsoft365, microsoft365.application_id, TENANT, "visits.example.org")
    assert url.startswith(f"{expected.entra_url}/{TENANT}/v2.0/adminconsent?")
    assert parse_qs(urlsplit(url).query)["scope"] == [f"{expected.graph_url}/.default"]
    assert exchange_audience(expected.entra_url) == expected.exchange_audience


def test_each_government_and_china_have_an_exchange_of_their_own() -> None:
    audiences = {name: cloud.exchange_audience.removeprefix("api://AzureADTokenExchange") for name, cloud in CLOUDS}
    assert audiences == {"global": "", "us-government": "USGov", "us-government-dod": "USGov", "china": "China"}
    assert exchange_audience("https://127.0.0.1:8461") == "api://AzureADTokenExchange"


CLOUDS = NATIONAL_CLOUDS.items()


# --- permissions ----------------------------------------------------------------------------------------------------


def test_every_operation_of_the_graph_client_has_one_permission_and_no_permission_is_for_anything_else() -> None:
    operations = set[object]()
    for node in ast.walk(ast.parse((ROOT / "runtime" / "meeting" / "graph.py").read_text("utf-8"))):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "self._call":
            assert isinstance(node.args[0], ast.Constant)
            operations.add(node.args[0].value)
    applied = [use for p in CONNECTOR if p.type is PermissionType.APPLICATION for use in p.uses]
    assert len(applied) == len(set(applied))
    assert set(applied) == operations
    assert {use for p in CONNECTOR if p.type is PermissionType.DELEGATED for use in p.uses} == {SIGN_IN}


def test_permissions_have_ids_of_their_own_and_a_reason() -> None:
    assert len({p.id for p in CONNECTOR}) == len(CONNECTOR)
    assert all(len(p.reason) > 30 and p.reason.endswith(".") for p in CONNECTOR)


# --- registrations --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["local", "local-prod"])
def test_the_emulated_entra_has_the_registrations_that_are_asked_for(name: str) -> None:
    world = {r.application_id: r for r in load_world(ROOT / "emulators" / "world.yaml").entra.registrations}
    for registration in registrations(stack_of(name)):
        emulated: AppRegistration = world[registration.application_id]
        assert sorted(emulated.redirect_uris) == sorted(registration.redirect_uris)
        applied = {p.name for p in registration.permissions if p.type is PermissionType.APPLICATION}
        assert set(emulated.application_permissions) == applied
        assert emulated.optional_claims == registration.id_token_claims


@pytest.mark.parametrize("name", ["local", "local-prod"])
def test_federated_credentials_are_outputs_for_each_identity_that_speaks_for_a_registration(name: str) -> None:
    stack, program = stack_of(name), sample(name)
    world = {r.application_id: r for r in load_world(ROOT / "emulators" / "world.yaml").entra.registrations}
    found: dict[str, list[dict[str, Any]]] = {}
    for geography in stack.geographies:
        outputs = program.outputs[str(geography)]
        for application, credentials in outputs["federated_credentials"].items():
            found.setdefault(application, []).extend(credentials)
        assert outputs["consent_urls"] == consent_urls(stack, geography, "{tenant}")
    assert set(found) == {r.application_id for r in registrations(stack)}
    for application, credentials in found.items():
        assert {c["name"] for c in credentials} == set(world[application].federated_identities)
        assert len(credentials) <= 20, "Entra takes no more for one registration"
        for credential in credentials:
            _, role, geography, _ = credential["name"].split("-")
            assert credential["subject"] == guid(f"{geography}-identity-{role}", "principal")
            assert credential["issuer"] == f"https://127.0.0.1:8461/{stack.microsoft365.home_tenant_id}/v2.0"
            assert credential["audiences"] == ["api://AzureADTokenExchange"]


def test_a_manifest_is_multi_tenant_without_a_secret_and_requires_what_is_listed() -> None:
    (connector,) = registrations(stack_of("prod"))
    manifest = connector.manifest()
    assert manifest["signInAudience"] == "AzureADMultipleOrgs"
    assert manifest["passwordCredentials"] == manifest["keyCredentials"] == []
    (access,) = manifest["requiredResourceAccess"]
    assert access["resourceAppId"] == "00000003-0000-0000-c000-000000000000"
    assert {a["id"]: a["type"] for a in access["resourceAccess"]} == {
        p.id: {"application": "Role", "delegated": "Scope"}[p.type] for p in CONNECTOR
    }
    hosts = [g.public_hosts.production for g in stack_of("prod").geographies.values()]
    assert set(manifest["web"]["redirectUris"]) == {
        f"https://{host}/identity/{page}" for host in hosts for page in ("callback", "consented")
    }


def test_only_the_test_stage_has_the_portals_registration_which_may_do_nothing_in_graph() -> None:
    assert len(registrations(stack_of("prod"))) == 1
    _, portal = registrations(stack_of("test"))
    assert {p.type for p in portal.permissions} == {PermissionType.DELEGATED}
    assert portal.manifest()["optionalClaims"] == {"idToken": [{"name": "auth_time", "essential": False}]}


def test_outputs_do_not_grow_with_organisations() -> None:
    stack = stack_of("prod")
    many = tuple(stack.organizations[0].model_copy(update={"id": f"hospital-{n}"}) for n in range(1000))
    assert stage_outputs(with_organizations(stack, many)) == stage_outputs(stack)
    assert len(json.dumps(stage_outputs(stack))) < 8000


def with_organizations(stack: StackConfig, organizations: tuple[Organization, ...]) -> StackConfig:
    return stack.model_copy(update={"organizations": organizations})


# --- the script -----------------------------------------------------------------------------------------------------

ENDS = "'\u2018\u2019\u201a\u201b"


def unquoted(literal: str) -> str:
    """What PowerShell reads: two quotes in a row are one; any single one ends the string."""
    assert literal[0] in ENDS
    assert literal[-1] in ENDS
    pairs = re.compile(f"([{ENDS}])[{ENDS}]")
    assert not set(pairs.sub("", literal[1:-1])) & set(ENDS)
    return pairs.sub(r"\1", literal[1:-1])


@given(st.text(alphabet=st.one_of(st.sampled_from(ENDS + '$`"();'), st.characters(codec="utf-8"))))
def test_a_value_in_the_script_is_what_it_was_and_ends_nowhere(value: str) -> None:
    assert unquoted(quoted(value)) == value


def test_a_name_cannot_write_a_line_of_the_script() -> None:
    stack = stack_of("prod")
    plain = access_policy_script(stack, named("Lakeside"))
    for name in ("'; Remove-Item C:\\ -Recurse #", "\u2019; iex evil", "a\u0085iex evil", "$(iex evil)", "{tenant}"):
        script = access_policy_script(stack, named(name))
        assert len(script.splitlines()) == len(plain.splitlines())
        (description,) = [line for line in script.splitlines() if line.startswith("$description")]
        assert unquoted(description.partition(" = ")[2]).endswith(" ".join(name.split()))


def test_both_stages_share_one_policy_since_a_person_has_one_at_a_time() -> None:
    scripts = {name: access_policy_script(stack_of(name), stack_of(name).organizations[0]) for name in ("test", "prod")}
    for name, script in scripts.items():
        assert "$Policy = 'teams-ehr-connector'" in script
        assert f"$application = '{stack_of(name).microsoft365.application_id}'" in script
        assert "-AppIds @{ Add = $application }" in script
        assert "up to 30 minutes" in script


# --- the command ----------------------------------------------------------------------------------------------------


def test_the_command_prints_address_permissions_with_reasons_and_script() -> None:
    done = connector(ROOT, "consent", "--stack", "prod", stack_of("prod").organizations[0].id)
    assert done.exit_code == 0
    organization = stack_of("prod").organizations[0]
    for url in consent_urls(stack_of("prod"), organization.geography, organization.tenant_id).values():
        assert url in done.stdout
    for permission in CONNECTOR:
        assert f"| `{permission.name}` | {permission.type} | {permission.reason} |" in done.stdout
    assert access_policy_script(stack_of("prod"), organization) in done.stdout


def test_the_command_prints_json_of_all_organisations() -> None:
    document = json.loads(connector(ROOT, "consent", "--stack", "test", "--format", "json").stdout)
    stack = stack_of("test")
    assert [o["organization"] for o in document["organizations"]] == [o.id for o in stack.organizations]
    assert [r["applicationId"] for r in document["registrations"]] == [r.application_id for r in registrations(stack)]
    assert [r["manifest"] for r in document["registrations"]] == [r.manifest() for r in registrations(stack)]


def test_the_command_writes_files_for_each_organisation_and_registration(tmp_path: Path) -> None:
    done = connector(ROOT, "consent", "--stack", "test", "--output", str(tmp_path))
    stack = stack_of("test")
    written = {str(f.relative_to(tmp_path)) for f in tmp_path.rglob("*") if f.is_file()}
    expected = {f"{o.id}/{name}" for o in stack.organizations for name in ("setup.md", "access-policy.ps1")}
    assert written == expected | {f"registration-{r.application_id}.json" for r in registrations(stack)}
    assert done.stdout.count("wrote ") == len(written)
    for organization in stack.organizations:
        script = (tmp_path / organization.id / "access-policy.ps1").read_text("utf-8-sig")
        assert script == access_policy_script(stack, organization)
        assert organization.tenant_id in (tmp_path / organization.id / "setup.md").read_text("utf-8")


def test_an_organisation_that_the_stack_does_not_have_is_refused() -> None:
    done = connector(ROOT, "consent", "--stack", "test", "nobody")
    assert (done.exit_code, done.stdout) == (1, "")
    assert str(done.exception) == "stack test has no organisation nobody"
