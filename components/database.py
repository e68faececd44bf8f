"""The geography's PostgreSQL flexible server: Entra log-in only, inside the virtual network, TLS always.

Owns server, administrator, parameters and database. Roles inside the database are SQL, made by init, whose identity
is the one Entra administrator.

Private access is by a delegated subnet, not by a private endpoint: the choice is made when the server is created
and cannot be undone, so a server that stands here can never be opened to the internet by a later setting.

Children of one server are written one after the other: Azure refuses overlapping writes with `ServerIsBusy`.
"""

import re
from dataclasses import dataclass

import pulumi
from pulumi_azure_native import dbforpostgresql as postgresql

from components.identities import Identity
from components.placement import Placement
from components.private_zone import PrivateZone

VERSION = "18"
DATABASE = "connector"
PARAMETERS = {
    # Static ones first: the server takes them up when it is started anew (README, "Going to real Azure").
    "azure.extensions": "pgaudit",
    "shared_preload_libraries": "pg_cron,pg_stat_statements,pgaudit",
    "require_secure_transport": "on",
    "ssl_min_protocol_version": "TLSv1.2",
    # Who changes tables, roles and rights; statements on data are not logged, and no parameters of any.
    "pgaudit.log": "ddl,role",
    "pgaudit.log_parameter": "off",
    "log_connections": "on",
    "log_disconnections": "on",
    # Slows down addresses that fail to log in again and again.
    "connection_throttle.enable": "on",
}
"""Server parameters in the order in which they are written (Azure documentation, "Server parameters in Azure Database
for PostgreSQL", of version 18). `shared_preload_libraries` is Azure's default and `pgaudit`."""


@dataclass(frozen=True)
class DatabaseArgs:
    placement: Placement
    resource_group_name: pulumi.Input[str]
    tenant_id: str
    subnet_id: pulumi.Input[str]
    zone: PrivateZone
    administrator: Identity


class Database(pulumi.ComponentResource):
    """Whoever logs in depends on `ready`."""

    def __init__(self, name: str, args: DatabaseArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("teams-ehr-connector:database:Database", name, None, opts)
        self._name, self._args = name, args
        self._server = self._make_server()
        last: pulumi.Resource = self._server
        for parameter, value in PARAMETERS.items():
            last = self._parameter(parameter, value, after=last)
        last = self._administrator(after=last)
        self.ready: list[pulumi.Resource] = [self._database(after=last)]
        self.id: pulumi.Output[str] = self._server.id
        self.host: pulumi.Output[str] = self._server.fully_qualified_domain_name
        self.register_outputs({})

    def _make_server(self) -> postgresql.Server:
        placement = self._args.placement
        size = placement.sizes.database
        return postgresql.Server(
            f"{self._name}-server",
            resource_group_name=self._args.resource_group_name,
            server_name=placement.unique("psql"),
            location=placement.location,
            version=VERSION,
            sku=postgresql.SkuArgs(name=size.machine, tier=size.tier),
            storage=postgresql.StorageArgs(storage_size_gb=size.storage_gb, auto_grow="Enabled"),
            # Backups stay in the region: a paired region may lie in another geography.
            backup=postgresql.BackupArgs(backup_retention_days=size.backup_days, geo_redundant_backup="Disabled"),
            high_availability=postgresql.HighAvailabilityArgs(mode=size.high_availability),
            auth_config=postgresql.AuthConfigArgs(
                active_directory_auth="Enabled", password_auth="Disabled", tenant_id=self._args.tenant_id
            ),
            network=postgresql.NetworkArgs(
                delegated_subnet_resource_id=self._args.subnet_id,
                private_dns_zone_arm_resource_id=self._args.zone.zone_id,
                public_network_access="Disabled",
            ),
            tags=placement.tags,
            opts=pulumi.ResourceOptions.merge(
                placement.state(self, depends_on=[self._args.zone.link]),
                # Storage grows by itself, and Azure never makes it smaller: the size is that of the first day.
                pulumi.ResourceOptions(ignore_changes=["storage.storageSizeGB"]),
            ),
        )

    def _parameter(self, parameter: str, value: str, after: pulumi.Resource) -> pulumi.Resource:
        return postgresql.Configuration(
            f"{self._name}-{re.sub(r'[_.]', '-', parameter)}",
            resource_group_name=self._args.resource_group_name,
            server_name=self._server.name,
            configuration_name=parameter,
            source="user-override",
            value=value,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[after]),
        )

    def _administrator(self, after: pulumi.Resource) -> pulumi.Resource:
        administrator = self._args.administrator
        return postgresql.AdministratorsMicrosoftEntra(
            f"{self._name}-administrator",
            resource_group_name=self._args.resource_group_name,
            server_name=self._server.name,
            object_id=administrator.principal_id,
            principal_name=administrator.database_role,
            principal_type="ServicePrincipal",
            tenant_id=self._args.tenant_id,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[after]),
        )

    def _database(self, after: pulumi.Resource) -> pulumi.Resource:
        return postgresql.Database(
            f"{self._name}-database",
            resource_group_name=self._args.resource_group_name,
            server_name=self._server.name,
            database_name=DATABASE,
            charset="UTF8",
            collation="en_US.utf8",
            opts=self._args.placement.state(self, depends_on=[after]),
        )
