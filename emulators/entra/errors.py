"""Entra's errors: one exception with the AADSTS code, the OAuth error and the JSON that Entra answers.

Codes and their meaning: Microsoft identity platform, "Microsoft Entra authentication and authorization error codes".
"""

import uuid
from datetime import UTC, datetime

from starlette.responses import JSONResponse


class EntraError(Exception):
    """Something that Entra refuses. `error` is the OAuth 2.0 error (RFC 6749 section 5.2)."""

    def __init__(self, code: int, error: str, text: str, *, status: int = 400) -> None:
        super().__init__(f"AADSTS{code}: {text}")
        self.code, self.error, self.text, self.status = code, error, text, status
        self.trace_id, self.correlation_id = str(uuid.uuid4()), str(uuid.uuid4())
        self.time = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%SZ")

    @property
    def description(self) -> str:
        return (
            f"AADSTS{self.code}: {self.text} Trace ID: {self.trace_id} Correlation ID: {self.correlation_id} "
            f"Timestamp: {self.time}"
        )

    def response(self) -> JSONResponse:
        body = {
            "error": self.error,
            "error_description": self.description,
            "error_codes": [self.code],
            "timestamp": self.time,
            "trace_id": self.trace_id,
            "correlation_id": self.correlation_id,
        }
        return JSONResponse(body, self.status, {"Cache-Control": "no-store", "Pragma": "no-cache"})


def missing(parameter: str) -> EntraError:
    return EntraError(
        900144, "invalid_request", f"The request body must contain the following parameter: '{parameter}'."
    )


def duplicated(parameter: str) -> EntraError:
    return EntraError(
        9000411, "invalid_request", f"The request is not properly formatted. The parameter '{parameter}' is duplicated."
    )


def tenant_not_found(tenant: str) -> EntraError:
    return EntraError(
        90002,
        "invalid_request",
        f"Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID and are signing into the "
        "correct cloud.",
    )


def application_not_found(client_id: str, tenant: str) -> EntraError:
    return EntraError(
        700016,
        "unauthorized_client",
        f"Application with identifier '{client_id}' was not found in the directory '{tenant}'. This can happen if the "
        "application has not been installed by the administrator of the tenant or consented to by any user in the "
        "tenant.",
    )


def not_consented(client_id: str) -> EntraError:
    return EntraError(
        65001,
        "consent_required",
        f"The user or administrator has not consented to use the application with ID '{client_id}'. Send an "
        "interactive authorization request for this user and resource.",
    )


def unsupported_grant(grant: str) -> EntraError:
    return EntraError(
        70003, "unsupported_grant_type", f"The app requested the grant type '{grant}', which is not emulated here."
    )
