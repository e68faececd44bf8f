"""MyChart: where a patient sees their appointments and begins a virtual visit, in the whole window."""

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from emulators.ehr.grants import Kind
from emulators.ehr.instance import Instance
from emulators.ehr.launching import launch_url
from emulators.ehr.page_requests import PageRefused, Pages
from emulators.ehr.schedule import Patient
from schemas.vocabulary import ClientRole


class MyChart(Pages):
    kind, home = Kind.MYCHART_SESSION, "/mychart"

    async def get(self, request: Request) -> Response:
        """Query `environment`."""
        instance = self.instance(self.query(request))
        schedule = self.ehr.schedule
        patient = schedule.patient(instance.stage, self.signed_in(request, instance) or "")
        if patient is None:
            patients = schedule.patients(instance.stage)
            return self.render(request, "mychart_sign_in.html", instance, patients=patients)
        appointments = schedule.appointments(instance.stage, patient=patient.id)
        return self.render(request, "mychart.html", instance, patient=patient, appointments=appointments)

    async def post_sign_in(self, request: Request) -> Response:
        """Fields `patient`, `environment`."""
        form = await self.form(request)
        instance = self.instance(form)
        response = self.to_home(instance)
        self.sign_in(response, instance, self._patient(instance, form.get("patient", "")).id)
        return response

    async def post_sign_out(self, request: Request) -> Response:
        """Field `environment`."""
        return self.sign_out(request, self.instance(await self.form(request)))

    async def post_launch(self, request: Request) -> Response:
        """Fields `csn`, `patient`, `environment`; redirects to the launch URL."""
        form = await self.form(request)
        instance = self.instance(form)
        signed_in = self.signed_in(request, instance)
        patient = self._patient(instance, form.get("patient") or signed_in or "")
        visit = self.ehr.schedule.appointment(instance.stage, form.get("csn", ""))
        if visit is None or visit.patient.id != patient.id:
            raise PageRefused(404, "You have no such appointment.")
        url = launch_url(self.ehr.grants, instance, ClientRole.PATIENT, patient.id, visit)
        response = RedirectResponse(url, 303)
        if signed_in != patient.id:
            self.sign_in(response, instance, patient.id)
        return response

    def _patient(self, instance: Instance, id: str) -> Patient:
        patient = self.ehr.schedule.patient(instance.stage, id)
        if patient is None:
            raise PageRefused(400, "Choose who you are.")
        return patient
