"""A GitHub App's token for one repository: bought with the app's key, given back at the end.

Owns the JWT (RS256, ten minutes at most: "Generating a JSON Web Token for a GitHub App") and the token's limits.
"""

import time
import uuid
from collections.abc import Generator, Mapping
from contextlib import contextmanager

import httpx
import jwt

from workflow.merge.github import HEADERS, GitHubFailed

CLOCK_SKEW_SECONDS = 60
JWT_SECONDS = 300


@contextmanager
def app_token(
    http: httpx.Client,
    app_id: int,
    installation_id: int,
    key: str,
    repository: str,
    permissions: Mapping[str, str],
    now: float | None = None,
) -> Generator[str]:
    """A token of an installation with these permissions and no more. Raises `GitHubFailed`."""
    issued = int(time.time() if now is None else now)
    claims = {
        "iss": str(app_id),
        "iat": issued - CLOCK_SKEW_SECONDS,
        "exp": issued + JWT_SECONDS,
        "jti": str(uuid.uuid4()),
    }
    try:
        proof = jwt.encode(claims, key, algorithm="RS256")
    except (ValueError, TypeError, jwt.PyJWTError):
        raise GitHubFailed("the gate app's key is no RSA private key in PEM") from None
    body = {"repositories": [repository.partition("/")[2]], "permissions": dict(permissions)}
    path = f"/app/installations/{installation_id}/access_tokens"
    try:
        response = http.post(path, json=body, headers={**HEADERS, "authorization": f"Bearer {proof}"})
    except httpx.HTTPError as problem:
        raise GitHubFailed(f"GitHub gives no token: {type(problem).__name__}") from None
    if response.status_code != 201:
        raise GitHubFailed(f"GitHub answered {response.status_code} to the gate's app, which asked for a token")
    token = str(response.json()["token"])
    try:
        yield token
    finally:
        _give_back(http, token)


def _give_back(http: httpx.Client, token: str) -> None:
    try:
        http.delete("/installation/token", headers={**HEADERS, "authorization": f"Bearer {token}"})
    except httpx.HTTPError:
        return  # it ends by itself within the hour
