"""Whether a connection may serve: the one function that launches ask. A visit under way asks nobody, and ends normally.

Owns the question and its answer's shape: a connection serves once it is approved, its standing says so now, and its
credentials are in the vault.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from runtime.configuration import Served
from runtime.errors import Refusal
from runtime.promotion.standing import why_not_served
from schemas.promotion.decide import Approved, Withdrawn
from schemas.promotion.reasons import Code
from schemas.stack_config import ClientSecretBasic, EhrConnection, PrivateKeyJwt
from schemas.vocabulary import ClientRole

if TYPE_CHECKING:
    from runtime.bootstrap import Services

CONNECTION_UNREADY = Refusal(
    "connection-unready",
    503,
    "Video visits are not set up yet at this organization",
    "Please tell your support team: a credential for this health record connection is missing.",
)
CONNECTION_NOT_APPROVED = Refusal(
    "connection-not-approved",
    403,
    "Video visits are not open yet at this organization",
    "Please tell your support team: this health record connection waits for its approval.",
)
CONNECTION_WITHDRAWN = Refusal(
    "connection-withdrawn",
    403,
    "No new video visits can start at this organization",
    "A visit that has begun goes on. For another way to meet, please ask your clinic or your support team.",
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


async def may_serve(services: "Services", served: Served, role: ClientRole) -> Serving:
    """Whether this connection may serve launches of this role now. Raises `Unavailable`."""
    await services.standing.catch_up(services)
    refusal = not_standing(services, served)
    if refusal:
        return Serving((refusal,))
    secret = credential_of(served.connection, role)
    if secret and not await services.vault.secret(secret):
        return Serving((CONNECTION_UNREADY.because("credential-absent"),))
    return Serving()


def not_standing(services: "Services", served: Served) -> Refusal | None:
    """The refusal of a connection that is not approved as it stands; None where it is."""
    decision = services.standing.decisions.get(served.connection.id)
    if isinstance(decision, Approved):
        return None
    codes = [r.code for r in why_not_served(decision)]
    stopped = isinstance(decision, Withdrawn) or Code.REVOKED in codes
    refusal = CONNECTION_WITHDRAWN if stopped else CONNECTION_NOT_APPROVED
    return refusal.because(codes[0].value if codes else "undecided")
