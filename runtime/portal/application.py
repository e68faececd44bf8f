"""The portal as an ASGI application: its routes, its words for what goes wrong, and what its pages share."""

import asyncio

from starlette.applications import Starlette

from runtime.bootstrap import Services
from runtime.portal import refusals
from runtime.portal.catalogue import Catalogue
from runtime.portal.edits.opening import Editing
from runtime.portal.rendering import refused
from runtime.portal.routes import routes
from runtime.web import Words, create_application

WORDS = Words(refusals.NOT_FOUND, refusals.UNAVAILABLE, refusals.UNEXPECTED, refused)


def create_portal(services: Services) -> Starlette:
    """The application over these services. The caller opens and closes them."""
    application = create_application(services, all_routes=routes(), words=WORDS)
    application.state.catalogue = Catalogue.of(services.configuration.document)
    application.state.outbox = asyncio.Event()
    application.state.editing = Editing(services)
    return application
