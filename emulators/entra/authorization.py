"""The authorization endpoint's rules: a request as parsed, what it may ask, and the codes that answer it.

Owns RFC 6749 section 4.1 and RFC 7636 as Entra applies them, stricter in one thing: PKCE with S256 is required of every
client. Sign-in pages are in `sign_in.py`.
"""

import base64
import hashlib
import hmac
import re
import secrets
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

from emulators.entra import errors
from emulators.entra.directory import Account, Directory

CODE_LIFETIME_SECONDS = 600
KNOWN_SCOPES = frozenset({"openid", "profile", "email", "offline_access", "user.read"})
PROMPTS = frozenset({"", "none", "login", "select_account"})
RESPONSE_MODES = frozenset({"query", "form_post"})


@dataclass(frozen=True)
class Reply:
    """Where an answer goes: known to be registered before anything else of the request is looked at."""

    redirect_uri: str
    mode: str
    state: str | None

    @property
    def origin(self) -> str:
        parts = urlsplit(self.redirect_uri)
        return f"{parts.scheme}://{parts.netloc}"

    def fields(self, values: dict[str, str]) -> dict[str, str]:
        return values | ({"state": self.state} if self.state is not None else {})

    def url(self, values: dict[str, str]) -> str:
        return f"{self.redirect_uri}?{urlencode(self.fields(values))}"


@dataclass(frozen=True)
class AuthorizationRequest:
    """A request that may lead to a code, once somebody has signed in."""

    segment: str
    client_id: str
    reply: Reply
    scopes: tuple[str, ...]
    nonce: str | None
    challenge: str
    prompt: str
    login_hint: str
    client_info: bool
    max_age: int | None
    """Seconds since the last password, at most (OpenID Connect Core section 3.1.2.1)."""


@dataclass
class AuthorizationCode:
    """What a code stands for."""

    request: AuthorizationRequest
    account: Account
    issued_at: float
    authenticated_at: float
    redeemed: bool = False


def single_values(pairs: Sequence[tuple[str, str]]) -> dict[str, str]:
    """The parameters, none of them twice (RFC 6749 section 3.1)."""
    values: dict[str, str] = {}
    for name, value in pairs:
        if name in values:
            raise errors.duplicated(name)
        values[name] = value
    return values


def parse_reply(directory: Directory, segment: str, values: dict[str, str]) -> Reply:
    """Client and reply address; what is wrong with them is shown to the person and never sent anywhere."""
    for name in ("client_id", "redirect_uri"):
        if not values.get(name):
            raise errors.missing(name)
    registration = directory.registration(values["client_id"], segment)
    if values["redirect_uri"] not in registration.redirect_uris:
        raise errors.EntraError(
            50011,
            "invalid_request",
            f"The redirect URI '{values['redirect_uri']}' specified in the request does not match the redirect URIs "
            f"configured for the application '{registration.application_id}'.",
        )
    mode = values.get("response_mode", "query")
    return Reply(values["redirect_uri"], mode if mode in RESPONSE_MODES else "query", values.get("state"))


def parse_request(directory: Directory, segment: str, values: dict[str, str], reply: Reply) -> AuthorizationRequest:
    """The rest of the request. Raises `EntraError`, which is answered to the reply address."""
    for name in ("response_type", "scope", "code_challenge"):
        if not values.get(name):
            raise errors.missing(name)
    if values["response_type"] != "code":
        raise errors.EntraError(
            700054, "unsupported_response_type", f"response_type '{values['response_type']}' is not enabled."
        )
    if values.get("response_mode", "query") not in RESPONSE_MODES:
        raise errors.EntraError(90023, "invalid_request", "Unsupported 'response_mode' value.")
    challenge = values["code_challenge"]
    if values.get("code_challenge_method") != "S256" or not re.fullmatch(r"[A-Za-z0-9_-]{43}", challenge):
        raise errors.EntraError(
            501491, "invalid_request", "Invalid code challenge: expected code_challenge_method S256 and 43 characters."
        )
    if values.get("prompt", "") not in PROMPTS:
        raise errors.EntraError(90023, "invalid_request", "Unsupported 'prompt' value.")
    scopes = parse_scopes(values["scope"], directory)
    if "openid" not in scopes:
        raise errors.EntraError(900145, "invalid_request", "The request must contain the scope 'openid'.")
    return AuthorizationRequest(
        segment=segment,
        client_id=directory.registration(values["client_id"], segment).application_id,
        reply=reply,
        scopes=scopes,
        nonce=values.get("nonce"),
        challenge=challenge,
        prompt=values.get("prompt", ""),
        login_hint=values.get("login_hint", ""),
        client_info=values.get("client_info") == "1",
        max_age=parse_max_age(values.get("max_age")),
    )


