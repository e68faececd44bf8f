"""The emulated Entra: MSAL takes it unmodified, and what the real one refuses is refused."""

import re
import tempfile
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import jwt
import msal  # pyright: ignore[reportMissingTypeStubs]
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from emulators.azure.store import Store
from emulators.azure.tokens import EXCHANGE, Issuer, Principal
from emulators.entra.assertions import ManagedIdentities, verify
from emulators.entra.authorization import Codes, parse_reply, parse_request
from emulators.entra.directory import Directory
from emulators.entra.errors import EntraError
from emulators.world import User
from tests.support.microsoft import (
    AMARA,
    AMARA_PASSWORD,
    AMARA_UPN,
    APPLICATION,
    BEN_PASSWORD,
    BEN_UPN,
    HOME_TENANT,
    IDENTITY_ISSUER,
    LAKESIDE,
    OTHER_PRINCIPAL,
    PORTAL_APPLICATION,
    PORTAL_PRINCIPAL,
    PRAIRIE,
    PRINCIPAL,
    REDIRECT,
    Microsoft,
    authorization_query,
    authorize_url,
    flow_of,
    new_verifier,
    running,
    sign_in,
    world_on_free_ports,
)


@pytest.fixture(scope="module")
def microsoft() -> Generator[Microsoft]:
    with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as started:
        yield started


@pytest.fixture
def browser(microsoft: Microsoft) -> Generator[httpx.Client]:
    with microsoft.client() as client:
        yield client


@pytest.fixture
def application(microsoft: Microsoft, monkeypatch: pytest.MonkeyPatch) -> Any:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    return msal.ConfidentialClientApplication(
        APPLICATION,
        authority=f"{microsoft.entra}/{LAKESIDE}",
        client_credential={"client_assertion": microsoft.identity.token},
        instance_discovery=False,
        verify=str(microsoft.state / "ca" / "ca.pem"),  # pyright: ignore[reportArgumentType]
    )


# --- what works ------------------------------------------------------------------------------------------------------


def test_msal_signs_a_provider_in_and_the_id_token_verifies_by_the_published_keys(
    microsoft: Microsoft, application: Any, browser: httpx.Client
) -> None:
    flow = application.initiate_auth_code_flow(["User.Read"], redirect_uri=REDIRECT, prompt="select_account")
    reply = sign_in(browser, flow["auth_uri"], AMARA_UPN, AMARA_PASSWORD)
    result = application.acquire_token_by_auth_code_flow(flow, reply)
    assert result["id_token_claims"]["oid"] == AMARA

    configuration = browser.get(f"{microsoft.entra}/{LAKESIDE}/v2.0/.well-known/openid-configuration").json()
    keys = {k["kid"]: jwt.PyJWK(k) for k in browser.get(configuration["jwks_uri"]).json()["keys"]}
    key = keys[jwt.get_unverified_header(result["id_token"])["kid"]]
    claims = jwt.decode(
        result["id_token"], key, algorithms=["RS256"], audience=APPLICATION, issuer=configuration["issuer"]
    )
    assert (claims["tid"], claims["ver"], claims["preferred_username"]) == (LAKESIDE, "2.0", AMARA_UPN)
    assert claims["exp"] - claims["iat"] == 3600


def test_msal_gets_an_application_token_for_graph_by_federated_identity(microsoft: Microsoft, application: Any) -> None:
    result = application.acquire_token_for_client([f"{microsoft.graph}/.default"])
    claims = jwt.decode(result["access_token"], options={"verify_signature": False})
    assert (claims["aud"], claims["appid"], claims["tid"]) == (microsoft.graph, APPLICATION, LAKESIDE)
    assert "OnlineMeetings.ReadWrite.All" in claims["roles"]


def test_form_post_answers_by_a_page_that_posts_to_the_reply_address(
    microsoft: Microsoft, browser: httpx.Client
) -> None:
    page = browser.get(authorize_url(microsoft, new_verifier(), response_mode="form_post"))
    form = {"flow": flow_of(page), "login": AMARA_UPN, "passwd": AMARA_PASSWORD}
    answer = browser.post(f"{microsoft.entra}/{LAKESIDE}/login", data=form)
    assert f'action="{REDIRECT}"' in answer.text
    assert re.search(r'name="code" value="[^"]+"', answer.text)
    assert 'name="state" value="state-1"' in answer.text
    assert "form-action 'self' https://localhost:8441" in answer.headers["content-security-policy"]


