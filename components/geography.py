"""One copy of the infrastructure: a geography of one stage. This file is the table of contents of `components/`.

Owns what there is and what it is given; how each thing is made stands in the file named after it. Everything is
created by a provider of the geography's own, so nothing lands in another subscription or region by default.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
from pulumi_azure_native import Provider, resources

from components import alert_rules
from components.access import (
    KeyAccess,
    KeyAccessArgs,
    RegistryAccess,
    RegistryAccessArgs,
    StorageAccess,
    StorageAccessArgs,
    VaultAccess,
    VaultAccessArgs,
)
from components.alerts import Alerts, AlertsArgs
from components.certificates import Certificates, CertificatesArgs
from components.configuration import Configuration, ConfigurationArgs
from components.database import DATABASE, Database, DatabaseArgs
from components.diagnostics import Audited, Diagnostics, DiagnosticsArgs
from components.egress import Egress, EgressArgs
from components.entra import federated_credentials
from components.environment import Environment, EnvironmentArgs
from components.firewall import FORMS, NOTIFICATIONS, PROTOCOLS
from components.gateway import Gateway, GatewayArgs, Site
from components.governance import Governance, GovernanceArgs
from components.handover import Facts, Portal
from components.identities import Identities, IdentitiesArgs
from components.logs import Logs, LogsArgs
from components.network import Network, NetworkArgs
from components.placement import Placement
from components.registry import Registry, RegistryArgs
from components.runtime_app import RuntimeApp, RuntimeAppArgs
from components.security_groups import SecurityGroups, SecurityGroupsArgs
from components.signing_keys import SigningKeys, SigningKeysArgs
from components.storage import Storage, StorageArgs
from components.vault import Vault, VaultArgs
from schemas.configuration_document import Chunks
from schemas.image import REPOSITORY
from schemas.registration import Registration
from schemas.stack_config import Geography as GeographyConfig
from schemas.stack_config import Microsoft365
from schemas.vocabulary import Cloud, GeographyName, RuntimeRole, Stage


@dataclass(frozen=True)
class GeographyArgs:
    geography: GeographyName
    stage: Stage
    cloud: Cloud
    config: GeographyConfig
    microsoft365: Microsoft365
    registrations: tuple[Registration, ...]
    consent_urls: Mapping[str, str]
    """Where an organisation consents, by application id, with `{tenant}` in the place of its tenant's id."""
    image: str | None
    """`sha256:...`, in the geography's own registry; None before there is one, and then no app."""
    chunks: Chunks
    revokers: str | None
    auditors: str | None
    """Object id of the group that publishes revocations and breaks glass."""
    repository_url: str | None
    """Where the portal proposes changes; None where there is no portal."""
    called_ports: tuple[int, ...]
    """TCP ports that the apps may call on the internet: of EHRs and repository, and of https."""
    ca_bundle: str | None
    """Absolute path of the emulators' certificate authority; None on Azure."""


