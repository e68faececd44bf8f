"""Who gets a role: identities in their own geography, and the groups of the configuration; nobody else."""

from collections.abc import Iterator
from typing import Any

import pytest
from pulumi_policy import PolicyResource, StackValidationArgs
from pulumi_policy.proxy import unknown_checking_proxy

from policies import principals
from tests.support.judged import OPTIONS, UNKNOWN, changed, emitted, violations
from tests.support.program import guid, sample

ROLE = "authorization:RoleAssignment"
STRANGER = "6f6f6f6f-0000-4000-8000-0000000000ff"
Outputs = dict[str, dict[str, Any]]


def outputs(stack: str) -> Outputs:
    """What Azure answered, by logical name, of identities, roles, and what roles are assigned at."""
    found: Outputs = {}
    for resource in sample(stack).resources:
        kind = resource.type.removeprefix("azure-native:")
        answers = {}
        if kind == principals.IDENTITY:
            answers = {"principalId": guid(resource.name, "principal")}
        elif kind in principals.STATE:
            (name,) = (resource.inputs[i] for i in ("vaultName", "accountName", "registryName") if i in resource.inputs)
            answers = {"name": name}
        elif kind != ROLE:
            continue
        found[resource.name] = {"type": kind, **resource.inputs, **answers}
    return found


def judged(found: Outputs) -> dict[str, str]:
    told: dict[str, str] = {}
    principals.IDENTITIES.validate(  # pyright: ignore[reportUnknownMemberType]
        StackValidationArgs(list(_resources(found))), lambda message, urn=None: told.update({str(urn): message})
    )
    return told


def _resources(found: Outputs) -> Iterator[PolicyResource]:
    for name, properties in found.items():
        props = unknown_checking_proxy({k: v for k, v in properties.items() if k != "type"})
        yield PolicyResource(f"azure-native:{properties['type']}", props, name, name, OPTIONS, None, None, [], {})


@pytest.mark.parametrize("stack", ["local", "prod", "test"])
def test_what_the_components_emit_passes(stack: str) -> None:
    found = outputs(stack)
    assert sum(p["type"] == ROLE for p in found.values()) >= 10
    assert judged(found) == {}


@pytest.mark.rule(principals.IDENTITIES.name)
@pytest.mark.parametrize(
    "role",
    [
        "americas-vault-access-worker",
        "americas-key-access-worker",
        "americas-storage-access-audit-heads-worker",
        "americas-registry-access-worker",
    ],
)
@pytest.mark.parametrize("principal", [STRANGER, guid("emea-identity-worker", "principal")])
def test_a_role_for_a_stranger_or_for_another_geographys_identity_is_refused(role: str, principal: str) -> None:
    found = outputs("prod")
    found[role]["principalId"] = principal
    assert judged(found) == {role: f"principalId: expected an identity of americas, got {principal}"}


@pytest.mark.rule(principals.IDENTITIES.name)
def test_a_scope_in_no_vault_or_account_of_the_stack_is_refused() -> None:
    found = outputs("prod")
    role = "americas-key-access-worker"
    found[role]["scope"] = found[role]["scope"].replace("/vaults/", "/vaults/x")
    assert list(judged(found)) == [role]


@pytest.mark.rule(principals.IDENTITIES.name)
def test_while_a_vaults_name_is_not_known_a_scope_may_be_any_geographys() -> None:
    found = outputs("prod")
    found["americas-vault"]["name"] = UNKNOWN
    assert judged(found) == {}
    found["americas-key-access-worker"]["principalId"] = STRANGER
    assert list(judged(found)) == ["americas-key-access-worker"]


@pytest.mark.rule(principals.IDENTITIES.name)
def test_in_a_first_preview_only_what_is_written_down_can_be_judged() -> None:
    found = outputs("prod")
    for properties in found.values():
        if properties["type"] != ROLE or properties["principalType"] == "ServicePrincipal":
            properties.update(principalId=UNKNOWN)
        if properties["type"] == ROLE:
            properties.update(scope=UNKNOWN)
    assert judged(found) == {}
    found["americas-key-access-worker"]["principalId"] = STRANGER
    assert list(judged(found)) == ["americas-key-access-worker"]


@pytest.mark.rule(principals.GROUPS.name)
@pytest.mark.parametrize(
    ("role", "path", "value", "expected"),
    [
        ("americas-key-access-revokers", "principalId", STRANGER, "expected promotion.revokers or promotion.auditors"),
        ("americas-key-access-revokers", "principalId", UNKNOWN, "expected promotion.revokers or promotion.auditors"),
        ("americas-key-access-worker", "principalType", "User", "principalType: expected ServicePrincipal or Group"),
        ("americas-key-access-worker", "principalType", ..., "principalType: expected ServicePrincipal or Group"),
        ("americas-key-access-worker", "principalType", "Group", "expected promotion.revokers or promotion.auditors"),
    ],
)
def test_a_role_for_another_group_or_for_a_person_is_refused(role: str, path: str, value: Any, expected: str) -> None:
    (violation,) = violations(principals.GROUPS, "prod", ROLE, changed(emitted("prod", ROLE, role), path, value))
    assert expected in violation
