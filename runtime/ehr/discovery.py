"""Where a SMART server's endpoints are, and which of them we are willing to use.

SMART App Launch 2.2 section 8 (`.well-known/smart-configuration`); older servers name them in the CapabilityStatement
(`oauth-uris`). An endpoint must have the FHIR base URL's origin or one that the configuration lists: discovery is read
from the network, so it must not send people, codes or assertions elsewhere.
"""

from dataclasses import dataclass
from typing import Any, cast

from runtime.configuration import ehr_origins, expected_issuer
from runtime.errors import ProtocolError
from runtime.http import Remote, Response, origin_of
from schemas.stack_config import EhrConnection, LaunchClient

OAUTH_URIS = "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris"
_JSON = {"accept": "application/json"}
_FHIR_JSON = {"accept": "application/fhir+json, application/json"}


@dataclass(frozen=True)
class Endpoints:
    """A server's endpoints, their origins checked. `key_set` is absent where only `/metadata` was there."""

    authorization: str
    token: str
    key_set: str | None


async def discover(remote: Remote, connection: EhrConnection) -> Endpoints:
    """Raises `ProtocolError` (origin not allowed, not JSON, incomplete), `RemoteUnavailable`."""
    base = connection.fhir_base_url
    response = await remote.get(f"{base}/.well-known/smart-configuration", headers=_JSON)
    if response.ok:
        found = response.json_object()
    else:
        found = _oauth_uris(await remote.get(f"{base}/metadata", headers=_FHIR_JSON))
    key_set = found.get("jwks_uri")
    return Endpoints(
        _allowed(found.get("authorization_endpoint"), connection),
        _allowed(found.get("token_endpoint"), connection),
        _allowed(key_set, connection) if key_set is not None else None,
    )


async def key_set_of_issuer(remote: Remote, connection: EhrConnection, client: LaunchClient) -> str:
    """The key set by OpenID Connect Discovery of the configured issuer, where SMART's discovery names none."""
    issuer = expected_issuer(connection, client)
    response = await remote.get(f"{issuer.rstrip('/')}/.well-known/openid-configuration", headers=_JSON)
    if not response.ok:
        raise ProtocolError(f"expected the issuer's configuration, got {response.status}")
    return _allowed(response.json_object().get("jwks_uri"), connection)


def _allowed(url: object, connection: EhrConnection) -> str:
    if not isinstance(url, str) or len(url) > 2000 or "#" in url:
        raise ProtocolError("expected an endpoint's URL in the server's configuration")
    if origin_of(url) not in ehr_origins(connection):
        raise ProtocolError(
            "the server's configuration names an endpoint of an origin that the connection does not list",
            "If that origin is right, add it to tokenEndpointOrigins of the connection.",
        )
    return url


def _oauth_uris(response: Response) -> dict[str, Any]:
    if not response.ok:
        raise ProtocolError(f"expected SMART configuration or a CapabilityStatement, got {response.status}")
    uris = {
        part["url"]: part.get("valueUri")
        for rest in _objects(response.json_object().get("rest"))
        for extension in _objects(_object(rest.get("security")).get("extension"))
        if extension.get("url") == OAUTH_URIS
        for part in _objects(extension.get("extension"))
        if isinstance(part.get("url"), str)
    }
    return {"authorization_endpoint": uris.get("authorize"), "token_endpoint": uris.get("token")}


def _object(value: object) -> dict[str, Any]:
    return cast(dict[str, Any], value) if isinstance(value, dict) else {}


def _objects(value: object) -> list[dict[str, Any]]:
    return [_object(v) for v in cast(list[object], value)] if isinstance(value, list) else []
