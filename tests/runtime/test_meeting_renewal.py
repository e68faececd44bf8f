"""Subscriptions live as long as their visits: renewed in time, made again where Graph lost them, removed after."""

from collections.abc import AsyncGenerator
from uuid import UUID

import httpx
import pytest

from runtime.meeting.renewal import mend, remove_left_over, renew_due
from runtime.purge import purge
from runtime.visit.snapshot import read_provider_snapshot
from runtime.worker import sweep
from tests.support.postgres import PostgresServer
from tests.support.visits import Clinic, clinic

pytestmark = pytest.mark.anyio


@pytest.fixture
async def here(postgres: PostgresServer) -> AsyncGenerator[Clinic]:
    async with clinic(postgres) as made:
        await made.provider()
        yield made


def subscription(here: Clinic) -> UUID:
    return here.rows("SELECT id FROM subscription")[0][0]


async def test_it_is_renewed_only_when_it_ends_soon(here: Clinic) -> None:
    await renew_due(here.worker)
    assert "renew" not in here.remotes.names()
    here.execute("UPDATE subscription SET expires_at = now() + interval '1 hour'")
    await renew_due(here.worker)
    assert here.rows("SELECT expires_at > now() + interval '70 hours' FROM subscription") == [(True,)]


async def test_a_subscription_that_graph_lost_is_made_again_on_the_same_path(here: Clinic) -> None:
    first = here.remotes.subscriptions.pop()
    here.execute("UPDATE subscription SET expires_at = now() + interval '1 hour'")
    await renew_due(here.worker)
    again = here.remotes.subscriptions[0]
    assert (again.id != first.id, again.path) == (True, first.path)
    assert here.rows("SELECT graph_id FROM subscription") == [(again.id,)]


async def test_a_removed_subscription_is_made_again(here: Clinic) -> None:
    first = here.remotes.subscriptions.pop()
    await mend(here.worker, subscription(here), "subscriptionRemoved")
    assert here.remotes.subscriptions[0].id != first.id


async def test_reauthorization_renews(here: Clinic) -> None:
    await mend(here.worker, subscription(here), "reauthorizationRequired")
    assert here.remotes.names()[-1] == "renew"


async def test_missed_events_are_shown_to_the_provider(here: Clinic) -> None:
    session = await here.provider()
    await mend(here.worker, subscription(here), "missed")
    snapshot = await read_provider_snapshot(here.services, session.visit_key, session.participant_hash)
    assert snapshot is not None
    assert snapshot.behind


async def test_graph_being_down_leaves_the_subscription_for_the_next_round(here: Clinic) -> None:
    here.execute("UPDATE subscription SET expires_at = now() + interval '1 hour'")
    here.remotes.broken["renew"] = lambda _: httpx.Response(503, headers={"retry-after": "600"})
    await renew_due(here.worker)
    assert here.rows("SELECT graph_id IS NOT NULL FROM subscription") == [(True,)]


async def test_after_the_visit_it_is_removed(here: Clinic) -> None:
    await here.happen("n-1", 1, kind="callEnded")
    await remove_left_over(here.worker)
    assert len(here.remotes.subscriptions) == 1
    here.execute("UPDATE visit SET ended_at = now() - interval '2 hours'")
    await remove_left_over(here.worker)
    assert here.remotes.subscriptions == []


async def test_a_visit_to_which_nobody_came_leaves_no_subscription_with_graph(here: Clinic) -> None:
    await here.provider("csn-2")
    here.execute("UPDATE visit SET organizer_begun_at = now() - interval '1 hour'")
    soon = "UPDATE visit SET purge_after = now() + interval '%d seconds' WHERE visit_key = (%s)"
    here.execute(soon % (300, "SELECT visit_key FROM visit LIMIT 1"))
    await remove_left_over(here.worker)
    assert len(here.remotes.subscriptions) == 1
    here.execute("DELETE FROM procrastinate_jobs")
    await sweep(here.worker)
    assert here.rows("SELECT count(*) FROM procrastinate_jobs") == [(0,)], "it is not made again"


async def test_a_visit_is_purged_only_once_graph_has_forgotten_its_subscription(here: Clinic) -> None:
    here.execute("UPDATE visit SET purge_after = now() - interval '1 second'")
    here.remotes.broken["unsubscribe"] = lambda _: httpx.Response(403, json={"error": {"code": "Forbidden"}})
    await remove_left_over(here.worker)
    assert (await purge(here.worker))["visit"] == 0
    here.execute("UPDATE subscription SET expires_at = now() + interval '1 hour'")
    await renew_due(here.worker)
    assert "renew" not in here.remotes.names()
    here.execute("UPDATE subscription SET expires_at = now() - interval '1 second'")
    assert (await purge(here.worker))["visit"] == 1
