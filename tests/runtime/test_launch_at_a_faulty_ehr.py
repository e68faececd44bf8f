"""Launches from an EHR whose server answers what it should not, or not at all."""

import asyncio
import gzip
import json
from collections.abc import AsyncGenerator, Callable

import httpx
import pytest
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from runtime.ehr.smart import FAILURE_SECONDS
from tests.support.connector import location_of
from tests.support.launching import Connector, Place, running_connector
from tests.support.refusals import code_of
from tests.support.smart_server import ORIGIN, organization

pytestmark = pytest.mark.anyio

OTHER_ORIGIN = "https://ehr.other.invalid"


@pytest.fixture
async def connector(place: Place) -> AsyncGenerator[Connector]:
    async with running_connector(place, organization()) as running:
        yield running


@pytest.mark.parametrize("name", ["authorization_endpoint", "token_endpoint", "jwks_uri"])
@pytest.mark.parametrize(
    "url",
    [
        f"{OTHER_ORIGIN}/x",
        "http://ehr.test.invalid/x",
        "https://ehr.test.invalid:8443/x",
        "/x",
        7,
        "https://u@ehr.test.invalid/",
    ],
)
@pytest.mark.rule("launch-ehr-answer")
async def test_discovery_that_names_an_endpoint_of_an_origin_not_listed_is_refused(
    connector: Connector, name: str, url: object
) -> None:
    connector.ehr.discovery[name] = url
    response = await connector.start(connector.browser())
    assert (response.status_code, code_of(response)) == (502, "launch-ehr-answer")
    assert connector.outside.called(OTHER_ORIGIN) == []


async def test_discovery_may_name_an_origin_that_the_connection_lists(place: Place) -> None:
    listed = organization(tokenEndpointOrigins=[OTHER_ORIGIN])
    async with running_connector(place, listed) as connector:
        connector.outside.applications[OTHER_ORIGIN] = connector.ehr
        connector.ehr.discovery["token_endpoint"] = f"{OTHER_ORIGIN}/oauth2/token"
        assert (await connector.launch(connector.browser())).status_code == 303


def _redirect(_: httpx.Response) -> httpx.Response:
    return httpx.Response(302, headers={"location": f"{OTHER_ORIGIN}/x"})


def _redirect_to_itself(right: httpx.Response) -> httpx.Response:
    return httpx.Response(
        308, headers={"location": f"{ORIGIN}/x", "content-type": "application/json"}, content=right.content
    )


def _oversize(right: httpx.Response) -> httpx.Response:
    return httpx.Response(200, json={**right.json(), "padding": "x" * 1024 * 1024})


def _oversize_once_unpacked(right: httpx.Response) -> httpx.Response:
    packed = gzip.compress(_oversize(right).content)
    return httpx.Response(200, headers={"content-encoding": "gzip", "content-type": "application/json"}, content=packed)


def _broken_encoding(right: httpx.Response) -> httpx.Response:
    headers = {"content-encoding": "gzip", "content-type": "application/json"}
    return httpx.Response(200, headers=headers, stream=httpx.ByteStream(right.content))


def _another_content_type(right: httpx.Response) -> httpx.Response:
    return httpx.Response(200, headers={"content-type": "text/html"}, content=right.content)


def _json_by_name_only(_: httpx.Response) -> httpx.Response:
    return httpx.Response(200, headers={"content-type": "application/json"}, content=b"<html>")


def _not_an_object(right: httpx.Response) -> httpx.Response:
    return httpx.Response(200, json=[right.json()])


def _deep_nesting(_: httpx.Response) -> httpx.Response:
    return httpx.Response(200, headers={"content-type": "application/json"}, content=b"[" * 100_000)


@pytest.mark.parametrize(
    "spoil",
    [
        _redirect,
        _redirect_to_itself,
        _oversize,
        _oversize_once_unpacked,
        _broken_encoding,
        _another_content_type,
        _json_by_name_only,
        _not_an_object,
        _deep_nesting,
    ],
)
@pytest.mark.parametrize("page", ["/.well-known/smart-configuration", "/oauth2/token", "/oauth2/jwks"])
@pytest.mark.rule("launch-ehr-answer")
async def test_redirects_oversize_and_non_json_are_refused(
    connector: Connector, page: str, spoil: Callable[[httpx.Response], httpx.Response]
) -> None:
    connector.ehr.spoil[page] = spoil
    browser = connector.browser()
    response = await connector.start(browser)
    if page.startswith("/oauth2"):
        response = await connector.back(
            browser, "provider", "lakeside-test", connector.ehr.authorize(location_of(response)[1])
        )
    assert (response.status_code, code_of(response)) == (502, "launch-ehr-answer")
    assert connector.outside.called(OTHER_ORIGIN) == []


@pytest.mark.parametrize("status", [429, 500, 503])
@pytest.mark.rule("launch-ehr-unavailable")
async def test_an_ehr_that_is_down_is_shown_as_that(connector: Connector, status: int) -> None:
    connector.ehr.replace["/.well-known/smart-configuration"] = httpx.Response(status)
    response = await connector.start(connector.browser())
    assert (response.status_code, code_of(response)) == (503, "launch-ehr-unavailable")


@pytest.mark.rule("launch-ehr-unavailable")
async def test_an_ehr_that_hangs_is_asked_once_by_all_who_launch(connector: Connector) -> None:
    now, asked, called, answers = 0.0, 0, asyncio.Event(), asyncio.Event()
    connector.services.smart.monotonic = lambda: now
    ehr = connector.ehr

    async def hangs(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal asked
        asked += 1
        called.set()
        await answers.wait()
        await PlainTextResponse(status_code=503)(scope, receive, send)

    connector.outside.applications[ORIGIN] = hangs
    launches = [asyncio.create_task(connector.start(connector.browser())) for _ in range(20)]
    await called.wait()
    answers.set()
    assert {code_of(r) for r in await asyncio.gather(*launches)} == {"launch-ehr-unavailable"}
    assert asked == 1
    connector.outside.applications[ORIGIN] = ehr
    assert code_of(await connector.start(connector.browser())) == "launch-ehr-unavailable", "remembered"
    now += FAILURE_SECONDS + 1
    assert (await connector.start(connector.browser())).status_code == 302


async def test_a_server_with_only_a_capability_statement_is_understood(connector: Connector) -> None:
    ends = connector.ehr.endpoints()
    oauth = [
        {"url": "authorize", "valueUri": ends["authorization_endpoint"]},
        {"url": "token", "valueUri": ends["token_endpoint"]},
    ]
    uris = {"url": "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris", "extension": oauth}
    connector.ehr.replace["/.well-known/smart-configuration"] = httpx.Response(404)
    statement = {"resourceType": "CapabilityStatement", "rest": [{"mode": "server", "security": {"extension": [uris]}}]}
    connector.ehr.replace["/metadata"] = httpx.Response(
        200, text=json.dumps(statement), headers={"content-type": "application/fhir+json"}
    )
    connector.ehr.replace["/.well-known/openid-configuration"] = httpx.Response(200, json=ends)
    assert (await connector.launch(connector.browser())).status_code == 303
