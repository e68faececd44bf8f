"""Epic's telehealth service `SetExternalConnectionStatus` (2018, ContextLinking): it drives the status in Hyperspace.

Owns what the service takes: five parameters, each required, once, and no other; header `Epic-Client-ID`; an access
token of the same backend client. It knows neither the time of an event nor a key that tells a repetition.
"""

from collections.abc import Mapping

from pydantic import TypeAdapter, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from emulators.ehr.ehr import EmulatedEhr
from emulators.ehr.fhir import bearer_token
from emulators.ehr.instance import Instance
from emulators.ehr.parameters import FORM, Malformed, body_of, once, query_of
from emulators.ehr.schedule import Connection
from schemas.vocabulary import ClientRole

PARAMETERS = frozenset({"ConferenceID", "ExternalID", "ExternalIDType", "VendorName", "ConnectionStatus"})
EXTERNAL_ID_TYPES = frozenset({"Provider", "Patient"})
STATUSES = frozenset({"Connected", "Disconnected"})
MAXIMUM_CHARACTERS = 200
_JSON_BODY = TypeAdapter(dict[str, str])


class Refused(Exception):
    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class SetExternalConnectionStatus:
    """GET with a query; POST with a query, a form or a JSON object."""

    def __init__(self, ehr: EmulatedEhr, instance: Instance) -> None:
        self.ehr, self.instance = ehr, instance

    async def call(self, request: Request) -> Response:
        try:
            self._authorize(request)
            self._set(await _parameters(request))
        except Malformed as e:
            return self._error(Refused(400, str(e)))
        except Refused as e:
            return self._error(e)
        return JSONResponse({})

    def _authorize(self, request: Request) -> None:
        backend = self.instance.client_of(ClientRole.BACKEND)
        if backend is None or request.headers.getlist("epic-client-id") != [backend.client_id]:
            raise Refused(403, "Epic-Client-ID is not that of this environment's backend client")
        token = bearer_token(self.ehr, self.instance, request)
        if token is None or token["client_id"] != backend.client_id:
            raise Refused(401, "an access token of the backend client is needed")

    def _set(self, given: Mapping[str, str]) -> None:
        if frozenset(given) != PARAMETERS:
            different = ", ".join(sorted(PARAMETERS.symmetric_difference(given)))
            raise Refused(400, f"missing or unknown parameters: {different}")
        if not all(0 < len(value) <= MAXIMUM_CHARACTERS and value.isprintable() for value in given.values()):
            raise Refused(400, "a parameter is empty, too long or not printable")
        if given["ExternalIDType"] not in EXTERNAL_ID_TYPES:
            raise Refused(400, "unknown ExternalIDType")
        if given["ConnectionStatus"] not in STATUSES:
            raise Refused(400, "unknown ConnectionStatus")
        visit = self.ehr.schedule.appointment(self.instance.stage, given["ConferenceID"])
        if visit is None:
            raise Refused(404, "ConferenceID is not a visit of this environment")
        somebody = self.ehr.schedule.patient(self.instance.stage, given["ExternalID"])
        if given["ExternalIDType"] == "Patient" and somebody is not None and somebody.id != visit.patient.id:
            raise Refused(400, "ExternalID is a patient who is not of this visit")
        connection = Connection(given["ExternalIDType"], given["ExternalID"], given["ConnectionStatus"])
        self.ehr.schedule.set_status(self.instance.stage, visit.csn, connection)

    def _error(self, refused: Refused) -> Response:
        self.ehr.log.info("connection status refused", status=refused.status, reason=str(refused))
        return JSONResponse({"Message": "An error has occurred.", "ExceptionMessage": str(refused)}, refused.status)


async def _parameters(request: Request) -> dict[str, str]:
    query, body = query_of(request), await body_of(request)
    if not body:
        return query
    if query or request.method == "GET":
        raise Malformed("parameters in query and body")
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind == FORM:
        return once(body.decode(errors="replace"))
    try:
        return _JSON_BODY.validate_json(body, strict=True)
    except ValidationError:
        raise Malformed("the body is neither a form nor a JSON object of strings") from None
