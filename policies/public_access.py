"""State is reached from inside the geography's network only: vault, database and environment have no public address."""

from collections.abc import Iterator

from policies.judging import Subject, policy


def judge(subject: Subject) -> Iterator[str]:
    match subject.type:
        case "keyvault:Vault":
            yield from _disabled(subject, "properties", "publicNetworkAccess")
            if (action := subject.get("properties", "networkAcls", "defaultAction")) != "Deny":
                yield f"properties.networkAcls.defaultAction: expected Deny, got {action}"
            for rule in ("ipRules", "virtualNetworkRules"):
                if any(True for _ in subject.items("properties", "networkAcls", rule)):
                    yield f"properties.networkAcls.{rule}: expected none"
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


POLICY = policy("no-public-access", "Vault, database and environment are closed to the internet.", judge)
