"""The composition root: the only place where adapters are made and joined.

Owns `Services`, what every request and job is given, and its life cycle. Tests build a `Services` of their own with
other transports; nothing else may.
"""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import files
from typing import TYPE_CHECKING, cast

import stamina
from starlette.requests import HTTPConnection

from runtime.audit import Audit
from runtime.configuration import Configuration, fetch_configuration
from runtime.database import Database
from runtime.ehr.smart import SmartClient
from runtime.errors import StartRefused, Unavailable
from runtime.http import HttpClients, open_clients
from runtime.keys import Keys, read_keys
from runtime.managed_identity import ManagedIdentity
from runtime.promotion.minutely import deciding
from runtime.promotion.standing import Standing
from runtime.sealing import Seal
from runtime.settings import Settings
from runtime.storage import Storage
from runtime.vault import Vault
from schemas.promotion.trust import AnchorsInvalid, Trust, TrustAnchors, read_anchors
from schemas.vocabulary import Cloud

if TYPE_CHECKING:
    from runtime.meeting.graph import Graph
    from runtime.meeting.join_links import JoinLinks
    from runtime.meeting.signing_keys import SigningKeys


START_SECONDS = 40.0


def wall_clock() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class Services:
    """Everything a request or a job may use."""

    settings: Settings
    configuration: Configuration
    database: Database
    http: HttpClients
    vault: Vault
    keys: Keys
    seal: Seal
    identity_tokens: ManagedIdentity
    smart: SmartClient
    graph: "Graph"
    join_links: "JoinLinks"
    graph_keys: "SigningKeys"
    audit: Audit
    storage: Storage
    trust: Trust
    standing: Standing
    clock: Callable[[], datetime] = wall_clock


def services_of(request: HTTPConnection) -> Services:
    """The services of the application that serves this request."""
    return cast(Services, request.app.state.services)


async def build(settings: Settings, http: HttpClients) -> Services:
    """Read keys and configuration from the vault and join everything. Raises `StartRefused`, `VaultUnavailable`."""
    from runtime.meeting.app_tokens import AppTokens
    from runtime.meeting.graph import Graph
    from runtime.meeting.join_links import JoinLinks
    from runtime.meeting.signing_keys import SigningKeys

    identity = ManagedIdentity(settings.handover.managed_identity_client_id, http.msal)
    vault = Vault.at(settings.handover.key_vault_url, http, identity)
    keys = await read_keys(vault)
    configuration = await fetch_configuration(vault, settings)
    graph = Graph(http, settings.graph_url, AppTokens(settings, identity, http))
    return Services(
        settings=settings,
        configuration=configuration,
        database=Database.of(settings, identity),
        http=http,
        vault=vault,
        keys=keys,
        seal=keys.seal,
        identity_tokens=identity,
        smart=SmartClient(http, vault),
        graph=graph,
        join_links=JoinLinks(graph),
        graph_keys=SigningKeys(settings, http),
        audit=Audit(),
        storage=Storage.at(settings.handover.storage_url, http, identity),
        trust=Trust(configuration.document.promotion.trusted_keys, anchors(settings.cloud)),
        standing=Standing(),
    )


def anchors(cloud: Cloud) -> TrustAnchors:
    """The keys that this image knows, from a file inside it: nothing outside adds one. Raises `StartRefused`."""
    file = files("schemas.promotion") / "anchors" / f"{cloud}.json"
    try:
        return read_anchors(file.read_bytes())
    except (OSError, AnchorsInvalid) as e:
        raise StartRefused(f"the trust anchors of {cloud}: {e}", "The image is incomplete: build it anew.") from None


@asynccontextmanager
async def running(settings: Settings) -> AsyncGenerator[Services]:
    """The services of a process, closed when the block ends."""
    http = open_clients(settings.handover.ca_bundle)
    try:
        services = await _patiently(settings, http)
        await services.database.open()
        try:
            async with deciding(services):
                yield services
        finally:
            await services.database.close()
    finally:
        await http.aclose()


async def _patiently(settings: Settings, http: HttpClients) -> Services:
    """A fresh role assignment takes a while to be known to the vault."""
    async for attempt in stamina.retry_context(
        on=Unavailable, attempts=None, timeout=START_SECONDS, wait_initial=0.2, wait_max=3.0
    ):
        with attempt:
            return await build(settings, http)
    raise AssertionError("unreachable: the last attempt raises")
