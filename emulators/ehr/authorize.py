"""The authorization endpoint: SMART App Launch 2.2 with PKCE (RFC 7636), OpenID Connect Core section 3.1.2.

A launch code says who is signed in, so launched clients see no page. The approval client comes without a launch: it
gets the EHR's sign-in page. Until client and redirect URI are known, refusals are pages, never redirects.
"""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from emulators.ehr.ehr import EmulatedEhr
from emulators.ehr.grants import Kind
from emulators.ehr.instance import GRANTED_SCOPES, Instance
from emulators.ehr.launching import Launch
from emulators.ehr.parameters import Malformed, form_of, query_of
from emulators.ehr.rendering import page
from emulators.world import EhrClient
from schemas.vocabulary import ClientRole

LAUNCHED = frozenset({ClientRole.PROVIDER, ClientRole.PATIENT})
_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")


class Denied(Exception):
    """A refusal that the client is told by redirect (RFC 6749 section 4.1.2.1); the reason is for the EHR's log."""

    def __init__(self, error: str, reason: str) -> None:
        super().__init__(reason)
        self.error = error


class Unredirectable(Exception):
    """A refusal shown to the person, because nobody knows where to send them."""


class Authorize:
    """GET shows the sign-in page or redirects with a code; POST answers the sign-in page."""

    def __init__(self, ehr: EmulatedEhr, instance: Instance) -> None:
        self.ehr, self.instance = ehr, instance

    async def get(self, request: Request) -> Response:
        try:
            asked = query_of(request)
            client = self._client(asked)
        except (Malformed, Unredirectable) as e:
            return self._refusal_page(request, str(e))
        try:
            scopes = self._check(client, asked)
            if client.role not in LAUNCHED:
                return self._sign_in_page(request, asked, scopes)
            launch = self._launch(client, asked)
            return self._with_code(asked, scopes, launch.person, launch.context())
        except Denied as e:
            return self._denied(asked, e)

    async def sign_in(self, request: Request) -> Response:
        """Fields `request` (one-time), `user`, `decision` (`allow` or `deny`)."""
        try:
            form = await form_of(request)
        except Malformed as e:
            return self._refusal_page(request, str(e))
        pending = self.ehr.grants.take(Kind.SIGN_IN, form.get("request", ""))
        if pending is None or pending["instance"] != self.instance.environment.instance:
            return self._refusal_page(request, "this sign-in page was used before or is too old")
        asked, user = pending["asked"], self.ehr.schedule.user(form.get("user", ""))
        if form.get("decision") != "allow" or user is None:
            return self._denied(asked, Denied("access_denied", "the person did not allow it"))
        return self._with_code(asked, pending["scopes"], user.id, {})

    # --- the rules ---

    def _client(self, asked: Mapping[str, str]) -> EhrClient:
        client = self.instance.client(asked.get("client_id", ""))
        if client is None:
            raise Unredirectable(f"no client {asked.get('client_id')!r} in {self.instance.environment.instance}")
        if client.role is ClientRole.BACKEND:
            raise Unredirectable(f"client {client.client_id!r} is a backend client")
        if asked.get("redirect_uri") not in client.redirect_uris:
            raise Unredirectable(f"redirect_uri {asked.get('redirect_uri')!r} is not registered")
        return client

    def _check(self, client: EhrClient, asked: Mapping[str, str]) -> list[str]:
        """The scopes granted."""
        if asked.get("response_type") != "code":
            raise Denied("unsupported_response_type", "response_type is not code")
        if not asked.get("state"):
            raise Denied("invalid_request", "no state")
        if asked.get("aud") != self.instance.fhir_base_url:
            raise Denied("invalid_request", f"aud is {asked.get('aud')!r}, expected {self.instance.fhir_base_url!r}")
        if asked.get("code_challenge_method") != "S256" or not _CHALLENGE.fullmatch(asked.get("code_challenge", "")):
            raise Denied("invalid_request", "no PKCE challenge of method S256")
        wanted = asked.get("scope", "").split()
        if client.role in LAUNCHED and "launch" not in wanted:
            raise Denied("invalid_scope", "a launched client must ask for scope launch")
        granted = [scope for scope in dict.fromkeys(wanted) if scope in GRANTED_SCOPES[client.role]]
        if not granted:
            raise Denied("invalid_scope", "none of the scopes is granted to this client")
        if client.role not in LAUNCHED and "launch" in asked:
            raise Denied("invalid_request", "this client is not launched")
        return granted

    def _launch(self, client: EhrClient, asked: Mapping[str, str]) -> Launch:
        code = asked.get("launch", "")
        found = self.ehr.grants.find(Kind.LAUNCH, code)
        if found is None:
            raise Denied("invalid_request", "the launch is missing, unknown, used or older than five minutes")
        launch = Launch(**found)
        if launch.client_id != client.client_id:
            raise Denied("invalid_request", f"the launch is for {launch.client_id}, not {client.client_id}")
        self.ehr.grants.take(Kind.LAUNCH, code)
        return launch

    # --- the answers ---

    def _with_code(
        self, asked: Mapping[str, str], scopes: list[str], person: str, context: Mapping[str, str]
    ) -> Response:
        content: dict[str, Any] = {
            "instance": self.instance.environment.instance,
            "client_id": asked["client_id"],
            "redirect_uri": asked["redirect_uri"],
            "code_challenge": asked["code_challenge"],
            "nonce": asked.get("nonce"),
            "scopes": scopes,
            "person": person,
            "context": dict(context),
        }
        return _back(asked, {"code": self.ehr.grants.issue(Kind.CODE, content)})

    def _denied(self, asked: Mapping[str, str], denied: Denied) -> Response:
        self.ehr.log.info("authorization refused", error=denied.error, reason=str(denied))
        return _back(asked, {"error": denied.error})

    def _sign_in_page(self, request: Request, asked: Mapping[str, str], scopes: list[str]) -> Response:
        content = {"instance": self.instance.environment.instance, "asked": dict(asked), "scopes": scopes}
        return page(
            request,
            "sign_in.html",
            ehr=self.ehr.ehr,
            stage=self.instance.stage,
            client_id=asked["client_id"],
            scopes=scopes,
            users=self.ehr.schedule.users,
            pending=self.ehr.grants.issue(Kind.SIGN_IN, content),
            action=f"{self.instance.path}/oauth2/authorize/sign-in",
        )

    def _refusal_page(self, request: Request, reason: str) -> Response:
        self.ehr.log.info("authorization refused", reason=reason)
        return page(
            request,
            "refused.html",
            status=400,
            framed_by=self.ehr.ehr.page_origins,
            ehr=self.ehr.ehr,
            title="OAuth2 Error",
            text="Something went wrong trying to authorize the client. Please try logging in again.",
        )


def _back(asked: Mapping[str, str], answer: Mapping[str, str]) -> Response:
    state = {"state": asked["state"]} if asked.get("state") else {}
    return RedirectResponse(
        f"{asked['redirect_uri']}?{urlencode({**answer, **state})}", 302, headers={"Cache-Control": "no-store"}
    )
