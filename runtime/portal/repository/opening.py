"""Which adapter a configuration means, with its credentials by name from the vault."""

from urllib.parse import urlsplit

from runtime.http import HttpClients
from runtime.portal.repository.git import GitRepository
from runtime.portal.repository.github import GitHubRepository
from runtime.portal.repository.model import Repository, RepositoryRefused
from runtime.vault import Vault
from schemas.promotion_config import RemoteKind
from schemas.promotion_config import Repository as RepositoryConfig


def open_repository(
    config: RepositoryConfig, url: str, http: HttpClients, vault: Vault, ca_bundle: str | None = None
) -> Repository:
    """The repository of a stack. `url` is the Handover's: a folder is a `file://` URL there. Nothing is called yet."""
    if config.kind is RemoteKind.GITHUB and config.github is not None:
        owner, name = _owner_and_name(url)
        return GitHubRepository(http, vault, config.github, owner, name, config.branch)
    if (config.kind is RemoteKind.FOLDER) != url.startswith("file:///"):
        raise RepositoryRefused("expected the repository that the configuration names")
    secret = config.credential

    async def token() -> str | None:
        value = await vault.secret(secret) if secret else None
        if secret and not value:
            raise RepositoryRefused(f"the vault has no secret {secret}", "Put the remote's token there.")
        return value

    return GitRepository(url, config.branch, token if secret else None, ca_bundle)


def _owner_and_name(url: str) -> tuple[str, str]:
    parts = urlsplit(url).path.strip("/").removesuffix(".git").split("/")
    if len(parts) != 2 or not all(parts):
        raise RepositoryRefused("expected a GitHub repository as https://<host>/<owner>/<name>")
    return parts[0], parts[1]
