"""State is reached from inside the geography's network only: nothing that holds any is public.

A storage account is opened by no key either, neither a shared one nor a URL that is signed with it, and a registry by
no password of an administrator.
"""

from collections.abc import Iterator

from policies.judging import Subject, policy


def judge(subject: Subject) -> Iterator[str]:
    match subject.type:
        case "keyvault:Vault":
            yield from _disabled(subject, "properties", "publicNetworkAccess")
            yield from _denied(subject, "properties", "networkAcls")
        case "storage:StorageAccount":
            yield from _disabled(subject, "publicNetworkAccess")
            yield from _denied(subject, "networkRuleSet")
            for switch in ("allowBlobPublicAccess", "allowSharedKeyAccess"):
                if (got := subject.get(switch)) is not False:
                    yield f"{switch}: expected false, got {got}"
        case "storage:BlobContainer":
            if (got := subject.get("publicAccess")) != "None":
                yield f"publicAccess: expected None, got {got or 'nothing'}"
        case "containerregistry:Registry":
            yield from _disabled(subject, "publicNetworkAccess")
            yield from _denied(subject, "networkRuleSet")
            for switch in ("adminUserEnabled", "anonymousPullEnabled"):
                if (got := subject.get(switch)) is not False:
                    yield f"{switch}: expected false, got {got}"
            if (got := subject.get("policies", "exportPolicy", "status")) != "disabled":
                yield f"policies.exportPolicy.status: expected disabled, got {got}"
        case "dbforpostgresql:Server":
            yield from _disabled(subject, "network", "publicNetworkAccess")
            subnet = ("network", "delegatedSubnetResourceId")
            if subject.get(*subnet) is None and not subject.waits_for(*subnet):
                yield f"{'.'.join(subnet)}: expected the delegated subnet, got nothing"
        case "dbforpostgresql:FirewallRule":
            yield "expected no firewall rule: the database is reached from its virtual network only"
        case "app:ManagedEnvironment":
            yield from _disabled(subject, "publicNetworkAccess")
            if (internal := subject.get("vnetConfiguration", "internal")) is not True:
                yield f"vnetConfiguration.internal: expected true, got {internal}"
        case _:
            return


def _disabled(subject: Subject, *path: str) -> Iterator[str]:
    if (got := subject.get(*path)) != "Disabled":
        yield f"{'.'.join(path)}: expected Disabled, got {got}"


def _denied(subject: Subject, *path: str) -> Iterator[str]:
    """A firewall that lets nobody in by address."""
    if (action := subject.get(*path, "defaultAction")) != "Deny":
        yield f"{'.'.join(path)}.defaultAction: expected Deny, got {action}"
    for rule in ("ipRules", "virtualNetworkRules", "resourceAccessRules"):
        if any(True for _ in subject.items(*path, rule)):
            yield f"{'.'.join(path)}.{rule}: expected none"


POLICY = policy(
    "no-public-access", "Vault, storage, registry, database and environment are closed to the internet.", judge
)
