"""What exists at the emulated GitHub: accounts, apps, installations, repositories with their rules and environments.

Owns the shape of it, set up by whoever starts the emulator, as people set it up in GitHub's pages; the API reads it.
"""

import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Literal

from cryptography.hazmat.primitives.asymmetric import rsa

Level = Literal["read", "write", "admin"]
LEVELS: dict[str, int] = {"none": 0, "read": 1, "write": 2, "admin": 3}


@dataclass(frozen=True)
class Account:
    login: str
    id: int
    type: Literal["User", "Bot", "Organization"] = "User"

    def document(self) -> dict[str, Any]:
        return {"login": self.login, "id": self.id, "type": self.type, "site_admin": False}


@dataclass(frozen=True)
class App:
    """A GitHub App; `permissions` are what its installations have at most."""

    id: int
    slug: str
    public_key: rsa.RSAPublicKey
    permissions: dict[str, Level]
    bot: Account

    def document(self) -> dict[str, Any]:
        return {"id": self.id, "slug": self.slug, "name": self.slug, "permissions": dict(self.permissions)}


@dataclass(frozen=True)
class Installation:
    id: int
    app: App
    repositories: frozenset[str]
    """By full name."""


@dataclass
class Environment:
    """`branches` are the only ones that may deploy; None where every one may."""

    name: str
    branches: tuple[str, ...] | None = None


@dataclass
class Rules:
    """The active rules of a branch, in one ruleset; parameters are named as GitHub names them."""

    required_status_checks: tuple[tuple[str, int | None], ...] = ()
    """(context, integration_id)"""
    strict_required_status_checks_policy: bool = True
    required_approving_review_count: int = 1
    dismiss_stale_reviews_on_push: bool = True
    require_last_push_approval: bool = True
    require_code_owner_review: bool = False
    deletion: bool = True
    non_fast_forward: bool = True

    def documents(self) -> Iterator[dict[str, Any]]:
        source = {"ruleset_source_type": "Repository", "ruleset_id": 1}
        if self.deletion:
            yield {"type": "deletion", **source}
        if self.non_fast_forward:
            yield {"type": "non_fast_forward", **source}
        yield {
            "type": "pull_request",
            "parameters": {
                "required_approving_review_count": self.required_approving_review_count,
                "dismiss_stale_reviews_on_push": self.dismiss_stale_reviews_on_push,
                "require_code_owner_review": self.require_code_owner_review,
                "require_last_push_approval": self.require_last_push_approval,
                "required_review_thread_resolution": False,
                "allowed_merge_methods": ["merge", "squash", "rebase"],
            },
            **source,
        }
        if self.required_status_checks:
            checks = [
                {"context": context, **({} if app is None else {"integration_id": app})}
                for context, app in self.required_status_checks
            ]
            yield {
                "type": "required_status_checks",
                "parameters": {
                    "required_status_checks": checks,
                    "strict_required_status_checks_policy": self.strict_required_status_checks_policy,
                    "do_not_enforce_on_create": False,
                },
                **source,
            }


@dataclass
class Repository:
    """A private repository: only those who have a role, or an installation, know that it exists."""

    owner: str
    name: str
    folder: Path
    id: int
    default_branch: str = "main"
    roles: dict[str, Level] = field(default_factory=dict[str, Level])
    """By login."""
    rules: dict[str, Rules] = field(default_factory=dict[str, Rules])
    """By branch."""
    environments: dict[str, Environment] = field(default_factory=dict[str, Environment])

    @property
    def full_name(self) -> str:
        return f"{self.owner}/{self.name}"


@dataclass
class Site:
    """All of it. Names are not case sensitive, as at GitHub; ids count up."""

    url: str = "https://api.github.test"
    limit: int = 5000
    """Requests an hour and token."""
    accounts: dict[str, Account] = field(default_factory=dict[str, Account])
    apps: dict[int, App] = field(default_factory=dict[int, App])
    installations: dict[int, Installation] = field(default_factory=dict[int, Installation])
    repositories: dict[str, Repository] = field(default_factory=dict[str, Repository])
    tokens: dict[str, str] = field(default_factory=dict[str, str])
    """Personal access tokens: token to login."""
    _ids: Iterator[int] = field(default_factory=lambda: count(1001))

    def next_id(self) -> int:
        return next(self._ids)

    def add_account(self, login: str) -> Account:
        if login.lower() in self.accounts:
            raise ValueError(f"the account {login} exists")
        account = self.accounts[login.lower()] = Account(login, self.next_id())
        return account

    def add_app(self, slug: str, public_key: rsa.RSAPublicKey, permissions: dict[str, Level]) -> App:
        bot = Account(f"{slug}[bot]", self.next_id(), "Bot")
        app = App(self.next_id(), slug, public_key, {"metadata": "read", **permissions}, bot)
        self.apps[app.id] = app
        return app

    def install(self, app: App, repositories: Iterable[Repository]) -> Installation:
        installation = Installation(self.next_id(), app, frozenset(r.full_name for r in repositories))
        self.installations[installation.id] = installation
        return installation

    def add_repository(self, full_name: str, folder: Path) -> Repository:
        """A repository at GitHub whose objects are those of a bare repository on this machine."""
        owner, _, name = full_name.partition("/")
        repository = self.repositories[full_name.lower()] = Repository(owner, name, folder, self.next_id())
        return repository

    def personal_token(self, login: str) -> str:
        """A token by which a person calls the API, with all that their role permits."""
        token = f"github_pat_{secrets.token_hex(20)}"
        self.tokens[token] = self.accounts[login.lower()].login
        return token