def test_a_signed_in_account_is_picked_without_its_password_and_another_is_not(
    microsoft: Microsoft, browser: httpx.Client
) -> None:
    sign_in(browser, authorize_url(microsoft, new_verifier()), AMARA_UPN, AMARA_PASSWORD)
    page = browser.get(authorize_url(microsoft, new_verifier()))
    assert "Signed in" in page.text
    login, form = f"{microsoft.entra}/{LAKESIDE}/login", {"flow": flow_of(page)}
    assert "Enter password" in browser.post(login, data={**form, "login": BEN_UPN}).text
    assert browser.post(login, data={**form, "login": AMARA_UPN}).status_code == 302


def test_prompt_login_asks_for_the_password_again(microsoft: Microsoft, browser: httpx.Client) -> None:
    sign_in(browser, authorize_url(microsoft, new_verifier()), AMARA_UPN, AMARA_PASSWORD)
    page = browser.get(authorize_url(microsoft, new_verifier(), prompt="login", login_hint=AMARA_UPN))
    assert "Enter password" in page.text
    form = {"flow": flow_of(page), "login": AMARA_UPN}
    assert "Enter password" in browser.post(f"{microsoft.entra}/{LAKESIDE}/login", data=form).text


@pytest.mark.parametrize(("max_age", "asked"), [("0", True), ("3600", False)])
def test_a_password_older_than_max_age_is_asked_for_again(
    microsoft: Microsoft, browser: httpx.Client, max_age: str, asked: bool
) -> None:
    sign_in(browser, authorize_url(microsoft, new_verifier()), AMARA_UPN, AMARA_PASSWORD)
    page = browser.get(authorize_url(microsoft, new_verifier(), max_age=max_age))
    form = {"flow": flow_of(page), "login": AMARA_UPN}
    assert ("Enter password" in browser.post(f"{microsoft.entra}/{LAKESIDE}/login", data=form).text) == asked


@pytest.mark.parametrize(("client", "said"), [(APPLICATION, False), (PORTAL_APPLICATION, True)])
def test_auth_time_is_said_to_applications_that_list_it_as_an_optional_claim(
    microsoft: Microsoft, browser: httpx.Client, client: str, said: bool
) -> None:
    redirect = next(r for r in microsoft.world.entra.registrations if r.application_id == client).redirect_uris[0]
    verifier, before = new_verifier(), int(time.time())
    asked = authorize_url(microsoft, verifier, client_id=client, redirect_uri=redirect, max_age="0", prompt="login")
    reply = sign_in(browser, asked, AMARA_UPN, AMARA_PASSWORD)
    form = {"grant_type": "authorization_code", "code": reply["code"], "redirect_uri": redirect}
    form |= {"code_verifier": verifier, "scope": "openid profile"}
    token = microsoft.token_form(client_id=client, client_assertion=microsoft.identity.token(sub=principal_of(client)))
    answer = browser.post(f"{microsoft.entra}/{LAKESIDE}/oauth2/v2.0/token", data={**token, **form})
    claims = jwt.decode(answer.json()["id_token"], options={"verify_signature": False})
    assert ("auth_time" in claims) == said
    assert not said or before <= claims["auth_time"] <= time.time()


def principal_of(client: str) -> str:
    return PORTAL_PRINCIPAL if client == PORTAL_APPLICATION else PRINCIPAL


def test_logout_ends_the_browsers_session(microsoft: Microsoft, browser: httpx.Client) -> None:
    sign_in(browser, authorize_url(microsoft, new_verifier()), AMARA_UPN, AMARA_PASSWORD)
    assert browser.get(f"{microsoft.entra}/{LAKESIDE}/oauth2/v2.0/logout").status_code == 200
    assert "Signed in" not in browser.get(authorize_url(microsoft, new_verifier())).text


def test_organizations_signs_in_to_the_accounts_own_tenant(microsoft: Microsoft, browser: httpx.Client) -> None:
    verifier = new_verifier()
    reply = sign_in(browser, authorize_url(microsoft, verifier, "organizations"), AMARA_UPN, AMARA_PASSWORD)
    answer = _redeem(microsoft, browser, reply["code"], verifier, tenant="organizations")
    assert jwt.decode(answer.json()["id_token"], options={"verify_signature": False})["tid"] == LAKESIDE
    discovery = browser.get(f"{microsoft.entra}/organizations/v2.0/.well-known/openid-configuration").json()
    assert discovery["issuer"] == f"{microsoft.entra}/{{tenantid}}/v2.0"


