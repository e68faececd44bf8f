"""How much of everything a geography has, by stage: the one table that the components read.

Owns replicas, processors, memory, the database's machine and backups, the gateway's instances, how long logs are kept,
the month's budget, and the probes' patience.
Leaves out what is no size: which region, which addresses, which protocols.

The emulated cloud runs one replica of each app, unless the geography's `replicas` says otherwise; all else there is as
on Azure.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from schemas.vocabulary import Cloud, RuntimeRole, Stage


@dataclass(frozen=True)
class AppSize:
    """Of each container, init's too; Consumption gives twice as many Gi as processors."""

    replicas: int
    most_replicas: int
    concurrent_requests: int | None = None
    """Beyond which a replica is added: requests of the last 15 seconds, divided by 15; None where nothing scales."""
    cpu: float = 0.5
    memory: str = "1Gi"


@dataclass(frozen=True)
class DatabaseSize:
    """`machine` must take the pools of all replicas, old and new: a Standard_B1ms has 35 connections for users."""

    machine: str
    tier: str
    storage_gb: int
    """On the first day; it grows by itself."""
    high_availability: str
    backup_days: int


@dataclass(frozen=True)
class GatewaySize:
    """Instances, between which the gateway scales by itself."""

    least: int
    most: int


@dataclass(frozen=True)
class Sizes:
    """Of one geography."""

    apps: Mapping[RuntimeRole, AppSize]
    database: DatabaseSize
    gateway: GatewaySize
    copies_of_storage: str
    log_days: int
    monthly_budget: int
    """In the subscription's currency; a fifth above what a geography is expected to cost in US dollars."""


BY_STAGE: Mapping[Stage, Sizes] = {
    Stage.TEST: Sizes(
        apps={
            RuntimeRole.APPLICATION: AppSize(1, 1, concurrent_requests=30),
            RuntimeRole.WORKER: AppSize(1, 1),
            RuntimeRole.PORTAL: AppSize(1, 1, concurrent_requests=30),
        },
        database=DatabaseSize("Standard_B2s", "Burstable", 32, "Disabled", 7),
        gateway=GatewaySize(0, 2),
        copies_of_storage="Standard_LRS",
        log_days=30,
        monthly_budget=300,
    ),
    Stage.PRODUCTION: Sizes(
        apps={
            RuntimeRole.APPLICATION: AppSize(3, 10, concurrent_requests=30),
            # Fixed: the scaler that reads PostgreSQL takes no managed identity, only a password.
            RuntimeRole.WORKER: AppSize(2, 2),
        },
        database=DatabaseSize("Standard_D2ds_v5", "GeneralPurpose", 128, "ZoneRedundant", 35),
        gateway=GatewaySize(2, 10),
        copies_of_storage="Standard_ZRS",
        log_days=90,
        monthly_budget=1700,
    ),
}


def sizes_of(stage: Stage, cloud: Cloud, replicas: int | None) -> Sizes:
    """The table's row; where cloud is emulated with `replicas` of each app, else one."""
    sizes = BY_STAGE[stage]
    if cloud is Cloud.AZURE:
        return sizes
    few = replicas or 1
    apps = {role: replace(size, replicas=few, most_replicas=few) for role, size in sizes.apps.items()}
    return replace(sizes, apps=apps)
