"""A SMART server that can misbehave, for the refusals: every answer can be changed, nothing is checked that a test
does not ask for. The EHR that keeps the rules is `emulators/ehr`.
"""

import json
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from schemas.stack_config import Organization
from schemas.vocabulary import GeographyName
from tests.support.connector import TENANT

ORIGIN = "https://ehr.test.invalid"
BASE = f"{ORIGIN}/interconnect-tst/api/FHIR/R4"
KEY = rsa.generate_private_key(65537, 2048)
OTHER_KEY = rsa.generate_private_key(65537, 2048)


def organization(
    name: str = "lakeside",
    base: str = BASE,
    *,
    tenant_id: str = TENANT,
    authentication: dict[str, Any] | None = None,
    **connection: Any,
) -> Organization:
    """One organisation with one test connection `<name>-test`."""
    person = {"tenantId": tenant_id, "objectId": "3c3c3c3c-0000-4000-8000-000000000019", "displayName": "Ansel Analyst"}
    approver = {**person, "objectId": "3c3c3c3c-0000-4000-8000-000000000017", "displayName": "Petra Approver"}
    way = authentication or {"method": "none"}
    return Organization.model_validate(
        {
            "id": name,
            "name": f"{name.title()} Health",
            "geography": GeographyName.AMERICAS,
            "tenantId": tenant_id,
            "administrators": [person],
            "connections": [
                {
                    "id": f"{name}-test",
                    "stage": "test",
                    "ehr": "epic",
                    "fhirBaseUrl": base,
                    "approver": approver,
                    "clients": {
                        "provider": {"clientId": f"{name}-provider", "authentication": way},
                        "patient": {"clientId": f"{name}-patient", "authentication": way},
                        "approval": {"clientId": f"{name}-approval"},
                    },
                    "launchContextKeys": {"sessionId": "sessionId", "departmentId": "departmentId"},
                    "integrationRecordIds": {"provider": "1", "patient": "2"},
                    "frameOrigins": [ORIGIN],
                    **connection,
                }
            ],
        }
    )


@dataclass
class SmartServer:
    """Answers discovery, token and key set for `base`. `claims`, `context`, `discovery` are merged into its answers."""

    base: str = BASE
    fhir_user: str = "Practitioner/U-1"
    claims: dict[str, Any] = field(default_factory=dict[str, Any])
    context: dict[str, Any] = field(default_factory=lambda: {"sessionId": "1000101", "patient": "P-1"})
    discovery: dict[str, Any] = field(default_factory=dict[str, Any])
    algorithm: str = "RS256"
    sign: Callable[[dict[str, Any]], str] | None = None
    replace: dict[str, httpx.Response] = field(default_factory=dict[str, httpx.Response])
    spoil: dict[str, Callable[[httpx.Response], httpx.Response]] = field(
        default_factory=dict[str, Callable[[httpx.Response], httpx.Response]]
    )
    requests: list[httpx.Request] = field(default_factory=list[httpx.Request])
    codes: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])
    is_handler: bool = True

    def authorize(self, query: dict[str, str]) -> dict[str, str]:
        """What the browser brings back: the EHR has signed the person in."""
        code = secrets.token_urlsafe(16)
        self.codes[code] = query
        return {"code": code, "state": query["state"]}

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        path = str(request.url.copy_with(query=None))
        for suffix, response in self.replace.items():
            if path.endswith(suffix):
                return response
        right = self._right(request, path)
        for suffix, spoil in self.spoil.items():
            if path.endswith(suffix):
                return spoil(right)
        return right

    def _right(self, request: httpx.Request, path: str) -> httpx.Response:
        if path == f"{self.base}/.well-known/smart-configuration":
            return httpx.Response(200, json=self.endpoints() | self.discovery)
        if path.endswith("/oauth2/token"):
            return self._token(request)
        if path.endswith("/oauth2/jwks"):
            return httpx.Response(200, json={"keys": [jwk_of(KEY, "ehr-1")]})
        return httpx.Response(404, text="no such page")

    def endpoints(self) -> dict[str, Any]:
        root = self.base.partition("/api/")[0]
        return {
            "issuer": self.base,
            "authorization_endpoint": f"{root}/oauth2/authorize",
            "token_endpoint": f"{root}/oauth2/token",
            "jwks_uri": f"{root}/oauth2/jwks",
        }

    def _token(self, request: httpx.Request) -> httpx.Response:
        form = {k: v[0] for k, v in parse_qs(request.content.decode()).items()}
        asked = self.codes.pop(form.get("code", ""), None)
        if asked is None or asked["redirect_uri"] != form["redirect_uri"]:
            return httpx.Response(400, json={"error": "invalid_grant"})
        now = int(time.time())
        claims: dict[str, Any] = {
            "iss": self.base,
            "aud": asked["client_id"],
            "sub": "U-1",
            "fhirUser": f"{self.base}/{self.fhir_user}",
            "nonce": asked["nonce"],
            "iat": now,
            "exp": now + 300,
            **self.claims,
        }
        claims = {k: v for k, v in claims.items() if v is not None}
        token = self.sign(claims) if self.sign else jwt.encode(claims, KEY, self.algorithm, headers={"kid": "ehr-1"})
        answer = {
            "access_token": "opaque",
            "token_type": "Bearer",
            "expires_in": 300,
            "id_token": token,
            **self.context,
        }
        return httpx.Response(200, json={k: v for k, v in answer.items() if v is not None})


def jwk_of(key: rsa.RSAPrivateKey, key_id: str) -> dict[str, Any]:
    public: dict[str, Any] = json.loads(RSAAlgorithm.to_jwk(key.public_key()))
    public.pop("key_ops", None)
    return public | {"kid": key_id, "use": "sig"}
