"""The page after a hospital's administrator consented, or did not: it keeps nothing and says nothing of the request."""

from collections.abc import AsyncGenerator

import pytest

from tests.support.launching import Connector, Place, running_connector
from tests.support.microsoft import LAKESIDE
from tests.support.refusals import code_of

pytestmark = pytest.mark.anyio


@pytest.fixture
async def connector(place: Place) -> AsyncGenerator[Connector]:
    async with running_connector(place) as running:
        yield running


async def test_who_accepted_is_told_what_is_left_to_do(connector: Connector) -> None:
    query = f"admin_consent=True&tenant={LAKESIDE}&scope=https%3A%2F%2Fgraph.microsoft.com%2F.default"
    response = await connector.browser().get(f"/identity/consented?{query}")
    assert response.status_code == 200
    assert "has accepted the connector" in response.text
    assert LAKESIDE not in response.text
    assert "set-cookie" not in response.headers


@pytest.mark.rule("consent-not-given")
@pytest.mark.parametrize(
    "query",
    ["", "admin_consent=False", "admin_consent=True&error=consent_required&error_description=AADSTS65004%3A+declined"],
)
async def test_who_did_not_accept_is_told_how(connector: Connector, query: str) -> None:
    response = await connector.browser().get(f"/identity/consented?{query}")
    assert code_of(response) == "consent-not-given"
    assert "AADSTS65004" not in response.text
