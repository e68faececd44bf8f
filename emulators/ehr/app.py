"""The routes of one organisation's EHR."""

from pathlib import Path
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from emulators.ehr.authorize import Authorize
from emulators.ehr.ehr import EmulatedEhr
from emulators.ehr.faults import Faults
from emulators.ehr.fhir import Fhir
from emulators.ehr.hyperspace import Hyperspace
from emulators.ehr.instance import TELEHEALTH_PATH, Instance
from emulators.ehr.mychart import MyChart
from emulators.ehr.page_requests import PageRefused
from emulators.ehr.rendering import page
from emulators.ehr.telehealth import SetExternalConnectionStatus
from emulators.ehr.token_endpoint import Token


def create_app(ehr: EmulatedEhr) -> Starlette:
    async def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, PageRefused)
        return page(
            request, "refused.html", status=error.status, ehr=ehr.ehr, title="That did not work", text=str(error)
        )

    async def index(request: Request) -> Response:
        return page(request, "index.html", ehr=ehr.ehr, instances=list(ehr.instances.values()))

    routes: list[BaseRoute] = [
        Route("/", index),
        Mount("/static", StaticFiles(directory=Path(__file__).with_name("static"))),
        *_page_routes(ehr),
    ]
    for instance in ehr.instances.values():
        routes.extend(_instance_routes(ehr, instance))
    return Starlette(
        routes=routes,
        middleware=[Middleware(Faults, path=ehr.folder / "faults.json")],
        exception_handlers={PageRefused: refused},
    )


def _page_routes(ehr: EmulatedEhr) -> list[BaseRoute]:
    hyperspace, mychart = Hyperspace(ehr), MyChart(ehr)
    return [
        Route("/hyperspace", hyperspace.get),
        Route("/hyperspace/sign-in", hyperspace.post_sign_in, methods=["POST"]),
        Route("/hyperspace/sign-out", hyperspace.post_sign_out, methods=["POST"]),
        Route("/hyperspace/launch", hyperspace.post_launch, methods=["POST"]),
        Route("/hyperspace/appointments", hyperspace.get_appointments),
        Route("/hyperspace/appointments", hyperspace.post_appointments, methods=["POST"]),
        Route("/hyperspace/events", hyperspace.events),
        Route("/mychart", mychart.get),
        Route("/mychart/sign-in", mychart.post_sign_in, methods=["POST"]),
        Route("/mychart/sign-out", mychart.post_sign_out, methods=["POST"]),
        Route("/mychart/launch", mychart.post_launch, methods=["POST"]),
    ]


def _instance_routes(ehr: EmulatedEhr, instance: Instance) -> list[BaseRoute]:
    fhir, authorize, token = Fhir(ehr, instance), Authorize(ehr, instance), Token(ehr, instance)
    base, oauth2 = f"{instance.path}/api/FHIR/R4", f"{instance.path}/oauth2"
    issuer_path = urlsplit(instance.issuer).path
    return [
        Route(f"{base}/.well-known/smart-configuration", fhir.smart_configuration),
        Route(f"{issuer_path}/.well-known/openid-configuration", fhir.openid_configuration),
        Route(f"{base}/metadata", fhir.metadata),
        Route(f"{base}/Patient/{{id}}", fhir.patient),
        Route(f"{base}/Appointment", fhir.appointments),
        Route(f"{base}/{{rest:path}}", fhir.anything_else, methods=["GET", "POST", "PUT", "PATCH", "DELETE"]),
        Route(f"{oauth2}/authorize", authorize.get),
        Route(f"{oauth2}/authorize/sign-in", authorize.sign_in, methods=["POST"]),
        Route(f"{oauth2}/token", token.post, methods=["POST"]),
        Route(f"{oauth2}/jwks", fhir.jwks),
        Route(
            f"{instance.path}/{TELEHEALTH_PATH}",
            SetExternalConnectionStatus(ehr, instance).call,
            methods=["GET", "POST"],
        ),
    ]
