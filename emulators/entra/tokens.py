"""The token endpoint: `authorization_code` and `client_credentials`, both with a federated client assertion.

Owns RFC 6749 sections 4.1.3 and 4.4 as Entra applies them. Every other grant is refused as not emulated.
"""

import time
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from emulators.entra import assertions, authorization, errors, signing
from emulators.entra.assertions import ManagedIdentities
from emulators.entra.authorization import Codes
from emulators.entra.directory import Directory
from emulators.entra.signing import SigningKey
from emulators.world import AppRegistration


class TokenEndpoint:
    """POST /{tenant}/oauth2/v2.0/token"""

    def __init__(
        self,
        directory: Directory,
        codes: Codes,
        key: SigningKey,
        identities: ManagedIdentities,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._directory, self._codes, self._key, self._identities = directory, codes, key, identities
        self._clock = clock

    async def token(self, request: Request) -> Response:
        try:
            segment = self._directory.require_segment(request.path_params["tenant"])
            if not request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
                raise errors.missing("grant_type")
            form = await request.form()
            values = authorization.single_values([(k, str(v)) for k, v in form.multi_items()])
            granted = self._grant(segment, values)
        except errors.EntraError as e:
            return e.response()
        return JSONResponse(granted, headers={"Cache-Control": "no-store", "Pragma": "no-cache"})

    def _grant(self, segment: str, values: dict[str, str]) -> dict[str, str | int]:
        for name in ("grant_type", "client_id"):
            if not values.get(name):
                raise errors.missing(name)
        grants = {"authorization_code": self._for_code, "client_credentials": self._for_application}
        if values["grant_type"] not in grants:
            raise errors.unsupported_grant(values["grant_type"])
        registration = self._directory.registration(values["client_id"], segment)
        self._authenticate(registration, values)
        return grants[values["grant_type"]](segment, registration, values)

    def _authenticate(self, registration: AppRegistration, values: dict[str, str]) -> None:
        if "client_secret" in values:
            raise errors.EntraError(
                7000215, "invalid_client", "Invalid client secret provided: the application has none.", status=401
            )
        if "client_assertion" not in values:
            raise errors.EntraError(
                7000218,
                "invalid_client",
                "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.",
                status=401,
            )
        if values.get("client_assertion_type") != assertions.ASSERTION_TYPE:
            raise errors.EntraError(90023, "invalid_request", "Unsupported 'client_assertion_type' value.")
        assertions.verify(values["client_assertion"], registration, self._identities, self._clock())

    def _for_code(self, segment: str, registration: AppRegistration, values: dict[str, str]) -> dict[str, str | int]:
        for name in ("code", "redirect_uri", "code_verifier"):
            if not values.get(name):
                raise errors.missing(name)
        now = self._clock()
        held = self._codes.redeem(
            values["code"],
            segment=segment,
            client_id=registration.application_id,
            redirect_uri=values["redirect_uri"],
            verifier=values["code_verifier"],
            now=now,
        )
        asked = authorization.parse_scopes(values["scope"], self._directory) if values.get("scope") else ()
        scopes = tuple(s for s in asked or held.request.scopes if s != "offline_access")
        answer: dict[str, str | int] = {
            "scope": " ".join(scopes),
            "access_token": signing.delegated_token(
                self._key, self._directory, held.account, registration.application_id, int(now)
            ),
        }
        if "openid" in held.request.scopes:
            answer["id_token"] = signing.id_token(
                self._key,
                self._directory,
                held.account,
                client_id=registration.application_id,
                nonce=held.request.nonce,
                scopes=held.request.scopes,
                now=int(now),
                authenticated_at=held.authenticated_at if "auth_time" in registration.optional_claims else None,
            )
        if values.get("client_info") == "1":
            answer["client_info"] = authorization.client_info(held.account)
        return _bearer(answer)

    def _for_application(
        self, segment: str, registration: AppRegistration, values: dict[str, str]
    ) -> dict[str, str | int]:
        tenant = self._directory.tenant(segment)
        scope = values.get("scope", "")
        if not scope:
            raise errors.missing("scope")
        if " " in scope or not scope.endswith("/.default"):
            raise errors.EntraError(
                1002012,
                "invalid_scope",
                f"The provided value for scope {scope} is not valid. Client credential flows must have a scope value "
                "with /.default suffixed to the resource identifier (application ID URI).",
            )
        resource = scope.removesuffix("/.default")
        if resource != self._directory.graph_url:
            raise errors.EntraError(
                500011,
                "invalid_resource",
                f"The resource principal named {resource} was not found in the tenant named {tenant.name}.",
            )
        self._directory.require_consent(registration, tenant.id)
        token = signing.application_token(self._key, self._directory, registration, tenant.id, int(self._clock()))
        return _bearer({"access_token": token})


def _bearer(answer: dict[str, str | int]) -> dict[str, str | int]:
    return {
        "token_type": "Bearer",
        "expires_in": signing.LIFETIME_SECONDS - 1,
        "ext_expires_in": signing.LIFETIME_SECONDS - 1,
    } | answer
