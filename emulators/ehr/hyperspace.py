"""Hyperspace: where providers see today's appointments with their connection status, and begin virtual visits.

Owns the pages under `/hyperspace`. "Begin virtual visit" opens the connector in a frame, as an integration record that
says so does; without `display=frame` it redirects to the launch URL.
"""

import json
import re
from collections.abc import AsyncIterator, Mapping
from datetime import date
from typing import Any

from starlette.requests import Request
from starlette.responses import (
    JSONResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)

from emulators.ehr.grants import Kind
from emulators.ehr.instance import Instance
from emulators.ehr.launching import launch_url
from emulators.ehr.page_requests import PageRefused, Pages, wants_json
from emulators.ehr.schedule import DEPARTMENTS, Appointment, Patient
from emulators.world import EhrUser
from schemas.vocabulary import ClientRole

MOST_AT_ONCE = 500
_TIME = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")
_FHIR_ID = re.compile(r"[A-Za-z0-9.-]{1,64}")


class Hyperspace(Pages):
    kind, home = Kind.HYPERSPACE_SESSION, "/hyperspace"

    async def get(self, request: Request) -> Response:
        """Query `environment`, and `provider=all` for everybody's appointments."""
        asked = self.query(request)
        instance = self.instance(asked)
        user = self.ehr.schedule.user(self.signed_in(request, instance) or "")
        if user is None:
            return self.render(request, "hyperspace_sign_in.html", instance, users=self.ehr.schedule.users)
        everybody = asked.get("provider") == "all"
        return self.render(
            request,
            "hyperspace.html",
            instance,
            user=user,
            everybody=everybody,
            appointments=self.ehr.schedule.appointments(instance.stage, provider=None if everybody else user.id),
            users=self.ehr.schedule.users,
            patients=self.ehr.schedule.patients(instance.stage),
            departments=DEPARTMENTS,
        )

    async def post_sign_in(self, request: Request) -> Response:
        """Fields `user`, `environment`."""
        form = await self.form(request)
        instance = self.instance(form)
        response = self.to_home(instance)
        self.sign_in(response, instance, self._user(form).id)
        return response

    async def post_sign_out(self, request: Request) -> Response:
        """Field `environment`."""
        return self.sign_out(request, self.instance(await self.form(request)))

    async def post_launch(self, request: Request) -> Response:
        """Fields `csn` (empty: a launch without an appointment), `user`, `environment`, `display` (`frame` or none)."""
        form = await self.form(request)
        instance = self.instance(form)
        signed_in = self.signed_in(request, instance)
        user = self._user({"user": form.get("user") or signed_in or ""})
        visit = self._visit(instance, form["csn"]) if form.get("csn") else None
        url = launch_url(self.ehr.grants, instance, ClientRole.PROVIDER, user.id, visit)
        if form.get("display") == "frame":
            response = self.render(request, "hyperspace_visit.html", instance, user=user, visit=visit, url=url)
        else:
            response = RedirectResponse(url, 303)
        if signed_in != user.id:
            self.sign_in(response, instance, user.id)
        return response

    # --- scheduling ---

    async def get_appointments(self, request: Request) -> Response:
        """Everybody's appointments of one environment, as JSON."""
        instance = self.instance(self.query(request))
        found = self.ehr.schedule.appointments(instance.stage)
        return JSONResponse({"appointments": [_as_json(a) for a in found]})

    async def post_appointments(self, request: Request) -> Response:
        """Fields `provider`, `patient` (an id) or `patient_name` (somebody new, by the id `patient` if given),
        `birth_date`, `time`, `department`, `count`, `environment`. Answers JSON where it is accepted, else the list.
        """
        form = await self.form(request)
        instance = self.instance(form)
        provider, time = self._user({"user": form.get("provider", "")}), form.get("time", "")
        department, count = form.get("department") or None, form.get("count") or "1"
        if not _TIME.fullmatch(time):
            raise PageRefused(400, "The time is not of the form 09:30.")
        if department is not None and department not in DEPARTMENTS:
            raise PageRefused(400, "There is no such department.")
        if not count.isdecimal() or not 0 < int(count) <= MOST_AT_ONCE:
            raise PageRefused(400, f"Between 1 and {MOST_AT_ONCE} appointments can be scheduled at once.")
        patient = self._patient(instance, form)
        book = self.ehr.schedule.book
        booked = [book(instance.stage, provider, patient, time, department) for _ in range(int(count))]
        if not wants_json(request):
            return self.to_home(instance)
        return JSONResponse({"appointments": [_as_json(self._visit(instance, csn)) for csn in booked]}, 201)

    def _patient(self, instance: Instance, form: Mapping[str, str]) -> Patient:
        id, name = form.get("patient", ""), form.get("patient_name", "").strip()
        known = self.ehr.schedule.patient(instance.stage, id)
        if known is not None and not name:
            return known
        if not name or known is not None or (id and not _FHIR_ID.fullmatch(id)):
            raise PageRefused(400, "Choose a patient, or give the name of a new one.")
        try:
            birth_date = date.fromisoformat(form.get("birth_date") or "1980-01-01")
        except ValueError:
            raise PageRefused(400, "The birth date is not of the form 1980-01-31.") from None
        return self.ehr.schedule.register(instance.stage, name, birth_date, id or None)

    # --- live status ---

    async def events(self, request: Request) -> Response:
        """Server-sent events: each changed appointment of the environment, as JSON."""
        instance = self.instance(self.query(request))
        return StreamingResponse(
            self._events(instance), media_type="text/event-stream", headers={"Cache-Control": "no-store"}
        )

    async def _events(self, instance: Instance) -> AsyncIterator[str]:
        yield "retry: 1000\n\n"
        async for csn in self.ehr.schedule.changes(instance.stage, heartbeat_seconds=15):
            if csn is None:
                yield ": still here\n\n"
            else:
                yield f"data: {json.dumps(_as_json(self._visit(instance, csn)))}\n\n"

    def _user(self, form: Mapping[str, str]) -> EhrUser:
        user = self.ehr.schedule.user(form.get("user", ""))
        if user is None:
            raise PageRefused(400, "Choose who you are.")
        return user

    def _visit(self, instance: Instance, csn: str) -> Appointment:
        visit = self.ehr.schedule.appointment(instance.stage, csn)
        if visit is None:
            raise PageRefused(404, "There is no such appointment.")
        return visit


def _as_json(visit: Appointment) -> dict[str, Any]:
    return {
        "csn": visit.csn,
        "provider": visit.provider.id,
        "patient": visit.patient.id,
        "time": visit.time,
        "department": visit.department,
        "status": {side: visit.status_of(side) or "" for side in ("Provider", "Patient")},
    }
