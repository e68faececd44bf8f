"""What the components emit passes every policy, with values and before Azure has answered."""

import json

import pytest
from pulumi_policy import ResourceValidationPolicy

from policies import approval
from policies.pack import POLICIES
from policies.tags import TAGGED
from tests.support.judged import UNKNOWN, violations
from tests.support.program import sample
from tests.support.samples import ROOT

OF_RESOURCES = [p for p in POLICIES if isinstance(p, ResourceValidationPolicy) and p is not approval.POLICY]
"""All but the one that judges what the samples are configured to serve, of which nothing is approved."""

WITHOUT_TAGS = {
    "authorization:ManagementLockByScope",
    "authorization:PolicyAssignment",
    "authorization:RoleAssignment",
    "consumption:Budget",
    "dbforpostgresql:AdministratorsMicrosoftEntra",
    "dbforpostgresql:Configuration",
    "dbforpostgresql:Database",
    "monitor:DiagnosticSetting",
    "network:PrivateDnsZoneGroup",
    "network:Subnet",
    "storage:BlobContainer",
    "storage:BlobContainerImmutabilityPolicy",
    "storage:BlobServiceProperties",
}


@pytest.mark.parametrize("stack", ["local", "prod", "test"])
def test_every_emitted_resource_passes_every_policy(stack: str) -> None:
    resources = [r for r in sample(stack).resources if r.type.startswith("azure-native:")]
    assert len(resources) > 50
    for resource in resources:
        for policy in OF_RESOURCES:
            type_ = resource.type.removeprefix("azure-native:")
            found = violations(policy, stack, type_, resource.inputs, protect=resource.protect)
            assert not found, (policy.name, resource.name)


def test_what_only_azure_knows_yet_is_no_violation() -> None:
    """In a first preview, ids and answers are unknown; every policy still judges what is known."""
    for resource in (r for r in sample("prod").resources if r.type.startswith("azure-native:")):
        text = json.dumps(resource.inputs)
        inputs = json.loads(text, object_hook=lambda bag: {k: _forgotten(v) for k, v in bag.items()})
        for policy in OF_RESOURCES:
            type_ = resource.type.removeprefix("azure-native:")
            assert not violations(policy, "prod", type_, inputs, protect=resource.protect), policy.name


def _forgotten(value: object) -> object:
    answered = isinstance(value, str) and (
        "/azure/" in value or "vault.azure.net/" in value or ".blob.core." in value or "postgresql" in value
    )
    return UNKNOWN if answered else value


def test_every_emitted_type_is_known_to_take_tags_or_not() -> None:
    types = json.loads((ROOT / "components" / "emitted_types.json").read_text())
    assert {t.removeprefix("azure-native:") for t in types} == TAGGED | WITHOUT_TAGS


def test_policies_have_names_of_their_own() -> None:
    assert len({p.name for p in POLICIES}) == len(POLICIES)
