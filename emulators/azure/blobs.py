"""The blob data plane of one storage account: block blobs by the Blob service REST API, over TLS, for bearer tokens.

Put Blob, Get Blob and Get Blob Properties, Delete Blob and List Blobs, with conditions by ETag. Refuses as Azure does:
without a token, with one of another audience, issuer or age (401), without `x-ms-version` or without a role assignment
at the container or above (403), and what a container's policy of immutability forbids (409). Leaves out what is not
reached by identity (shared keys, signed URLs, anonymous access), blocks, ranges, leases, metadata and soft delete:
what is deleted here is gone, but for its versions.
"""

import base64
import hashlib
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any, cast
from xml.sax.saxutils import escape

import jwt
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from emulators.azure import roles
from emulators.azure.blob_data import Blob, BlobData
from emulators.azure.documents import value_at
from emulators.azure.store import Contents
from emulators.azure.tokens import STORAGE, Issuer

FIRST_VERSION_WITH_BEARER = "2017-11-09"
FIRST_VERSION_WITH_CHALLENGE = "2019-12-12"
LAST_VERSION = "2025-11-05"
DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
MOST_RESULTS = 5000

Permitted = Callable[[str, str, str], bool]
"""Whether (object id, container's ARM id, action) is covered by a role assignment."""

MESSAGES = {
    "AuthenticationFailed": "Server failed to authenticate the request. Make sure the value of Authorization header is "
    "formed correctly including the signature.",
    "AuthorizationPermissionMismatch": "This request is not authorized to perform this operation using "
    "this permission.",
    "BlobAlreadyExists": "The specified blob already exists.",
    "BlobImmutableDueToPolicy": "This operation is not permitted as the blob is immutable due to a policy.",
    "BlobNotFound": "The specified blob does not exist.",
    "ConditionNotMet": "The condition specified using HTTP conditional header(s) is not met.",
    "ContainerNotFound": "The specified container does not exist.",
    "InvalidAuthenticationInfo": "Server failed to authenticate the request. Please refer to the information in the "
    "www-authenticate header.",
    "InvalidHeaderValue": "The value for one of the HTTP headers is not in the correct format.",
    "InvalidQueryParameterValue": "Value for one of the query parameters specified in the request URI is invalid.",
    "KeyBasedAuthenticationNotPermitted": "Key based authentication is not permitted on this storage account.",
    "Md5Mismatch": "The MD5 value specified in the request did not match with the MD5 value calculated by the server.",
    "MissingContentLengthHeader": "Content-Length HTTP header was not specified.",
    "MissingRequiredHeader": "An HTTP header that's mandatory for this request is not specified.",
    "NoAuthenticationInformation": "Server failed to authenticate the request. Please refer to the information in the "
    "www-authenticate header.",
    "PublicAccessNotPermitted": "Public access is not permitted on this storage account.",
    "UnsupportedHttpVerb": "The resource doesn't support specified Http Verb.",
}


class _Refused(Exception):
    def __init__(self, status: int, code: str, detail: str = "") -> None:
        super().__init__(code)
        self.status, self.code, self.detail = status, code, detail


@dataclass(frozen=True)
class Account:
    """What Resource Manager has of the account. `url` is its blob endpoint without the slash at the end."""

    arm_id: str
    url: str
    read: Callable[[], Contents]

    def container_id(self, container: str) -> str:
        return f"{self.arm_id}/blobServices/default/containers/{container}"

    def has(self, container: str) -> bool:
        return self.read().get(self.container_id(container)) is not None

    @property
    def keeps_versions(self) -> bool:
        service = self.read().get(f"{self.arm_id}/blobServices/default")
        return bool(value_at(service, "properties.isVersioningEnabled"))

    def immutable_for(self, container: str) -> timedelta | None:
        """How long after its creation a blob cannot be deleted; None where there is no policy."""
        policy = self.read().get(f"{self.container_id(container)}/immutabilityPolicies/default")
        days = value_at(policy, "properties.immutabilityPeriodSinceCreationInDays")
        return None if days is None else timedelta(days=days)


