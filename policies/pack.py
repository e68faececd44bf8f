"""The list of policies, by concern."""

from pulumi_policy import Policy

from policies import (
    approval,
    availability,
    azure_only,
    containers,
    database_login,
    evidence,
    governed,
    known_types,
    least_access,
    locations,
    principals,
    protection,
    public_access,
    recovery,
    secret_references,
    tags,
    transport,
)

POLICIES: list[Policy] = [
    approval.POLICY,
    known_types.POLICY,
    locations.POLICY,
    tags.POLICY,
    public_access.POLICY,
    transport.POLICY,
    database_login.POLICY,
    secret_references.POLICY,
    containers.POLICY,
    least_access.POLICY,
    principals.GROUPS,
    principals.IDENTITIES,
    evidence.POLICY,
    governed.LOGS,
    governed.LOCKS,
    governed.REGIONS,
    recovery.POLICY,
    availability.POLICY,
    protection.POLICY,
    azure_only.POLICY,
]
