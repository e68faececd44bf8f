"""Who calls Graph: verifies an access token of the emulated Entra and the permission that a call needs."""

from collections.abc import Callable
from dataclasses import dataclass

import jwt
from starlette.requests import Request

from emulators.entra.signing import SigningKey, access_token_issuer
from emulators.graph import errors
from emulators.world import World

MEETINGS_PERMISSION = "OnlineMeetings.ReadWrite.All"
VIRTUAL_APPOINTMENT_PERMISSION = "VirtualAppointment.Read.All"


@dataclass(frozen=True)
class Caller:
    """An application in a tenant, with its application permissions."""

    tenant_id: str
    application_id: str
    roles: frozenset[str]

    def require(self, role: str) -> None:
        if role not in self.roles:
            raise errors.GraphError(
                403, "Authorization_RequestDenied", "Insufficient privileges to complete the operation."
            )


class Authentication:
    """Turns a request's bearer token into a `Caller`."""

    def __init__(self, world: World, key: SigningKey, clock: Callable[[], float]) -> None:
        self._audience, self._entra_url = world.graph.url, world.entra.url
        self._tenants = frozenset(t.id for t in world.entra.tenants)
        self._key, self._clock = key, clock

    def caller(self, request: Request) -> Caller:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise errors.unauthorized("Access token is empty.")
        try:
            claims = jwt.decode(
                token,
                self._key.private.public_key(),
                algorithms=["RS256"],
                audience=self._audience,
                options={
                    "require": ["exp", "nbf", "iss", "tid", "appid"],
                    "verify_exp": False,
                    "verify_nbf": False,
                    "verify_iat": False,
                },
            )
        except jwt.InvalidAudienceError:
            raise errors.unauthorized("Access token validation failure. Invalid audience.") from None
        except jwt.InvalidTokenError:
            raise errors.unauthorized("IDX10511: Signature validation failed, or the token is malformed.") from None
        if not claims["nbf"] - 300 <= self._clock() < claims["exp"]:
            raise errors.unauthorized("Lifetime validation failed, the token is expired.")
        tenant = claims["tid"]
        if tenant not in self._tenants or claims["iss"] != access_token_issuer(self._entra_url, tenant):
            raise errors.unauthorized("Access token validation failure. Invalid issuer.")
        return Caller(tenant, claims["appid"], frozenset(claims.get("roles", ())))
