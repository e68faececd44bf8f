"""Graph's errors: one exception, answered in the JSON that Graph answers ("Microsoft Graph error responses")."""

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime

from starlette.responses import JSONResponse


class GraphError(Exception):
    """Something that Graph refuses."""

    def __init__(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status, self.code, self.message, self.headers = status, code, message, dict(headers or {})

    def response(self, client_request_id: str | None = None) -> JSONResponse:
        request_id = str(uuid.uuid4())
        inner = {
            "date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S"),
            "request-id": request_id,
            "client-request-id": client_request_id or request_id,
        }
        body = {"error": {"code": self.code, "message": self.message, "innerError": inner}}
        return JSONResponse(body, self.status, {**self.headers, "request-id": request_id})


def bad_request(message: str) -> GraphError:
    return GraphError(400, "BadRequest", message)


def not_found(message: str) -> GraphError:
    return GraphError(404, "NotFound", message)


def unauthorized(message: str) -> GraphError:
    challenge = {"WWW-Authenticate": 'Bearer realm="", error="invalid_token"'}
    return GraphError(401, "InvalidAuthenticationToken", message, challenge)


def throttled(retry_after_seconds: int) -> GraphError:
    return GraphError(
        429, "TooManyRequests", "Too many requests. Please retry later.", {"Retry-After": str(retry_after_seconds)}
    )
