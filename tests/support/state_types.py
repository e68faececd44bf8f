"""Which emitted types hold what nothing makes again: a type that is emitted stands in one of the three.

Owns the list that plans, `protect` and the committed URNs are held against. A new type joins it by what is lost when
one of its resources is deleted or replaced, be it for a minute.
"""

from collections.abc import Mapping

DATA: Mapping[str, str] = {
    "azure-native:resources:ResourceGroup": "everything in it",
    "azure-native:keyvault:Vault": "keys, client credentials, the way to read what is sealed",
    "azure-native:keyvault:Key": "the signing key, and whose signatures are trusted",
    "azure-native:dbforpostgresql:Server": "links, visits under way, the audit, and the backups",
    "azure-native:dbforpostgresql:Database": "links, visits under way, the audit",
    "azure-native:storage:StorageAccount": "the list of revocations, the anchored heads of the audit",
    "azure-native:storage:BlobServiceProperties": "earlier versions, and what was deleted by mistake",
    "azure-native:storage:BlobContainer": "the list of revocations, the anchored heads of the audit",
    "azure-native:storage:BlobContainerImmutabilityPolicy": "that anchored heads stay as they are",
    "azure-native:containerregistry:Registry": "the images that revisions are started from",
    "azure-native:network:PublicIPAddress": "the address that hospitals allow, or resolve the host to",
    "azure-native:operationalinsights:Workspace": "the logs of the time that an auditor asks for",
}
"""Type to what is lost. In production on Azure they are protected, and Azure keeps them when Pulumi lets go."""

PLACES: Mapping[str, str] = {
    "azure-native:network:VirtualNetwork": "the server's and the endpoints' place",
    "azure-native:network:Subnet": "the server's place, which it can never leave",
    "azure-native:privatedns:PrivateZone": "the name by which the server is found",
    "azure-native:managedidentity:UserAssignedIdentity": "the principal that roles, database and app registration know",
}
"""Type to what depends on its staying the same one. Azure refuses the removal of a network that is in use."""

MADE_AGAIN = frozenset(
    {
        "azure-native:app:Certificate",
        "azure-native:app:ContainerApp",
        "azure-native:app:ManagedEnvironment",
        "azure-native:authorization:ManagementLockByScope",
        "azure-native:authorization:PolicyAssignment",
        "azure-native:authorization:RoleAssignment",
        "azure-native:consumption:Budget",
        "azure-native:dbforpostgresql:AdministratorsMicrosoftEntra",
        "azure-native:dbforpostgresql:Configuration",
        "azure-native:keyvault:Secret",
        "azure-native:monitor:ActionGroup",
        "azure-native:monitor:DiagnosticSetting",
        "azure-native:monitor:MetricAlert",
        "azure-native:monitor:ScheduledQueryRule",
        "azure-native:network:ApplicationGateway",
        "azure-native:network:NatGateway",
        "azure-native:network:NetworkSecurityGroup",
        "azure-native:network:PrivateDnsZoneGroup",
        "azure-native:network:PrivateEndpoint",
        "azure-native:network:WebApplicationFirewallPolicy",
        "azure-native:privatedns:VirtualNetworkLink",
    }
)
"""Made again from the program alone. A `Secret` here is a chunk of the configuration document."""

KEPT = DATA.keys() | PLACES.keys()
"""What no plan may replace or delete."""
