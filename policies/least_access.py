"""Roles on data planes are assigned where they are needed and not above: a key's at the key, a blob's at a container.

Nobody gets a role that administers: those who deploy have theirs from outside this program. A vault has no access
policies of its own beside the roles: such a policy is about all of its keys at once.
"""

import re
from collections.abc import Iterator

from policies.judging import Subject, policy

VAULT = re.compile(r"/providers/microsoft\.keyvault/vaults/[^/]+$")
VAULT_OR_SECRET = re.compile(r"/providers/microsoft\.keyvault/vaults/[^/]+(?:/secrets/[^/]+)?$")
KEY = re.compile(r"/providers/microsoft\.keyvault/vaults/[^/]+/keys/[^/]+$")
REGISTRY = re.compile(r"/providers/microsoft\.containerregistry/registries/[^/]+$")
CONTAINER = re.compile(r"/providers/microsoft\.storage/storageaccounts/[^/]+/blobservices/default/containers/[^/]+$")

SCOPES = {
    "b86a8fe4-44ce-4948-aee5-eccb2c155cd7": ("Key Vault Secrets Officer", "a vault", VAULT),
    "4633458b-17de-408a-b874-0445c86b69e6": ("Key Vault Secrets User", "a vault or one secret", VAULT_OR_SECRET),
    "12338af0-0e69-4776-bea7-57ae8d297424": ("Key Vault Crypto User", "one key", KEY),
    "7f951dda-4ed3-4680-a7ca-43fe172d538d": ("AcrPull", "a registry", REGISTRY),
    "ba92f5b4-2d11-453d-a403-e96b0029c9fe": ("Storage Blob Data Contributor", "one container", CONTAINER),
    "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1": ("Storage Blob Data Reader", "one container", CONTAINER),
}


def judge(subject: Subject) -> Iterator[str]:
    match subject.type:
        case "authorization:RoleAssignment":
            yield from _assignment(subject)
        case "keyvault:Vault":
            if (got := subject.get("properties", "enableRbacAuthorization")) is not True:
                yield f"properties.enableRbacAuthorization: expected true, got {got}"
            if any(True for _ in subject.items("properties", "accessPolicies")):
                yield "properties.accessPolicies: expected none"
        case _:
            return


def _assignment(subject: Subject) -> Iterator[str]:
    role = str(subject.get("roleDefinitionId")).rstrip("/").rpartition("/")[2].lower()
    if role not in SCOPES:
        yield f"roleDefinitionId: expected one of the roles that the connector needs, got {role}"
        return
    name, expected, pattern = SCOPES[role]
    scope = subject.get("scope")
    if scope is None and not subject.waits_for("scope"):
        yield "scope: expected a resource, got nothing"
    if scope is not None and not pattern.search(str(scope).rstrip("/").lower()):
        yield f"scope: expected {expected} for {name}, got {scope}"


POLICY = policy("least-access", "Roles on data planes are assigned at the narrowest scope.", judge)
