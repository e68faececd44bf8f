"""Whether a connection may serve: the one function that launches, visits and write-backs ask.

Owns the question and its answer's shape. Today every valid connection may, once its credentials are in the vault;
promotion and revocation belong in this body and nowhere else.
"""

from dataclasses import dataclass

from runtime.configuration import Served
from runtime.errors import Refusal
from runtime.vault import Vault
from schemas.stack_config import ClientSecretBasic, EhrConnection, PrivateKeyJwt
from schemas.vocabulary import ClientRole

CONNECTION_UNREADY = Refusal(
    "connection-unready",
    503,
    "Video visits are not set up yet at this organization",
    "Please tell your support team: a credential for this health record connection is missing.",
)


@dataclass(frozen=True)
class Serving:
    """Yes, or every reason why not."""

    refusals: tuple[Refusal, ...] = ()

    @property
    def allowed(self) -> bool:
        return not self.refusals


def credential_of(connection: EhrConnection, role: ClientRole) -> str | None:
    """The vault secret that a role's client needs, if any."""
    client = {
        ClientRole.PROVIDER: connection.clients.provider,
        ClientRole.PATIENT: connection.clients.patient,
        ClientRole.BACKEND: connection.clients.backend,
    }.get(role)
    match client.authentication if client else None:
        case ClientSecretBasic(secret=name) | PrivateKeyJwt(key=name):
            return name
        case _:
            return None


async def may_serve(vault: Vault, served: Served, role: ClientRole) -> Serving:
    """Whether this connection may serve launches (or write-backs) of this role now. Raises `VaultUnavailable`."""
    secret = credential_of(served.connection, role)
    if secret and not await vault.secret(secret):
        return Serving((CONNECTION_UNREADY.because("credential-absent"),))
    return Serving()
