"""Launches with the emulated EHR, which checks what a real one checks: every way of client authentication."""

import json
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from schemas.stack_config import Organization
from tests.support.connector import Browser, FakeVault, location_of
from tests.support.ehr_emulator import CSN, PROVIDER, RunningEhr, running_ehr
from tests.support.launching import Connector, Place, forwarded_to, running_connector
from tests.support.microsoft import AMARA_PASSWORD, AMARA_UPN
from tests.support.refusals import code_of
from tests.support.smart_server import organization

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("ignore:response_mode")]

WAYS: dict[str, dict[str, Any]] = {
    "RS384": {"method": "private_key_jwt", "key": "rsa", "algorithm": "RS384"},
    "ES384": {"method": "private_key_jwt", "key": "ec", "algorithm": "ES384"},
}


@pytest.fixture(scope="module")
def ehr(tmp_path_factory: pytest.TempPathFactory) -> Generator[RunningEhr]:
    with running_ehr(Path(tmp_path_factory.mktemp("ehr"))) as running:
        yield running


def organization_of(ehr: RunningEhr, way: dict[str, Any]) -> Organization:
    """The organisation as its platform team would configure it for this EHR's test environment."""
    given = organization(base=ehr.instance().fhir_base_url).model_dump(mode="json", by_alias=True, exclude_none=True)
    clients = given["connections"][0]["clients"]
    clients["provider"] = {"clientId": "tst-provider", "authentication": way}
    clients["patient"] = {"clientId": "tst-patient", "authentication": {"method": "none"}}
    clients["backend"] = {"clientId": "tst-backend", "authentication": way}
    return Organization.model_validate(given)


def vault_with_keys_of(ehr: RunningEhr) -> FakeVault:
    algorithms = {"rsa": RSAAlgorithm, "ec": ECAlgorithm}
    return FakeVault(
        {
            name: json.dumps({**json.loads(algorithm.to_jwk(ehr.keys.private[name])), "kid": name})  # type: ignore[arg-type]
            for name, algorithm in algorithms.items()
        }
    )


@asynccontextmanager
async def connected(place: Place, ehr: RunningEhr, way: dict[str, Any] = WAYS["RS384"]) -> AsyncGenerator[Connector]:
    """The connector, with this EHR as its organisation's."""
    organization, vault = organization_of(ehr, way), vault_with_keys_of(ehr)
    async with running_connector(place, organization, vault=vault) as connector:
        connector.outside.applications[ehr.ehr.url] = forwarded_to(ehr.http)
        yield connector


async def pressed(connector: Connector, browser: Browser, ehr: RunningEhr, party: str, press: dict[str, str]) -> Any:
    """From the press in the EHR to our answer at the end of the launch."""
    to_ehr = await browser.get(f"/launch/{party}/lakeside-test?{urlencode(press)}")
    assert to_ehr.status_code == 302, to_ehr.text
    authorized = ehr.http.get(to_ehr.headers["location"])
    where, answer = location_of(authorized)
    assert where.endswith(f"/launch/{party}/lakeside-test/callback")
    return await connector.back(browser, party, "lakeside-test", answer)


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
async def test_a_provider_and_a_patient_come_from_the_ehr(place: Place, ehr: RunningEhr, way: dict[str, Any]) -> None:
    async with connected(place, ehr, way) as connector:
        browser = connector.browser()
        entered = await pressed(connector, browser, ehr, "provider", ehr.provider_launch())
        assert location_of(entered)[0] == "/identity/wait", ehr.reasons()
        assert PROVIDER in (await browser.get("/identity/wait")).text
        assert location_of(await connector.link(browser, AMARA_UPN, AMARA_PASSWORD))[0] == "/visit/provider"
        patient = await pressed(connector, connector.browser(), ehr, "patient", ehr.patient_launch())
        assert location_of(patient)[0] == "/visit/patient", ehr.reasons()
        assert len(connector.rows("visit")) == 1, "both are in one visit"
        assert CSN not in repr(connector.postgres.dump(connector.database))
        assert await connector.services.smart.backend_token(connector.services.configuration.served[0].connection)


@pytest.mark.rule("launch-reused")
async def test_a_launch_code_of_the_ehr_works_once(place: Place, ehr: RunningEhr) -> None:
    async with connected(place, ehr) as connector:
        press = ehr.patient_launch()
        assert (await pressed(connector, connector.browser(), ehr, "patient", press)).status_code == 303
        again = await connector.browser().get(f"/launch/patient/lakeside-test?{urlencode(press)}")
        assert code_of(again) == "launch-reused"


@pytest.mark.rule("launch-session-id-unexpanded")
async def test_an_appointment_that_the_ehr_did_not_name_is_refused(place: Place, ehr: RunningEhr) -> None:
    async with connected(place, ehr) as connector:
        answer = await pressed(connector, connector.browser(), ehr, "provider", ehr.provider_launch(csn=""))
        assert code_of(answer) == "launch-session-id-unexpanded"


@pytest.mark.rule("launch-client-refused")
async def test_an_expired_assertion_is_refused_by_the_ehr_and_shown_as_that(place: Place, ehr: RunningEhr) -> None:
    async with connected(place, ehr) as connector:
        connector.services.smart.clock = lambda: ehr.clock() - 600
        answer: httpx.Response = await pressed(connector, connector.browser(), ehr, "provider", ehr.provider_launch())
        assert code_of(answer) == "launch-client-refused"
