"""GET /.well-known/jwks.json: the public keys of this geography's `private_key_jwt` clients.

EHRs read it to verify our assertions (SMART App Launch 2.2; Epic's hosted key sets). Public members only; empty while
no key is in the vault; a malformed key is left out and logged.
"""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from runtime.bootstrap import Services, services_of
from runtime.ehr.client_keys import ClientKeyInvalid, parse_client_keys
from runtime.logs import log
from schemas.stack_config import EhrConnection, PrivateKeyJwt

CACHE = "public, max-age=300"


def routes() -> list[BaseRoute]:
    return [Route("/.well-known/jwks.json", jwks)]


async def jwks(request: Request) -> Response:
    """Raises `VaultUnavailable`: an EHR keeps the set that it has, rather than learn an empty one."""
    keys = await published_keys(services_of(request))
    return JSONResponse({"keys": keys}, headers={"cache-control": CACHE})


async def published_keys(services: Services) -> list[dict[str, str]]:
    """Each key once, in a stable order; two organisations' keys that share an id are both there."""
    keys: dict[tuple[str, str], dict[str, str]] = {}
    for served in services.configuration.served:
        for method in _signing_clients(served.connection):
            secret = await services.vault.secret(method.key)
            if not secret:
                continue
            try:
                for key in parse_client_keys(secret.strip(), method.algorithm):
                    keys[key.key_id, key.thumbprint] = dict(key.public_jwk)
            except ClientKeyInvalid:
                log.warning("client key is malformed", connection=served.connection.id, code="client-key-invalid")
    return [keys[identity] for identity in sorted(keys)]


def _signing_clients(connection: EhrConnection) -> list[PrivateKeyJwt]:
    clients = connection.clients
    methods = [clients.provider.authentication, clients.patient.authentication]
    if clients.backend:
        methods.append(clients.backend.authentication)
    return [m for m in methods if isinstance(m, PrivateKeyJwt)]
