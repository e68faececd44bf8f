"""The token endpoint that Container Apps gives to a container, for the identities of that app and phase only.

Wire: "Managed identities in Azure Container Apps", REST endpoint reference, 2019-08-01: GET IDENTITY_ENDPOINT with
`resource` and `client_id`, header X-IDENTITY-HEADER. An identity that is not assigned to the app, or whose life-cycle
setting leaves this phase out, is refused, and so is a header of another app.
"""

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from emulators.azure.tokens import DATABASE, Issuer, Principal, Token

API_VERSION = "2019-08-01"
PATH = "/msi/token"

OnDatabaseToken = Callable[[str, Token], Awaitable[None]]
"""Called with the object id before a token for the database is given: it must work as a password at once."""


@dataclass(frozen=True)
class Endpoint:
    """What one container of one app is given."""

    url: str
    header: str

    def environment(self) -> dict[str, str]:
        return {"IDENTITY_ENDPOINT": self.url, "IDENTITY_HEADER": self.header}


class ManagedIdentityEndpoint:
    """All token endpoints of this cloud: one address, a secret header per app and phase."""

    def __init__(self, issuer: Issuer, url: str, exists: Callable[[str], bool], on_database: OnDatabaseToken) -> None:
        self.issuer, self.url = issuer, url
        self._exists, self._on_database = exists, on_database
        self._assigned: dict[str, tuple[Principal, ...]] = {}
        self.app = Starlette(routes=[Route(PATH, self._token)])

    def assign(self, principals: tuple[Principal, ...]) -> Endpoint:
        """A new endpoint from which exactly these identities are available."""
        header = secrets.token_urlsafe(32)
        self._assigned[header] = principals
        return Endpoint(f"{self.url}{PATH}", header)

    def withdraw(self, endpoint: Endpoint) -> None:
        self._assigned.pop(endpoint.header, None)

    async def _token(self, request: Request) -> Response:
        query = request.query_params
        principals = self._assigned.get(request.headers.get("x-identity-header", ""))
        if principals is None:
            return _refused(401, "the X-IDENTITY-HEADER is not one that the platform gave")
        if query.get("api-version") != API_VERSION:
            return _refused(400, f"expected api-version={API_VERSION}")
        principal = next((p for p in principals if p.client_id == query.get("client_id")), None)
        if principal is None or not self._exists(principal.object_id):
            return _refused(400, "No User Assigned or Delegated Managed Identity found for specified ClientId")
        audience = query.get("resource", "").rstrip("/")
        try:
            token = self.issuer.token(principal, audience)
        except ValueError as e:
            return _refused(400, f"AADSTS500011: {e}")
        if audience == DATABASE:
            await self._on_database(principal.object_id, token)
        return JSONResponse(
            {
                "access_token": token.text,
                "expires_on": str(token.expires),
                "resource": audience,
                "token_type": "Bearer",
                "client_id": principal.client_id,
            },
            headers={"cache-control": "no-store"},
        )


def _refused(status: int, message: str) -> Response:
    return JSONResponse({"statusCode": status, "message": message}, status)
