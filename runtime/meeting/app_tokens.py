"""App-only tokens for Graph in each organisation's tenant.

Owns MSAL's confidential clients, one per tenant, which cache tokens; the credential is an assertion of the managed
identity, so there is no client secret (RFC 7523, workload identity federation).
"""

import asyncio
from typing import Any, cast
from urllib.parse import urlsplit

import msal  # pyright: ignore[reportMissingTypeStubs]

from runtime.errors import ConnectorError, Unavailable
from runtime.http import HttpClients
from runtime.managed_identity import ManagedIdentity
from runtime.meeting.errors import GraphRefused, GraphUnavailable
from runtime.settings import Settings
from schemas.stack_config import NATIONAL_CLOUDS, exchange_audience


class AppTokens:
    """Callable as Graph's token source."""

    def __init__(self, settings: Settings, identity: ManagedIdentity, http: HttpClients) -> None:
        self._settings = settings
        self._identity = identity
        self._http = http
        self._clients: dict[str, msal.ConfidentialClientApplication] = {}

    async def __call__(self, tenant: str) -> str:
        """Raises `GraphRefused` where the tenant has not consented, `GraphUnavailable`."""
        return await asyncio.to_thread(self._blocking, tenant)

    def _blocking(self, tenant: str) -> str:
        try:
            client = cast(Any, self._client(tenant))
            answer: dict[str, Any] = client.acquire_token_for_client([f"{self._settings.graph_url}/.default"]) or {}
        except Unavailable:
            raise GraphUnavailable("token", "entra-unavailable") from None
        except ConnectorError:
            raise GraphUnavailable("token", "entra-answer-unknown") from None
        except ValueError:  # MSAL's word for a tenant that Entra does not know
            raise GraphRefused("token", "entra-refused") from None
        token = answer.get("access_token")
        if not isinstance(token, str):
            raise GraphRefused("token", "entra-refused")
        return token

    def _client(self, tenant: str) -> msal.ConfidentialClientApplication:
        client = self._clients.get(tenant)
        if client is None:
            entra = self._settings.entra_url
            audience = exchange_audience(entra)
            client = msal.ConfidentialClientApplication(
                self._settings.handover.application_id,
                authority=f"{entra}/{tenant}",
                client_credential={"client_assertion": lambda: self._identity.token_blocking(audience)},
                instance_discovery=urlsplit(entra).hostname in _MICROSOFT_HOSTS,
                http_client=self._http.msal,
            )
            self._clients[tenant] = client
        return client


_MICROSOFT_HOSTS = frozenset(urlsplit(cloud.entra_url).hostname for cloud in NATIONAL_CLOUDS.values())
