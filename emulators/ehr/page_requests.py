"""What the two sets of pages share: environment, who is signed in, forms, and the refusal of other sites' forms."""

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from emulators.ehr.ehr import EmulatedEhr
from emulators.ehr.grants import LIFETIME_SECONDS, Kind
from emulators.ehr.instance import Instance
from emulators.ehr.parameters import Malformed, form_of, query_of
from emulators.ehr.rendering import page
from schemas.vocabulary import Stage


class PageRefused(Exception):
    """A page request that cannot be served; the text is for the person."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Pages:
    """`kind` is that of the pages' sign-in sessions; each environment has its own cookie."""

    kind: Kind
    home: str

    def __init__(self, ehr: EmulatedEhr) -> None:
        self.ehr = ehr

    def instance(self, given: Mapping[str, str]) -> Instance:
        try:
            return self.ehr.instances[Stage(given.get("environment") or Stage.TEST)]
        except (ValueError, KeyError):
            raise PageRefused(404, "This EHR has no such environment.") from None

    def query(self, request: Request) -> dict[str, str]:
        try:
            return query_of(request)
        except Malformed as e:
            raise PageRefused(400, f"The address cannot be read: {e}.") from None

    async def form(self, request: Request) -> dict[str, str]:
        """The form, unless another site sent it."""
        origin = request.headers.get("origin")
        if origin is not None and origin not in {self.ehr.ehr.url, *self.ehr.ehr.page_origins}:
            raise PageRefused(403, "The form was sent by another site.")
        try:
            return await form_of(request)
        except Malformed as e:
            raise PageRefused(400, f"The form cannot be read: {e}.") from None

    def signed_in(self, request: Request, instance: Instance) -> str | None:
        session = self.ehr.grants.find(self.kind, request.cookies.get(self._cookie(instance), ""))
        return session["person"] if session else None

    def sign_in(self, response: Response, instance: Instance, person: str) -> None:
        response.set_cookie(
            self._cookie(instance),
            self.ehr.grants.issue(self.kind, {"person": person}),
            max_age=int(LIFETIME_SECONDS[self.kind]),
            secure=True,
            httponly=True,
            samesite="lax",
        )

    def sign_out(self, request: Request, instance: Instance) -> Response:
        self.ehr.grants.revoke(self.kind, request.cookies.get(self._cookie(instance), ""))
        response = self.to_home(instance)
        response.delete_cookie(self._cookie(instance), secure=True, httponly=True, samesite="lax")
        return response

    def to_home(self, instance: Instance) -> Response:
        return RedirectResponse(f"{self.home}?environment={instance.stage}", 303)

    def render(self, request: Request, template: str, instance: Instance, **values: Any) -> Response:
        stages = list(self.ehr.instances)
        return page(request, template, ehr=self.ehr.ehr, stage=instance.stage, stages=stages, home=self.home, **values)

    def _cookie(self, instance: Instance) -> str:
        return f"__Host-{self.kind}-{instance.stage}"


def wants_json(request: Request) -> bool:
    return "application/json" in request.headers.get("accept", "")
