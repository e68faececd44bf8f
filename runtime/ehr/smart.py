"""The one client of SMART servers: endpoints, code for tokens, verified id_tokens, backend tokens.

Owns what is remembered between calls: endpoints for five minutes, a discovery that failed for five seconds (anybody
can start a launch), issuers' keys, backend access tokens until shortly before they expire. Leaves out launches' rules
(`launch/`) and what write-backs say (`writeback/`).
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jwt

from runtime.configuration import ehr_origins, expected_issuer
from runtime.ehr.client_authentication import credentials_for
from runtime.ehr.discovery import Endpoints, discover, key_set_of_issuer
from runtime.errors import ConnectorError, ProtocolError, RemoteUnavailable
from runtime.http import HttpClients, Remote, Response
from runtime.jose import Expected, KeySets, verified_claims
from runtime.vault import Vault
from schemas.stack_config import BackendClient, EhrConnection, LaunchClient

ENDPOINTS_SECONDS = 300.0
FAILURE_SECONDS = 5.0
MAXIMUM_TOKEN_CHARACTERS = 64 * 1024
_KNOWN_ERRORS = frozenset(
    {
        "invalid_request",
        "invalid_client",
        "invalid_grant",
        "unauthorized_client",
        "unsupported_grant_type",
        "invalid_scope",
    }
)


class TokenEndpointRefused(ConnectorError):
    """The EHR refused to give a token. `error` is RFC 6749's code, or `other`."""

    def __init__(self, error: str, status: int) -> None:
        super().__init__(f"the token endpoint answered {error} ({status})")
        self.error = error if error in _KNOWN_ERRORS else "other"
        self.status = status


@dataclass
class SmartClient:
    """All connections' SMART servers."""

    http: HttpClients
    vault: Vault
    monotonic: Callable[[], float] = time.monotonic
    clock: Callable[[], float] = time.time
    _endpoints: dict[str, tuple[float, Endpoints]] = field(default_factory=dict[str, tuple[float, Endpoints]])
    _failures: dict[str, tuple[float, type[ConnectorError], str]] = field(
        default_factory=dict[str, tuple[float, type[ConnectorError], str]]
    )
    _locks: dict[str, asyncio.Lock] = field(default_factory=dict[str, asyncio.Lock])
    _backend: dict[str, tuple[float, str]] = field(default_factory=dict[str, tuple[float, str]])

    def __post_init__(self) -> None:
        self._keys = KeySets(self.monotonic)

    async def endpoints(self, connection: EhrConnection) -> Endpoints:
        """One discovery at a time. Raises `ProtocolError`, `RemoteUnavailable`."""
        async with self._locks.setdefault(connection.id, asyncio.Lock()):
            known = self._endpoints.get(connection.id)
            if known and self.monotonic() < known[0] + ENDPOINTS_SECONDS:
                return known[1]
            failed = self._failures.get(connection.id)
            if failed and self.monotonic() < failed[0] + FAILURE_SECONDS:
                raise failed[1](failed[2])
            try:
                found = await discover(self._remote(connection), connection)
            except (ProtocolError, RemoteUnavailable) as e:
                self._failures[connection.id] = (self.monotonic(), type(e), str(e))
                raise
            self._endpoints[connection.id] = (self.monotonic(), found)
            return found

    async def exchange_code(
        self, connection: EhrConnection, client: LaunchClient, *, code: str, redirect_uri: str, verifier: str
    ) -> dict[str, Any]:
        """The token response. Raises `TokenEndpointRefused`, `ProtocolError`, `Unavailable`, `CredentialAbsent`."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": verifier,
        }
        return await self._token(connection, client, form)

    async def verify_id_token(
        self, connection: EhrConnection, client: LaunchClient, token: object, nonce: str
    ) -> dict[str, Any]:
        """Its claims. Raises `TokenRefused`, `ProtocolError`, `RemoteUnavailable`."""
        if not isinstance(token, str) or not 0 < len(token) <= MAXIMUM_TOKEN_CHARACTERS:
            raise ProtocolError("expected an id_token in the token response")
        remote = self._remote(connection)
        url = (await self.endpoints(connection)).key_set or await key_set_of_issuer(remote, connection, client)
        expected = Expected(expected_issuer(connection, client), client.client_id, nonce)

        async def key_of(key_id: str | None, algorithm: str) -> jwt.PyJWK:
            return await self._keys.key(remote, url, key_id, algorithm)

        return await verified_claims(token, expected, key_of)

    async def backend_token(self, connection: EhrConnection, scope: str | None = None) -> str:
        """An access token of the backend client (SMART Backend Services), kept until 30 s before it expires.

        Raises as `exchange_code`, and `ProtocolError` where the connection has no backend client.
        """
        client = connection.clients.backend
        if client is None:
            raise ProtocolError(f"{connection.id} has no backend client")
        kept = self._backend.get(connection.id)
        if kept and self.monotonic() < kept[0]:
            return kept[1]
        form = {"grant_type": "client_credentials"} | ({"scope": scope} if scope else {})
        answer = await self._token(connection, client, form)
        lifetime = answer.get("expires_in")
        seconds = float(lifetime) if isinstance(lifetime, int) else 60.0
        self._backend[connection.id] = (
            self.monotonic() + max(0.0, min(seconds, 3600.0) - 30.0),
            answer["access_token"],
        )
        return answer["access_token"]

    def forget_backend_token(self, connection: EhrConnection) -> None:
        """After the EHR answered 401: the next call asks for a new one."""
        self._backend.pop(connection.id, None)

    async def _token(
        self, connection: EhrConnection, client: LaunchClient | BackendClient, form: dict[str, str]
    ) -> dict[str, Any]:
        url = (await self.endpoints(connection)).token
        credentials = await credentials_for(self.vault, client.client_id, client.authentication, url, self.clock())
        response = await self._remote(connection).request(
            "POST",
            url,
            data={**form, **credentials.form},
            headers={"accept": "application/json", **credentials.headers},
        )
        return _token_response(response)

    def _remote(self, connection: EhrConnection) -> Remote:
        return self.http.to(ehr_origins(connection))


def _token_response(response: Response) -> dict[str, Any]:
    """RFC 6749 section 5."""
    if not response.ok:
        try:
            error = response.json_object().get("error")
        except ProtocolError:
            error = None
        raise TokenEndpointRefused(error if isinstance(error, str) else "other", response.status)
    answer = response.json_object()
    token, kind = answer.get("access_token"), answer.get("token_type")
    if not isinstance(token, str) or not token or not isinstance(kind, str) or kind.lower() != "bearer":
        raise ProtocolError("expected a bearer token in the token response")
    return answer
