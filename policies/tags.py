"""Every resource that takes tags says whose it is: application, geography, stage, and that Pulumi manages it."""

from collections.abc import Iterator

from policies.judging import Subject, policy
from schemas.stack_config import PROJECT

GEOGRAPHY = "geography"

TAGGED = frozenset(
    {
        "app:Certificate",
        "app:ContainerApp",
        "app:ManagedEnvironment",
        "containerregistry:Registry",
        "dbforpostgresql:Server",
        "keyvault:Key",
        "keyvault:Secret",
        "keyvault:Vault",
        "managedidentity:UserAssignedIdentity",
        "monitor:ActionGroup",
        "monitor:MetricAlert",
        "monitor:ScheduledQueryRule",
        "network:ApplicationGateway",
        "network:NatGateway",
        "network:NetworkSecurityGroup",
        "network:PrivateEndpoint",
        "network:PublicIPAddress",
        "network:VirtualNetwork",
        "network:WebApplicationFirewallPolicy",
        "operationalinsights:Workspace",
        "privatedns:PrivateZone",
        "privatedns:VirtualNetworkLink",
        "resources:ResourceGroup",
        "storage:StorageAccount",
    }
)


def judge(subject: Subject) -> Iterator[str]:
    if subject.type not in TAGGED:
        return
    settings = subject.settings
    expected = {
        "application": frozenset({PROJECT}),
        GEOGRAPHY: frozenset(settings.allowed_regions),
        "stage": frozenset({settings.stage}),
        "managed-by": frozenset({"pulumi"}),
    }
    for tag, allowed in expected.items():
        if (got := subject.get("tags", tag)) not in allowed:
            wanted = " or ".join(sorted(str(a) for a in allowed)) or "a configured value"
            yield f"tags.{tag}: expected {wanted}, got {got or 'nothing'}"


POLICY = policy("tags", "Resources carry application, geography, stage and managed-by.", judge)
