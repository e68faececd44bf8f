"""Write-backs: in order, at least once, later when the EHR is down, visibly dead when it never takes them."""

import json
import time
from collections.abc import AsyncGenerator

import httpx
import pytest

from runtime.ehr.smart import FAILURE_SECONDS
from runtime.purge import purge
from runtime.writeback.delivery import deliver
from runtime.writeback.queue import wait_after
from tests.support.postgres import PostgresServer
from tests.support.visit_remotes import ACCESS_TOKEN
from tests.support.visits import Clinic, clinic, guest, staff

pytestmark = pytest.mark.anyio


@pytest.fixture
async def here(postgres: PostgresServer) -> AsyncGenerator[Clinic]:
    async with clinic(postgres) as made:
        await made.provider()
        yield made


async def work(here: Clinic) -> None:
    await deliver(here.worker, here.rows("SELECT visit_key FROM visit")[0][0])


def states(here: Clinic) -> list[str]:
    return [row[0] for row in here.rows("SELECT state FROM write_back ORDER BY sequence")]


def said(here: Clinic) -> list[tuple[str, str]]:
    return [(t["ExternalIDType"], t["ConnectionStatus"]) for t in here.remotes.told]


async def test_each_connect_and_disconnect_is_told_in_order(here: Clinic) -> None:
    await here.happen("n-1", 1, staff("p-1"))
    await here.happen("n-2", 2, guest("p-2"))
    await here.happen("n-3", 3, guest("p-2", left=True))
    await here.happen("n-4", 4, kind="callEnded")
    await work(here)
    assert said(here) == [
        ("Provider", "Connected"),
        ("Patient", "Connected"),
        ("Patient", "Disconnected"),
        ("Provider", "Disconnected"),
    ]
    assert states(here) == ["delivered"] * 4


async def test_the_request_is_the_one_that_epic_documents(here: Clinic) -> None:
    await here.happen("n-1", 1, staff("p-1"))
    await work(here)
    request = here.remotes.calls[-1][1]
    assert request.method == "GET"
    assert request.url.path.endswith("/api/epic/2018/Telehealth/ContextLinking/SetExternalConnectionStatus")
    assert "/api/FHIR/" not in request.url.path
    assert request.headers["epic-client-id"] == "lakeside-tst-backend"
    assert request.headers["authorization"] == f"Bearer {ACCESS_TOKEN}"
    told = here.remotes.told[0]
    assert (told["ConferenceID"], told["VendorName"]) == ("csn-1", "TeamsEhrConnector")
    assert len(told["ExternalID"]) == 26
    assert "3c3c3c3c" not in json.dumps(here.remotes.told)


async def test_what_was_delivered_is_wiped(here: Clinic) -> None:
    await here.happen("n-1", 1, staff("p-1"))
    assert here.rows("SELECT sealed IS NULL FROM write_back") == [(False,)]
    await work(here)
    assert here.rows("SELECT sealed IS NULL, delivered_at IS NOT NULL FROM write_back") == [(True, True)]


