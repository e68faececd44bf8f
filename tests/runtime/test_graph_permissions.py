"""Each permission that hospitals are asked for is needed by the calls that it is listed for, and by no other."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from runtime.errors import ConnectorError
from runtime.http import open_clients
from runtime.identity import entra
from runtime.meeting.app_tokens import AppTokens
from runtime.meeting.errors import GraphRefused
from runtime.meeting.graph import Graph, Renewal, SubscriptionRequest
from schemas.graph_permissions import CONNECTOR, SIGN_IN, PermissionType
from tests.support.microsoft import AMARA, APPLICATION, LAKESIDE, Microsoft, running, world_on_free_ports

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("ignore:response_mode")]

LATER = datetime.now(UTC) + timedelta(hours=1)
REQUEST = SubscriptionRequest("https://t/j", "https://h/n", "https://h/l", "state", "certificate", "id", LATER)
CALLS: dict[str, Callable[[Graph], Awaitable[object]]] = {
    "createOrGet": lambda g: g.create_or_get_meeting(LAKESIDE, AMARA, "a" * 64, "Virtual visit"),
    "lobby": lambda g: g.set_lobby(LAKESIDE, AMARA, "m"),
    "getVirtualAppointmentJoinWebUrl": lambda g: g.virtual_appointment_url(LAKESIDE, AMARA, "m"),
    "subscribe": lambda g: g.subscribe(LAKESIDE, REQUEST),
    "subscriptions": lambda g: g.subscriptions(LAKESIDE),
    "renew": lambda g: g.renew(LAKESIDE, "s", Renewal("certificate", "id", LATER)),
    "unsubscribe": lambda g: g.unsubscribe(LAKESIDE, "s"),
}
APPLICATION_PERMISSIONS = [p for p in CONNECTOR if p.type is PermissionType.APPLICATION]


@asynccontextmanager
async def graph_without(permission: str, folder: Path) -> AsyncGenerator[Graph]:
    """A tenant in which everything is granted but one permission."""
    world = world_on_free_ports()
    registrations = tuple(
        r.model_copy(update={"application_permissions": tuple(p for p in r.application_permissions if p != permission)})
        for r in world.entra.registrations
    )
    world = world.model_copy(update={"entra": world.entra.model_copy(update={"registrations": registrations})})
    with running(folder, world) as microsoft:
        http = open_clients(str(folder / "ca" / "ca.pem"))
        try:
            yield Graph(http, microsoft.graph, AppTokens(settings(microsoft), identity(microsoft), http))
        finally:
            await http.aclose()


def settings(microsoft: Microsoft) -> Any:
    handover = SimpleNamespace(application_id=APPLICATION)
    urls = {"entra_url": microsoft.entra, "graph_url": microsoft.graph, "public_url": "https://localhost:8441"}
    return SimpleNamespace(handover=handover, **urls)


def identity(microsoft: Microsoft) -> Any:
    def token(audience: str) -> str:
        return microsoft.identity.token(aud=audience)

    return SimpleNamespace(token_blocking=token)


async def is_denied(call: Awaitable[object]) -> bool:
    try:
        await call
    except GraphRefused as refused:
        return refused.status == 403
    except ConnectorError:
        return False
    return False


@pytest.mark.parametrize("permission", APPLICATION_PERMISSIONS, ids=lambda p: p.name)
async def test_without_a_permission_its_calls_are_denied(permission: Any, tmp_path: Path) -> None:
    async with graph_without(permission.name, tmp_path) as graph:
        denied = {name for name, call in CALLS.items() if await is_denied(call(graph))}
    # A join link is looked up at the meeting, so it needs that permission too.
    assert permission.uses <= denied <= permission.uses | {"getVirtualAppointmentJoinWebUrl"}


async def test_with_all_of_them_no_call_is_denied(tmp_path: Path) -> None:
    async with graph_without("", tmp_path) as graph:
        assert set(CALLS) == {use for p in APPLICATION_PERMISSIONS for use in p.uses}
        assert [name for name, call in CALLS.items() if await is_denied(call(graph))] == []


async def test_a_sign_in_asks_for_the_delegated_permissions(tmp_path: Path) -> None:
    with running(tmp_path) as microsoft:
        http = open_clients(str(tmp_path / "ca" / "ca.pem"))
        services = SimpleNamespace(settings=settings(microsoft), http=http, identity_tokens=identity(microsoft))
        flow = await entra.begin(cast(Any, services), LAKESIDE)
        await http.aclose()
    assert isinstance(flow, dict)
    assert set(flow["scope"]) == {p.name for p in CONNECTOR if SIGN_IN in p.uses}