class BlobService:
    def __init__(self, account: Account, data: BlobData, issuer: Issuer, permitted: Permitted) -> None:
        self.account, self.data, self.issuer, self._permitted = account, data, issuer, permitted
        every = ["GET", "HEAD", "PUT", "DELETE", "POST", "PATCH"]
        self.app = Starlette(
            routes=[
                Route("/{container}", self._container, methods=every),
                Route("/{container}/{blob:path}", self._blob, methods=every),
            ],
            exception_handlers={_Refused: self._answer_refusal},
        )

    # --- who may ---

    def _check(self, request: Request, action: str) -> None:
        claims = self._claims(request)
        container = request.path_params["container"]
        if not self._permitted(claims["oid"], self.account.container_id(container), action):
            raise _Refused(403, "AuthorizationPermissionMismatch")
        if not self.account.has(container):
            raise _Refused(404, "ContainerNotFound")

    def _claims(self, request: Request) -> dict[str, Any]:
        version = request.headers.get("x-ms-version", "")
        scheme, _, text = request.headers.get("authorization", "").partition(" ")
        if not scheme:
            if version < FIRST_VERSION_WITH_CHALLENGE:
                raise _Refused(409, "PublicAccessNotPermitted")
            raise _Refused(401, "NoAuthenticationInformation")
        if scheme.lower() != "bearer":
            raise _Refused(403, "KeyBasedAuthenticationNotPermitted")
        if version < FIRST_VERSION_WITH_BEARER:
            raise _Refused(
                403, "AuthenticationFailed", "Authentication scheme Bearer is not supported in this version."
            )
        if not DATE.fullmatch(version) or version > LAST_VERSION:
            raise _Refused(400, "InvalidHeaderValue", "x-ms-version")
        try:
            return self.issuer.verify(text, STORAGE)
        except jwt.InvalidTokenError as e:
            raise _Refused(401, "InvalidAuthenticationInfo", str(e)) from None

    async def _answer_refusal(self, request: Request, error: Exception) -> Response:
        refused = cast(_Refused, error)
        headers = _common(request) | {"x-ms-error-code": refused.code}
        if refused.status == 401:
            authority = self.issuer.issuer.rsplit("/v2.0", 1)[0]
            headers["WWW-Authenticate"] = f"Bearer authorization_uri={authority}/oauth2/authorize resource_id={STORAGE}"
        if refused.status == 304 or request.method == "HEAD":
            return Response(status_code=refused.status, headers=headers)
        message = f"{MESSAGES[refused.code]}\nRequestId:{headers['x-ms-request-id']}"
        detail = f"<AuthenticationErrorDetail>{escape(refused.detail)}</AuthenticationErrorDetail>"
        body = f"<Code>{refused.code}</Code><Message>{escape(message)}</Message>{detail if refused.detail else ''}"
        return _xml(f"<Error>{body}</Error>", refused.status, headers)

    # --- containers ---

    async def _container(self, request: Request) -> Response:
        query = request.query_params
        if request.method != "GET" or (query.get("restype"), query.get("comp")) != ("container", "list"):
            self._claims(request)
            raise _Refused(405, "UnsupportedHttpVerb")
        self._check(request, roles.BLOB_READ)
        if not set(query) <= {"restype", "comp", "prefix", "marker", "maxresults", "timeout"}:
            raise _Refused(400, "InvalidQueryParameterValue")
        most = query.get("maxresults") or str(MOST_RESULTS)
        if not most.isdecimal() or not 1 <= int(most) <= MOST_RESULTS:
            raise _Refused(400, "InvalidQueryParameterValue")
        container, marker = request.path_params["container"], query.get("marker", "")
        names = [n for n in self.data.names(container, query.get("prefix", "")) if n >= marker]
        shown, rest = names[: int(most)], names[int(most) :]
        found = [blob for blob in (self.data.get(container, name) for name in shown) if blob is not None]
        listed = "".join(map(_listed, found))
        following = f"<NextMarker>{escape(rest[0])}</NextMarker>" if rest else "<NextMarker />"
        head = f'ServiceEndpoint="{escape(self.account.url)}/" ContainerName="{escape(container)}"'
        body = f"<EnumerationResults {head}><Blobs>{listed}</Blobs>{following}</EnumerationResults>"
        return _xml(body, 200, _common(request))

    # --- blobs ---

    async def _blob(self, request: Request) -> Response:
        if "comp" in request.query_params or request.method in ("POST", "PATCH"):
            self._claims(request)
            raise _Refused(405, "UnsupportedHttpVerb")
        if request.method == "PUT":
            return await self._put(request)
        if request.method == "DELETE":
            return await self._delete(request)
        return await self._get(request)

    async def _get(self, request: Request) -> Response:
        self._check(request, roles.BLOB_READ)
        container, name = request.path_params["container"], request.path_params["blob"]
        blob = self.data.get(container, name, request.query_params.get("versionid"))
        if blob is None:
            raise _Refused(404, "BlobNotFound")
        wanted, unwanted = request.headers.get("if-match"), request.headers.get("if-none-match")
        if wanted not in (None, "*", blob.etag):
            raise _Refused(412, "ConditionNotMet")
        if unwanted is not None and unwanted in ("*", blob.etag):
            raise _Refused(304, "ConditionNotMet")
        headers = self._headers(request, blob) | {
            "Content-Type": blob.content_type,
            "Content-Length": str(len(blob.data)),
            "x-ms-blob-type": "BlockBlob",
            "x-ms-creation-time": _http_date(blob.created),
        }
        return Response(b"" if request.method == "HEAD" else blob.data, 200, headers)

    async def _put(self, request: Request) -> Response:
        self._check(request, roles.BLOB_WRITE)
        headers, container = request.headers, request.path_params["container"]
        if "content-length" not in headers:
            raise _Refused(411, "MissingContentLengthHeader")
        if "x-ms-blob-type" not in headers:
            raise _Refused(400, "MissingRequiredHeader", "x-ms-blob-type")
        if headers["x-ms-blob-type"] != "BlockBlob":
            raise _Refused(400, "InvalidHeaderValue", "x-ms-blob-type: only block blobs are emulated")
        content = await request.body()
        md5 = _md5(content)
        if headers.get("content-md5", md5) != md5:
            raise _Refused(400, "Md5Mismatch")

        def check(present: Blob | None) -> None:
            if present is not None and headers.get("if-none-match") == "*":
                raise _Refused(409, "BlobAlreadyExists")
            _check_conditions(request, present)
            if present is not None and self.account.immutable_for(container) is not None:
                raise _Refused(409, "BlobImmutableDueToPolicy")

        written = await run_in_threadpool(
            self.data.put,
            container,
            request.path_params["blob"],
            content,
            headers.get("x-ms-blob-content-type") or headers.get("content-type") or "application/octet-stream",
            keep_versions=self.account.keeps_versions,
            check=check,
        )
        answered = {"Content-MD5": md5, "x-ms-request-server-encrypted": "true"}
        return Response(status_code=201, headers=self._headers(request, written) | answered)

    async def _delete(self, request: Request) -> Response:
        self._check(request, roles.BLOB_DELETE)
        container = request.path_params["container"]

        def check(present: Blob | None) -> None:
            if present is None:
                raise _Refused(404, "BlobNotFound")
            _check_conditions(request, present)
            immutable = self.account.immutable_for(container)
            if immutable is not None and datetime.now(UTC) < datetime.fromisoformat(present.created) + immutable:
                raise _Refused(409, "BlobImmutableDueToPolicy")

        keep, name = self.account.keeps_versions, request.path_params["blob"]
        await run_in_threadpool(self.data.delete, container, name, keep_versions=keep, check=check)
        return Response(status_code=202, headers=_common(request) | {"x-ms-delete-type-permanent": "true"})

    def _headers(self, request: Request, blob: Blob) -> dict[str, str]:
        versioned = {"x-ms-version-id": blob.version} if self.account.keeps_versions else {}
        return _common(request) | versioned | {"ETag": blob.etag, "Last-Modified": _http_date(blob.modified)}


