"""The Graph client and the Graph emulator speak the same protocol, tokens included."""

from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from runtime.http import open_clients
from runtime.managed_identity import ManagedIdentity
from runtime.meeting.app_tokens import AppTokens
from runtime.meeting.errors import GraphRefused
from runtime.meeting.graph import Graph, Renewal, SubscriptionRequest
from runtime.settings import Settings
from schemas.handover import Handover
from tests.support.connector import settings_for
from tests.support.microsoft import AMARA, LAKESIDE, Microsoft, running, webhook
from tests.support.postgres import PostgresServer

pytestmark = pytest.mark.anyio


class Identity:
    """A managed identity whose token the emulated Entra accepts as our assertion."""

    def __init__(self, microsoft: Microsoft) -> None:
        self._microsoft = microsoft

    def token_blocking(self, audience: str) -> str:
        assert audience == "api://AzureADTokenExchange"
        return self._microsoft.identity.token()


def settings_at(microsoft: Microsoft, server: PostgresServer) -> Settings:
    settings = settings_for(server, "connector")
    changed = settings.handover.model_dump() | {"entra_url": microsoft.entra, "graph_url": microsoft.graph}
    return Settings(Handover.model_validate(changed), settings.port, settings.revision)


@pytest.fixture
async def connected(postgres: PostgresServer, tmp_path: Path) -> AsyncGenerator[tuple[Microsoft, Graph]]:
    with running(tmp_path) as microsoft:
        http = open_clients(str(tmp_path / "ca" / "ca.pem"))
        settings = settings_at(microsoft, postgres)
        identity = cast(ManagedIdentity, Identity(microsoft))
        yield microsoft, Graph(http, settings.graph_url, AppTokens(settings, identity, http))
        await http.aclose()


async def test_a_whole_meeting(connected: tuple[Microsoft, Graph]) -> None:
    microsoft, graph = connected
    meeting = await graph.create_or_get_meeting(LAKESIDE, AMARA, "a" * 64, "Virtual visit")
    assert await graph.create_or_get_meeting(LAKESIDE, AMARA, "a" * 64, "Virtual visit") == meeting
    assert not await graph.lobby_holds(LAKESIDE, AMARA, meeting.id)
    await graph.set_lobby(LAKESIDE, AMARA, meeting.id)
    assert await graph.lobby_holds(LAKESIDE, AMARA, meeting.id)
    assert (await graph.virtual_appointment_url(LAKESIDE, AMARA, meeting.id)).startswith("https://")
    with webhook(microsoft.state) as hook:
        body: dict[str, Any] = hook.subscription(meeting.join_web_url)
        request = SubscriptionRequest(
            join_web_url=meeting.join_web_url,
            notification_url=body["notificationUrl"],
            lifecycle_url=body["lifecycleNotificationUrl"],
            client_state="state",
            certificate=body["encryptionCertificate"],
            certificate_id="certificate-1",
            expires_at=datetime.now(UTC) + timedelta(minutes=4310),
        )
        made = await graph.subscribe(LAKESIDE, request)
        with pytest.raises(GraphRefused) as refused:
            await graph.subscribe(LAKESIDE, request)
        assert refused.value.status == 409
        assert [s.id for s in await graph.subscriptions(LAKESIDE)] == [made.id]
        renewal = Renewal(request.certificate, "certificate-2", datetime.now(UTC) + timedelta(minutes=4310))
        await graph.renew(LAKESIDE, made.id, renewal)
        await graph.unsubscribe(LAKESIDE, made.id)
        await graph.unsubscribe(LAKESIDE, made.id)
        assert await graph.subscriptions(LAKESIDE) == ()


async def test_a_tenant_without_consent_is_refused(connected: tuple[Microsoft, Graph]) -> None:
    _, graph = connected
    with pytest.raises(GraphRefused):
        await graph.create_or_get_meeting("1a1a1a1a-0000-4000-8000-0000000000ff", AMARA, "a" * 64, "Virtual visit")
