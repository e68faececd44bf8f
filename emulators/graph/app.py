"""The Graph emulator as one ASGI application: the API, the Teams room, and the delivery of notifications."""

import contextlib
import time
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

import structlog
from starlette.applications import Starlette

from emulators.entra.directory import Directory
from emulators.entra.signing import ensure_signing_key
from emulators.graph.api import GraphApi
from emulators.graph.authentication import Authentication
from emulators.graph.delivery import Delivery
from emulators.graph.faults import Faults
from emulators.graph.meetings import Meetings
from emulators.graph.model import Store
from emulators.graph.room_pages import RoomPages
from emulators.graph.subscriptions import Subscriptions
from emulators.world import World


def create_app(world: World, state: Path, *, clock: Callable[[], float] = time.time, log: Any = None) -> Starlette:
    """Graph for every tenant of `world`; what is kept and what is broken on purpose is below `<state>/graph/`."""
    key, store = ensure_signing_key(state), Store(state)
    faults = Faults(state / "graph" / "faults.json")
    log = log or structlog.get_logger()
    delivery = Delivery(store, faults, key, state=state, entra_url=world.entra.url, log=log, clock=clock)
    api = GraphApi(
        world.graph.url,
        Authentication(world, key, clock),
        faults,
        Meetings(world, store, clock),
        Subscriptions(store, delivery, clock),
    )
    rooms = RoomPages(world.graph.url, Directory(world), store, delivery, clock)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncGenerator[None]:
        await delivery.start()
        yield
        await delivery.stop()

    return Starlette(routes=[*api.routes(), *rooms.routes()], lifespan=lifespan)
