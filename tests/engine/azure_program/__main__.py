"""A small program with resources of the emulated types; its configuration says how it varies."""

import json
from datetime import UTC, datetime
from typing import Any

import pulumi
import pulumi_azure_native as az

config = pulumi.Config()
image = config.require("image")
host = config.get("host")
tag = config.get("tag") or "one"
variable = config.get("variable") or "plain"
variable_size = config.get_int("variableSize")
chained = config.get_bool("unchained") is not True
app_source = config.get("app") or ""
subscription = config.get("subscription") or "4d4d4d4d-0000-4000-8000-0000000000aa"

provider = az.Provider("azure", subscription_id=subscription, location="eastus2")
invoke = pulumi.InvokeOptions(provider=provider)
with_provider = pulumi.ResourceOptions(provider=provider)

group = az.resources.ResourceGroup("group", resource_group_name="rg-small", tags={"tag": tag}, opts=with_provider)
tenant = az.authorization.get_client_config_output(opts=pulumi.InvokeOutputOptions(provider=provider)).tenant_id
if config.get_bool("onlyGroup"):
    pulumi.export("group", group.id)
else:
    network = az.network.VirtualNetwork(
        "network",
        resource_group_name=group.name,
        virtual_network_name="vnet-small",
        address_space={"address_prefixes": ["10.9.0.0/16"]},
        opts=with_provider,
    )
    apps_subnet = az.network.Subnet(
        "apps-subnet",
        resource_group_name=group.name,
        virtual_network_name=network.name,
        subnet_name="snet-apps",
        address_prefix="10.9.0.0/23",
        delegations=[{"name": "apps", "service_name": "Microsoft.App/environments"}],
        opts=with_provider,
    )
    endpoints_subnet = az.network.Subnet(
        "endpoints-subnet",
        resource_group_name=group.name,
        virtual_network_name=network.name,
        subnet_name="snet-endpoints",
        address_prefix="10.9.2.0/27",
        opts=pulumi.ResourceOptions(provider=provider, depends_on=[apps_subnet]),
    )
    zone = az.privatedns.PrivateZone(
        "zone",
        resource_group_name=group.name,
        private_zone_name="privatelink.vaultcore.azure.net",
        location="global",
        opts=with_provider,
    )
    az.privatedns.VirtualNetworkLink(
        "link",
        resource_group_name=group.name,
        private_zone_name=zone.name,
        virtual_network_link_name="link",
        location="global",
        registration_enabled=False,
        virtual_network={"id": network.id},
        opts=with_provider,
    )
    workspace = az.operationalinsights.Workspace(
        "workspace",
        resource_group_name=group.name,
        workspace_name="log-small",
        retention_in_days=30,
        sku={"name": "PerGB2018"},
        opts=with_provider,
    )
    init = az.managedidentity.UserAssignedIdentity(
        "init", resource_group_name=group.name, resource_name_="id-init-small", opts=with_provider
    )
    main = az.managedidentity.UserAssignedIdentity(
        "main", resource_group_name=group.name, resource_name_="id-main-small", opts=with_provider
    )
    registry = az.containerregistry.Registry(
        "registry",
        resource_group_name=group.name,
        registry_name="crsmall",
        sku={"name": "Premium"},
        admin_user_enabled=False,
        public_network_access="Disabled",
        tags={"tag": tag},
        opts=with_provider,
    )
    vault = az.keyvault.Vault(
        "vault",
        resource_group_name=group.name,
        vault_name=config.get("vaultName") or "kv-small",
        properties=az.keyvault.VaultPropertiesArgs(
            tenant_id=tenant,
            sku=az.keyvault.SkuArgs(family="A", name=az.keyvault.SkuName.STANDARD),
            enable_rbac_authorization=True,
            public_network_access="Disabled",
        ),
        opts=with_provider,
    )
    az.monitor.DiagnosticSetting(
        "vault-logs",
        name="to-workspace",
        resource_uri=vault.id,
        workspace_id=workspace.id,
        logs=[{"category": "AuditEvent", "enabled": True}],
        opts=with_provider,
    )
    told = az.monitor.ActionGroup(
        "told",
        resource_group_name=group.name,
        action_group_name="ag-small",
        group_short_name="small",
        location="global",
        email_receivers=[{"name": "on-call", "email_address": "on-call@example.org"}],
        opts=with_provider,
    )
    az.monitor.ScheduledQueryRule(
        "rule",
        resource_group_name=group.name,
        rule_name="failures-small",
        scopes=[workspace.id],
        severity=2,
        window_size="PT15M",
        evaluation_frequency="PT5M",
        criteria={"all_of": [{"query": "ContainerAppConsoleLogs", "operator": "GreaterThan", "threshold": 0}]},
        actions={"action_groups": [told.id]},
        opts=with_provider,
    )
    az.consumption.Budget(
        "budget",
        budget_name="budget-small",
        scope=group.id,
        category="Cost",
        time_grain="Monthly",
        amount=100,
        time_period={"start_date": f"{datetime.now(UTC):%Y-%m}-01T00:00:00Z"},
        notifications={
            "spent": az.consumption.NotificationArgs(
                enabled=True,
                operator="GreaterThan",
                threshold=80,
                contact_emails=[],
                contact_groups=[told.id],
            )
        },
        opts=with_provider,
    )
    az.authorization.PolicyAssignment(
        "locations",
        policy_assignment_name="allowed-locations",
        scope=group.id,
        display_name="Regions",
        policy_definition_id=(
            "/providers/Microsoft.Authorization/policyDefinitions/e56962a6-4747-49cd-b67b-bf8b01975c4c"
        ),
        parameters={"listOfAllowedLocations": {"value": ["eastus2"]}},
        opts=with_provider,
    )
    endpoint = az.network.PrivateEndpoint(
        "endpoint",
        resource_group_name=group.name,
        private_endpoint_name="pe-vault",
        subnet={"id": endpoints_subnet.id},
        private_link_service_connections=[
            {"name": "vault", "private_link_service_id": vault.id, "group_ids": ["vault"]}
        ],
        opts=with_provider,
    )
    az.network.PrivateDnsZoneGroup(
        "zone-group",
        resource_group_name=group.name,
        private_endpoint_name=endpoint.name,
        private_dns_zone_group_name="default",
        private_dns_zone_configs=[{"name": "vault", "private_dns_zone_id": zone.id}],
        opts=with_provider,
    )
    definition = f"/subscriptions/{subscription}/providers/Microsoft.Authorization/roleDefinitions/"
    assignment = az.authorization.RoleAssignment(
        "main-reads-secrets",
        scope=vault.id,
        principal_id=main.principal_id,
        principal_type="ServicePrincipal",
        role_definition_id=definition + "4633458b-17de-408a-b874-0445c86b69e6",
        opts=with_provider,
    )
    secret = az.keyvault.Secret(
        "secret",
        resource_group_name=group.name,
        vault_name=vault.name,
        secret_name="greeting",
        properties={"value": config.get("secret") or "hello", "content_type": "text/plain"},
        opts=with_provider,
    )
    key = az.keyvault.Key(
        "key",
        resource_group_name=group.name,
        vault_name=vault.name,
        key_name="signing",
        properties={"kty": "EC", "curve_name": "P-256", "key_ops": ["sign", "verify"]},
        opts=with_provider,
    )
    signer = az.authorization.RoleAssignment(
        "main-signs",
        scope=key.id,
        principal_id=main.principal_id,
        principal_type="ServicePrincipal",
        role_definition_id=definition + "12338af0-0e69-4776-bea7-57ae8d297424",
        opts=with_provider,
    )
    account = az.storage.StorageAccount(
        "account",
        resource_group_name=group.name,
        account_name=config.get("accountName") or "stsmall",
        kind="StorageV2",
        sku={"name": "Standard_LRS"},
        allow_shared_key_access=False,
        allow_blob_public_access=False,
        minimum_tls_version="TLS1_2",
        public_network_access="Disabled",
        tags={"tag": tag},
        opts=with_provider,
    )
    blobs = az.storage.BlobServiceProperties(
        "blobs",
        resource_group_name=group.name,
        account_name=account.name,
        blob_services_name="default",
        is_versioning_enabled=True,
        opts=with_provider,
    )
    heads = az.storage.BlobContainer(
        "heads",
        resource_group_name=group.name,
        account_name=account.name,
        container_name="heads",
        metadata={"purpose": "heads"},
        opts=pulumi.ResourceOptions(provider=provider, depends_on=[blobs]),
    )
    immutable = az.storage.BlobContainerImmutabilityPolicy(
        "immutable",
        resource_group_name=group.name,
        account_name=account.name,
        container_name=heads.name,
        immutability_policy_name="default",
        immutability_period_since_creation_in_days=1,
        opts=with_provider,
    )
    writer = az.authorization.RoleAssignment(
        "main-writes-heads",
        scope=heads.id,
        principal_id=main.principal_id,
        principal_type="ServicePrincipal",
        role_definition_id=definition + "ba92f5b4-2d11-453d-a403-e96b0029c9fe",
        opts=with_provider,
    )
    puller = az.authorization.RoleAssignment(
        "main-pulls",
        scope=registry.id,
        principal_id=main.principal_id,
        principal_type="ServicePrincipal",
        role_definition_id=definition + "7f951dda-4ed3-4680-a7ca-43fe172d538d",
        opts=with_provider,
    )
    revoker = az.authorization.RoleAssignment(
        "group-reads-heads",
        scope=heads.id,
        principal_id="6f6f6f6f-0000-4000-8000-000000000001",
        principal_type="Group",
        role_definition_id=definition + "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1",
        opts=with_provider,
    )
    server = az.dbforpostgresql.Server(
        "server",
        resource_group_name=group.name,
        server_name=config.get("serverName") or "psql-small",
        version="17",
        sku={"name": "Standard_B1ms", "tier": "Burstable"},
        storage={"storage_size_gb": 32},
        auth_config={"active_directory_auth": "Enabled", "password_auth": "Disabled", "tenant_id": tenant},
        tags={"tag": tag},
        opts=with_provider,
    )
    az.monitor.MetricAlert(
        "metric",
        resource_group_name=group.name,
        rule_name="fills-small",
        location="global",
        enabled=True,
        severity=1,
        scopes=[server.id],
        window_size="PT15M",
        evaluation_frequency="PT5M",
        criteria=az.monitor.MetricAlertSingleResourceMultipleMetricCriteriaArgs(
            odata_type="Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria",
            all_of=[
                az.monitor.MetricCriteriaArgs(
                    criterion_type="StaticThresholdCriterion",
                    name="fills",
                    metric_namespace="Microsoft.DBforPostgreSQL/flexibleServers",
                    metric_name="storage_percent",
                    time_aggregation="Average",
                    operator="GreaterThan",
                    threshold=80,
                )
            ],
        ),
        actions=[{"action_group_id": told.id}],
        opts=with_provider,
    )
    administrator = az.dbforpostgresql.AdministratorsMicrosoftEntra(
        "administrator",
        resource_group_name=group.name,
        server_name=server.name,
        object_id=init.principal_id,
        principal_name="connector_init",
        principal_type="ServicePrincipal",
        tenant_id=tenant,
        opts=with_provider,
    )
    setting = az.dbforpostgresql.Configuration(
        "setting",
        resource_group_name=group.name,
        server_name=server.name,
        configuration_name=config.get("setting") or "log_min_duration_statement",
        value="1000",
        source="user-override",
        opts=pulumi.ResourceOptions(provider=provider, depends_on=[administrator] if chained else []),
    )
    database = az.dbforpostgresql.Database(
        "database",
        resource_group_name=group.name,
        server_name=server.name,
        database_name="connector",
        charset="UTF8",
        collation="en_US.utf8",
        opts=pulumi.ResourceOptions(provider=provider, depends_on=[setting] if chained else []),
    )
    az.authorization.ManagementLockByScope(
        "lock",
        lock_name="keep",
        scope=workspace.id,
        level="CanNotDelete",
        notes="Logs.",
        opts=with_provider,
    )
    environment = az.app.ManagedEnvironment(
        "environment",
        resource_group_name=group.name,
        environment_name="cae-small",
        vnet_configuration={"infrastructure_subnet_id": apps_subnet.id, "internal": True},
        app_logs_configuration={
            "destination": "log-analytics",
            "log_analytics_configuration": {"customer_id": workspace.customer_id},
        },
        opts=with_provider,
    )
    if app_source:
        env: list[Any] = [{"name": "VARIABLE", "value": "x" * variable_size if variable_size else variable}]
        env.append({"name": "VAULT", "value": vault.properties.vault_uri})
        env.append({"name": "DATABASE", "value": server.fully_qualified_domain_name})
        env.append({"name": "STORAGE", "value": account.primary_endpoints.blob})
        env.append({"name": "KEY", "value": key.key_uri_with_version})
        env.append({"name": "MAIN_CLIENT_ID", "value": main.client_id})
        env.append({"name": "INIT_CLIENT_ID", "value": init.client_id})
        app = az.app.ContainerApp(
            "app",
            resource_group_name=group.name,
            container_app_name="ca-small",
            managed_environment_id=environment.id,
            identity={"type": "UserAssigned", "user_assigned_identities": [init.id, main.id]},
            configuration={
                "active_revisions_mode": "Single",
                "registries": [{"server": registry.login_server, "identity": main.id}],
                "identity_settings": [
                    {"identity": init.id, "lifecycle": "Init"},
                    {"identity": main.id, "lifecycle": "Main"},
                ],
                "ingress": {
                    "external": True,
                    "target_port": 8000,
                    "allow_insecure": False,
                    "custom_domains": [{"name": host, "binding_type": "Disabled"}] if host else [],
                },
            },
            template=az.app.TemplateArgs(
                init_containers=[
                    az.app.InitContainerArgs(
                        name="init", image=image, command=["python", "-c", app_source, "init"], env=env
                    )
                ],
                containers=[
                    az.app.ContainerArgs(
                        name="main",
                        image=image,
                        command=["python", "-c", app_source, "main"],
                        env=env,
                        probes=[
                            az.app.ContainerAppProbeArgs(
                                type="Readiness",
                                http_get=az.app.ContainerAppProbeHttpGetArgs(path="/ready", port=8000),
                            )
                        ],
                    )
                ],
                scale=az.app.ScaleArgs(min_replicas=1, max_replicas=1),
            ),
            opts=pulumi.ResourceOptions(
                provider=provider, depends_on=[database, assignment, signer, writer, puller, secret, immutable]
            ),
        )
        pulumi.export("fqdn", app.configuration.apply(lambda c: c.ingress.fqdn if c and c.ingress else None))
    pulumi.export("vault_uri", vault.properties.vault_uri)
    pulumi.export("database", server.fully_qualified_domain_name)
    pulumi.export("identity", pulumi.Output.json_dumps({"principal": main.principal_id, "client": main.client_id}))
    pulumi.export("unused", json.dumps(None))
