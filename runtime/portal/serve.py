"""The portal role: the portal's application, and statements on their way into the repository."""

from runtime.bootstrap import Services
from runtime.errors import StartRefused
from runtime.portal.application import create_portal
from runtime.portal.outbox import keep_publishing
from runtime.portal.repository import Repository, open_repository
from runtime.serve import run
from schemas.vocabulary import Stage


async def serve_portal(services: Services) -> None:
    """Returns after SIGTERM or SIGINT. Raises `StartRefused` in production, which has no portal."""
    if services.settings.stage is not Stage.TEST:
        raise StartRefused("a portal is a test stack's: production has none")
    application = create_portal(services)
    await run(services, application, keep_publishing(services, repository_of(services), application))


def repository_of(services: Services) -> Repository:
    """The repository that the configuration and the Handover name. Raises `StartRefused`."""
    config, handover = services.configuration.document.promotion.repository, services.settings.handover
    if config is None or handover.repository_url is None:
        raise StartRefused("the configuration names no repository", "Set promotion.repository of the test stack.")
    return open_repository(config, handover.repository_url, services.http, services.vault, handover.ca_bundle)