def _check_conditions(request: Request, present: Blob | None) -> None:
    """The conditions of a write (RFC 9110 section 13.1, strong comparison)."""
    wanted, unwanted = request.headers.get("if-match"), request.headers.get("if-none-match")
    if wanted is not None and (present is None or wanted not in ("*", present.etag)):
        raise _Refused(412, "ConditionNotMet")
    if unwanted is not None and present is not None and unwanted in ("*", present.etag):
        raise _Refused(412, "ConditionNotMet")


def _common(request: Request) -> dict[str, str]:
    answered = {"x-ms-request-id": str(uuid.uuid4())}
    version, client = request.headers.get("x-ms-version", ""), request.headers.get("x-ms-client-request-id", "")
    if DATE.fullmatch(version):
        answered["x-ms-version"] = version
    if re.fullmatch(r"[\x21-\x7e]{1,1024}", client):
        answered["x-ms-client-request-id"] = client
    return answered


def _listed(blob: Blob) -> str:
    properties = {
        "Creation-Time": _http_date(blob.created),
        "Last-Modified": _http_date(blob.modified),
        "Etag": blob.etag.strip('"'),
        "Content-Length": str(len(blob.data)),
        "Content-Type": blob.content_type,
        "BlobType": "BlockBlob",
    }
    inside = "".join(f"<{key}>{escape(value)}</{key}>" for key, value in properties.items())
    return f"<Blob><Name>{escape(blob.name)}</Name><Properties>{inside}</Properties></Blob>"


def _xml(body: str, status: int, headers: dict[str, str]) -> Response:
    return Response(f'<?xml version="1.0" encoding="utf-8"?>{body}', status, headers, "application/xml")


def _http_date(moment: str) -> str:
    return format_datetime(datetime.fromisoformat(moment), usegmt=True)


def _md5(content: bytes) -> str:
    return base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()
