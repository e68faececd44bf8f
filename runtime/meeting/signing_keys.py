"""Microsoft's signing keys for the tokens in notifications, within the three seconds that Graph waits.

Owns the address and the time limit; the cache, and how often an unknown key id may cause a fetch, are `jose.KeySets`'.
"""

import asyncio
import time

import jwt

from runtime.errors import ProtocolError, RemoteUnavailable
from runtime.http import HttpClients
from runtime.jose import KeySets, TokenRefused
from runtime.meeting.validation_tokens import ValidationTokenRefused
from runtime.settings import Settings

FETCH_SECONDS = 2.0


class SigningKeysUnavailable(Exception):
    """The keys cannot be had now: neither accept nor refuse, so that Graph sends again."""


class SigningKeys:
    def __init__(self, settings: Settings, http: HttpClients) -> None:
        self._url = f"{settings.entra_url}/{settings.handover.home_tenant_id}/discovery/v2.0/keys"
        self._remote = http.to([settings.entra_url])
        self._keys = KeySets(time.monotonic)

    async def key(self, kid: str) -> jwt.PyJWK:
        """The public key. Raises `ValidationTokenRefused` for an unknown one, `SigningKeysUnavailable`."""
        try:
            async with asyncio.timeout(FETCH_SECONDS):
                return await self._keys.key(self._remote, self._url, kid, "RS256")
        except TokenRefused:
            raise ValidationTokenRefused("unknown kid") from None
        except (TimeoutError, RemoteUnavailable, ProtocolError):
            raise SigningKeysUnavailable from None
