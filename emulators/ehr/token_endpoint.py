"""The token endpoint of SMART App Launch 2.2: codes with PKCE, and client credentials for the backend client.

Access tokens are opaque. Errors carry no description, as with Epic.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from emulators.ehr.client_authentication import ClientRefused
from emulators.ehr.ehr import EmulatedEhr
from emulators.ehr.grants import LIFETIME_SECONDS, Kind
from emulators.ehr.instance import GRANTED_SCOPES, Instance
from emulators.ehr.parameters import Malformed, form_of
from emulators.world import EhrClient
from schemas.vocabulary import ClientRole

ID_TOKEN_SECONDS = 300
_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")
_NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}


class Refused(Exception):
    """An OAuth error code for the client, and a reason for the EHR's log."""

    def __init__(self, error: str, reason: str) -> None:
        super().__init__(reason)
        self.error = error


class Token:
    def __init__(self, ehr: EmulatedEhr, instance: Instance) -> None:
        self.ehr, self.instance = ehr, instance

    async def post(self, request: Request) -> Response:
        authorization = request.headers.get("authorization")
        try:
            form = await form_of(request)
            client = await self.ehr.authenticator.authenticate(self.instance, authorization, form)
            answer = self._grant(client, form)
        except Malformed as e:
            return self._error("invalid_request", str(e))
        except ClientRefused as e:
            return self._error("invalid_client", str(e), basic=authorization is not None)
        except Refused as e:
            return self._error(e.error, str(e))
        return JSONResponse(answer, headers=_NO_STORE)

    def _grant(self, client: EhrClient, form: Mapping[str, str]) -> dict[str, Any]:
        grant_type, backend = form.get("grant_type"), client.role is ClientRole.BACKEND
        if grant_type == "authorization_code" and not backend:
            return self._code(client, form)
        if grant_type == "client_credentials" and backend:
            return self._credentials(client, form)
        known = grant_type in ("authorization_code", "client_credentials")
        raise Refused("unauthorized_client" if known else "unsupported_grant_type", f"grant_type {grant_type!r}")

    def _code(self, client: EhrClient, form: Mapping[str, str]) -> dict[str, Any]:
        code = form.get("code", "")
        granted = self.ehr.grants.take(Kind.CODE, code)
        if granted is None:
            revoked = self.ehr.grants.revoke_issued_for(code)
            raise Refused("invalid_grant", f"the code is unknown, used or too old; {revoked} tokens revoked")
        bound = (granted["instance"], granted["client_id"], granted["redirect_uri"])
        if bound != (self.instance.environment.instance, client.client_id, form.get("redirect_uri")):
            raise Refused("invalid_grant", f"the code was issued for {bound}")
        if not _fits(form.get("code_verifier", ""), granted["code_challenge"]):
            raise Refused("invalid_grant", "the PKCE verifier does not fit its challenge")
        answer = self._access(client, granted["scopes"], granted["context"].get("patient"), code)
        if "openid" in granted["scopes"]:
            answer["id_token"] = self._id_token(client, granted)
        return {**answer, **granted["context"]}

    def _credentials(self, client: EhrClient, form: Mapping[str, str]) -> dict[str, Any]:
        allowed = GRANTED_SCOPES[client.role]
        wanted = form.get("scope", "").split() or sorted(allowed)
        return self._access(client, [scope for scope in wanted if scope in allowed], None, None)

    def _access(self, client: EhrClient, scopes: list[str], patient: str | None, code: str | None) -> dict[str, Any]:
        content = {
            "instance": self.instance.environment.instance,
            "client_id": client.client_id,
            "role": client.role,
            "scopes": scopes,
            "patient": patient,
        }
        return {
            "access_token": self.ehr.grants.issue(Kind.ACCESS_TOKEN, content, origin=code),
            "token_type": "Bearer",
            "expires_in": int(LIFETIME_SECONDS[Kind.ACCESS_TOKEN]),
            "scope": " ".join(scopes),
        }

    def _id_token(self, client: EhrClient, granted: Mapping[str, Any]) -> str:
        now, person = int(self.ehr.clock()), granted["person"]
        claims: dict[str, Any] = {
            "iss": self.instance.issuer,
            "aud": client.client_id,
            "sub": person,
            "iat": now,
            "exp": now + ID_TOKEN_SECONDS,
        }
        if granted["nonce"]:
            claims["nonce"] = granted["nonce"]
        if "fhirUser" in granted["scopes"]:
            kind = "Patient" if client.role is ClientRole.PATIENT else "Practitioner"
            claims["fhirUser"] = f"{self.instance.fhir_base_url}/{kind}/{person}"
        return self.ehr.signing_key.sign(claims)

    def _error(self, error: str, reason: str, *, basic: bool = False) -> Response:
        self.ehr.log.info("token refused", instance=self.instance.environment.instance, error=error, reason=reason)
        headers = {**_NO_STORE, "WWW-Authenticate": "Basic"} if basic else _NO_STORE
        return JSONResponse({"error": error, "error_description": None}, 401 if basic else 400, headers=headers)


def _fits(verifier: str, challenge: str) -> bool:
    digest = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    return bool(_VERIFIER.fullmatch(verifier)) and hmac.compare_digest(digest, challenge)
