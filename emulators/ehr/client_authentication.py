"""Who is calling the token endpoint: RFC 6749 section 2.3 and RFC 7523, as SMART App Launch 2.2 narrows them.

A client is known by the one method that the EHR registered for it; any other is refused. Reasons are for the EHR's own
log: to the client, as with Epic, every refusal looks the same.
"""

import base64
import binascii
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus

import httpx
import jwt

from emulators.ehr.grants import Grants
from emulators.ehr.instance import Instance
from emulators.ehr.keys import ClientSecrets
from emulators.tls import client_context
from emulators.world import EhrClient

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ALGORITHMS = ("RS384", "ES384")
LONGEST_ASSERTION_SECONDS = 300
MAXIMUM_JWKS_BYTES = 64 * 1024


class ClientRefused(Exception):
    """The client is not who it says; the text is for the EHR's log."""


class KeySets:
    """Clients' hosted key sets (JKU), kept until a key id turns up that is not among them."""

    def __init__(self, state: Path) -> None:
        self._state, self._sets = state, dict[str, dict[str, jwt.PyJWK]]()

    async def key(self, url: str, kid: str) -> jwt.PyJWK:
        if kid not in self._sets.get(url, {}):
            self._sets[url] = await self._fetch(url)
        try:
            return self._sets[url][kid]
        except KeyError:
            raise ClientRefused(f"key set {url} has no key {kid!r}") from None

    async def _fetch(self, url: str) -> dict[str, jwt.PyJWK]:
        try:
            async with httpx.AsyncClient(verify=self._trust(), timeout=5, trust_env=False) as client:
                response = await client.get(url, headers={"Accept": "application/json"})
            if response.status_code != 200 or len(response.content) > MAXIMUM_JWKS_BYTES:
                raise ClientRefused(f"key set {url} answered {response.status_code}, {len(response.content)} bytes")
            keys = jwt.PyJWKSet.from_dict(response.json()).keys
        except (httpx.HTTPError, ssl.SSLError, OSError, ValueError, AttributeError, jwt.PyJWTError) as e:
            raise ClientRefused(f"key set {url} could not be read: {type(e).__name__}: {e}") from None
        return {key.key_id: key for key in keys if key.key_id}

    def _trust(self) -> ssl.SSLContext:
        return client_context(self._state)


