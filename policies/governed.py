"""What can be audited is audited, in its own geography; state is locked; Azure itself holds the regions.

Judged on the whole stack, because each is about two resources: a diagnostic setting, a lock or an assignment, and what
it is on. Ids are only known once Azure has answered, so what belongs to what is read from the dependencies of
properties, which the engine knows in a preview too.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pulumi_policy import PolicyResource, ReportViolation, StackValidationArgs, StackValidationPolicy

from policies.judging import AZURE, StackSettings, each, known, settings_of
from policies.tags import GEOGRAPHY
from schemas.vocabulary import Cloud, Stage

AUDITABLE = frozenset(
    {
        "app:ManagedEnvironment",
        "containerregistry:Registry",
        "dbforpostgresql:Server",
        "keyvault:Vault",
        "network:ApplicationGateway",
        "network:NetworkSecurityGroup",
        "network:PublicIPAddress",
        "network:VirtualNetwork",
        "operationalinsights:Workspace",
        "storage:BlobServiceProperties",
    }
)
"""Types of which Azure keeps resource logs, as far as the components emit them."""
STATE = frozenset(
    {
        "containerregistry:Registry",
        "dbforpostgresql:Server",
        "keyvault:Vault",
        "operationalinsights:Workspace",
        "storage:StorageAccount",
    }
)
GATEWAY, FIREWALL_LOG = "network:ApplicationGateway", "ApplicationGatewayFirewallLog"
SETTING, WORKSPACE = "monitor:DiagnosticSetting", "operationalinsights:Workspace"
LOCK, ASSIGNMENT, GROUP = (
    "authorization:ManagementLockByScope",
    "authorization:PolicyAssignment",
    "resources:ResourceGroup",
)
ALLOWED_LOCATIONS = "/providers/microsoft.authorization/policydefinitions/e56962a6-4747-49cd-b67b-bf8b01975c4c"
PARAMETER = "listOfAllowedLocations"

Resources = Sequence[PolicyResource]
Judge = Callable[[Resources, StackSettings], Iterator[tuple[str, str]]]


def judge_logs(resources: Resources, _: StackSettings) -> Iterator[tuple[str, str]]:
    """URN and violation of each auditable resource without a setting to its own geography's workspace."""
    settings = _of_type(resources, SETTING)
    for resource in _of_type(resources, *AUDITABLE):
        mine = [s for s in settings if _on(s, "resourceUri", resource) and _logs(s)]
        geographies = {_geography(w) for s in mine for w in _named(s, "workspaceId") if _type(w) == WORKSPACE}
        if geographies != {_geography(resource)}:
            got = " and ".join(sorted(g or "nowhere" for g in geographies)) or "nowhere"
            wanted = f"the log workspace of {_geography(resource)}"
            yield resource.urn, f"expected a diagnostic setting to {wanted}, got logs that go {_to(got)}"
        if _type(resource) == GATEWAY and (
            kept := _query_strings(s for s in settings if _on(s, "resourceUri", resource))
        ):
            yield resource.urn, f"expected no log with query strings, which carry launch tickets, got {kept}"


def judge_locks(resources: Resources, settings: StackSettings) -> Iterator[tuple[str, str]]:
    """URN and violation of state that could be deleted, where patients are served."""
    if settings.cloud is not Cloud.AZURE or settings.stage == Stage.TEST:
        return
    locks = [r for r in _of_type(resources, LOCK) if known(r.props, "level") in ("CanNotDelete", "ReadOnly")]
    for resource in _of_type(resources, *STATE):
        if not any(_on(lock, "scope", resource) for lock in locks):
            yield resource.urn, "expected a lock of the level CanNotDelete on state in production, got none"


def judge_regions(resources: Resources, settings: StackSettings) -> Iterator[tuple[str, str]]:
    """URN and violation of each group in which Azure would allow other regions than its geography's."""
    assignments = _of_type(resources, ASSIGNMENT)
    for group in _of_type(resources, GROUP):
        geography = _geography(group)
        mine = [a for a in assignments if _on(a, "scope", group) and _enforced(a)]
        wanted = settings.allowed_regions.get(str(geography), frozenset())
        got = [frozenset(map(str, known(a.props, "parameters", PARAMETER, "value") or ())) for a in mine]
        if got != [wanted]:
            shown = " and ".join(", ".join(sorted(regions)) or "none" for regions in got) or "no such policy"
            expected = ", ".join(sorted(wanted)) or "none"
            yield group.urn, f"expected a policy that allows the regions of {geography} ({expected}), got {shown}"


def _query_strings(settings: Iterable[PolicyResource]) -> str:
    """The log of a gateway that keeps them, or the group of logs that has it."""
    logs = (log for setting in settings for log in each(known(setting.props, "logs")))
    named = (known(log, "category") or known(log, "categoryGroup") for log in logs if known(log, "enabled") is True)
    return ", ".join(sorted(str(name) for name in named if name != FIREWALL_LOG))


def _to(place: str) -> str:
    return place if place == "nowhere" else f"to {place}"


def _enforced(assignment: PolicyResource) -> bool:
    definition = str(known(assignment.props, "policyDefinitionId")).lower()
    return definition == ALLOWED_LOCATIONS and known(assignment.props, "enforcementMode") in (None, "Default")


def _logs(setting: PolicyResource) -> bool:
    return any(known(log, "enabled") is True for log in each(known(setting.props, "logs")))


def _type(resource: PolicyResource) -> str:
    return resource.resource_type.removeprefix(AZURE)


def _of_type(resources: Resources, *types: str) -> list[PolicyResource]:
    return [r for r in resources if _type(r) in types]


def _named(resource: PolicyResource, property_: str) -> Resources:
    return resource.property_dependencies.get(property_, [])


def _on(resource: PolicyResource, property_: str, other: PolicyResource) -> bool:
    return any(r.urn == other.urn for r in _named(resource, property_))


def _geography(resource: PolicyResource) -> str | None:
    """By its tag; of what takes none, that of what it is part of."""
    tag = known(resource.props, "tags", GEOGRAPHY)
    if tag is not None:
        return str(tag)
    owners = [r for found in resource.property_dependencies.values() for r in found]
    tags: set[Any] = {known(r.props, "tags", GEOGRAPHY) for r in owners} - {None}
    return str(tags.pop()) if len(tags) == 1 else None


def _policy(name: str, description: str, judge: Judge) -> StackValidationPolicy:
    def validate(args: StackValidationArgs, report_violation: ReportViolation) -> None:
        if not args.resources:
            return
        stack = args.resources[0].urn.split(":", 3)[2]
        for urn, violation in judge(args.resources, settings_of(stack, Path.cwd())):
            report_violation(violation, urn)

    return StackValidationPolicy(name, description, validate)


LOGS = _policy("audit-logs", "What can be audited logs to its geography's own workspace.", judge_logs)
LOCKS = _policy("locked-state", "State cannot be deleted by mistake where patients are served.", judge_locks)
REGIONS = _policy("allowed-locations", "Azure itself refuses regions outside the geography.", judge_regions)
