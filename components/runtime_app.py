"""A container app that runs the image: application, worker or portal, each after an init container.

Owns the template: image, commands, identities, probes, ingress, replicas. Init creates database roles and migrates, by
an identity that only init containers may use (`identitySettings`, life cycle Init); the role's own identity is for the
main container, and for pulling the image of both.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_azure_native import app

from components.environment import WORKLOAD_PROFILE
from components.handover import Facts, environment, init_environment
from components.identities import Identities, Identity
from components.sizes import AppSize
from schemas.vocabulary import RuntimeRole

PORT = 8000
COMMAND = ["python", "-m", "runtime"]
REVISION = ("template", "configuration")
"""What makes a revision: image, settings, the configuration's digest, the way in."""


@dataclass(frozen=True)
class RuntimeAppArgs:
    facts: Facts
    resource_group_name: pulumi.Input[str]
    environment_id: pulumi.Input[str]
    paused: bool
    """Whether an app that is there keeps what it runs."""
    identity: Identity
    identities: Identities
    certificate_id: pulumi.Input[str] | None
    """Of its host; None where it has none."""
    after: Sequence[pulumi.Resource]
    """What must be there before the first container starts: access, records, secrets, database."""


class RuntimeApp(pulumi.ComponentResource):
    def __init__(self, name: str, args: RuntimeAppArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("teams-ehr-connector:apps:RuntimeApp", name, None, opts)
        placement = args.facts.placement
        role = args.identity.role
        host = args.facts.host_of(role)
        init = args.identities.init
        size = placement.sizes.apps[role]
        resources = app.ContainerResourcesArgs(cpu=size.cpu, memory=size.memory)
        made = app.ContainerApp(
            name,
            resource_group_name=args.resource_group_name,
            container_app_name=placement.container_app(role),
            location=placement.location,
            managed_environment_id=args.environment_id,
            workload_profile_name=WORKLOAD_PROFILE,
            identity=app.ManagedServiceIdentityArgs(
                type="UserAssigned", user_assigned_identities=[init.id, args.identity.id]
            ),
            configuration=app.ConfigurationArgs(
                active_revisions_mode="Single",
                identity_settings=[
                    app.IdentitySettingsArgs(identity=init.id, lifecycle="Init"),
                    app.IdentitySettingsArgs(identity=args.identity.id, lifecycle="Main"),
                ],
                ingress=_ingress(host, args.certificate_id) if host else None,
                registries=[app.RegistryCredentialsArgs(server=placement.registry, identity=args.identity.id)],
            ),
            template=app.TemplateArgs(
                init_containers=[
                    app.InitContainerArgs(
                        name="init",
                        image=args.facts.image,
                        command=COMMAND,
                        env=init_environment(args.facts, init, args.identities.serving),
                        resources=resources,
                    )
                ],
                containers=[
                    app.ContainerArgs(
                        name=role,
                        image=args.facts.image,
                        command=COMMAND,
                        env=environment(args.facts, args.identity),
                        probes=_probes(role),
                        resources=resources,
                    )
                ],
                scale=_scale(size),
                termination_grace_period_seconds=30,
            ),
            tags=placement.tags,
            opts=pulumi.ResourceOptions(
                parent=self, depends_on=list(args.after), ignore_changes=list(REVISION) if args.paused else None
            ),
        )
        self.id: pulumi.Output[str] = made.id
        self.register_outputs({})


def _ingress(host: str, certificate_id: pulumi.Input[str] | None) -> app.IngressArgs:
    """External to the environment, which is itself internal: reached from the virtual network."""
    return app.IngressArgs(
        external=True,
        target_port=PORT,
        allow_insecure=False,
        transport="auto",
        custom_domains=[app.CustomDomainArgs(name=host, binding_type="SniEnabled", certificate_id=certificate_id)],
        traffic=[app.TrafficWeightArgs(latest_revision=True, weight=100)],
    )


def _probes(role: RuntimeRole) -> list[app.ContainerAppProbeArgs]:
    """Each role has all three: a revision takes over when it is ready, so what has no readiness is taken at its start.

    The worker is ready, and alive, while it reads its queue; a database that fails over keeps it from that for minutes.
    """
    worker = role is RuntimeRole.WORKER
    return [
        _probe("Startup", "/livez", period_seconds=6, failure_threshold=10),
        _probe("Liveness", "/livez", period_seconds=30 if worker else 10, failure_threshold=6 if worker else 3),
        _probe("Readiness", "/livez" if worker else "/readyz", period_seconds=5, failure_threshold=3),
    ]


def _probe(kind: str, path: str, *, period_seconds: int, failure_threshold: int) -> app.ContainerAppProbeArgs:
    return app.ContainerAppProbeArgs(
        type=kind,
        http_get=app.ContainerAppProbeHttpGetArgs(path=path, port=PORT, scheme="HTTP"),
        period_seconds=period_seconds,
        failure_threshold=failure_threshold,
    )


def _scale(size: AppSize) -> app.ScaleArgs:
    requests = size.concurrent_requests
    rule = app.HttpScaleRuleArgs(metadata={"concurrentRequests": str(requests)})
    return app.ScaleArgs(
        min_replicas=size.replicas,
        max_replicas=size.most_replicas,
        rules=[app.ScaleRuleArgs(name="requests", http=rule)] if requests is not None else None,
    )
