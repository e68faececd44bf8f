"""Which image each geography runs, from which registry, by whose identity, and what a roll leaves alone."""

from typing import Any

import pytest

from schemas.stack_config import StackConfig
from schemas.vocabulary import GeographyName
from tests.support.program import Emitted, Program, run, sample, stack_of

APP, REGISTRY = "azure-native:app:ContainerApp", "azure-native:containerregistry:Registry"
OTHER = "sha256:" + 64 * "b"


def of_geography(stack: StackConfig, geography: GeographyName, **settings: Any) -> StackConfig:
    changed = stack.geographies[geography].model_copy(update=settings)
    return stack.model_copy(update={"geographies": {**stack.geographies, geography: changed}})


def images(program: Program) -> dict[str, set[str]]:
    """By geography, of apps and their init containers."""
    found: dict[str, set[str]] = {}
    for app in program.of(APP):
        template = app.inputs["template"]
        of_app = {c["image"] for c in (*template["containers"], *template["initContainers"])}
        found.setdefault(app.name.split("-")[0], set()).update(of_app)
    return found


def registry_of(program: Program, geography: str) -> Emitted:
    return program.one(REGISTRY, name=f"{geography}-registry")


@pytest.mark.parametrize("stack", ["test", "prod"])
def test_each_geography_runs_the_configured_digest_from_its_own_registry(stack: str) -> None:
    program = sample(stack)
    digest = stack_of(stack).image
    assert images(program) == {
        g: {f"{registry_of(program, g).inputs['registryName']}.azurecr.io/teams-ehr-connector@{digest}"}
        for g in ("americas", "emea")
    }


def test_an_app_pulls_with_its_own_identity_once_that_may_and_the_registry_is_reached() -> None:
    program = sample("prod")
    by_urn = {r.urn: r for r in program.resources}
    for app in program.of(APP):
        geography, role = app.name.split("-")
        (pulls,) = app.inputs["configuration"]["registries"]
        assert pulls["server"] == f"{registry_of(program, geography).inputs['registryName']}.azurecr.io"
        assert pulls["identity"].endswith(f"{geography}-identity-{role}")
        before = {by_urn[u].name for u in app.depends_on}
        assert {f"{geography}-registry-access-{role}", f"{geography}-registry-records"} <= before


@pytest.mark.parametrize(("stack", "zones"), [("prod", "Enabled"), ("test", "Disabled")])
def test_a_registry_is_closed_keeps_untagged_images_and_lets_nothing_out(stack: str, zones: str) -> None:
    for registry in sample(stack).of(REGISTRY):
        inputs = registry.inputs
        assert inputs["sku"] == {"name": "Premium"}
        assert (inputs["adminUserEnabled"], inputs["anonymousPullEnabled"]) == (False, False)
        assert (inputs["publicNetworkAccess"], inputs["networkRuleSet"]) == ("Disabled", {"defaultAction": "Deny"})
        assert inputs["networkRuleBypassOptions"] == "AzureServices"
        assert inputs["zoneRedundancy"] == zones
        policies = {name: policy["status"] for name, policy in inputs["policies"].items()}
        assert policies == dict.fromkeys(("exportPolicy", "retentionPolicy", "quarantinePolicy"), "disabled")
        endpoint = sample(stack).one("azure-native:network:PrivateEndpoint", name=f"{registry.name}-endpoint")
        (connection,) = endpoint.inputs["privateLinkServiceConnections"]
        assert connection["groupIds"] == ["registry"]
        assert connection["privateLinkServiceId"].endswith(f"/{inputs['registryName']}")


@pytest.mark.parametrize(
    ("location", "domain"), [("eastus2", "azurecr.io"), ("usgovvirginia", "azurecr.us"), ("chinanorth3", "azurecr.cn")]
)
def test_a_national_cloud_has_registries_and_their_zone_of_its_own(location: str, domain: str) -> None:
    program = run(of_geography(stack_of("local"), GeographyName.AMERICAS, location=location))
    zone = program.one("azure-native:privatedns:PrivateZone", name="americas-network-registry-zone")
    assert zone.inputs["privateZoneName"] == f"privatelink.{domain}"
    (image,) = images(program)["americas"]
    assert image.partition("/")[0].endswith(f".{domain}")


def test_before_there_is_an_image_everything_but_the_apps_is_made() -> None:
    stack = stack_of("prod")
    without = run(stack.model_copy(update={"image": "none"}))
    apps = {r.urn for r in sample("prod").resources if r.type in (APP, "teams-ehr-connector:apps:RuntimeApp")}
    watching = {
        r.urn
        for r in sample("prod").resources
        if r.type == "azure-native:monitor:MetricAlert" and r.made_from["scopes"] & apps
    }
    assert watching
    assert {r.urn for r in sample("prod").resources} - {r.urn for r in without.resources} == apps | watching


def test_a_geography_may_run_another_image_than_the_stack() -> None:
    program = run(of_geography(stack_of("prod"), GeographyName.EMEA, image=OTHER))
    digests = {g: {i.rpartition("@")[2] for i in found} for g, found in images(program).items()}
    assert digests == {"americas": {stack_of("prod").image}, "emea": {OTHER}}


def test_a_paused_geography_keeps_what_makes_a_revision_of_its_apps_and_nothing_else() -> None:
    program = run(of_geography(stack_of("prod"), GeographyName.EMEA, paused=True))
    kept = {r.name: r.ignore_changes for r in program.resources if r.ignore_changes and r.type == APP}
    assert kept == {f"emea-{role}": ("template", "configuration") for role in ("application", "worker")}
