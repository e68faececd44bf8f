"""Every route of the portal."""

from starlette.routing import BaseRoute, Mount
from starlette.staticfiles import StaticFiles

import runtime.health
from runtime.pages.rendering import HERE
from runtime.portal import decision, pages, proof, records, sign_in
from runtime.portal.edits import routes as edits


def routes() -> list[BaseRoute]:
    return [
        *runtime.health.routes(),
        *sign_in.routes(),
        *pages.routes(),
        *proof.routes(),
        *decision.routes(),
        *records.routes(),
        *edits.routes(),
        Mount("/static", StaticFiles(directory=HERE / "static"), name="static"),
    ]
