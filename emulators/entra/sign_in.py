"""Signing in: the browser's session, the account picker, the password page, and the code at the end.

Owns the cookies and what a sign-in needs. A flow belongs to the browser that began it; an account that is signed in
already is taken without its password unless the application asks for `prompt=login`, or for a password that is not
older than `max_age`, as Entra does.
"""

import hmac
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from emulators.entra import authorization, errors
from emulators.entra.authorization import AuthorizationRequest, Codes, Reply
from emulators.entra.directory import Account, Directory
from emulators.pages import Pages

BROWSER_COOKIE = "buid"
SESSION_COOKIE = "ESTSAUTH"
FLOW_LIFETIME_SECONDS = 1800


@dataclass
class Flow:
    """One sign-in under way."""

    request: AuthorizationRequest
    browser: str
    started_at: float


@dataclass
class Session:
    """Who is signed in in one browser, by (tenant id, object id), and when each typed the password."""

    accounts: dict[tuple[str, str], float] = field(default_factory=dict[tuple[str, str], float])


class SignIn:
    """The pages behind the authorization endpoint."""

    def __init__(self, directory: Directory, codes: Codes, clock: Callable[[], float] = time.time) -> None:
        self._directory, self._codes, self._clock = directory, codes, clock
        self._pages = Pages(Path(__file__).parent / "templates")
        self._flows: dict[str, Flow] = {}
        self._sessions: dict[str, Session] = {}

    # --- endpoints -----------------------------------------------------------------------------------------------

    async def authorize(self, request: Request) -> Response:
        """GET /{tenant}/oauth2/v2.0/authorize"""
        try:
            segment = self._directory.require_segment(request.path_params["tenant"])
            values = authorization.single_values(request.query_params.multi_items())
            reply = authorization.parse_reply(self._directory, segment, values)
        except errors.EntraError as e:
            return self._refusal(e)
        try:
            asked = authorization.parse_request(self._directory, segment, values, reply)
            return self._begin(request, asked)
        except errors.EntraError as e:
            return self._answer(reply, {"error": e.error, "error_description": e.description})

    async def login(self, request: Request) -> Response:
        """GET and POST /{tenant}/login: form fields `flow`, `login`, `passwd`."""
        form = await request.form() if request.method == "POST" else request.query_params
        flow_id, login, password = (str(form.get(name, "")) for name in ("flow", "login", "passwd"))
        flow = self._flow(request, flow_id)
        if flow is None:
            return self._refusal(
                errors.EntraError(
                    165000,
                    "invalid_request",
                    "Invalid Request: this sign-in was begun in another browser, or it has expired. Begin again from "
                    "the application.",
                )
            )
        if not login:
            return self._picker(request, flow_id, flow, "Enter an email address." if request.method == "POST" else "")
        account = self._directory.account(flow.request.segment, login)
        if account is None:
            return self._picker(request, flow_id, flow, self._unknown(flow, login))
        if not password and self._suffices(request, account, flow.request):
            return self._finish(request, flow_id, flow, account)
        if not password:
            return self._password(flow_id, flow, account)
        if not hmac.compare_digest(password.encode(), account.user.password.encode()):
            text = "AADSTS50126: Your account or password is incorrect."
            return self._password(flow_id, flow, account, text)
        return self._finish(request, flow_id, flow, account, sign_in=True)

    async def logout(self, request: Request) -> Response:
        """GET /{tenant}/oauth2/v2.0/logout: ends this browser's session."""
        try:
            self._directory.require_segment(request.path_params["tenant"])
        except errors.EntraError as e:
            return self._refusal(e)
        self._sessions.pop(request.cookies.get(SESSION_COOKIE, ""), None)
        response = self._pages.render("signed-out.html", {})
        response.delete_cookie(SESSION_COOKIE, secure=True, httponly=True, samesite="none")
        return response

    # --- steps ---------------------------------------------------------------------------------------------------

    def _begin(self, request: Request, asked: AuthorizationRequest) -> Response:
        browser = request.cookies.get(BROWSER_COOKIE) or secrets.token_urlsafe(24)
        flow_id, flow = secrets.token_urlsafe(24), Flow(asked, browser, self._clock())
        signed_in = self._signed_in(request, asked.segment)
        hinted = self._directory.account(asked.segment, asked.login_hint) if asked.login_hint else None
        chosen = hinted if hinted in signed_in else None
        if not asked.login_hint and len(signed_in) == 1:
            chosen = signed_in[0]
        if asked.prompt in ("", "none") and chosen is not None and self._suffices(request, chosen, asked):
            return self._complete(asked, chosen, self._authenticated_at(request, chosen))
        if asked.prompt == "none":
            raise errors.EntraError(
                50058, "login_required", "A silent sign-in request was sent but no user is signed in."
            )
        self._remember(flow_id, flow)
        if hinted is not None and asked.prompt != "select_account":
            response = self._password(flow_id, flow, hinted)
        else:
            response = self._picker(request, flow_id, flow)
        response.set_cookie(BROWSER_COOKIE, browser, secure=True, httponly=True, samesite="none")
        return response

    def _finish(
        self, request: Request, flow_id: str, flow: Flow, account: Account, *, sign_in: bool = False
    ) -> Response:
        self._flows.pop(flow_id, None)
        authenticated_at = self._clock() if sign_in else self._authenticated_at(request, account)
        try:
            response = self._complete(flow.request, account, authenticated_at)
        except errors.EntraError as e:
            return self._answer(flow.request.reply, {"error": e.error, "error_description": e.description})
        if sign_in:
            session = self._sessions.pop(request.cookies.get(SESSION_COOKIE, ""), None) or Session()
            session.accounts[account.tenant.id, account.user.object_id] = authenticated_at
            name = secrets.token_urlsafe(32)  # a new name at each sign-in: a planted cookie gains nothing
            self._sessions[name] = session
            response.set_cookie(SESSION_COOKIE, name, secure=True, httponly=True, samesite="none")
        return response

    def _complete(self, asked: AuthorizationRequest, account: Account, authenticated_at: float) -> Response:
        registration = self._directory.registration(asked.client_id, asked.segment)
        self._directory.require_consent(registration, account.tenant.id)
        code = self._codes.issue(asked, account, self._clock(), authenticated_at)
        return self._answer(asked.reply, authorization.code_fields(code, asked, account))

    def _answer(self, reply: Reply, values: dict[str, str]) -> Response:
        if reply.mode == "form_post":
            shown = {"action": reply.redirect_uri, "fields": reply.fields(values)}
            return self._pages.render("form-post.html", shown, form_targets=(reply.origin,))
        return RedirectResponse(reply.url(values), 302, {"Cache-Control": "no-store", "X-Frame-Options": "DENY"})

    # --- pages ---------------------------------------------------------------------------------------------------

    def _picker(self, request: Request, flow_id: str, flow: Flow, problem: str = "") -> Response:
        segment = flow.request.segment
        here = self._signed_in(request, segment)
        others = [a for a in self._directory.accounts(segment) if a not in here]
        values: dict[str, Any] = {
            "flow": flow_id, "segment": segment, "signed_in": here, "others": others, "problem": problem,
            "hint": flow.request.login_hint,
        }  # fmt: skip
        return self._pages.render("account.html", values, form_targets=(flow.request.reply.origin,))

    def _password(self, flow_id: str, flow: Flow, account: Account, problem: str = "") -> Response:
        values = {"flow": flow_id, "segment": flow.request.segment, "account": account, "problem": problem}
        return self._pages.render("password.html", values, form_targets=(flow.request.reply.origin,))

    def _refusal(self, error: errors.EntraError) -> Response:
        return self._pages.render("refused.html", {"error": error}, status=error.status)

    def _unknown(self, flow: Flow, login: str) -> str:
        if self._directory.exists_elsewhere(login):
            return f"AADSTS50020: User account '{login}' does not exist in tenant '{flow.request.segment}'."
        return "AADSTS50034: This username may be incorrect. Make sure you typed it correctly."

    # --- browser state -------------------------------------------------------------------------------------------

    def _remember(self, flow_id: str, flow: Flow) -> None:
        oldest = self._clock() - FLOW_LIFETIME_SECONDS
        self._flows = {k: f for k, f in self._flows.items() if f.started_at > oldest}
        self._flows[flow_id] = flow

    def _flow(self, request: Request, flow_id: str) -> Flow | None:
        flow = self._flows.get(flow_id)
        browser = request.cookies.get(BROWSER_COOKIE, "")
        if flow is None or flow.started_at < self._clock() - FLOW_LIFETIME_SECONDS:
            return None
        return flow if hmac.compare_digest(flow.browser.encode(), browser.encode()) else None

    def _signed_in(self, request: Request, segment: str) -> list[Account]:
        return [a for a in self._directory.accounts(segment) if self._is_signed_in(request, a)]

    def _is_signed_in(self, request: Request, account: Account) -> bool:
        return self._password_at(request, account) is not None

    def _suffices(self, request: Request, account: Account, asked: AuthorizationRequest) -> bool:
        """Whether this browser's session stands for the account's password."""
        typed = self._password_at(request, account)
        if typed is None or asked.prompt == "login":
            return False
        return asked.max_age is None or self._clock() - typed < asked.max_age

    def _authenticated_at(self, request: Request, account: Account) -> float:
        typed = self._password_at(request, account)
        assert typed is not None, "only for who is signed in"
        return typed

    def _password_at(self, request: Request, account: Account) -> float | None:
        session = self._sessions.get(request.cookies.get(SESSION_COOKIE, ""))
        return session.accounts.get((account.tenant.id, account.user.object_id)) if session else None
