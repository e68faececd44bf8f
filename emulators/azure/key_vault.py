"""The data plane of one vault: secrets and keys by Key Vault's REST API 7.4, over TLS, for bearer tokens.

Refuses without a token (401 with the challenge that Azure gives), with a token of another audience, issuer or age
(401), and without a role assignment at the vault or above that permits the operation (403). Leaves out certificates,
backup and soft delete: what is deleted here is gone.
"""

import base64
import binascii
import re
from collections.abc import Callable
from typing import Any, cast

import jwt
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature, encode_dss_signature
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from emulators.azure import roles
from emulators.azure.rules import MAXIMUM_SECRET_BYTES
from emulators.azure.tokens import VAULT, Issuer
from emulators.azure.vault_data import VaultData, public_jwk

API_VERSIONS = frozenset({"7.4", "7.5"})
HASHES: dict[str, tuple[str, hashes.HashAlgorithm, str | None]] = {
    "RS256": ("RSA", hashes.SHA256(), None),
    "RS384": ("RSA", hashes.SHA384(), None),
    "ES256": ("EC", hashes.SHA256(), "P-256"),
    "ES384": ("EC", hashes.SHA384(), "P-384"),
}

Permitted = Callable[[str, str, str], bool]
"""Whether (object id, ARM id of vault, secret or key, action) is covered by a role assignment."""


class _Refused(Exception):
    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