@pytest.mark.parametrize("broken", ["ehr_status", "ehr_token", "ehr_discovery"])
async def test_while_the_ehr_is_down_they_wait_in_order_and_are_delivered_later(here: Clinic, broken: str) -> None:
    def down(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("down", request=request)

    here.remotes.broken[broken] = down
    await here.happen("n-1", 1, staff("p-1"), guest("p-2"))
    await work(here)
    await work(here)
    assert states(here) == ["pending", "pending"]
    assert here.rows("SELECT attempts, last_error_code FROM write_back ORDER BY sequence") == [
        (2, "ehr-unavailable"),
        (0, None),
    ]
    waiting = here.rows(
        "SELECT lock FROM procrastinate_jobs WHERE task_name = 'deliver-write-backs' AND scheduled_at > now()"
    )
    key = here.rows("SELECT visit_key FROM visit")[0][0].hex()
    assert set(waiting) == {(f"write-back:{key}",)}
    here.remotes.broken.clear()
    here.services.smart.monotonic = lambda: time.monotonic() + FAILURE_SECONDS
    await work(here)
    assert states(here) == ["delivered", "delivered"]
    assert len(said(here)) == 2


async def test_the_ehr_asking_for_time_is_given_it(here: Clinic) -> None:
    here.remotes.broken["ehr_status"] = lambda _: httpx.Response(429, headers={"retry-after": "90"})
    await here.happen("n-1", 1, staff("p-1"))
    await work(here)
    assert here.rows("SELECT next_attempt_at > now() + interval '80 seconds' FROM write_back") == [(True,)]


async def test_a_token_that_the_ehr_no_longer_takes_is_replaced(here: Clinic) -> None:
    here.remotes.broken["ehr_status"] = lambda _: httpx.Response(401)
    await here.happen("n-1", 1, staff("p-1"))
    await work(here)
    here.remotes.broken.clear()
    await work(here)
    assert here.remotes.names().count("ehr_token") == 2
    assert states(here) == ["delivered"]


async def test_one_token_serves_many_write_backs(here: Clinic) -> None:
    await here.happen("n-1", 1, staff("p-1"), guest("p-2"))
    await work(here)
    assert here.remotes.names().count("ehr_token") == 1


async def test_what_the_ehr_understands_and_refuses_is_dead_visibly_and_lets_the_next_pass(here: Clinic) -> None:
    answers = [httpx.Response(400, json={})]
    original = here.remotes.answer

    async def once(request: httpx.Request) -> httpx.Response:
        if "SetExternal" in request.url.path and answers:
            return answers.pop()
        return await original(request)

    here.services.http.client._transport = httpx.MockTransport(once)  # pyright: ignore[reportPrivateUsage]
    session = await here.provider()
    await here.happen("n-1", 1, staff("p-1"), guest("p-2"))
    await work(here)
    assert states(here) == ["dead", "delivered"]
    assert here.rows("SELECT detail FROM audit WHERE action = 'write-back-dead'") == [("status-400",)]
    assert here.rows("SELECT count(*) FROM write_back WHERE sealed IS NOT NULL") == [(0,)]
    page = await here.http.get("/visit/provider", headers=await here.cookie(session))
    assert "could not be delivered" in page.text


async def test_after_a_day_it_is_given_up(here: Clinic) -> None:
    here.remotes.broken["ehr_status"] = lambda _: httpx.Response(503)
    await here.happen("n-1", 1, staff("p-1"))
    here.execute("UPDATE write_back SET created_at = now() - interval '25 hours'")
    await work(here)
    assert states(here) == ["dead"]


async def test_what_nobody_foresaw_counts_as_an_attempt_and_is_given_up_in_the_end(here: Clinic) -> None:
    def unforeseen(_: httpx.Request) -> httpx.Response:
        raise LookupError("nobody foresaw this")

    here.remotes.broken["ehr_status"] = unforeseen
    await here.happen("n-1", 1, staff("p-1"))
    await work(here)
    assert here.rows("SELECT state, attempts, last_error_code FROM write_back") == [("pending", 1, "unexpected")]
    here.execute("UPDATE write_back SET created_at = now() - interval '25 hours'")
    await work(here)
    assert states(here) == ["dead"]


async def test_waits_are_short_first_and_never_longer_than_five_minutes() -> None:
    seconds = [wait_after(attempts).total_seconds() for attempts in range(1, 500)]
    assert seconds[:4] == [1, 2, 4, 8]
    assert max(seconds) == 300


async def test_an_ended_visit_is_purged_an_hour_after_its_end_once_all_is_delivered(here: Clinic) -> None:
    await here.happen("n-1", 1, staff("p-1"))
    await here.happen("n-2", 2, kind="callEnded")
    assert here.rows("SELECT purge_after > now() + interval '23 hours' FROM visit") == [(True,)]
    await work(here)
    assert here.rows("SELECT purge_after < now() + interval '61 minutes' FROM visit") == [(True,)]


async def test_what_the_ehr_did_not_take_outlives_the_purge_until_it_is_given_up_visibly(here: Clinic) -> None:
    here.remotes.broken["ehr_status"] = lambda _: httpx.Response(503)
    await here.happen("n-1", 1, staff("p-1"))
    await work(here)
    here.execute("UPDATE visit SET purge_after = now() - interval '1 second'")
    await purge(here.worker)
    assert states(here) == ["pending"]
    here.execute("UPDATE write_back SET created_at = now() - interval '25 hours'")
    await work(here)
    assert states(here) == ["dead"]
    here.execute("UPDATE subscription SET graph_id = NULL")
    await purge(here.worker)
    assert here.rows("SELECT count(*) FROM visit") == [(0,)]
    assert here.rows("SELECT detail FROM audit WHERE action = 'write-back-dead'") == [("ehr-unavailable",)]
