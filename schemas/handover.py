"""What the components give the runtime: a typed, small set of environment variables.

Owns the names and types of the `CONNECTOR_*` variables. `components/` writes them into the container template,
`runtime/settings.py` reads them; nothing else knows their names. Nothing here grows with the number of organisations:
those are in the configuration document, which the Handover names by SHA-256 (`configuration_document.py`).
"""

from collections.abc import Mapping
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from schemas.scalars import Guid, HttpsOrigin, PublicHost, SecretName
from schemas.vocabulary import Cloud, GeographyName, RuntimeRole, Stage

PREFIX = "CONNECTOR_"
AUDITOR_DATABASE_ROLE = "connector_auditor"
"""As whom the members of the auditors' group log in to the database; the only role that is not an identity's."""


class Handover(BaseModel):
    """One field, one environment variable: `CONNECTOR_` and the field's name in capitals.

    `database_url` is `postgresql://<role>@<host>[:port]/<database>?sslmode=...`; the password is a token that the
    runtime gets as `managed_identity_client_id`. URLs have no slash at the end, except `key_vault_url` and
    `storage_url`, which are the vault's `vaultUri` and the account's blob endpoint as Azure gives them.
    `public_host` is the portal's own host where the role is portal.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    role: RuntimeRole
    stage: Stage
    cloud: Cloud
    geography: GeographyName
    image: Annotated[str, Field(pattern=r"^[^@\s]+@sha256:[0-9a-f]{64}$")]
    public_host: PublicHost
    managed_identity_client_id: Guid
    managed_identity_principal_id: Guid
    key_vault_url: Annotated[str, Field(pattern=r"^https://[^/?#@]+/$")]
    database_url: Annotated[str, Field(pattern=r"^postgresql://[^/?#@:]+@[^/?#@]+/[a-z_]+\?sslmode=[a-z-]+$")]
    storage_url: Annotated[str, Field(pattern=r"^https://[^/?#@]+/$")]
    configuration_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    configuration_secret: Annotated[SecretName, Field(description="The vault secret that holds the first chunk")]
    configuration_chunks: Annotated[int, Field(ge=1, le=4096)]
    entra_url: HttpsOrigin
    graph_url: HttpsOrigin
    application_id: Guid
    home_tenant_id: Guid
    repository_url: Annotated[str, Field(pattern=r"^(https://[^/?#@]+/[^?#@]+|file:///[^?#]+)$")] | None = Field(
        default=None, description="Only for the portal: the git repository in which it proposes changes"
    )
    ca_bundle: Annotated[str, Field(pattern=r"^/.+$")] | None = None
    database_roles: Annotated[str, Field(pattern=r"^[a-z_]+=[0-9a-f-]{36}(,[a-z_]+=[0-9a-f-]{36})*$")] | None = Field(
        default=None,
        description="Only for init: role and principal id of each identity or group that logs in, as role=id,role=id",
    )

    def environment(self) -> dict[str, str]:
        """The variables, absent ones left out."""
        values = self.model_dump(mode="json", exclude_none=True)
        return {PREFIX + name.upper(): str(value) for name, value in values.items()}

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Handover":
        """Parse the variables; unknown `CONNECTOR_*` names are refused. Raises `HandoverInvalid`, never with values."""
        values = {k.removeprefix(PREFIX).lower(): v for k, v in environment.items() if k.startswith(PREFIX)}
        try:
            return cls.model_validate(values)
        except ValidationError as e:
            problems = [f"{PREFIX}{'_'.join(map(str, p['loc'])).upper()}: {p['msg']}" for p in e.errors()]
            raise HandoverInvalid("the environment is not a Handover: " + "; ".join(problems)) from None


class HandoverInvalid(Exception):
    """The process was started with variables that the components do not emit."""
