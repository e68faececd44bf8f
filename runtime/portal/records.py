"""Integration records of a connection: shown, as JSON, as CSV, and as a page to print; only while it is approved.

What leaves as a file is audited.
"""

import json
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from runtime.audit import Action
from runtime.configuration import Served
from runtime.errors import Refusal
from runtime.portal import refusals, trail
from runtime.portal.access import Visitor, connection_of, for_signed_in
from runtime.portal.rendering import portal_page
from schemas.integration_records import IntegrationRecord, are_shown, records_csv, records_json, records_of

Records = tuple[IntegrationRecord, ...]
Shown = Callable[[Visitor, Served, Records], Response]


def routes() -> list[BaseRoute]:
    path = "/connections/{connection}/records"
    return [
        Route(path, _endpoint(_page)),
        Route(f"{path}.json", _endpoint(_json, exported="json")),
        Route(f"{path}.csv", _endpoint(_csv, exported="csv")),
        Route(f"{path}/print", _endpoint(_printed)),
    ]


def _endpoint(shown: Shown, exported: str | None = None) -> Callable[[Request], Awaitable[Response]]:
    @for_signed_in
    async def endpoint(request: Request, visitor: Visitor) -> Response | Refusal:
        served = connection_of(request, visitor)
        if isinstance(served, Refusal):
            return served
        services = visitor.services
        await services.standing.catch_up(services)
        if not are_shown(services.standing.decision(served.connection.id)):
            return refusals.NOT_APPROVED
        if exported:
            async with services.database.transaction() as connection:
                account = visitor.session.account
                await trail.record(services, connection, Action.RECORDS_EXPORTED, account, served, exported)
        hosts = services.configuration.document.public_hosts
        return shown(visitor, served, records_of(served.connection, hosts))

    return endpoint


def _page(visitor: Visitor, served: Served, records: Records) -> Response:
    return portal_page("portal_records.html", visitor.session, served=served, records=records)


def _printed(visitor: Visitor, served: Served, records: Records) -> Response:
    return portal_page("portal_records_print.html", visitor.session, served=served, records=records)


def _json(_: Visitor, served: Served, records: Records) -> Response:
    body = json.dumps(records_json(served.organization, served.connection, records), indent=2, ensure_ascii=False)
    return _download(body + "\n", "application/json", f"{served.connection.id}-records.json")


def _csv(_: Visitor, served: Served, records: Records) -> Response:
    return _download(records_csv(records), "text/csv", f"{served.connection.id}-records.csv")


def _download(body: str, media_type: str, name: str) -> Response:
    """An identifier of the configuration is safe in a header: letters, digits and hyphens."""
    return Response(body, media_type=media_type, headers={"content-disposition": f'attachment; filename="{name}"'})
