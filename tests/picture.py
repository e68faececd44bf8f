"""`make picture`: one geography as a Mermaid flowchart, drawn from what the program emits, written into the documents.

Owns how some hundred resources become a picture that is readable: which part of a geography a type belongs to, what is
a node of its own and what is counted inside another's. An arrow is a reference: an input of one resource was made from
another one. A type that is not in the table below gets a node of its own in the part that its namespace names.
"""

import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tests.support.program import Emitted, sample
from tests.support.samples import ROOT

STACK, GEOGRAPHY = "prod", "americas"
DOCUMENTS = ("README.md", "docs/architecture.md")
BEGIN, END = "<!-- picture: make picture -->", "<!-- end of picture -->"
AZURE = "azure-native:"
MOST_NAMES = 5

PARTS = {
    "entry": "Entry",
    "apps": "Applications",
    "identity": "Identity",
    "state": "State",
    "network": "Network",
    "watch": "Watch and govern",
}
PART_OF_NAMESPACE = {
    "app": "apps",
    "containerregistry": "apps",
    "managedidentity": "identity",
    "authorization": "identity",
    "keyvault": "state",
    "storage": "state",
    "dbforpostgresql": "state",
    "network": "network",
    "privatedns": "network",
}
PART_OF_TYPE = {
    "network:ApplicationGateway": "entry",
    "network:WebApplicationFirewallPolicy": "entry",
    "network:PublicIPAddress": "entry",
    "authorization:PolicyAssignment": "watch",
    "authorization:ManagementLockByScope": "watch",
}
INSIDE = {
    "authorization:RoleAssignment": "managedidentity:UserAssignedIdentity",
    "managedidentity:FederatedIdentityCredential": "managedidentity:UserAssignedIdentity",
    "keyvault:Secret": "keyvault:Vault",
    "keyvault:Key": "keyvault:Vault",
    "storage:BlobServiceProperties": "storage:StorageAccount",
    "storage:BlobContainer": "storage:StorageAccount",
    "storage:BlobContainerImmutabilityPolicy": "storage:StorageAccount",
    "dbforpostgresql:Configuration": "dbforpostgresql:Server",
    "dbforpostgresql:Database": "dbforpostgresql:Server",
    "dbforpostgresql:AdministratorsMicrosoftEntra": "dbforpostgresql:Server",
    "network:PrivateDnsZoneGroup": "network:PrivateEndpoint",
    "privatedns:VirtualNetworkLink": "privatedns:PrivateZone",
    "monitor:DiagnosticSetting": "operationalinsights:Workspace",
    "monitor:MetricAlert": "monitor:ActionGroup",
    "monitor:ScheduledQueryRule": "monitor:ActionGroup",
}
"""Counted in the node of another type; its references are that one's."""
COUNTED = {
    "monitor:DiagnosticSetting",
    "monitor:MetricAlert",
    "monitor:ScheduledQueryRule",
    "authorization:ManagementLockByScope",
}
"""Of each there is one for many resources: how many is told, and not for which."""
EACH = {"network:Subnet"}
"""A node for each resource."""
UNDRAWN = {"resources:ResourceGroup", "pulumi:providers:azure-native"}
"""What everything refers to."""
WORDS = {
    "ContainerApp": "Container Apps",
    "ManagedEnvironment": "Container Apps environment",
    "UserAssignedIdentity": "managed identities",
    "Server": "PostgreSQL server",
    "Vault": "Key Vault",
    "Key": "signing keys",
    "Secret": "configuration in secrets",
    "Configuration": "parameters",
    "BlobServiceProperties": "versions and soft delete",
    "AdministratorsMicrosoftEntra": "Entra administrator",
    "Workspace": "Log Analytics workspace",
    "VirtualNetwork": "virtual network",
    "ManagementLockByScope": "locks",
    "NatGateway": "NAT gateway",
    "WebApplicationFirewallPolicy": "web application firewall",
    "MetricAlert": "alerts by a metric",
    "ScheduledQueryRule": "alerts by a query of the logs",
    "PublicIPAddress": "public addresses",
    "PrivateDnsZoneGroup": "DNS records",
    "PrivateZone": "private DNS zones",
    "VirtualNetworkLink": "links to the network",
}