class ClientAuthenticator:
    """Answers which registered client of an instance sent a token request. Raises `ClientRefused`."""

    def __init__(self, secrets: ClientSecrets, grants: Grants, state: Path, clock: Callable[[], float]) -> None:
        self._secrets, self._grants, self._clock = secrets, grants, clock
        self._key_sets = KeySets(state)

    async def authenticate(self, instance: Instance, authorization: str | None, form: Mapping[str, str]) -> EhrClient:
        if "client_secret" in form:
            raise ClientRefused("client_secret_post is registered for no client")
        used = [authorization is not None, "client_assertion" in form or "client_assertion_type" in form]
        if all(used):
            raise ClientRefused("two ways of authentication in one request")
        if authorization is not None:
            return self._basic(instance, authorization, form)
        if used[1]:
            return await self._assertion(instance, form)
        client = _registered(instance, form.get("client_id", ""), "none")
        return client

    def _basic(self, instance: Instance, authorization: str, form: Mapping[str, str]) -> EhrClient:
        scheme, _, encoded = authorization.partition(" ")
        try:
            decoded = base64.b64decode(encoded.strip(), validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            raise ClientRefused("the Authorization header is not Basic credentials") from None
        client_id, colon, secret = decoded.partition(":")
        if scheme.lower() != "basic" or not colon:
            raise ClientRefused("the Authorization header is not Basic credentials")
        client = _registered(instance, unquote_plus(client_id), "client_secret_basic")
        if form.get("client_id", client.client_id) != client.client_id:
            raise ClientRefused("client_id differs between header and body")
        if not self._secrets.matches(client.client_id, unquote_plus(secret)):
            raise ClientRefused("wrong client secret")
        return client

    async def _assertion(self, instance: Instance, form: Mapping[str, str]) -> EhrClient:
        if form.get("client_assertion_type") != ASSERTION_TYPE:
            raise ClientRefused(f"client_assertion_type is not {ASSERTION_TYPE}")
        assertion = form.get("client_assertion", "")
        try:
            header = jwt.get_unverified_header(assertion)
            unverified: dict[str, Any] = jwt.decode(assertion, options={"verify_signature": False})
        except jwt.PyJWTError as e:
            raise ClientRefused(f"the assertion is not a JWT: {e}") from None
        issuer = unverified.get("iss")
        client = _registered(instance, issuer if isinstance(issuer, str) else "", "private_key_jwt")
        if form.get("client_id", client.client_id) != client.client_id:
            raise ClientRefused("client_id differs between assertion and body")
        claims = await self._verified(client, assertion, header)
        expires_at = self._check(instance, client, claims)
        if not self._grants.first_use(client.client_id, claims["jti"], expires_at):
            raise ClientRefused("the assertion's jti was used before")
        return client

    async def _verified(self, client: EhrClient, assertion: str, header: Mapping[str, Any]) -> dict[str, Any]:
        kid = header.get("kid")
        if header.get("typ") != "JWT" or header.get("alg") not in ALGORITHMS or not isinstance(kid, str):
            raise ClientRefused(f"expected header typ JWT, alg RS384 or ES384, and a kid; got {dict(header)}")
        if client.jwks_url is None or header.get("jku", client.jwks_url) != client.jwks_url:
            raise ClientRefused("the client's registered key set is another")
        key = await self._key_sets.key(client.jwks_url, kid)
        if key.key_type != {"RS384": "RSA", "ES384": "EC"}[header["alg"]]:
            raise ClientRefused(f"key {kid!r} does not fit algorithm {header['alg']}")
        try:
            # Times and audience are checked below: by this EHR's clock, and more strictly than the library does.
            return jwt.decode(
                assertion,
                key.key,
                algorithms=[header["alg"]],
                options={"verify_exp": False, "verify_nbf": False, "verify_iat": False, "verify_aud": False},
            )
        except jwt.PyJWTError as e:
            raise ClientRefused(f"the assertion does not verify: {e}") from None

    def _check(self, instance: Instance, client: EhrClient, claims: Mapping[str, Any]) -> float:
        now, expires_at, jti = self._clock(), claims.get("exp"), claims.get("jti")
        if claims.get("sub") != client.client_id:
            raise ClientRefused("the assertion's sub is not the client id")
        if claims.get("aud") != instance.token_url:
            raise ClientRefused(f"expected aud {instance.token_url!r}, got {claims.get('aud')!r}")
        if isinstance(expires_at, bool) or not isinstance(expires_at, int | float):
            raise ClientRefused("the assertion has no exp")
        if not now < expires_at <= now + LONGEST_ASSERTION_SECONDS:
            raise ClientRefused(f"exp is {expires_at - now:+.0f} s from now; expected 0 to {LONGEST_ASSERTION_SECONDS}")
        not_before = claims.get("nbf", 0)
        if not isinstance(not_before, int | float) or not_before > now:
            raise ClientRefused("the assertion is not valid yet")
        if not isinstance(jti, str) or not 0 < len(jti) <= 151:
            raise ClientRefused("the assertion has no jti, or one of more than 151 characters")
        return float(expires_at)


def _registered(instance: Instance, client_id: str, method: str) -> EhrClient:
    client = instance.client(client_id)
    if client is None:
        raise ClientRefused(f"no client {client_id!r} in {instance.environment.instance}")
    if client.method != method:
        raise ClientRefused(f"client {client_id!r} is registered for {client.method}, and used {method}")
    return client