def test_pages_refuse_to_be_framed_and_the_signing_key_is_private(microsoft: Microsoft, browser: httpx.Client) -> None:
    page = browser.get(authorize_url(microsoft, new_verifier()))
    assert page.headers["x-frame-options"] == "DENY"
    assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
    for name in ("signing-key.pem", "raw-requests.jsonl"):
        assert (microsoft.state / "entra" / name).stat().st_mode & 0o777 == 0o600


def test_the_raw_log_holds_the_token_request_whole(microsoft: Microsoft) -> None:
    microsoft.application_token()
    record = next(r for r in reversed(microsoft.raw_log("entra")) if r["path"].endswith("/token"))
    assert f"client_id={APPLICATION}" in record["body"]
    assert record["status"] == 200


# --- what authorize refuses ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"redirect_uri": f"{REDIRECT}/"}, 50011),
        ({"redirect_uri": "https://evil.example/identity/callback"}, 50011),
        ({"redirect_uri": "https://localhost:8451/identity/callback"}, 50011),
        ({"redirect_uri": ""}, 900144),
        ({"client_id": "2b2b2b2b-0000-4000-8000-00000000ffff"}, 700016),
    ],
)
def test_a_reply_address_that_is_not_registered_is_refused_on_a_page_and_never_followed(
    microsoft: Microsoft, browser: httpx.Client, changes: dict[str, str], code: int
) -> None:
    answer = browser.get(authorize_url(microsoft, new_verifier(), **changes))
    assert answer.status_code == 400
    assert f"AADSTS{code}" in answer.text
    assert "location" not in answer.headers


@pytest.mark.parametrize(
    ("changes", "error", "code"),
    [
        ({"code_challenge": ""}, "invalid_request", 900144),
        ({"code_challenge_method": "plain"}, "invalid_request", 501491),
        ({"response_type": "id_token"}, "unsupported_response_type", 700054),
        ({"response_mode": "fragment"}, "invalid_request", 90023),
        ({"prompt": "none"}, "login_required", 50058),
        ({"max_age": "-1"}, "invalid_request", 90023),
        ({"max_age": "soon"}, "invalid_request", 90023),
        ({"scope": "profile"}, "invalid_request", 900145),
        ({"scope": "openid Mail.Read"}, "invalid_client", 650053),
    ],
)
def test_other_faults_of_a_request_go_back_with_its_state(
    microsoft: Microsoft, browser: httpx.Client, changes: dict[str, str], error: str, code: int
) -> None:
    answer = browser.get(authorize_url(microsoft, new_verifier(), **changes))
    reply = dict(parse_qsl(urlsplit(answer.headers["location"]).query))
    assert (reply["error"], reply["state"]) == (error, "state-1")
    assert reply["error_description"].startswith(f"AADSTS{code}:")


def test_a_parameter_given_twice_is_refused(microsoft: Microsoft, browser: httpx.Client) -> None:
    answer = browser.get(authorize_url(microsoft, new_verifier()) + "&state=state-2")
    assert "AADSTS9000411" in answer.text


def test_an_unknown_tenant_has_no_discovery_document(microsoft: Microsoft, browser: httpx.Client) -> None:
    answer = browser.get(f"{microsoft.entra}/{LAKESIDE[:-1]}f/v2.0/.well-known/openid-configuration")
    assert answer.status_code == 400
    assert answer.json()["error_codes"] == [90002]


def test_a_tenant_without_consent_gets_no_code_and_no_application_token(
    microsoft: Microsoft, browser: httpx.Client
) -> None:
    answer = browser.post(f"{microsoft.entra}/{HOME_TENANT}/oauth2/v2.0/token", data=microsoft.token_form())
    assert answer.json()["error_codes"] == [65001]


