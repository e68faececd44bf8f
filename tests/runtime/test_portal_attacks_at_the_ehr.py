"""Attacks on the approver's sign-in to the EHR, each one change away from a proof that would have been accepted."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from urllib.parse import urlencode

import httpx
import pytest

from schemas.stack_config import ApprovalClient
from tests.support.connector import handler
from tests.support.launching import Place
from tests.support.portal import ANSEL, Person, Portal, changed, hidden, query_of, running_portal, sample
from tests.support.refusals import by_code, code_of

pytestmark = pytest.mark.anyio

CONNECTION, OTHER = "lakeside-test", "lakeside-production"
EHR = "https://127.0.0.1:8471"


@pytest.mark.rule("portal-other-browser")
async def test_the_ehrs_answer_is_heard_in_the_browser_that_asked(portal: Portal, ansel: Person) -> None:
    to_ehr = await ansel.to_ehr(CONNECTION, await ansel.sign_in_anew(CONNECTION))
    back = await ansel.at_ehr(to_ehr.headers["location"])
    other = await portal.signed_in(ANSEL)
    assert code_of(await other.get(back.headers["location"])) == "portal-other-browser"
    assert code_of(await portal.browser().get(back.headers["location"])) == "portal-other-browser"


@pytest.mark.rule("portal-ehr-state-mismatch", "portal-state-unknown")
async def test_a_state_is_good_for_its_connection_and_once(portal: Portal, ansel: Person) -> None:
    to_ehr = await ansel.to_ehr(CONNECTION, await ansel.sign_in_anew(CONNECTION))
    back = await ansel.at_ehr(to_ehr.headers["location"])
    elsewhere = back.headers["location"].replace(f"/ehr/{CONNECTION}/", f"/ehr/{OTHER}/")
    assert code_of(await ansel.get(elsewhere)) == "portal-ehr-state-mismatch"
    assert code_of(await ansel.get(back.headers["location"])) == "portal-state-unknown"


@pytest.mark.parametrize(
    ("changes", "code"),
    by_code(
        [
            ({"iss": "https://ehr.evil.example/api/FHIR/R4"}, "portal-ehr-issuer-mismatch"),
            ({"iss": "https://127.0.0.1:8471/interconnect-lakeside-prd/api/FHIR/R4"}, "portal-ehr-issuer-mismatch"),
            ({"code": None, "error": "access_denied"}, "portal-ehr-refused"),
            ({"code": None}, "portal-ehr-code-missing"),
            ({"code": "invented"}, "portal-ehr-client-refused"),
            ({"state": "invented"}, "portal-state-unknown"),
            ({"state": None}, "portal-state-unknown"),
        ]
    ),
)
@pytest.mark.rule("portal-not-proved")
async def test_an_answer_of_the_ehr_that_is_not_right_proves_nothing(
    portal: Portal, ansel: Person, changes: dict[str, str | None], code: str
) -> None:
    to_ehr = await ansel.to_ehr(CONNECTION, await ansel.sign_in_anew(CONNECTION))
    back = await ansel.at_ehr(to_ehr.headers["location"])
    answer = {k: v for k, v in {**query_of(back), **changes}.items() if v is not None}
    assert code_of(await ansel.get(f"/ehr/{CONNECTION}/callback?{urlencode(answer)}")) == code
    assert code_of(await ansel.get(f"/connections/{CONNECTION}/decide")) == "portal-not-proved"


async def test_an_issuer_of_rfc_9207_that_is_right_is_taken(portal: Portal, ansel: Person) -> None:
    to_ehr = await ansel.to_ehr(CONNECTION, await ansel.sign_in_anew(CONNECTION))
    back = await ansel.at_ehr(to_ehr.headers["location"])
    answer = {**query_of(back), "iss": "https://127.0.0.1:8471/interconnect-lakeside-tst/api/FHIR/R4"}
    page = await ansel.get(f"/ehr/{CONNECTION}/callback?{urlencode(answer)}")
    assert page.headers["location"] == f"/connections/{CONNECTION}/decide"


REAL = f"{EHR}/interconnect-lakeside-tst"
LOOK_ALIKE = "https://127.0.0.1:8479/interconnect-lakeside-tst/api/FHIR/R4"


@asynccontextmanager
async def at_a_look_alike(place: Place, **changes: object) -> AsyncGenerator[Person]:
    """The configuration names a look-alike whose discovery leads to the real EHR's sign-in, to borrow its trust."""
    names = {"authorization_endpoint": "authorize", "token_endpoint": "token", "jwks_uri": "jwks"}
    endpoints = {name: f"{REAL}/oauth2/{path}" for name, path in names.items()}
    async with running_portal(place, changed(sample(), CONNECTION, fhir_base_url=LOOK_ALIKE, **changes)) as portal:
        portal.outside.applications["https://127.0.0.1:8479"] = handler(lambda _: httpx.Response(200, json=endpoints))
        yield await portal.signed_in(ANSEL)


@pytest.mark.rule("portal-ehr-answer")
async def test_a_sign_in_at_a_look_alike_of_the_url_proves_nothing(place: Place) -> None:
    async with at_a_look_alike(place) as ansel:
        assert code_of(await ansel.sign_in_anew(CONNECTION)) == "portal-ehr-answer"


@pytest.mark.rule("portal-ehr-token-refused")
async def test_an_id_token_of_another_issuer_does_not_prove_the_url(place: Place) -> None:
    """Even where the configuration lists the real EHR's origin, its tokens are not about the look-alike."""
    async with at_a_look_alike(place, token_endpoint_origins=(EHR,)) as ansel:
        page = await ansel.sign_in_anew(CONNECTION)
        assert "The sign-in is at another host than the FHIR base URL" in page.text
        to_ehr = await ansel.to_ehr(CONNECTION, page)
        asked = query_of(to_ehr) | {"aud": f"{REAL}/api/FHIR/R4"}  # the look-alike changes it on the way
        back = await ansel.at_ehr(f"{REAL}/oauth2/authorize?{urlencode(asked)}")
        assert code_of(await ansel.follow(back)) == "portal-ehr-token-refused"


@pytest.mark.rule("portal-ehr-token-refused")
async def test_an_approval_client_with_an_issuer_of_its_own_is_held_to_it(place: Place) -> None:
    client = ApprovalClient(client_id="lakeside-tst-approval", issuer="https://127.0.0.1:8471/another")
    clients = sample().organizations[0].connections[0].clients.model_copy(update={"approval": client})
    async with running_portal(place, changed(sample(), CONNECTION, clients=clients)) as portal:
        ansel = await portal.signed_in(ANSEL)
        to_ehr = await ansel.to_ehr(CONNECTION, await ansel.sign_in_anew(CONNECTION))
        back = await ansel.at_ehr(to_ehr.headers["location"])
        assert code_of(await ansel.follow(back)) == "portal-ehr-token-refused"


@pytest.mark.rule("portal-ehr-answer")
async def test_the_sign_in_address_is_the_one_that_was_shown(portal: Portal, ansel: Person) -> None:
    page = await ansel.sign_in_anew(CONNECTION)
    form = {"token": hidden(page, "token", -1), "endpoint": "https://ehr.evil.example/oauth2/authorize"}
    assert code_of(await ansel.post(f"/connections/{CONNECTION}/prove/ehr", form)) == "portal-ehr-answer"
