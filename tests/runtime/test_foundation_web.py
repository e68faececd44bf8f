"""What holds for every response, the key set, and the vault behind it."""

import base64
import json
import logging
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
import structlog

from runtime.bootstrap import build
from runtime.errors import StartRefused, VaultUnavailable
from runtime.health import unready_connections
from runtime.keys import NAMES
from runtime.logs import configure_logs
from runtime.vault import ABSENT_SECONDS, AGAIN_SECONDS, PRESENT_SECONDS, STALE_SECONDS
from schemas.configuration_document import pack
from schemas.vocabulary import ClientRole
from tests.support.connector import (
    FakeVault,
    Outside,
    clients,
    document,
    location_of,
    private_jwk,
    services_over,
    settings_for,
)
from tests.support.launching import Connector, Place, running_connector
from tests.support.refusals import code_of
from tests.support.smart_server import ORIGIN, organization

pytestmark = pytest.mark.anyio

PAGES = [
    "/",
    "/livez",
    "/launch/provider/lakeside-test",
    "/identity/wait",
    "/.well-known/jwks.json",
    "/static/base.css",
]


@pytest.fixture
async def connector(place: Place) -> AsyncGenerator[Connector]:
    async with running_connector(place) as running:
        yield running


# --- hosts and headers ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["evil.invalid", "localhost", "localhost:8442", "localhost:8441.evil.invalid", ""])
async def test_another_host_is_refused_everywhere_but_at_the_probes(connector: Connector, host: str) -> None:
    for page in PAGES:
        response = await connector.browser().get(page, host=host)
        assert (response.status_code == 421) is (page != "/livez"), page


async def test_forwarded_headers_build_no_url(connector: Connector) -> None:
    forwarded = {"x-forwarded-host": "evil.invalid", "x-forwarded-proto": "http", "forwarded": "host=evil.invalid"}
    query = f"iss={organization().connections[0].fhir_base_url}&launch=1"
    response = await connector.browser().get(f"/launch/provider/lakeside-test?{query}", **forwarded)
    assert response.status_code == 302
    assert "evil" not in response.headers["location"]


@pytest.mark.parametrize("page", PAGES)
async def test_every_response_carries_the_security_headers(connector: Connector, page: str) -> None:
    headers = (await connector.browser().get(page)).headers
    assert headers["strict-transport-security"].startswith("max-age=63072000")
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin", "else our own forms send no origin"
    assert headers["content-security-policy"].startswith("default-src 'none'")
    assert headers["permissions-policy"].startswith("camera=(), microphone=()")
    assert "server" not in headers


async def test_only_the_connections_own_ehr_pages_may_frame_its_pages(connector: Connector) -> None:
    framed = await connector.start(connector.browser(), iss="https://evil.invalid/x")
    assert f"frame-ancestors {ORIGIN}" in framed.headers["content-security-policy"]
    alone = await connector.browser().get("/identity/sign-in?ticket=x")
    assert "frame-ancestors 'none'" in alone.headers["content-security-policy"]


async def test_a_nonce_is_used_once(connector: Connector) -> None:
    policies = {(await connector.browser().get("/identity/wait")).headers["content-security-policy"] for _ in range(3)}
    assert len(policies) == 3


@pytest.mark.rule("not-found")
async def test_error_pages_say_nothing_of_the_request(connector: Connector) -> None:
    response = await connector.start(connector.browser(), iss="https://evil.invalid/<script>alert(1)</script>")
    assert "evil" not in response.text
    assert "alert(1)" not in response.text
    missing = await connector.browser().get("/<script>")
    assert (missing.status_code, code_of(missing)) == (404, "not-found")


async def test_the_cookie_of_a_launch_is_a_partitioned_host_cookie(connector: Connector) -> None:
    response = await connector.start(connector.browser())
    (header,) = response.headers.get_list("set-cookie")
    assert header.startswith("__Host-americas-test-launch-")
    assert header.endswith("; Path=/; Max-Age=600; Secure; HttpOnly; SameSite=None; Partitioned")


@pytest.mark.rule("method-not-allowed")
async def test_a_method_that_an_address_does_not_have_is_a_page_too(connector: Connector) -> None:
    answer = await connector.browser().post("/launch/provider/lakeside-test", {})
    assert (answer.status_code, code_of(answer)) == (405, "method-not-allowed")


