"""The environment of a container, from a `Handover`: what is known now, and what Azure answers during the update.

Owns the way from typed values to a container's `env`. Names, and values that are known, stand in the template as they
are, so that a preview shows them and the policy pack judges them; the others come from the validated Handover.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi_azure_native import app

from components.identities import Identity
from components.placement import Placement
from schemas.configuration_document import Chunks
from schemas.handover import AUDITOR_DATABASE_ROLE, PREFIX, Handover
from schemas.stack_config import Microsoft365
from schemas.vocabulary import Cloud, RuntimeRole


@dataclass(frozen=True)
class Portal:
    """What the portal is told instead of what the others are."""

    host: str
    application_id: str
    repository_url: str


@dataclass(frozen=True)
class Facts:
    """What every process of a geography is told, whatever its role."""

    placement: Placement
    image: str
    public_host: str
    portal: Portal | None
    microsoft365: Microsoft365
    ca_bundle: str | None
    chunks: Chunks
    first_chunk: pulumi.Output[str]
    vault_url: pulumi.Output[str]
    storage_url: pulumi.Output[str]
    database_host: pulumi.Output[str]
    database: str
    auditors: str | None = None
    """The group whose members may log in to the database, to read audit rows only."""

    def host_of(self, role: RuntimeRole) -> str | None:
        """Where a role is reached; None where it is not."""
        match role:
            case RuntimeRole.APPLICATION:
                return self.public_host
            case RuntimeRole.PORTAL:
                return self.portal.host if self.portal else None
            case RuntimeRole.INIT | RuntimeRole.WORKER:
                return None


def environment(
    facts: Facts, identity: Identity, database_users: tuple[Identity, ...] = ()
) -> list[app.EnvironmentVarArgs]:
    """The variables of one process; `database_users` is for init, which makes their roles."""
    sslmode = "verify-full" if facts.placement.cloud is Cloud.AZURE else "disable"
    known: dict[str, Any] = {
        "role": identity.role,
        "stage": facts.placement.stage,
        "cloud": facts.placement.cloud,
        "geography": facts.placement.geography,
        "image": facts.image,
        "public_host": facts.public_host,
        "configuration_sha256": facts.chunks.sha256,
        "configuration_chunks": len(facts.chunks.values),
        "entra_url": facts.microsoft365.endpoints.entra_url,
        "graph_url": facts.microsoft365.endpoints.graph_url,
        "application_id": facts.microsoft365.application_id,
        "home_tenant_id": facts.microsoft365.home_tenant_id,
    }
    if facts.ca_bundle is not None:
        known["ca_bundle"] = facts.ca_bundle
    if identity.role is RuntimeRole.PORTAL and facts.portal is not None:
        known["public_host"] = facts.portal.host
        known["application_id"] = facts.portal.application_id
        known["repository_url"] = facts.portal.repository_url
    answered: dict[str, pulumi.Output[str]] = {
        "managed_identity_client_id": identity.client_id,
        "managed_identity_principal_id": identity.principal_id,
        "key_vault_url": facts.vault_url,
        "storage_url": facts.storage_url,
        "database_url": pulumi.Output.concat(
            f"postgresql://{identity.database_role}@", facts.database_host, f"/{facts.database}?sslmode={sslmode}"
        ),
        "configuration_secret": facts.first_chunk,
    }
    if database_users:
        answered["database_roles"] = _roles(database_users, facts.auditors)
    return _variables(known, answered)


def _roles(users: tuple[Identity, ...], auditors: str | None) -> pulumi.Output[str]:
    of_auditors = [f"{AUDITOR_DATABASE_ROLE}={auditors}"] if auditors is not None else []

    def text(ids: "list[str]") -> str:
        return ",".join([*(f"{u.database_role}={i}" for u, i in zip(users, ids, strict=True)), *of_auditors])

    return pulumi.Output.all(*(u.principal_id for u in users)).apply(text)


def _variables(known: Mapping[str, Any], answered: Mapping[str, pulumi.Output[str]]) -> list[app.EnvironmentVarArgs]:
    def validated(answers: "dict[str, str]") -> dict[str, str]:
        return Handover.model_validate({**known, **answers}).environment()

    complete = pulumi.Output.all(**answered).apply(validated)
    variables: list[app.EnvironmentVarArgs] = []
    for field in Handover.model_fields:
        name = PREFIX + field.upper()
        if field in known:
            variables.append(app.EnvironmentVarArgs(name=name, value=str(known[field])))
        elif field in answered:
            variables.append(app.EnvironmentVarArgs(name=name, value=complete.apply(lambda e, n=name: e[n])))
    return variables


def init_environment(
    facts: Facts, init: Identity, database_users: tuple[Identity, ...]
) -> list[app.EnvironmentVarArgs]:
    """The variables of an init container."""
    if init.role is not RuntimeRole.INIT:
        raise ValueError(f"expected init's identity, got {init.role}'s")
    return environment(facts, init, database_users)