class Geography(pulumi.ComponentResource):
    def __init__(self, name: str, args: GeographyArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("teams-ehr-connector:geography:Geography", name, None, opts)
        placement = Placement.of(args.geography, args.config, args.stage, args.cloud)
        tenant_id = args.microsoft365.home_tenant_id
        inside = pulumi.ResourceOptions(parent=self, provider=_provider(self, name, placement))
        group = _group(self, name, placement, inside)

        security_groups = SecurityGroups(
            f"{name}-security",
            SecurityGroupsArgs(placement, group.name, args.config.network, args.called_ports),
            inside,
        )
        egress = Egress(f"{name}-egress", EgressArgs(placement, group.name), inside)
        network = Network(
            f"{name}-network",
            NetworkArgs(placement, group.name, args.config.network, security_groups.ids, egress.nat_gateway_id),
            inside,
        )
        logs = Logs(f"{name}-logs", LogsArgs(placement, group.name), inside)
        identities = Identities(f"{name}-identity", IdentitiesArgs(placement, group.name), inside)
        vault = Vault(
            f"{name}-vault",
            VaultArgs(placement, group.name, tenant_id, network.private_endpoints_subnet_id, network.vault_zone),
            inside,
        )
        access = VaultAccess(f"{name}-vault-access", VaultAccessArgs(placement, vault.id, identities), inside)
        keys = SigningKeys(f"{name}-signing-key", SigningKeysArgs(placement, group.name, vault.name), inside)
        key_access = KeyAccess(f"{name}-key-access", KeyAccessArgs(placement, keys, identities, args.revokers), inside)
        storage = Storage(
            f"{name}-storage",
            StorageArgs(placement, group.name, network.private_endpoints_subnet_id, network.blob_zone),
            inside,
        )
        storage_access = StorageAccess(
            f"{name}-storage-access",
            StorageAccessArgs(placement, storage, identities, args.revokers, args.auditors),
            inside,
        )
        registry = Registry(
            f"{name}-registry",
            RegistryArgs(placement, group.name, network.private_endpoints_subnet_id, network.registry_zone),
            inside,
        )
        pulls = RegistryAccess(
            f"{name}-registry-access", RegistryAccessArgs(placement, registry.id, identities), inside
        )
        configuration = Configuration(
            f"{name}-configuration", ConfigurationArgs(placement, group.name, vault.name, args.chunks), inside
        )
        database = Database(
            f"{name}-database",
            DatabaseArgs(
                placement, group.name, tenant_id, network.database_subnet_id, network.database_zone, identities.init
            ),
            inside,
        )
        sites = _sites(args)
        certificates = Certificates(
            f"{name}-certificates",
            CertificatesArgs(placement, group.name, vault, tuple(dict.fromkeys(s.certificate for s in sites))),
            inside,
        )
        environment = Environment(
            f"{name}-environment", EnvironmentArgs(placement, group.name, network.apps_subnet_id, certificates), inside
        )
        gateway = Gateway(
            f"{name}-gateway",
            GatewayArgs(placement, group.name, network.gateway_subnet_id, environment.address, certificates, sites),
            inside,
        )
        diagnostics = Diagnostics(
            f"{name}-diagnostics",
            DiagnosticsArgs(
                logs.workspace_id,
                {
                    "workspace": Audited("operationalinsights:Workspace", logs.workspace_id),
                    "network": Audited("network:VirtualNetwork", network.id),
                    "vault": Audited("keyvault:Vault", vault.id),
                    "blobs": Audited("storage:BlobServiceProperties", storage.blobs_id),
                    "registry": Audited("containerregistry:Registry", registry.id),
                    "database": Audited("dbforpostgresql:Server", database.id),
                    "environment": Audited("app:ManagedEnvironment", environment.id),
                    "gateway": Audited("network:ApplicationGateway", gateway.id),
                    "gateway-address": Audited("network:PublicIPAddress", gateway.address_id),
                    "egress-address": Audited("network:PublicIPAddress", egress.address_id),
                    **{
                        f"security-{subnet}": Audited("network:NetworkSecurityGroup", group_id)
                        for subnet, group_id in security_groups.ids.items()
                    },
                },
            ),
            inside,
        )
        certificate_ids = {site.host: environment.certificate_ids[site.certificate] for site in sites}
        public_host = args.config.public_hosts.of(args.stage)
        facts = Facts(
            placement=placement,
            image=f"{placement.registry}/{REPOSITORY}@{args.image}",
            public_host=public_host,
            portal=_portal(args),
            microsoft365=args.microsoft365,
            ca_bundle=args.ca_bundle,
            chunks=args.chunks,
            first_chunk=configuration.first,
            vault_url=vault.url,
            storage_url=storage.url,
            database_host=database.host,
            database=DATABASE,
            auditors=args.auditors,
        )
        access_to_all = [*pulls.assignments, *access.assignments, *key_access.assignments, *storage_access.assignments]
        kept = [
            *vault.reachable,
            *storage.reachable,
            *registry.reachable,
            *access_to_all,
            *certificates.readable,
            *database.ready,
            *diagnostics.settings,
        ]
        apps = {
            identity.role: RuntimeApp(
                f"{name}-{identity.role}",
                RuntimeAppArgs(
                    facts=facts,
                    resource_group_name=group.name,
                    environment_id=environment.id,
                    paused=args.config.paused,
                    identity=identity,
                    identities=identities,
                    certificate_id=certificate_ids.get(facts.host_of(identity.role) or ""),
                    after=[*kept, *configuration.secrets],
                ),
                inside,
            )
            for identity in (identities.serving if args.image is not None else ())
        }
        alerts = Alerts(
            f"{name}-alerts",
            AlertsArgs(
                placement,
                group.name,
                args.config.alert_email,
                logs.workspace_id,
                {alert_rules.DATABASE: database.id, **_application(apps)},
            ),
            inside,
        )
        Governance(
            f"{name}-governance",
            GovernanceArgs(
                placement,
                group.id,
                args.config.allowed_regions,
                alerts.action_group_id,
                state={
                    "vault": vault.id,
                    "database": database.id,
                    "storage": storage.id,
                    "workspace": logs.workspace_id,
                    "registry": registry.id,
                },
                after=kept,
            ),
            inside,
        )
        self.outputs = {
            "public_host": public_host,
            "location": placement.location,
            "alerts_go_to": args.config.alert_email,
            "gateway_address": gateway.address,
            "egress_address": egress.address,
            "consent_urls": dict(args.consent_urls),
            "federated_credentials": federated_credentials(
                args.registrations, identities.serving, args.microsoft365, placement
            ),
        }
        self.register_outputs(self.outputs)


def _application(apps: Mapping[RuntimeRole, RuntimeApp]) -> dict[str, pulumi.Input[str]]:
    """What alerts watch of the apps; nothing before the first image is there."""
    application = apps.get(RuntimeRole.APPLICATION)
    return {} if application is None else {alert_rules.APPLICATION: application.id}


def _portal(args: GeographyArgs) -> Portal | None:
    host, application_id = args.config.portal_host, args.microsoft365.portal_application_id
    if args.stage is not Stage.TEST or host is None or application_id is None or args.repository_url is None:
        return None
    return Portal(host, application_id, args.repository_url)


def _sites(args: GeographyArgs) -> list[Site]:
    """The hosts that the gateway answers for."""
    certificates, portal = args.config.certificates, _portal(args)
    public_host = args.config.public_hosts.of(args.stage)
    sites = [Site("public", public_host, certificates.public_host, (*PROTOCOLS, *NOTIFICATIONS))]
    if portal is not None and certificates.portal_host is not None:
        sites.append(Site("portal", portal.host, certificates.portal_host, (*PROTOCOLS, *FORMS)))
    return sites


def _provider(parent: Geography, name: str, placement: Placement) -> Provider:
    return Provider(
        name,
        subscription_id=placement.subscription_id,
        location=placement.location,
        environment=placement.azure_cloud.environment,
        opts=pulumi.ResourceOptions(parent=parent),
    )


def _group(
    parent: Geography, name: str, placement: Placement, inside: pulumi.ResourceOptions
) -> resources.ResourceGroup:
    return resources.ResourceGroup(
        f"{name}-group",
        resource_group_name=placement.named("rg-connector"),
        location=placement.location,
        tags=placement.tags,
        opts=pulumi.ResourceOptions.merge(placement.state(parent), inside),
    )
