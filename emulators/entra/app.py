"""The Entra emulator as an ASGI application: its routes and its discovery documents."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from emulators.entra import errors, signing
from emulators.entra.admin_consent import AdminConsent
from emulators.entra.assertions import ManagedIdentities
from emulators.entra.authorization import Codes
from emulators.entra.directory import ANY_TENANT, Directory
from emulators.entra.sign_in import SignIn
from emulators.entra.tokens import TokenEndpoint
from emulators.world import World


def create_app(world: World, state: Path, *, clock: Callable[[], float] = time.time) -> Starlette:
    """The provider of every tenant in `world`; keys and identities come from `state`."""
    directory, codes = Directory(world), Codes()
    key = signing.ensure_signing_key(state)
    sign_in = SignIn(directory, codes, clock)
    tokens = TokenEndpoint(directory, codes, key, ManagedIdentities(state), clock)

    async def discovery(request: Request) -> Response:
        return _for_tenant(directory, request, lambda segment: _discovery_document(directory.url, segment))

    async def keys(request: Request) -> Response:
        return _for_tenant(directory, request, lambda segment: key.jwks())

    return Starlette(
        routes=[
            Route("/{tenant}/v2.0/.well-known/openid-configuration", discovery),
            Route("/{tenant}/discovery/v2.0/keys", keys),
            Route("/{tenant}/v2.0/adminconsent", AdminConsent(directory).endpoint, methods=["GET", "POST"]),
            Route("/{tenant}/oauth2/v2.0/authorize", sign_in.authorize),
            Route("/{tenant}/oauth2/v2.0/token", tokens.token, methods=["POST"]),
            Route("/{tenant}/oauth2/v2.0/logout", sign_in.logout),
            Route("/{tenant}/login", sign_in.login, methods=["GET", "POST"]),
        ]
    )


def _for_tenant(directory: Directory, request: Request, document: Callable[[str], dict[str, Any]]) -> Response:
    try:
        return JSONResponse(document(directory.require_segment(request.path_params["tenant"])))
    except errors.EntraError as e:
        e.error = "invalid_tenant"
        return e.response()


def _discovery_document(url: str, segment: str) -> dict[str, Any]:
    base = f"{url}/{segment}"
    return {
        "issuer": signing.issuer(url, "{tenantid}" if segment in ANY_TENANT else segment),
        "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
        "token_endpoint": f"{base}/oauth2/v2.0/token",
        "jwks_uri": f"{base}/discovery/v2.0/keys",
        "end_session_endpoint": f"{base}/oauth2/v2.0/logout",
        "response_types_supported": ["code"],
        "response_modes_supported": ["query", "form_post"],
        "subject_types_supported": ["pairwise"],
        "scopes_supported": ["openid", "profile", "email", "offline_access"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "token_endpoint_auth_methods_supported": ["private_key_jwt"],
        "code_challenge_methods_supported": ["S256"],
        "claims_supported": ["sub", "iss", "aud", "exp", "iat", "nonce", "name", "oid", "tid", "preferred_username"],
        "request_uri_parameter_supported": False,
        "frontchannel_logout_supported": False,
    }
