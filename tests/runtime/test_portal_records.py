"""Integration records in the portal: on the page, as files and on paper, from an approval in force on."""

from datetime import UTC, datetime

import pytest

from tests.support.launching import Place
from tests.support.portal import running_portal
from tests.support.record_scenes import CONNECTIONS, SCENES, Scene

pytestmark = pytest.mark.anyio

PATHS = ("records", "records.json", "records.csv", "records/print")
OF_ITS_OWN_LIST = [(s, c) for s in SCENES for c in CONNECTIONS if s.name != "revoked" or c == "lakeside-test"]
"""A portal of the test stage holds the list of that stage: production's revokes production's connections."""


@pytest.mark.parametrize(("scene", "connection"), OF_ITS_OWN_LIST, ids=lambda v: getattr(v, "name", v))
async def test_records_are_shown_and_exported_then_alone(place: Place, scene: Scene, connection: str) -> None:
    approvals = scene.approvals(connection, datetime.now(UTC).replace(microsecond=0))
    async with running_portal(place, approvals=approvals) as portal:
        ansel = await portal.signed_in()
        page = await ansel.get(f"/connections/{connection}")
        assert (f'href="/connections/{connection}/records"' in page.text) is scene.shown
        for path in PATHS:
            answer = await ansel.get(f"/connections/{connection}/{path}")
            assert (f"/launch/provider/{connection}" in answer.text) is scene.shown, path
            if not scene.shown:
                assert "portal-records-not-approved" in answer.text, path
