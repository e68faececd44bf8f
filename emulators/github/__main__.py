"""`python -m emulators.github`: serves the site that `<state>/github/site.json` declares, over TLS on the loopback.

    {"url": "https://127.0.0.1:8480",
     "people": ["robin"],
     "repositories": [{"name": "example/connector", "folder": "<bare repository>", "roles": {"robin": "write"}}],
     "apps": [{"slug": "connector-portal", "publicKey": "<PEM>", "permissions": {"contents": "write"},
               "repositories": ["example/connector"]}]}

Ids and people's tokens, which GitHub's pages would show, are in `<state>/github/known.json`, 0600.
"""

import json
from pathlib import Path
from typing import Any, cast

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from emulators import tls
from emulators.github.app import create_app
from emulators.github.site import Level, Site
from emulators.hosting import JsonLines, serve, state_folder
from emulators.state import write_private
from schemas.scalars import HttpsOrigin


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel)


class DeclaredRepository(_Model):
    name: str
    folder: Path
    roles: dict[str, Level] = {}


class DeclaredApp(_Model):
    slug: str
    public_key: str
    permissions: dict[str, Level]
    repositories: tuple[str, ...]


class Declared(_Model):
    url: HttpsOrigin
    people: tuple[str, ...] = ()
    repositories: tuple[DeclaredRepository, ...]
    apps: tuple[DeclaredApp, ...] = ()


def site_of(declared: Declared) -> tuple[Site, dict[str, Any]]:
    """The site, and what its pages would show."""
    site = Site(declared.url)
    tokens: dict[str, str] = {}
    for login in declared.people:
        site.add_account(login)
        tokens[login] = site.personal_token(login)
    for repository in declared.repositories:
        site.add_repository(repository.name, repository.folder).roles.update(repository.roles)
    apps: dict[str, Any] = {}
    for app in declared.apps:
        key = cast("rsa.RSAPublicKey", serialization.load_pem_public_key(app.public_key.encode()))
        made = site.add_app(app.slug, key, dict(app.permissions))
        installation = site.install(made, [site.repositories[name.lower()] for name in app.repositories])
        apps[app.slug] = {"appId": made.id, "installationId": installation.id}
    return site, {"tokens": tokens, "apps": apps}


def main() -> None:
    state = state_folder()
    folder = state / "github"
    declared = Declared.model_validate_json((folder / "site.json").read_bytes())
    site, known = site_of(declared)
    write_private(folder / "known.json", json.dumps(known).encode())
    tls.ensure_leaf(state, ["127.0.0.1", "localhost"])
    serve(
        create_app(site),
        name="github",
        origins=[declared.url],
        state=state,
        raw_log=JsonLines(folder / "raw-requests.jsonl"),
    )


if __name__ == "__main__":
    main()