class KeyVault:
    """One vault. `url` is its `vaultUri` without the slash at the end."""

    def __init__(self, arm_id: str, url: str, data: VaultData, issuer: Issuer, permitted: Permitted) -> None:
        self.arm_id, self.url, self.data, self.issuer, self._permitted = arm_id, url, data, issuer, permitted
        self.app = Starlette(
            routes=[
                Route("/secrets", self._list_secrets),
                Route("/secrets/{name}", self._secret, methods=["GET", "PUT", "DELETE"]),
                Route("/secrets/{name}/{version}", self._secret_version),
                Route("/keys", self._list_keys),
                Route("/keys/{name}/create", self._create_key, methods=["POST"]),
                Route("/keys/{name}", self._key),
                Route("/keys/{name}/{version}", self._key),
                Route("/keys/{name}/{version}/sign", self._sign, methods=["POST"]),
                Route("/keys/{name}/{version}/verify", self._verify, methods=["POST"]),
            ],
            exception_handlers={_Refused: self._answer_refusal},
        )

    # --- who may ---

    def _check(self, request: Request, action: str) -> None:
        scheme, _, text = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not text:
            raise _Refused(401, "Unauthorized", "AKV10000: Request is missing a Bearer or PoP token.")
        try:
            claims = self.issuer.verify(text, VAULT)
        except jwt.InvalidTokenError as e:
            raise _Refused(401, "Unauthorized", f"AKV10032: the token is not valid here: {e}") from None
        if request.query_params.get("api-version") not in API_VERSIONS:
            raise _Refused(400, "BadParameter", "expected api-version=7.4")
        if not self._permitted(claims["oid"], self._scope(request), action):
            raise _Refused(
                403,
                "Forbidden",
                f"Caller is not authorized to perform action {action} on resource; oid={claims['oid']}",
            )
        name = request.path_params.get("name", "x")
        if not re.fullmatch(r"[0-9A-Za-z-]{1,127}", name):
            raise _Refused(400, "BadParameter", "the name is not one of a secret or key")

    def _scope(self, request: Request) -> str:
        """The secret or key itself, at which roles can be assigned too."""
        kind, name = request.url.path.split("/")[1], request.path_params.get("name")
        return self.arm_id if name is None else f"{self.arm_id}/{kind}/{name}"

    async def _answer_refusal(self, request: Request, error: Exception) -> Response:
        refused = cast(_Refused, error)
        headers: dict[str, str] = {}
        if refused.status == 401:
            authority = self.issuer.issuer.rsplit("/v2.0", 1)[0]
            headers["WWW-Authenticate"] = f'Bearer authorization="{authority}", resource="{VAULT}"'
        return JSONResponse({"error": {"code": refused.code, "message": str(refused)}}, refused.status, headers)

    # --- secrets ---

    async def _list_secrets(self, request: Request) -> Response:
        self._check(request, roles.LIST)
        found = [self.data.secret(name) for name in self.data.names("secrets")]
        items = [self._secret_bundle(s, versioned=False, value=False) for s in found if s]
        return JSONResponse({"value": items, "nextLink": None})

    async def _secret(self, request: Request) -> Response:
        name = request.path_params["name"]
        if request.method == "PUT":
            self._check(request, roles.SET)
            body = await _body(request)
            value = body.get("value")
            if not isinstance(value, str):
                raise _Refused(400, "BadParameter", "Property 'value' is required and must be a string.")
            if len(value.encode()) > MAXIMUM_SECRET_BYTES:
                raise _Refused(400, "BadParameter", "The value of a secret may hold 25 KB at most.")
            made = self.data.set_secret(name, value, content_type=body.get("contentType"), tags=body.get("tags"))
            return JSONResponse(self._secret_bundle(made))
        self._check(request, roles.DELETE if request.method == "DELETE" else roles.READ)
        found = self.data.delete("secrets", name) if request.method == "DELETE" else self.data.secret(name)
        if found is None:
            raise _Refused(404, "SecretNotFound", f"A secret with (name/id) {name} was not found in this key vault.")
        return JSONResponse(self._secret_bundle(found, value=request.method != "DELETE"))

    async def _secret_version(self, request: Request) -> Response:
        self._check(request, roles.READ)
        found = self.data.secret(request.path_params["name"], request.path_params["version"])
        if found is None:
            raise _Refused(404, "SecretNotFound", "This version of the secret was not found in this key vault.")
        return JSONResponse(self._secret_bundle(found))

    def _secret_bundle(self, secret: dict[str, Any], *, versioned: bool = True, value: bool = True) -> dict[str, Any]:
        identifier = f"{self.url}/secrets/{secret['name']}" + (f"/{secret['version']}" if versioned else "")
        bundle = {"id": identifier, "attributes": secret["attributes"]}
        bundle |= {key: secret[key] for key in ("contentType", "tags") if key in secret}
        return bundle | ({"value": secret["value"]} if value else {})

    # --- keys ---

    async def _list_keys(self, request: Request) -> Response:
        self._check(request, roles.KEY_READ)
        found = [self.data.key(name) for name in self.data.names("keys")]
        items = [{"kid": f"{self.url}/keys/{k['name']}", "attributes": k["attributes"]} for k in found if k]
        return JSONResponse({"value": items, "nextLink": None})

    async def _create_key(self, request: Request) -> Response:
        self._check(request, roles.KEY_CREATE)
        body = await _body(request)
        try:
            made = await run_in_threadpool(
                self.data.create_key,
                request.path_params["name"],
                str(body.get("kty")),
                curve=body.get("crv", "P-256"),
                size=body.get("key_size", 2048),
            )
        except ValueError as e:
            raise _Refused(400, "BadParameter", str(e)) from None
        return JSONResponse(self._key_bundle(made))

    async def _key(self, request: Request) -> Response:
        self._check(request, roles.KEY_READ)
        return JSONResponse(self._key_bundle(self._found_key(request)))

    async def _sign(self, request: Request) -> Response:
        self._check(request, roles.SIGN)
        key, algorithm, digest, _ = await self._operation(request)
        private: Any = serialization.load_pem_private_key(key["pem"].encode(), None)
        if isinstance(private, ec.EllipticCurvePrivateKey):
            length = (private.curve.key_size + 7) // 8
            r, s = decode_dss_signature(private.sign(digest, ec.ECDSA(Prehashed(algorithm))))
            signature = r.to_bytes(length, "big") + s.to_bytes(length, "big")
        else:
            signature = cast(rsa.RSAPrivateKey, private).sign(digest, padding.PKCS1v15(), Prehashed(algorithm))
        return JSONResponse({"kid": self._kid(key), "value": _encode(signature)})

    async def _verify(self, request: Request) -> Response:
        self._check(request, roles.VERIFY)
        key, algorithm, digest, body = await self._operation(request)
        public: Any = cast(Any, serialization.load_pem_private_key(key["pem"].encode(), None)).public_key()
        signature = _decode(body.get("value") or body.get("signature"))
        try:
            if isinstance(public, ec.EllipticCurvePublicKey):
                half = len(signature) // 2
                r, s = int.from_bytes(signature[:half], "big"), int.from_bytes(signature[half:], "big")
                public.verify(encode_dss_signature(r, s), digest, ec.ECDSA(Prehashed(algorithm)))
            else:
                public.verify(signature, digest, padding.PKCS1v15(), Prehashed(algorithm))
        except InvalidSignature:
            return JSONResponse({"value": False})
        return JSONResponse({"value": True})

    async def _operation(self, request: Request) -> tuple[dict[str, Any], hashes.HashAlgorithm, bytes, dict[str, Any]]:
        body = await _body(request)
        key = self._found_key(request)
        kty, algorithm, curve = HASHES.get(str(body.get("alg")), ("", hashes.SHA256(), None))
        if key["kty"] != kty or (curve is not None and key.get("crv") != curve):
            raise _Refused(400, "BadParameter", f"Key and signing algorithm are incompatible: {body.get('alg')}")
        digest = _decode(body.get("digest") if "digest" in body else body.get("value"))
        if len(digest) != algorithm.digest_size:
            raise _Refused(400, "BadParameter", f"Invalid length of 'value': expected {algorithm.digest_size} bytes")
        return key, algorithm, digest, body

    def _found_key(self, request: Request) -> dict[str, Any]:
        version = request.path_params.get("version")
        found = self.data.key(request.path_params["name"], version)
        if found is None:
            raise _Refused(404, "KeyNotFound", "A key with this (name/id) was not found in this key vault.")
        return found

    def _key_bundle(self, key: dict[str, Any]) -> dict[str, Any]:
        jwk = {"kid": self._kid(key), "key_ops": ["sign", "verify"]} | public_jwk(key)
        return {"key": jwk, "attributes": key["attributes"]}

    def _kid(self, key: dict[str, Any]) -> str:
        return f"{self.url}/keys/{key['name']}/{key['version']}"


async def _body(request: Request) -> dict[str, Any]:
    try:
        body = await request.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise _Refused(400, "BadParameter", "expected a JSON object")
    return cast(dict[str, Any], body)


def _decode(value: Any) -> bytes:
    try:
        return base64.b64decode(str(value) + "=" * (-len(str(value)) % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        raise _Refused(400, "BadParameter", "expected base64url without padding") from None


def _encode(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()
