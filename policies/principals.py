"""A role is for an identity of the geography that it opens, or for a group that the configuration names.

Which ids the identities have only Azure says, so that is judged on the whole stack: in the preview before an update as
far as it is known, where a principal that is written down is none of theirs, and again when the update ends. Groups are
in the stack's file, and judged before each assignment is made. Which role, and where, is `least_access.py`.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pulumi_policy import PolicyResource, ReportViolation, StackValidationArgs, StackValidationPolicy

from policies.judging import AZURE, Subject, known, policy
from policies.tags import GEOGRAPHY

ASSIGNMENT, IDENTITY = "authorization:RoleAssignment", "managedidentity:UserAssignedIdentity"
STATE = {
    "containerregistry:Registry": "registries",
    "keyvault:Vault": "vaults",
    "storage:StorageAccount": "storageaccounts",
}
"""What roles are assigned at or below, and the word before its name in an id of Resource Manager."""


def judge_groups(subject: Subject) -> Iterator[str]:
    """Before an assignment is made: its kind, and of a group its id."""
    if subject.type != ASSIGNMENT:
        return
    kind, principal = subject.get("principalType"), subject.get("principalId")
    if kind not in ("ServicePrincipal", "Group"):
        yield f"principalType: expected ServicePrincipal or Group, got {kind}"
    elif kind == "Group" and str(principal).lower() not in subject.settings.groups:
        yield f"principalId: expected promotion.revokers or promotion.auditors of the stack's file, got {principal}"


def judge_identities(resources: Sequence[PolicyResource]) -> Iterator[tuple[str, str]]:
    """URN and violation of each assignment to a principal that is no identity of the scope's geography."""
    identities: dict[str, set[str]] = {}
    places: dict[str, str] = {}
    for resource in resources:
        kind, geography = resource.resource_type.removeprefix(AZURE), str(known(resource.props, "tags", GEOGRAPHY))
        if kind == IDENTITY and (principal := known(resource.props, "principalId")) is not None:
            identities.setdefault(geography, set()).add(str(principal).lower())
        elif kind in STATE:
            name = known(resource.props, "name")
            places[f"/{STATE[kind]}/{name}/".lower() if name is not None else ""] = geography
    for resource in resources:
        if resource.resource_type == f"{AZURE}{ASSIGNMENT}" and known(resource.props, "principalType") != "Group":
            for violation in _assignment(resource.props, identities, places):
                yield resource.urn, violation


def _assignment(
    properties: Mapping[str, Any], identities: Mapping[str, set[str]], places: Mapping[str, str]
) -> Iterator[str]:
    """A principal that is not known yet is an answer of Azure; a scope, or a name, may be any geography's."""
    principal, scope = known(properties, "principalId"), known(properties, "scope")
    if principal is None:
        return
    found = {geography for place, geography in places.items() if place in f"{str(scope).lower()}/"}
    geographies = set(identities) if scope is None or "" in places else found
    if str(principal).lower() not in {i for g in geographies for i in identities.get(g, ())}:
        where = " or ".join(sorted(geographies)) or "the scope's geography"
        yield f"principalId: expected an identity of {where}, got {principal}"


def _validate(args: StackValidationArgs, report_violation: ReportViolation) -> None:
    for urn, violation in judge_identities(args.resources):
        report_violation(violation, urn)


GROUPS = policy("groups", "Roles are assigned to identities and to the configured groups.", judge_groups)
IDENTITIES = StackValidationPolicy("identities", "Identities have roles in their own geography alone.", _validate)
