"""State survives a mistake: what is deleted or overwritten can be brought back, and by nobody be destroyed before.

Owns how long backups and deleted things are kept: the vault's soft delete and purge protection, the database's backups,
the storage account's versions. Backups stay in the region: a paired region may lie in another geography. That Pulumi
itself deletes nothing is `protection.py`.
"""

from collections.abc import Iterator

from policies.judging import Subject, policy

BACKUP_DAYS = {True: 35, False: 7}
"""In production and elsewhere; 35 is the most that Azure keeps (Azure documentation, "Backup and restore in Azure
Database for PostgreSQL")."""
VAULT_DAYS = 90
DELETED_DAYS = 7


def judge(subject: Subject) -> Iterator[str]:
    match subject.type:
        case "keyvault:Vault":
            for switch in ("enableSoftDelete", "enablePurgeProtection"):
                if (got := subject.get("properties", switch)) is not True:
                    yield f"properties.{switch}: expected true, got {got}"
            yield from _at_least(subject, VAULT_DAYS, "properties", "softDeleteRetentionInDays")
        case "dbforpostgresql:Server":
            yield from _at_least(subject, BACKUP_DAYS[subject.settings.production], "backup", "backupRetentionDays")
            if (got := subject.get("backup", "geoRedundantBackup")) != "Disabled":
                yield f"backup.geoRedundantBackup: expected Disabled, so that backups stay in the region, got {got}"
        case "storage:BlobServiceProperties":
            if (got := subject.get("isVersioningEnabled")) is not True:
                yield f"isVersioningEnabled: expected true, got {got}"
            for deleted in ("deleteRetentionPolicy", "containerDeleteRetentionPolicy"):
                if (got := subject.get(deleted, "enabled")) is not True:
                    yield f"{deleted}.enabled: expected true, got {got}"
                yield from _at_least(subject, DELETED_DAYS, deleted, "days")
        case _:
            return


def _at_least(subject: Subject, days: int, *path: str) -> Iterator[str]:
    got = subject.get(*path) or 0
    if got < days:
        yield f"{'.'.join(path)}: expected at least {days} days, got {got:.0f}"


POLICY = policy("recoverable-state", "What is deleted or overwritten can be brought back, in its own region.", judge)