@dataclass(frozen=True, order=True)
class Node:
    """One box. `name` is empty where the node stands for all resources of its type."""

    part: str
    type: str
    name: str = ""

    @property
    def id(self) -> str:
        return re.sub(r"[^a-z0-9]+", "_", f"{self.type} {self.name}".strip().lower())


def kind(resource: Emitted) -> str:
    """The type without provider and API version."""
    namespace, _, name = resource.type.removeprefix(AZURE).partition(":")
    return f"{namespace.partition('/')[0]}:{name}"


def node_of(resource: Emitted) -> Node:
    type_ = INSIDE.get(kind(resource), kind(resource))
    part = PART_OF_TYPE.get(type_) or PART_OF_NAMESPACE.get(type_.partition(":")[0], "watch")
    return Node(part, type_, short(resource) if type_ in EACH else "")


def short(resource: Emitted) -> str:
    """The logical name in words, without the geography's and the component's."""
    words = resource.name.split("-")[1:]
    component = resource.parent.rpartition("::")[2].split("-")[1:]
    rest = words[len(component) :] if words[: len(component)] == component else words
    return " ".join(rest or words[1:] or words)


def label(node: Node, resources: Iterable[Emitted]) -> str:
    """What is in a node: its own type, by names where they are few, and what is counted inside."""
    own: list[Emitted] = []
    inside: Counter[str] = Counter()
    for resource in resources:
        if kind(resource) == node.type:
            own.append(resource)
        else:
            inside[kind(resource)] += 1
    lines = [f"<b>{words(node.type)}</b>" + (f" × {len(own)}" if len(own) > 1 else "")]
    names = sorted({short(r) for r in own})
    if node.name or (1 < len(names) <= MOST_NAMES and node.type not in COUNTED):
        lines.append(", ".join(names))
    lines += [words(t) + (f" × {n}" if n > 1 else "") for t, n in sorted(inside.items())]
    return "<br/>".join(lines)


def words(type_: str) -> str:
    name = type_.partition(":")[2]
    return WORDS.get(name) or re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()


def drawn(resources: Iterable[Emitted], geography: str) -> str:
    """The flowchart of one geography."""
    mine = {
        r.urn: r
        for r in resources
        if r.custom and r.name.split("-")[0] == geography and r.type.removeprefix(AZURE) not in UNDRAWN
    }
    nodes: dict[Node, list[Emitted]] = defaultdict(list)
    for resource in mine.values():
        nodes[node_of(resource)].append(resource)
    lines = ["flowchart LR"]
    for part, title in PARTS.items():
        inside = sorted(n for n in nodes if n.part == part)
        if inside:
            boxes = [f'    {n.id}["{label(n, nodes[n])}"]' for n in inside]
            lines += [f"  subgraph {part}[{title}]", "    direction TB", *boxes, "  end"]
    lines += [f"  {a.id} --> {b.id}" for a, b in sorted(arrows(mine))]
    return "\n".join(lines)


def arrows(resources: Mapping[str, Emitted]) -> set[tuple[Node, Node]]:
    return {
        (node_of(resource), node_of(resources[urn]))
        for resource in resources.values()
        if kind(resource) not in COUNTED
        for urn in resource.references & resources.keys()
        if node_of(resource) != node_of(resources[urn])
    }


def written(document: str, picture: str) -> str:
    """The document with the picture between its marks. Raises ValueError where it has none."""
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"expected {BEGIN} and {END}")
    return f"{before}{BEGIN}\n```mermaid\n{picture}\n```\n{END}{after}"


def main() -> int:
    picture = drawn(sample(STACK).resources, GEOGRAPHY)
    for name in DOCUMENTS:
        file = ROOT / name
        file.write_text(written(file.read_text("utf-8"), picture), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
