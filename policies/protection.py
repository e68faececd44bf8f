"""Production's state is protected: Pulumi deletes none of it, whatever the program says.

Owns which types hold data, what locks them, and the addresses that others allow. Where cloud is emulated nothing is
protected, so that `pulumi destroy` leaves nothing.
"""

from collections.abc import Iterator

from policies.judging import Subject, policy
from schemas.vocabulary import Cloud

STATE = frozenset(
    {
        "authorization:ManagementLockByScope",
        "containerregistry:Registry",
        "dbforpostgresql:Database",
        "dbforpostgresql:Server",
        "keyvault:Key",
        "keyvault:Vault",
        "network:PublicIPAddress",
        "operationalinsights:Workspace",
        "resources:ResourceGroup",
        "storage:BlobContainer",
        "storage:BlobContainerImmutabilityPolicy",
        "storage:BlobServiceProperties",
        "storage:StorageAccount",
    }
)


def judge(subject: Subject) -> Iterator[str]:
    settings = subject.settings
    if subject.type in STATE and settings.production and settings.cloud is Cloud.AZURE and not subject.protected:
        yield "options: expected protect=True on what holds state in production, got none"


POLICY = policy("protected-state", "Production's state is protected from being deleted by Pulumi.", judge)
