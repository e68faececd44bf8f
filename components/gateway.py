"""The way in: a regional application gateway with a firewall, which ends TLS inside the geography and nowhere else.

Owns the gateway and its public address, which DNS names. A listener for each host, on https alone; behind each the
environment's internal address, over TLS again, by the host's own name. Values and their reasons:

    response buffering off    events must not wait ("Using Server-sent events with Application Gateway")
    request timeout 120 s     above the heartbeat of an event stream (15 s), below the 240 s after which Container Apps
                              ends a quiet one
    AppGwSslPolicy20220101S   TLS 1.2 and 1.3, without CBC ("TLS policy overview for Application Gateway")
    health by /readyz         of each host, so that one app that is not ready takes the other off no list

A global edge would end TLS at the caller's nearest site, outside the geography, and is not offered
(docs/decisions/0021-the-edge-is-regional.md).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_azure_native import network

from components.certificates import Certificates
from components.firewall import Exclusion, Firewall, FirewallArgs
from components.placement import Placement
from components.public_address import PublicAddress, PublicAddressArgs

TLS_POLICY = "AppGwSslPolicy20220101S"
REQUEST_TIMEOUT_SECONDS = 120
HTTPS = 443
ENVIRONMENT, FRONTEND = "environment", "public"


@dataclass(frozen=True)
class Site:
    """One host: the word for it here, its name, its certificate, and what its firewall policy excludes."""

    key: str
    host: str
    certificate: str
    exclusions: Sequence[Exclusion]

    @property
    def name(self) -> str:
        return self.host.partition(":")[0]

    @property
    def port(self) -> int:
        """Another one than 443 exists only where cloud is emulated, and several hosts have one name."""
        return int(self.host.partition(":")[2] or HTTPS)


@dataclass(frozen=True)
class GatewayArgs:
    placement: Placement
    resource_group_name: pulumi.Input[str]
    subnet_id: pulumi.Input[str]
    environment_address: pulumi.Input[str]
    certificates: Certificates
    sites: Sequence[Site]
    """The first one's firewall policy is the gateway's own too."""


class Gateway(pulumi.ComponentResource):
    """`address` is what the DNS records of the hosts name."""

    def __init__(self, name: str, args: GatewayArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("teams-ehr-connector:entry:Gateway", name, None, opts)
        self._args = args
        placement = args.placement
        self._firewalls = {
            site.key: Firewall(
                f"{name}-firewall-{site.key}",
                FirewallArgs(placement, args.resource_group_name, site.key, site.exclusions),
                pulumi.ResourceOptions(parent=self),
            )
            for site in args.sites
        }
        child = pulumi.ResourceOptions(parent=self)
        public = PublicAddress(
            f"{name}-address", PublicAddressArgs(placement, args.resource_group_name, "pip-gateway"), child
        )
        made = network.ApplicationGateway(
            name,
            resource_group_name=args.resource_group_name,
            application_gateway_name=placement.named("agw"),
            location=placement.location,
            zones=placement.zones,
            sku=network.ApplicationGatewaySkuArgs(name="WAF_v2", tier="WAF_v2"),
            autoscale_configuration=network.ApplicationGatewayAutoscaleConfigurationArgs(
                min_capacity=placement.sizes.gateway.least, max_capacity=placement.sizes.gateway.most
            ),
            identity=network.ManagedServiceIdentityArgs(
                type=network.ResourceIdentityType.USER_ASSIGNED,
                user_assigned_identities=[args.certificates.identity_id],
            ),
            enable_http2=True,
            firewall_policy=network.SubResourceArgs(id=self._firewalls[args.sites[0].key].id),
            global_configuration=network.ApplicationGatewayGlobalConfigurationArgs(
                enable_request_buffering=True, enable_response_buffering=False
            ),
            ssl_policy=network.ApplicationGatewaySslPolicyArgs(policy_type="Predefined", policy_name=TLS_POLICY),
            gateway_ip_configurations=[
                network.ApplicationGatewayIPConfigurationArgs(
                    name="subnet", subnet=network.SubResourceArgs(id=args.subnet_id)
                )
            ],
            frontend_ip_configurations=[
                network.ApplicationGatewayFrontendIPConfigurationArgs(
                    name=FRONTEND, public_ip_address=network.SubResourceArgs(id=public.id)
                )
            ],
            frontend_ports=[
                network.ApplicationGatewayFrontendPortArgs(name=f"port-{port}", port=port)
                for port in sorted({site.port for site in args.sites})
            ],
            ssl_certificates=[
                network.ApplicationGatewaySslCertificateArgs(name=name, key_vault_secret_id=uri)
                for name, uri in args.certificates.uris.items()
            ],
            backend_address_pools=[
                network.ApplicationGatewayBackendAddressPoolArgs(
                    name=ENVIRONMENT,
                    backend_addresses=[
                        network.ApplicationGatewayBackendAddressArgs(ip_address=args.environment_address)
                    ],
                )
            ],
            probes=[_probe(site) for site in args.sites],
            backend_http_settings_collection=[self._backend(site) for site in args.sites],
            http_listeners=[self._listener(site) for site in args.sites],
            request_routing_rules=[self._rule(index, site) for index, site in enumerate(args.sites)],
            tags=placement.tags,
            opts=pulumi.ResourceOptions(parent=self, depends_on=args.certificates.readable),
        )
        self.id: pulumi.Output[str] = made.id
        self.address: pulumi.Output[str] = public.address
        self.address_id: pulumi.Output[str] = public.id
        self.register_outputs({})

    def _part(self, kind: str, name: str) -> network.SubResourceArgs:
        """A reference inside the gateway: parts name each other by whole ids."""
        placement = self._args.placement
        return network.SubResourceArgs(
            id=pulumi.Output.concat(
                f"/subscriptions/{placement.subscription_id}/resourceGroups/",
                self._args.resource_group_name,
                f"/providers/Microsoft.Network/applicationGateways/{placement.named('agw')}/{kind}/{name}",
            )
        )

    def _backend(self, site: Site) -> network.ApplicationGatewayBackendHttpSettingsArgs:
        return network.ApplicationGatewayBackendHttpSettingsArgs(
            name=site.key,
            protocol="Https",
            port=HTTPS,
            host_name=site.name,
            pick_host_name_from_backend_address=False,
            cookie_based_affinity="Disabled",
            request_timeout=REQUEST_TIMEOUT_SECONDS,
            connection_draining=network.ApplicationGatewayConnectionDrainingArgs(enabled=True, drain_timeout_in_sec=30),
            probe=self._part("probes", site.key),
        )

    def _listener(self, site: Site) -> network.ApplicationGatewayHttpListenerArgs:
        return network.ApplicationGatewayHttpListenerArgs(
            name=site.key,
            protocol="Https",
            host_name=site.name,
            require_server_name_indication=True,
            frontend_ip_configuration=self._part("frontendIPConfigurations", FRONTEND),
            frontend_port=self._part("frontendPorts", f"port-{site.port}"),
            ssl_certificate=self._part("sslCertificates", site.certificate),
            firewall_policy=network.SubResourceArgs(id=self._firewalls[site.key].id),
        )

    def _rule(self, index: int, site: Site) -> network.ApplicationGatewayRequestRoutingRuleArgs:
        return network.ApplicationGatewayRequestRoutingRuleArgs(
            name=site.key,
            rule_type="Basic",
            priority=100 + 10 * index,
            http_listener=self._part("httpListeners", site.key),
            backend_address_pool=self._part("backendAddressPools", ENVIRONMENT),
            backend_http_settings=self._part("backendHttpSettingsCollection", site.key),
        )


def _probe(site: Site) -> network.ApplicationGatewayProbeArgs:
    return network.ApplicationGatewayProbeArgs(
        name=site.key,
        protocol="Https",
        host=site.name,
        path="/readyz",
        interval=10,
        timeout=10,
        unhealthy_threshold=3,
        match=network.ApplicationGatewayProbeHealthResponseMatchArgs(status_codes=["200"]),
    )
