"""One Interconnect instance of an EHR: its URLs, and the OAuth clients registered in it.

Owns how Epic derives URLs from the instance's name, and which scopes each kind of client has been granted.
"""

from dataclasses import dataclass

from emulators.world import Ehr, EhrClient, EhrEnvironment
from schemas.vocabulary import ClientRole, Stage

_LAUNCH_SCOPES = frozenset(
    ["launch", "openid", "profile", "fhirUser"]
    + [f"patient/{resource}.{verb}" for resource in ("Patient", "Appointment") for verb in ("read", "r", "rs")]
)
GRANTED_SCOPES: dict[ClientRole, frozenset[str]] = {
    ClientRole.PROVIDER: _LAUNCH_SCOPES,
    ClientRole.PATIENT: _LAUNCH_SCOPES,
    ClientRole.APPROVAL: frozenset(["openid"]),
    ClientRole.BACKEND: frozenset(
        f"system/{resource}.{verb}" for resource in ("Patient", "Appointment") for verb in ("read", "r", "rs")
    ),
}
"""What the EHR's administrator ticked when the client was registered."""

TELEHEALTH_PATH = "api/epic/2018/Telehealth/ContextLinking/SetExternalConnectionStatus"


@dataclass(frozen=True)
class Instance:
    """An environment of an EHR; two of them share people, and nothing else."""

    ehr: Ehr
    environment: EhrEnvironment

    @property
    def stage(self) -> Stage:
        return self.environment.stage

    @property
    def path(self) -> str:
        return f"/{self.environment.instance}"

    @property
    def root(self) -> str:
        return self.ehr.url + self.path

    @property
    def fhir_base_url(self) -> str:
        return f"{self.root}/api/FHIR/R4"

    @property
    def authorize_url(self) -> str:
        return f"{self.root}/oauth2/authorize"

    @property
    def token_url(self) -> str:
        return f"{self.root}/oauth2/token"

    @property
    def jwks_url(self) -> str:
        return f"{self.root}/oauth2/jwks"

    @property
    def issuer(self) -> str:
        """The OpenID issuer of id_tokens."""
        return self.environment.id_token_issuer or self.fhir_base_url

    def client(self, client_id: str) -> EhrClient | None:
        return next((c for c in self.environment.clients if c.client_id == client_id), None)

    def client_of(self, role: ClientRole) -> EhrClient | None:
        return next((c for c in self.environment.clients if c.role is role), None)


def instances_of(ehr: Ehr) -> dict[Stage, Instance]:
    return {environment.stage: Instance(ehr, environment) for environment in ehr.environments}