@pytest.mark.parametrize(
    ("login", "password", "text"),
    [
        (AMARA_UPN, BEN_PASSWORD, "AADSTS50126"),
        ("chloe.nguyen@prairie.example", "nguyen-sample-password", "AADSTS50020"),
        ("nobody@lakeside.example", "x", "AADSTS50034"),
    ],
)
def test_wrong_accounts_and_passwords_get_no_code(
    microsoft: Microsoft, browser: httpx.Client, login: str, password: str, text: str
) -> None:
    page = browser.get(authorize_url(microsoft, new_verifier()))
    form = {"flow": flow_of(page), "login": login, "passwd": password}
    answer = browser.post(f"{microsoft.entra}/{LAKESIDE}/login", data=form)
    assert answer.status_code == 200
    assert text in answer.text


def test_a_sign_in_is_not_finished_in_another_browser(microsoft: Microsoft, browser: httpx.Client) -> None:
    page = browser.get(authorize_url(microsoft, new_verifier()))
    form = {"flow": flow_of(page), "login": AMARA_UPN, "passwd": AMARA_PASSWORD}
    with microsoft.client() as other:
        answer = other.post(f"{microsoft.entra}/{LAKESIDE}/login", data=form)
    assert answer.status_code == 400
    assert "another browser" in answer.text


# --- what the token endpoint refuses ---------------------------------------------------------------------------------


def _redeem(
    microsoft: Microsoft, client: httpx.Client, code: str, verifier: str, *, tenant: str = LAKESIDE, **changes: str
) -> httpx.Response:
    form = microsoft.token_form(grant_type="authorization_code", scope="openid profile", code=code)
    form |= {"redirect_uri": REDIRECT, "code_verifier": verifier, **changes}
    return client.post(f"{microsoft.entra}/{tenant}/oauth2/v2.0/token", data={k: v for k, v in form.items() if v})


def test_a_code_is_redeemed_once(microsoft: Microsoft, browser: httpx.Client) -> None:
    verifier = new_verifier()
    code = sign_in(browser, authorize_url(microsoft, verifier), AMARA_UPN, AMARA_PASSWORD)["code"]
    assert _redeem(microsoft, browser, code, verifier).status_code == 200
    again = _redeem(microsoft, browser, code, verifier)
    assert again.status_code == 400
    assert (again.json()["error"], again.json()["error_codes"]) == ("invalid_grant", [54005])


@pytest.mark.parametrize(
    ("changes", "tenant", "code"),
    [
        ({"code_verifier": "v" * 43}, LAKESIDE, 501481),
        ({"code_verifier": ""}, LAKESIDE, 900144),
        ({"redirect_uri": "https://localhost:8442/identity/callback"}, LAKESIDE, 500112),
        ({"client_id": "2b2b2b2b-0000-4000-8000-000000000002"}, LAKESIDE, 700213),
        ({"client_assertion": ""}, LAKESIDE, 7000218),
        ({"client_secret": "guess"}, LAKESIDE, 7000215),
        ({"code": "1.guess"}, LAKESIDE, 9002313),
        ({}, PRAIRIE, 700005),
        ({"grant_type": "refresh_token"}, LAKESIDE, 70003),
        ({"grant_type": "password"}, LAKESIDE, 70003),
    ],
)
def test_a_code_presented_wrongly_is_refused(
    microsoft: Microsoft, browser: httpx.Client, changes: dict[str, str], tenant: str, code: int
) -> None:
    verifier = new_verifier()
    issued = sign_in(browser, authorize_url(microsoft, verifier), AMARA_UPN, AMARA_PASSWORD)["code"]
    answer = _redeem(microsoft, browser, **{"code": issued, "verifier": verifier, "tenant": tenant, **changes})
    assert answer.status_code in (400, 401), answer.text
    assert answer.json()["error_codes"] == [code]


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        ({"aud": "https://vault.azure.net"}, 700212),
        ({"iss": "https://evil.example"}, 700211),
        ({"sub": OTHER_PRINCIPAL}, 700213),
        ({"tid": LAKESIDE}, 700236),
        ({"exp": 1}, 700024),
        ({"nbf": int(time.time()) + 7200}, 700024),
        ({"key": rsa.generate_private_key(65537, 2048)}, 700027),
    ],
)
def test_an_assertion_that_proves_another_thing_is_refused(
    microsoft: Microsoft, browser: httpx.Client, claims: dict[str, Any], code: int
) -> None:
    form = microsoft.token_form(client_assertion=microsoft.identity.token(**claims))
    answer = browser.post(f"{microsoft.entra}/{LAKESIDE}/oauth2/v2.0/token", data=form)
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
    assert answer.json()["error_codes"] == [code]