@pytest.mark.rule("unexpected")
async def test_an_unforeseen_failure_is_a_page_and_a_place_in_the_log(
    connector: Connector, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def broken(*_: object) -> None:
        raise ValueError("Rosa Delgado 1961-03-14")

    monkeypatch.setattr("runtime.launch.flow.depart", broken)
    response = await connector.start(connector.browser())
    assert (response.status_code, code_of(response)) == (500, "unexpected")
    assert response.headers["strict-transport-security"]
    assert "Delgado" not in response.text + capsys.readouterr().out


async def test_a_head_request_uses_no_state_up(connector: Connector) -> None:
    browser = connector.browser()
    _, asked = location_of(await connector.start(browser))
    answer = connector.ehr.authorize(asked)
    url = f"/launch/provider/lakeside-test/callback?code={answer['code']}&state={answer['state']}"
    assert (await browser.send("HEAD", url)).status_code == 405
    assert (await browser.get(url)).status_code == 303


async def test_logs_hold_routes_never_queries_or_unknown_path_values(
    connector: Connector, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    configure_logs(connector.services.settings)
    await connector.start(connector.browser(), launch="secret-launch")
    await connector.browser().get("/launch/provider/Rosa-Delgado?iss=x")
    logging.getLogger("httpx").warning("GET https://ehr/Patient?name=Delgado")
    structlog.reset_defaults()
    out = capsys.readouterr().out
    lines = [json.loads(line) for line in out.splitlines()]
    assert {line["route"] for line in lines if line["event"] == "request"} == {"/launch/provider/{connection}"}
    assert "Delgado" not in out
    assert "secret-launch" not in out
    assert any(line["event"] == "library" and line["logger"] == "httpx" for line in lines)


# --- the key set ------------------------------------------------------------------------------------------------


def keyed(name: str = "client-key") -> dict[str, str]:
    return {"method": "private_key_jwt", "key": name, "algorithm": "RS384"}


async def test_the_key_set_is_empty_while_the_vault_has_no_key(place: Place) -> None:
    async with running_connector(place, organization(authentication=keyed())) as connector:
        response = await connector.browser().get("/.well-known/jwks.json")
        assert (response.status_code, response.json()) == (200, {"keys": []})
        assert response.headers["cache-control"] == "public, max-age=300"
        assert response.headers["content-type"] == "application/json"


async def test_the_key_set_holds_public_members_of_each_key_once(place: Place) -> None:
    secret, _ = private_jwk("key-7")
    vault = FakeVault({"client-key": secret})
    async with running_connector(place, organization(authentication=keyed()), vault=vault) as connector:
        (key,) = (await connector.browser().get("/.well-known/jwks.json")).json()["keys"]
        assert key["kid"] == "key-7"
        assert set(key) == {"kty", "n", "e", "kid", "alg", "use"}


async def test_two_organisations_keys_of_one_id_are_both_published(place: Place) -> None:
    vault = FakeVault({"one": private_jwk("1")[0], "two": private_jwk("1")[0]})
    other = organization("prairie", "https://ehr.other.invalid/api/FHIR/R4", authentication=keyed("two"))
    async with running_connector(place, organization(authentication=keyed("one")), other, vault=vault) as connector:
        keys = (await connector.browser().get("/.well-known/jwks.json")).json()["keys"]
        assert [k["kid"] for k in keys] == ["1", "1"]
        assert {k["n"] for k in keys} == {
            json.loads(secret)["n"] for secret in (vault.secrets["one"], vault.secrets["two"])
        }


async def test_a_malformed_key_takes_nothing_with_it(place: Place) -> None:
    secret, _ = private_jwk("good")
    vault = FakeVault({"good": secret, "bad": "not a key"})
    other = organization("prairie", "https://ehr.other.invalid/api/FHIR/R4", authentication=keyed("bad"))
    async with running_connector(place, organization(authentication=keyed("good")), other, vault=vault) as connector:
        keys = (await connector.browser().get("/.well-known/jwks.json")).json()["keys"]
        assert [k["kid"] for k in keys] == ["good"]


async def test_while_the_vault_is_away_no_empty_key_set_is_published(place: Place) -> None:
    vault = FakeVault()
    async with running_connector(place, organization(authentication=keyed()), vault=vault) as connector:
        vault.down = True
        assert (await connector.browser().get("/.well-known/jwks.json")).status_code == 503


# --- the vault and the start ------------------------------------------------------------------------------------


async def test_a_secret_is_read_again_after_five_minutes_and_an_absent_one_after_ten_seconds(place: Place) -> None:
    async with running_connector(place) as connector:
        vault, now = connector.services.vault, [0.0]
        vault.clock = lambda: now[0]
        assert await vault.secret("late") is None
        connector.vault.secrets["late"] = "1"
        assert await vault.secret("late") is None
        now[0] += ABSENT_SECONDS
        assert await vault.secret("late") == "1"
        connector.vault.secrets["late"] = "2"
        assert await vault.secret("late") == "1"
        now[0] += PRESENT_SECONDS
        assert await vault.secret("late") == "2"
        connector.vault.down = True
        now[0] += PRESENT_SECONDS
        assert await vault.secret("late") == "2", "the last known value serves while the vault is away"
        with pytest.raises(VaultUnavailable):
            await vault.secret("never-read")


async def test_a_vault_that_is_away_is_asked_now_and_then_and_not_forever_believed(place: Place) -> None:
    async with running_connector(place) as connector:
        vault, now = connector.services.vault, [0.0]
        vault.clock = lambda: now[0]
        connector.vault.secrets["late"] = "1"
        assert await vault.secret("late") == "1"
        connector.vault.down = True
        now[0] += PRESENT_SECONDS
        calls = connector.vault.calls
        assert [await vault.secret("late") for _ in range(5)] == ["1"] * 5
        assert connector.vault.calls == calls + 1, "each call to a vault that hangs takes ten seconds"
        now[0] += AGAIN_SECONDS
        connector.vault.down, connector.vault.secrets["late"] = False, "2"
        assert await vault.secret("late") == "2"
        connector.vault.down = True
        now[0] += STALE_SECONDS
        with pytest.raises(VaultUnavailable):
            await vault.secret("late")


async def test_a_secret_that_we_may_no_longer_read_is_not_used(place: Place) -> None:
    async with running_connector(place) as connector:
        vault, now = connector.services.vault, [0.0]
        vault.clock = lambda: now[0]
        connector.vault.secrets["late"] = "1"
        assert await vault.secret("late") == "1"
        connector.vault.forbids = True
        now[0] += PRESENT_SECONDS
        with pytest.raises(VaultUnavailable):
            await vault.secret("late")
        connector.vault.forbids, connector.vault.down = False, True
        with pytest.raises(VaultUnavailable):
            await vault.secret("late")


@pytest.mark.rule("connection-unready")
async def test_a_connection_that_gets_its_credential_is_ready_without_a_restart(place: Place) -> None:
    way = {"method": "client_secret_basic", "secret": "later"}
    async with running_connector(place, organization(authentication=way)) as connector:
        services = connector.services
        assert await unready_connections(services) == [
            f"lakeside-test/{r}" for r in (ClientRole.PROVIDER, ClientRole.PATIENT)
        ]
        assert code_of(await connector.start(connector.browser())) == "connection-unready"
        connector.vault.secrets["later"] = "s3cret"
        services.vault.clock = lambda: 1e9
        assert await unready_connections(services) == []
        assert (await connector.start(connector.browser())).status_code == 302


async def test_a_process_starts_on_the_document_that_the_handover_names_and_on_no_other(place: Place) -> None:
    chunks = pack(document(organization()))
    vault, first = FakeVault(), "configuration-0000"
    named: dict[str, Any] = {"configuration_sha256": chunks.sha256, "configuration_chunks": len(chunks.values)}
    settings = settings_for(place.postgres, place.database, **named)
    http = clients(Outside(), vault)
    services_over(settings, http, vault, document())  # makes the geography keys
    with pytest.raises(StartRefused, match=first):
        await build(settings, http)
    vault.secrets[first] = chunks.values[0]
    assert (await build(settings, http)).configuration.connection("lakeside-test")
    for value in (pack(document()).values[0], "AAAA", chunks.values[0] + "AAAA"):
        vault.secrets[first] = value
        with pytest.raises(StartRefused):
            await build(settings, http)
    vault.secrets[first] = chunks.values[0]
    del vault.secrets[NAMES[0]]
    with pytest.raises(StartRefused, match=NAMES[0]):
        await build(settings, http)
    await http.aclose()


def test_the_runtime_reads_the_environment_in_one_place() -> None:
    root = Path(__file__).parents[2] / "runtime"
    readers = [p.name for p in root.rglob("*.py") if "environ" in p.read_text() and "os.environ" in p.read_text()]
    assert readers == ["settings.py"]


async def test_a_client_secret_goes_into_the_authorization_header_only(place: Place) -> None:
    way = {"method": "client_secret_basic", "secret": "basic"}
    vault = FakeVault({"basic": "s3cret:/+ é"})
    async with running_connector(place, organization(authentication=way), vault=vault) as connector:
        assert (await connector.launch(connector.browser())).status_code == 303
        (call,) = [r for r in connector.ehr.requests if r.method == "POST"]
        pair = base64.b64encode(b"lakeside-provider:s3cret%3A%2F%2B+%C3%A9").decode()
        assert call.headers["authorization"] == f"Basic {pair}"
        assert b"s3cret" not in call.content
        assert b"client_id" not in call.content
