"""The admin consent endpoint: an administrator of a tenant reads what an application asks for, and accepts or cancels.

Owns the request as Entra documents it ("Admin consent on the Microsoft identity platform"), strictly: a parameter that
is not documented is refused, only the static scope `.default` asks for application permissions, and only an
administrator of that tenant can accept. From then on the application gets tokens there (`directory.py`).
"""

import hmac
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from emulators.entra import authorization, errors
from emulators.entra.directory import Directory
from emulators.pages import Pages
from emulators.world import AppRegistration, Tenant

PARAMETERS = frozenset({"client_id", "redirect_uri", "scope", "state"})
TYPED = frozenset({"login", "passwd", "answer"})


@dataclass(frozen=True)
class Asked:
    """A request that may be shown to an administrator."""

    tenant: Tenant
    registration: AppRegistration
    values: dict[str, str]

    def address(self, answer: dict[str, str]) -> str:
        state = {"state": self.values["state"]} if "state" in self.values else {}
        query = {"admin_consent": "True", "tenant": self.tenant.id} | answer | state
        return f"{self.values['redirect_uri']}?{urlencode(query)}"


class AdminConsent:
    """GET and POST /{tenant}/v2.0/adminconsent"""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._pages = Pages(Path(__file__).parent / "templates")

    async def endpoint(self, request: Request) -> Response:
        try:
            pairs = request.query_params.multi_items()
            typed: dict[str, str] = {}
            if request.method == "POST":
                form = await request.form()
                typed = {k: str(v) for k, v in form.items()}
            asked = self._parse(request.path_params["tenant"], authorization.single_values(pairs))
            return self._answer(asked, typed) if typed else self._show(asked)
        except errors.EntraError as e:
            return self._pages.render("refused.html", {"error": e}, status=e.status)

    def _parse(self, segment: str, values: dict[str, str]) -> Asked:
        tenant = self._directory.tenant(segment)
        if unknown := sorted(set(values) - PARAMETERS):
            raise errors.EntraError(90014, "invalid_request", f"The parameter '{unknown[0]}' is not one of consent.")
        if not values.get("scope"):
            raise errors.missing("scope")
        reply = authorization.parse_reply(self._directory, segment, values)
        if values["scope"] != f"{self._directory.graph_url}/.default":
            raise errors.EntraError(
                70011, "invalid_scope", f"The provided value for the input parameter 'scope' is not valid: "
                f"expected {self._directory.graph_url}/.default, got {values['scope']}."
            )  # fmt: skip
        registration = self._directory.registration(values["client_id"], segment)
        return Asked(tenant, registration, values | {"redirect_uri": reply.redirect_uri})

    def _show(self, asked: Asked, problem: str = "") -> Response:
        values = {"tenant": asked.tenant, "registration": asked.registration, "problem": problem}
        target = "/".join(asked.values["redirect_uri"].split("/")[:3])
        return self._pages.render("consent.html", values, form_targets=(target,))

    def _answer(self, asked: Asked, typed: dict[str, str]) -> Response:
        if set(typed) - TYPED or typed.get("answer") not in ("accept", "cancel"):
            raise errors.missing("answer")
        if typed["answer"] == "cancel":
            text = "AADSTS65004: User declined to consent to access the app."
            return _redirect(asked.address({"error": "consent_required", "error_description": text}))
        account = self._directory.account(asked.tenant.id, typed.get("login", ""))
        if account is None or not hmac.compare_digest(typed.get("passwd", "").encode(), account.user.password.encode()):
            return self._show(asked, "AADSTS50126: Your account or password is incorrect.")
        if not account.user.administrator:
            return self._show(asked, "AADSTS90094: Need admin approval: only an administrator can accept this.")
        self._directory.consent(asked.registration, asked.tenant.id)
        return _redirect(asked.address({"scope": asked.values["scope"]}))


def _redirect(url: str) -> Response:
    return RedirectResponse(url, 302, {"Cache-Control": "no-store", "X-Frame-Options": "DENY"})