def test_an_unsigned_assertion_is_refused(microsoft: Microsoft, browser: httpx.Client) -> None:
    claims = jwt.decode(microsoft.identity.token(), options={"verify_signature": False})
    form = microsoft.token_form(client_assertion=jwt.encode(claims, "", "none", headers={"kid": "identity"}))
    answer = browser.post(f"{microsoft.entra}/{LAKESIDE}/oauth2/v2.0/token", data=form)
    assert answer.json()["error_codes"] == [700027]


@pytest.mark.parametrize(
    ("changes", "tenant", "code"),
    [
        ({"scope": "https://graph.example/.default"}, LAKESIDE, 500011),
        ({"scope": "User.Read"}, LAKESIDE, 1002012),
        ({}, "organizations", 50059),
        ({"client_assertion_type": "saml"}, LAKESIDE, 90023),
    ],
)
def test_an_application_token_asked_for_wrongly_is_refused(
    microsoft: Microsoft, browser: httpx.Client, changes: dict[str, str], tenant: str, code: int
) -> None:
    answer = browser.post(f"{microsoft.entra}/{tenant}/oauth2/v2.0/token", data=microsoft.token_form(**changes))
    assert answer.json()["error_codes"] == [code]


def test_another_host_name_is_misdirected(microsoft: Microsoft, browser: httpx.Client) -> None:
    url = f"{microsoft.entra}/{LAKESIDE}/discovery/v2.0/keys"
    assert browser.get(url, headers={"Host": "login.microsoftonline.com"}).status_code == 421


# --- rules without a process -----------------------------------------------------------------------------------------


def test_a_code_ends_after_ten_minutes() -> None:
    directory = Directory(world_on_free_ports())
    values, codes = authorization_query(verifier := new_verifier()), Codes()
    request = parse_request(directory, LAKESIDE, values, parse_reply(directory, LAKESIDE, values))
    account = directory.account(LAKESIDE, AMARA_UPN)
    assert account is not None
    code = codes.issue(request, account, now=0, authenticated_at=0)
    with pytest.raises(EntraError, match="AADSTS70008"):
        codes.redeem(code, segment=LAKESIDE, client_id=APPLICATION, redirect_uri=REDIRECT, verifier=verifier, now=601)


def test_an_assertion_of_the_emulated_azure_is_understood(tmp_path: Path) -> None:
    issuer = Issuer(tmp_path, HOME_TENANT, IDENTITY_ISSUER)
    group = f"/subscriptions/{HOME_TENANT}/resourceGroups/rg/providers/Microsoft.ManagedIdentity"
    name = "id-worker-emea-test"
    arm: dict[str, Any] = {
        "id": f"{group}/userAssignedIdentities/{name}",
        "name": name,
        "type": "Microsoft.ManagedIdentity/userAssignedIdentities",
        "properties": {"principalId": PRINCIPAL, "clientId": OTHER_PRINCIPAL, "tenantId": HOME_TENANT},
    }
    with Store(tmp_path).transaction() as contents:
        contents.put(arm)
    token = issuer.token(Principal(PRINCIPAL, OTHER_PRINCIPAL, arm["id"]), EXCHANGE).text
    registration = world_on_free_ports().entra.registrations[0]
    assert verify(token, registration, ManagedIdentities(tmp_path), time.time()) == PRINCIPAL


def test_a_guest_signs_in_to_the_inviting_tenant_only() -> None:
    world = world_on_free_ports()
    lakeside, prairie = world.entra.tenants[1], world.entra.tenants[2]
    guest = User.model_validate(
        {**prairie.users[0].model_dump(), "home_tenant_id": prairie.id, "object_id": AMARA[:-1] + "9"}
    )
    tenants = (lakeside.model_copy(update={"users": (guest,)}), prairie)
    directory = Directory(world.model_copy(update={"entra": world.entra.model_copy(update={"tenants": tenants})}))
    here = directory.account(LAKESIDE, guest.user_principal_name)
    assert here is not None
    assert here.is_guest
    anywhere = directory.account("organizations", guest.user_principal_name)
    assert anywhere is not None
    assert anywhere.tenant.id == PRAIRIE
    assert not anywhere.is_guest
