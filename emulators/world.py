"""The world around the connector: tenants with their people, hospitals with their EHRs and appointments.

Owns the shape of `world.yaml`, which the Entra, Graph and EHR emulators read. It is the other side's configuration, as
in life: what a hospital registered in its EHR stands here, what the connector believes stands in the stack
configuration, and where they differ the emulators refuse. Invented people only.
"""

import os
from datetime import date
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel
from ruamel.yaml import YAML

from schemas.scalars import Guid, HttpsOrigin, HttpsUrl, Identifier, OpaqueId
from schemas.vocabulary import ClientRole, Stage

WORLD_VARIABLE = "CONNECTOR_EMULATED_WORLD"
DEFAULT_WORLD = Path(__file__).with_name("world.yaml")


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, validate_by_name=True)


class User(_Model):
    """A Microsoft 365 account. `home_tenant_id` differs from the tenant's id for a guest."""

    object_id: Guid
    user_principal_name: str
    display_name: str
    password: str
    home_tenant_id: Guid | None = None
    administrator: bool = False
    """Whether they may consent for their tenant (Global Administrator)."""


class Group(_Model):
    """An Entra security group; members are object ids of users, or of service principals."""

    object_id: Guid
    display_name: str
    members: tuple[Guid, ...] = ()


class Tenant(_Model):
    id: Guid
    name: str
    users: tuple[User, ...] = ()
    groups: tuple[Group, ...] = ()


class AppRegistration(_Model):
    """A multi-tenant app registration, federated to managed identities by their resource names."""

    application_id: Guid
    home_tenant_id: Guid
    redirect_uris: tuple[HttpsUrl, ...]
    federated_identities: tuple[str, ...]
    consented_tenants: tuple[Guid, ...]
    """Those that consented before the world began; more do at the admin consent endpoint."""
    application_permissions: tuple[str, ...] = ()
    """Of Graph, which a tenant grants by its consent."""
    optional_claims: tuple[Literal["auth_time"], ...] = ()
    """Optional claims of its id_tokens ("Optional claims reference")."""


class Entra(_Model):
    url: HttpsOrigin
    tenants: tuple[Tenant, ...]
    registrations: tuple[AppRegistration, ...]

    def groups_of(self, tenant_id: str) -> dict[str, frozenset[str]]:
        """Members by group of a tenant, all by object ids."""
        return {g.object_id: frozenset(g.members) for t in self.tenants if t.id == tenant_id for g in t.groups}


class AccessPolicy(_Model):
    """New-CsApplicationAccessPolicy, granted to a whole tenant."""

    tenant_id: Guid
    application_id: Guid


class Graph(_Model):
    url: HttpsOrigin
    access_policies: tuple[AccessPolicy, ...]
    meetings_per_user_and_month: int = 2000


class EhrClient(_Model):
    """An OAuth client as the EHR registered it. Secrets are made per run, never written here."""

    client_id: OpaqueId
    role: ClientRole
    method: Literal["none", "client_secret_basic", "private_key_jwt"]
    jwks_url: HttpsUrl | None = None
    redirect_uris: tuple[HttpsUrl, ...] = ()
    launch_url: HttpsUrl | None = None


class EhrEnvironment(_Model):
    """One Interconnect instance: `<url>/<instance>/api/FHIR/R4` is its FHIR base URL.

    `id_token_issuer` is the FHIR base URL where it is left out.
    """

    stage: Stage
    instance: Annotated[str, Field(pattern=r"^interconnect-[a-z0-9-]+$")]
    id_token_issuer: HttpsUrl | None = None
    clients: tuple[EhrClient, ...]


class EhrUser(_Model):
    """Somebody who works in the EHR; `entra_object_id` is what demonstrations sign in with."""

    id: OpaqueId
    name: str
    entra_object_id: Guid


class EhrPatient(_Model):
    id: OpaqueId
    name: str
    birth_date: date


class Appointment(_Model):
    csn: OpaqueId
    provider: OpaqueId
    patient: OpaqueId
    time: Annotated[str, Field(pattern=r"^[0-2][0-9]:[0-5][0-9]$")]


class Ehr(_Model):
    """One organisation's EHR: its pages are served under every one of `page_origins`."""

    organization: Identifier
    url: HttpsOrigin
    page_origins: tuple[HttpsOrigin, ...]
    software_version: str = "May 2026"
    environments: tuple[EhrEnvironment, ...]
    users: tuple[EhrUser, ...]
    patients: tuple[EhrPatient, ...]
    appointments: tuple[Appointment, ...]


class World(_Model):
    entra: Entra
    graph: Graph
    ehrs: tuple[Ehr, ...]


def load_world(path: Path | None = None) -> World:
    """The world of `path`, else of `CONNECTOR_EMULATED_WORLD`, else the sample. Raises pydantic.ValidationError."""
    path = path or Path(os.environ.get(WORLD_VARIABLE) or DEFAULT_WORLD)
    document = YAML(typ="safe").load(path)  # pyright: ignore[reportUnknownMemberType]
    return World.model_validate(document)
