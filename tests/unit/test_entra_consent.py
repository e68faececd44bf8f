"""Consent at the emulated Entra: it takes the very address of the setup document, and no other."""

import tempfile
from collections.abc import Generator
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest

from emulators.world import World
from schemas.registration import consent_url
from schemas.stack_config import EmulatedMicrosoft365, Microsoft365
from tests.support.microsoft import (
    AMARA,
    AMARA_PASSWORD,
    AMARA_UPN,
    APPLICATION,
    HOME_TENANT,
    LAKESIDE,
    Microsoft,
    running,
    world_on_free_ports,
)

ADMINISTRATOR = {"login": "avery.admin@lakeside.example", "passwd": "admin-sample-password"}


@pytest.fixture(scope="module")
def microsoft() -> Generator[Microsoft]:
    with tempfile.TemporaryDirectory() as folder, running(Path(folder), without_consent()) as started:
        yield started


def without_consent() -> World:
    world = world_on_free_ports()
    registrations = tuple(r.model_copy(update={"consented_tenants": ()}) for r in world.entra.registrations)
    return world.model_copy(update={"entra": world.entra.model_copy(update={"registrations": registrations})})


@pytest.fixture
def browser(microsoft: Microsoft) -> Generator[httpx.Client]:
    with microsoft.client() as client:
        yield client


def address(microsoft: Microsoft, tenant: str = LAKESIDE, host: str = "localhost:8441") -> str:
    emulation = EmulatedMicrosoft365(entra_url=microsoft.entra, graph_url=microsoft.graph, ca_bundle="ca.pem")
    of_stage = Microsoft365(application_id=APPLICATION, home_tenant_id=HOME_TENANT, emulation=emulation)
    return consent_url(of_stage, APPLICATION, tenant, host)


def create_meeting(microsoft: Microsoft, browser: httpx.Client) -> httpx.Response:
    """Graph's answer; or Entra's, where it gives no token."""
    form = microsoft.token_form()
    answer = browser.post(f"{microsoft.entra}/{LAKESIDE}/oauth2/v2.0/token", data=form)
    if answer.status_code != 200:
        return answer
    return browser.post(
        f"{microsoft.graph}/v1.0/users/{AMARA}/onlineMeetings/createOrGet",
        json={"externalId": "a" * 64, "subject": "Virtual visit"},
        headers={"Authorization": f"Bearer {answer.json()['access_token']}"},
    )


def answered(response: httpx.Response) -> dict[str, str]:
    assert response.status_code == 302, response.text
    where = response.headers["location"]
    assert where.startswith("https://localhost:8441/identity/consented?")
    return dict(parse_qsl(urlsplit(where).query))


def test_graph_works_in_a_tenant_once_its_administrator_accepted_and_not_before(
    microsoft: Microsoft, browser: httpx.Client
) -> None:
    url = address(microsoft)
    page = browser.get(url)
    assert page.status_code == 200
    for shown in (APPLICATION, "Lakeside Health", "OnlineMeetings.ReadWrite.All", "VirtualAppointment.Read.All"):
        assert shown in page.text
    cancelled = answered(browser.post(url, data={"answer": "cancel"}))
    assert (cancelled["error"], cancelled["tenant"]) == ("consent_required", LAKESIDE)
    assert create_meeting(microsoft, browser).json()["error_codes"] == [65001]
    given = answered(browser.post(url, data={**ADMINISTRATOR, "answer": "accept"}))
    assert given == {"admin_consent": "True", "tenant": LAKESIDE, "scope": f"{microsoft.graph}/.default"}
    assert create_meeting(microsoft, browser).status_code == 201


@pytest.mark.parametrize(
    ("login", "password", "code"),
    [
        (AMARA_UPN, AMARA_PASSWORD, "AADSTS90094"),
        (ADMINISTRATOR["login"], "wrong", "AADSTS50126"),
        ("avery.admin@prairie.example", "admin-sample-password", "AADSTS50126"),
    ],
)
def test_nobody_but_an_administrator_of_the_tenant_accepts(
    microsoft: Microsoft, browser: httpx.Client, login: str, password: str, code: str
) -> None:
    answer = browser.post(address(microsoft), data={"login": login, "passwd": password, "answer": "accept"})
    assert answer.status_code == 200
    assert code in answer.text


def test_a_state_comes_back(microsoft: Microsoft, browser: httpx.Client) -> None:
    answer = browser.post(address(microsoft) + "&state=s-1", data={"answer": "cancel"})
    assert answered(answer)["state"] == "s-1"


@pytest.mark.parametrize(
    ("part", "instead", "code"),
    [
        ("&scope=", "&prompt=admin_consent&scope=", "AADSTS90014"),
        ("&scope=", "&state=1&state=2&scope=", "AADSTS9000411"),
        ("%2F.default", "%2FOnlineMeetings.ReadWrite.All", "AADSTS70011"),
        ("scope=", "scopes=", "AADSTS90014"),
        ("8441", "8449", "AADSTS50011"),
        (LAKESIDE, "common", "AADSTS50059"),
        (LAKESIDE, LAKESIDE[:-1] + "f", "AADSTS90002"),
        (APPLICATION, APPLICATION[:-1] + "f", "AADSTS700016"),
        ("&redirect_uri=", "&state=", "AADSTS900144"),
        ("&scope=", "&state=", "AADSTS900144"),
    ],
)
def test_another_address_is_refused(
    microsoft: Microsoft, browser: httpx.Client, part: str, instead: str, code: str
) -> None:
    answer = browser.get(address(microsoft).replace(part, instead))
    assert answer.status_code >= 400
    assert code in answer.text


def test_an_answer_that_is_none_is_refused(microsoft: Microsoft, browser: httpx.Client) -> None:
    for form in ({"answer": "maybe"}, {"answer": "accept", "consent": "yes"}):
        assert browser.post(address(microsoft), data=form).status_code == 400
