"""GitHub's errors: one exception, answered in the JSON that GitHub answers ("Troubleshooting the REST API")."""

from collections.abc import Mapping, Sequence
from typing import Any

from starlette.responses import JSONResponse

DOCUMENTATION = "https://docs.github.com/rest"


class GitHubError(Exception):
    """Something that GitHub refuses."""

    def __init__(
        self,
        status: int,
        message: str,
        errors: Sequence[Mapping[str, str]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(f"{status}: {message}")
        self.status, self.message, self.errors, self.headers = status, message, tuple(errors), dict(headers or {})

    def response(self) -> JSONResponse:
        body: dict[str, Any] = {"message": self.message}
        if self.errors:
            body["errors"] = [dict(e) for e in self.errors]
        return JSONResponse(
            {**body, "documentation_url": DOCUMENTATION, "status": str(self.status)}, self.status, self.headers
        )


def not_found() -> GitHubError:
    return GitHubError(404, "Not Found")


def bad_credentials() -> GitHubError:
    return GitHubError(401, "Bad credentials")


def forbidden(kind: str) -> GitHubError:
    """A token without the permission."""
    return GitHubError(403, f"Resource not accessible by {kind}")


def invalid(message: str) -> GitHubError:
    return GitHubError(422, message)


def validation_failed(resource: str, field: str, code: str = "invalid", message: str = "") -> GitHubError:
    error = {"resource": resource, "field": field, "code": code} | ({"message": message} if message else {})
    return GitHubError(422, "Validation Failed", [error])
