"""App-only tokens for Graph in each organisation's tenant.

Owns MSAL's confidential clients, one per tenant, whose credential is an assertion of the managed identity, so there is
no client secret (RFC 7523, workload identity federation). MSAL blocks, so it is asked in a thread, and only when the
token that it gave ends soon.
"""

import asyncio
import time
from typing import Any, cast
from urllib.parse import urlsplit

import msal  # pyright: ignore[reportMissingTypeStubs]

from runtime.errors import ConnectorError, Unavailable
from runtime.http import HttpClients
from runtime.managed_identity import ManagedIdentity
from runtime.meeting.errors import GraphRefused, GraphUnavailable
from runtime.settings import Settings
from schemas.stack_config import NATIONAL_CLOUDS, exchange_audience

EARLY_SECONDS = 300.0
"""MSAL asks Entra anew five minutes before a token ends."""


class AppTokens:
    """Callable as Graph's token source."""

    def __init__(self, settings: Settings, identity: ManagedIdentity, http: HttpClients) -> None:
        self._settings = settings
        self._identity = identity
        self._http = http
        self._clients: dict[str, msal.ConfidentialClientApplication] = {}
        self._given: dict[str, tuple[float, str]] = {}

    async def __call__(self, tenant: str) -> str:
        """Raises `GraphRefused` where the tenant has not consented, `GraphUnavailable`."""
        given = self._given.get(tenant)
        if given is None or time.monotonic() > given[0]:
            given = self._given[tenant] = await asyncio.to_thread(self._blocking, tenant)
        return given[1]

    def _blocking(self, tenant: str) -> tuple[float, str]:
        """Until when MSAL need not be asked again, and the token."""
        asked = time.monotonic()
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
        lifetime = answer.get("expires_in")
        return asked + (lifetime - EARLY_SECONDS if isinstance(lifetime, int) else 0.0), token

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
