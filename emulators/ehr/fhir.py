"""The FHIR R4 base: SMART configuration, CapabilityStatement, and the few reads that the connector's clients may do."""

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from emulators.ehr.ehr import EmulatedEhr
from emulators.ehr.grants import Content, Kind
from emulators.ehr.instance import Instance
from emulators.ehr.parameters import Malformed, query_of
from emulators.ehr.schedule import Appointment, Patient
from schemas.vocabulary import ClientRole

FHIR_JSON = "application/fhir+json"
OAUTH_URIS = "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris"
READS = ("read", "r", "rs")


class Refused(Exception):
    """A FHIR request that is answered by an OperationOutcome (FHIR R4, section 3.1.0.1.5)."""

    def __init__(self, status: int, code: str, text: str) -> None:
        super().__init__(text)
        self.status, self.code = status, code


class Fhir:
    def __init__(self, ehr: EmulatedEhr, instance: Instance) -> None:
        self.ehr, self.instance = ehr, instance

    async def smart_configuration(self, request: Request) -> Response:
        """SMART App Launch 2.2, section 8."""
        return JSONResponse(
            {
                "issuer": self.instance.issuer,
                "jwks_uri": self.instance.jwks_url,
                "authorization_endpoint": self.instance.authorize_url,
                "token_endpoint": self.instance.token_url,
                "token_endpoint_auth_methods_supported": ["client_secret_basic", "private_key_jwt"],
                "token_endpoint_auth_signing_alg_values_supported": ["RS384", "ES384"],
                "grant_types_supported": ["authorization_code", "client_credentials"],
                "response_types_supported": ["code"],
                "scopes_supported": ["launch", "openid", "profile", "fhirUser"],
                "code_challenge_methods_supported": ["S256"],
                "capabilities": [
                    "launch-ehr",
                    "client-public",
                    "client-confidential-symmetric",
                    "client-confidential-asymmetric",
                    "context-ehr-patient",
                    "context-ehr-encounter",
                    "sso-openid-connect",
                ],
            }
        )

    async def openid_configuration(self, request: Request) -> Response:
        """OpenID Connect Discovery 1.0, section 3."""
        return JSONResponse(
            {
                "issuer": self.instance.issuer,
                "jwks_uri": self.instance.jwks_url,
                "authorization_endpoint": self.instance.authorize_url,
                "token_endpoint": self.instance.token_url,
                "response_types_supported": ["code"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256"],
            }
        )

    async def jwks(self, request: Request) -> Response:
        return JSONResponse(self.ehr.signing_key.jwks())

    async def metadata(self, request: Request) -> Response:
        oauth = [
            {"url": "authorize", "valueUri": self.instance.authorize_url},
            {"url": "token", "valueUri": self.instance.token_url},
        ]
        search = [{"name": "patient", "type": "reference"}, {"name": "date", "type": "date"}]
        return _resource(
            {
                "resourceType": "CapabilityStatement",
                "status": "active",
                "date": "2026-05-01",
                "publisher": self.ehr.ehr.organization,
                "kind": "instance",
                "software": {"name": "Epic", "version": self.ehr.ehr.software_version},
                "implementation": {"description": "Emulated EHR", "url": self.instance.fhir_base_url},
                "fhirVersion": "4.0.1",
                "format": [FHIR_JSON, "json"],
                "rest": [
                    {
                        "mode": "server",
                        "security": {
                            "service": [{"text": "OAuth2 using SMART-on-FHIR profile"}],
                            "extension": [{"url": OAUTH_URIS, "extension": oauth}],
                        },
                        "resource": [
                            {"type": "Patient", "interaction": [{"code": "read"}]},
                            {"type": "Appointment", "interaction": [{"code": "search-type"}], "searchParam": search},
                        ],
                    }
                ],
            }
        )

    async def patient(self, request: Request) -> Response:
        try:
            token = self._authorized(request, "Patient")
            found = self.ehr.schedule.patient(self.instance.stage, request.path_params["id"])
            if found is None or not _covers(token, found.id):
                raise Refused(404, "not-found", "no such patient")
            return _resource(_patient(found))
        except Refused as e:
            return _outcome(e)

    async def appointments(self, request: Request) -> Response:
        """Today's appointments of one patient."""
        try:
            token, asked = self._authorized(request, "Appointment"), query_of(request)
            if asked.keys() - {"patient", "date"}:
                raise Refused(400, "not-supported", "search parameters are patient and date")
            patient = asked.get("patient", "").removeprefix("Patient/")
            if not patient or not _covers(token, patient):
                raise Refused(403, "forbidden", "search needs a patient that the token covers")
            found = self.ehr.schedule.appointments(self.instance.stage, patient=patient)
        except Malformed as e:
            return _outcome(Refused(400, "invalid", str(e)))
        except Refused as e:
            return _outcome(e)
        entries = [{"resource": _appointment(a)} for a in found]
        return _resource({"resourceType": "Bundle", "type": "searchset", "total": len(entries), "entry": entries})

    async def anything_else(self, request: Request) -> Response:
        return _outcome(Refused(404, "not-supported", "this server does not support that"))

    def _authorized(self, request: Request, resource: str) -> Content:
        token = bearer_token(self.ehr, self.instance, request)
        if token is None:
            raise Refused(401, "login", "a valid access token is needed")
        allowed = {f"{side}/{resource}.{verb}" for side in ("patient", "system") for verb in READS}
        if not allowed & set(token["scopes"]):
            raise Refused(403, "forbidden", "the access token has no scope for this")
        return token


def bearer_token(ehr: EmulatedEhr, instance: Instance, request: Request) -> Content | None:
    """What the request's access token stands for, if this instance issued it."""
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    token = ehr.grants.find(Kind.ACCESS_TOKEN, value) if scheme.lower() == "bearer" else None
    return token if token and token["instance"] == instance.environment.instance else None


def _covers(token: Content, patient: str) -> bool:
    return token["role"] == ClientRole.BACKEND or token["patient"] == patient


def _patient(patient: Patient) -> dict[str, Any]:
    return {
        "resourceType": "Patient",
        "id": patient.id,
        "name": [{"use": "official", "text": patient.name}],
        "birthDate": patient.birth_date,
    }


def _appointment(appointment: Appointment) -> dict[str, Any]:
    actors = [f"Patient/{appointment.patient.id}", f"Practitioner/{appointment.provider.id}"]
    return {
        "resourceType": "Appointment",
        "id": f"a{appointment.encounter[1:]}",
        "identifier": [{"type": {"text": "CSN"}, "value": appointment.csn}],
        "status": "booked",
        "participant": [{"actor": {"reference": actor}, "status": "accepted"} for actor in actors],
    }


def _outcome(refused: Refused) -> Response:
    issue = {"severity": "error", "code": refused.code, "diagnostics": str(refused)}
    headers = {"WWW-Authenticate": "Bearer"} if refused.status == 401 else {}
    return _resource({"resourceType": "OperationOutcome", "issue": [issue]}, refused.status, headers)


def _resource(content: dict[str, Any], status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse(content, status, headers=headers, media_type=FHIR_JSON)
