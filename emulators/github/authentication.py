"""Who calls the emulated GitHub: an app by JWT, an installation by its token, a person by a personal token.

Owns what a token may: an installation token has at most its installation's repositories and permissions and lives an
hour; a JWT (RS256; `iss` is the app, `exp` at most ten minutes away) buys one. Who may not see a repository gets 404.
"""

import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import jwt

from emulators.github import errors
from emulators.github.site import LEVELS, Account, App, Installation, Repository, Site

LONGEST_JWT_SECONDS = 600
TOKEN_SECONDS = 3600


@dataclass(frozen=True)
class Caller:
    """An installation (`app` is its app) or a person."""

    key: str
    account: Account
    app: App | None
    repositories: frozenset[str] | None
    permissions: Mapping[str, str] | None
    expires: float | None = None

    def may_see(self, repository: Repository) -> bool:
        if self.repositories is not None:
            return repository.full_name in self.repositories
        return self.account.login in repository.roles

    def require(self, repository: Repository, permission: str, level: str) -> None:
        """Raises 404 where the repository is hidden, 403 where the permission is missing."""
        if not self.may_see(repository):
            raise errors.not_found()
        if self.permissions is not None:
            held, kind = self.permissions.get(permission, "none"), "integration"
        else:
            held, kind = repository.roles.get(self.account.login, "none"), "personal access token"
        if LEVELS[held] < LEVELS[level]:
            raise errors.forbidden(kind)


class Authentication:
    """Every token that is valid now."""

    def __init__(self, site: Site, clock: Callable[[], float]) -> None:
        self.site, self._clock = site, clock
        self._tokens: dict[str, Caller] = {}
        self._used: set[str] = set()

    # --- apps ---

    def app(self, authorization: str | None) -> App:
        """The app whose JWT this is. Raises 401."""
        token = _bearer(authorization)
        try:
            header = jwt.get_unverified_header(token)
            unverified = jwt.decode(token, options={"verify_signature": False})
            app = self.site.apps.get(int(unverified.get("iss", "")))
        except (jwt.InvalidTokenError, ValueError, TypeError):
            raise errors.GitHubError(401, "A JSON web token could not be decoded") from None
        if app is None or header.get("alg") != "RS256":
            raise errors.GitHubError(401, "A JSON web token could not be decoded")
        try:
            claims = jwt.decode(
                token,
                app.public_key,
                algorithms=["RS256"],
                options={"verify_exp": False, "verify_iat": False, "verify_nbf": False},
            )
        except jwt.InvalidTokenError:
            raise errors.GitHubError(401, "A JSON web token could not be decoded") from None
        self._check_times(claims)
        return app

    def _check_times(self, claims: Mapping[str, Any]) -> None:
        now, issued, expires = self._clock(), claims.get("iat"), claims.get("exp")
        if not isinstance(issued, int) or issued > now:
            message = "'Issued at' claim ('iat') must be an Integer representing the time that the assertion was issued"
            raise errors.GitHubError(401, message)
        if not isinstance(expires, int) or expires <= now:
            message = (
                "'Expiration time' claim ('exp') must be a numeric value representing the future time at which the "
                "assertion expires"
            )
            raise errors.GitHubError(401, message)
        if expires > now + LONGEST_JWT_SECONDS or expires - issued > LONGEST_JWT_SECONDS + 60:
            raise errors.GitHubError(401, "'Expiration time' claim ('exp') is too far in the future")

    def installation_token(
        self,
        authorization: str | None,
        installation_id: str,
        repositories: Iterable[str] | None,
        permissions: Mapping[str, str] | None,
    ) -> dict[str, Any]:
        """A new token of an installation; a JWT buys one."""
        app = self.app(authorization)
        installation = self.site.installations.get(int(installation_id)) if installation_id.isdigit() else None
        if installation is None or installation.app is not app:
            raise errors.not_found()
        if (token := _bearer(authorization)) in self._used:
            raise errors.GitHubError(401, "A JSON web token could not be decoded: it was used before")
        chosen = self._chosen(installation, repositories)
        held = dict(app.permissions) if permissions is None else {"metadata": "read", **permissions}
        if any(LEVELS[level] > LEVELS[app.permissions.get(name, "none")] for name, level in held.items()):
            raise errors.invalid("The permissions requested are not granted to this installation.")
        self._used.add(token)
        text, expires = f"ghs_{secrets.token_hex(18)}", self._clock() + TOKEN_SECONDS
        self._tokens[text] = Caller(f"installation ID {installation.id}", app.bot, app, chosen, held, expires)
        return {
            "token": text,
            "expires_at": expires,
            "permissions": held,
            "repository_selection": "selected",
            "repositories": sorted(chosen),
        }

    def _chosen(self, installation: Installation, names: Iterable[str] | None) -> frozenset[str]:
        if names is None:
            return installation.repositories
        by_name = {full.partition("/")[2].lower(): full for full in installation.repositories}
        chosen = [by_name.get(name.lower()) for name in names]
        found = frozenset(name for name in chosen if name is not None)
        if not chosen or len(found) != len(chosen):
            raise errors.invalid(
                "There is at least one repository that does not exist or is not accessible to the parent installation."
            )
        return found

    # --- installations and people ---

    def caller(self, authorization: str | None) -> Caller:
        """Raises 401."""
        token = _bearer(authorization)
        if (login := self.site.tokens.get(token)) is not None:
            account = self.site.accounts[login.lower()]
            return Caller(f"user ID {account.id}", account, None, None, None)
        found = self._tokens.get(token)
        if found is None or found.expires is None or found.expires <= self._clock():
            raise errors.bad_credentials()
        return found

    def revoke(self, authorization: str | None) -> None:
        """DELETE /installation/token."""
        self.caller(authorization)
        if self._tokens.pop(_bearer(authorization), None) is None:
            raise errors.forbidden("personal access token")


def _bearer(authorization: str | None) -> str:
    scheme, _, token = (authorization or "").partition(" ")
    if not authorization:
        raise errors.GitHubError(401, "Requires authentication")
    if scheme.lower() not in ("bearer", "token") or not token:
        raise errors.bad_credentials()
    return token