def parse_max_age(text: str | None) -> int | None:
    if text is None:
        return None
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise errors.EntraError(90023, "invalid_request", "Unsupported 'max_age' value: expected seconds.")
    return int(text)


def parse_scopes(scope: str, directory: Directory) -> tuple[str, ...]:
    """The scopes asked for; only sign-in scopes and User.Read exist here."""
    scopes = tuple(scope.split())
    for one in scopes:
        if one.removeprefix(f"{directory.graph_url}/").lower() not in KNOWN_SCOPES:
            raise errors.EntraError(
                650053,
                "invalid_client",
                f"The application asked for scope '{one}' that doesn't exist on the resource "
                f"'{directory.graph_url}'. Contact the app vendor.",
            )
    return scopes


class Codes:
    """Authorization codes: one use, ten minutes."""

    def __init__(self) -> None:
        self._codes: dict[str, AuthorizationCode] = {}

    def issue(self, request: AuthorizationRequest, account: Account, now: float, authenticated_at: float) -> str:
        self._codes = {k: c for k, c in self._codes.items() if c.issued_at + 2 * CODE_LIFETIME_SECONDS > now}
        code = f"1.{secrets.token_urlsafe(48)}"
        self._codes[code] = AuthorizationCode(request, account, now, authenticated_at)
        return code

    def redeem(
        self, code: str, *, segment: str, client_id: str, redirect_uri: str, verifier: str, now: float
    ) -> AuthorizationCode:
        """The code's meaning, if everything it was bound to is presented; a second time it is refused."""
        held = self._codes.get(code)
        if held is None:
            raise errors.EntraError(9002313, "invalid_grant", "Invalid request. Request is malformed or invalid.")
        if held.redeemed:
            raise errors.EntraError(
                54005,
                "invalid_grant",
                "OAuth2 Authorization code was already redeemed, please retry with a new valid code or use an existing "
                "refresh token.",
            )
        if held.request.client_id != client_id:
            raise errors.EntraError(
                70000, "invalid_grant", "The provided authorization code was issued to another client application."
            )
        held.redeemed = True
        if now > held.issued_at + CODE_LIFETIME_SECONDS:
            raise errors.EntraError(
                70008,
                "invalid_grant",
                "The provided authorization code or refresh token has expired due to inactivity.",
            )
        if held.request.segment != segment:
            raise errors.EntraError(
                700005,
                "invalid_grant",
                "Provided Authorization Code is intended to use against other tenant, thus rejected.",
            )
        if held.request.reply.redirect_uri != redirect_uri:
            raise errors.EntraError(
                500112,
                "invalid_grant",
                f"The reply address '{redirect_uri}' does not match the reply address "
                f"'{held.request.reply.redirect_uri}' provided when requesting Authorization code.",
            )
        if not _verifies(verifier, held.request.challenge):
            raise errors.EntraError(
                501481,
                "invalid_grant",
                "The Code_Verifier does not match the code_challenge supplied in the authorization request.",
            )
        return held


def code_fields(code: str, request: AuthorizationRequest, account: Account) -> dict[str, str]:
    """What goes back with a code."""
    extra = {"client_info": client_info(account)} if request.client_info else {}
    return {"code": code, "session_state": str(uuid.uuid4())} | extra


def client_info(account: Account) -> str:
    home = account.user.home_tenant_id or account.tenant.id
    text = f'{{"uid":"{account.user.object_id}","utid":"{home}"}}'
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _verifies(verifier: str, challenge: str) -> bool:
    if not re.fullmatch(r"[A-Za-z0-9._~-]{43,128}", verifier):
        return False
    digest = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
    return hmac.compare_digest(digest, challenge)
