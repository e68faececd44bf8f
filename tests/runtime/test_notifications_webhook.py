"""Graph's notifications: what is refused is not stored, what is repeated counts once, what is disordered ends right."""

from collections.abc import AsyncGenerator, Callable
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from psycopg.errors import UndefinedTable

from runtime.visit.process import process_notification
from tests.support.postgres import PostgresServer
from tests.support.visit_remotes import Subscribed, public_jwk
from tests.support.visits import (
    BEN,
    Clinic,
    clinic,
    guest,
    staff,
    validation_token,
)

pytestmark = pytest.mark.anyio
STRANGERS_KEY = rsa.generate_private_key(65537, 2048)


@pytest.fixture
async def here(postgres: PostgresServer) -> AsyncGenerator[Clinic]:
    async with clinic(postgres) as made:
        await made.provider()
        yield made


def stored(here: Clinic) -> int:
    return here.rows("SELECT count(*) FROM notification")[0][0]


def presence(here: Clinic) -> list[tuple[str, str]]:
    return sorted((party, presence) for party, presence in here.rows("SELECT party, presence FROM participant"))


def told(here: Clinic) -> int:
    return here.rows("SELECT count(*) FROM write_back")[0][0]


async def test_a_good_notification_is_kept_answered_202_and_left_to_the_worker(here: Clinic) -> None:
    answer = await here.notify(here.item(here.event("n-1", 1, staff("p-1"))))
    assert answer.status_code == 202
    assert (stored(here), presence(here)) == (1, [])
    await here.processed()
    assert presence(here) == [("staff", "connected")]
    assert here.rows("SELECT sealed IS NULL, processed_at IS NOT NULL FROM notification") == [(True, True)]


def forged(**claims: Any) -> Callable[[], str]:
    return lambda: validation_token(**claims)


@pytest.mark.parametrize(
    "token",
    [
        pytest.param(forged(key=STRANGERS_KEY), id="another key"),
        pytest.param(forged(kid="unknown"), id="unknown kid"),
        pytest.param(forged(aud="2b2b2b2b-0000-4000-8000-000000000002"), id="another audience"),
        pytest.param(forged(tid="1a1a1a1a-0000-4000-8000-000000000002"), id="another tenant"),
        pytest.param(forged(iss="https://127.0.0.1:8461/1a1a1a1a-0000-4000-8000-000000000002/v2.0"), id="issuer"),
        pytest.param(forged(azp="3d3d3d3d-0000-4000-8000-000000000000"), id="another publisher"),
        pytest.param(forged(azp=None, appid="3d3d3d3d-0000-4000-8000-000000000000"), id="another publisher, v1"),
        pytest.param(forged(exp=1), id="expired"),
        pytest.param(lambda: jwt.encode({"tid": "x"}, "", "none"), id="none"),
        pytest.param(lambda: jwt.encode({"tid": "x"}, "s" * 32, "HS256", headers={"kid": "entra"}), id="HS256"),
        pytest.param(lambda: "no token", id="no token at all"),
    ],
)
async def test_a_bad_validation_token_stores_nothing(here: Clinic, token: Callable[[], str]) -> None:
    item = here.item(here.event("n-1", 1, staff("p-1")))
    for tokens in ([token()], [validation_token(), token()]):
        assert (await here.notify(item, tokens=tokens)).status_code == 403
    assert (stored(here), presence(here)) == (0, [])


async def test_without_a_validation_token_nothing_is_stored(here: Clinic) -> None:
    assert (await here.notify(here.item(here.event("n-1", 1)), tokens=[])).status_code == 403
    assert stored(here) == 0


async def test_a_version_1_token_names_its_publisher_in_appid(here: Clinic) -> None:
    token = validation_token(
        azp=None,
        appid="0bf30f3b-4a52-48df-9a82-234910c4a086",
        iss="https://sts.windows.net/1a1a1a1a-0000-4000-8000-000000000001/",
    )
    assert (await here.notify(here.item(here.event("n-1", 1)), tokens=[token])).status_code == 202


def with_content(name: str, change: Callable[[str], str]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def changed(item: dict[str, Any]) -> dict[str, Any]:
        content = item["encryptedContent"]
        return {**item, "encryptedContent": {**content, name: change(content[name])}}

    return changed


def having(**changes: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda item: {**item, **changes}


def lacking(name: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda item: {k: v for k, v in item.items() if k != name}


def flipped(value: str) -> str:
    return ("B" if value[0] == "A" else "A") + value[1:]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(having(clientState="x" * 43), id="client state"),
        pytest.param(lacking("clientState"), id="no client state"),
        pytest.param(having(tenantId="1a1a1a1a-0000-4000-8000-000000000002"), id="tenant"),
        pytest.param(lacking("tenantId"), id="no tenant"),
        pytest.param(having(subscriptionId="3d3d3d3d-0000-4000-8000-000000000000"), id="subscription"),
        pytest.param(with_content("dataSignature", flipped), id="signature"),
        pytest.param(with_content("data", flipped), id="data"),
        pytest.param(with_content("dataKey", flipped), id="data key"),
        pytest.param(with_content("encryptionCertificateId", lambda _: "other"), id="certificate"),
        pytest.param(with_content("data", lambda _: "%%%"), id="not base64"),
        pytest.param(lacking("encryptedContent"), id="no content"),
    ],
)
async def test_a_bad_item_stores_nothing_and_takes_the_others_with_it(
    here: Clinic, change: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    good = here.item(here.event("n-1", 1, staff("p-1")))
    bad = change(here.item(here.event("n-2", 2, staff("p-2"))))
    for items in ((bad,), (good, bad)):
        assert (await here.notify(*items)).status_code == 403
    assert (stored(here), presence(here)) == (0, [])


@pytest.mark.parametrize("where", ["client state", "event id", "person"])
async def test_text_that_is_none_is_refused_and_not_stored(here: Clinic, where: str) -> None:
    people = [staff("p-1", "\ud800")] if where == "person" else []
    item = here.item(here.event("\ud800" if where == "event id" else "n-1", 1, *people))
    if where == "client state":
        item["clientState"] = "\ud800"
    answer = await here.notify(item)
    assert answer.status_code == (400 if where == "client state" else 403)
    assert stored(here) == 0


async def test_an_unknown_path_answers_nothing_and_stores_nothing(here: Clinic) -> None:
    item = here.item(here.event("n-1", 1, staff("p-1")))
    path = "/graph/notifications/" + "A" * 43
    assert (await here.notify(item, path=path)).status_code == 404
    handshake = await here.http.post(path, params={"validationToken": "reflect me"})
    assert (handshake.status_code, handshake.text) == (404, "")
    assert stored(here) == 0


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"{", 400), (b"[]", 400), (b'{"value": []}', 400), (b'{"value": [1]}', 400), (b"x" * (1024 * 1024 + 1), 413)],
)
async def test_what_cannot_be_read_stores_nothing(here: Clinic, body: bytes, status: int) -> None:
    assert (await here.http.post(here.remotes.subscriptions[0].path, content=body)).status_code == status
    assert stored(here) == 0


async def test_the_handshake_answer_is_plain_text_that_no_browser_runs(here: Clinic) -> None:
    answer = await here.http.post(
        here.remotes.subscriptions[0].path, params={"validationToken": "<script>alert(1)</script>"}
    )
    assert answer.text == "&lt;script&gt;alert(1)&lt;/script&gt;"
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")


async def test_while_microsofts_keys_cannot_be_had_graph_is_asked_to_send_again(here: Clinic) -> None:
    here.remotes.broken["keys"] = lambda _: httpx.Response(503)
    item = here.item(here.event("n-1", 1, staff("p-1")))
    assert (await here.notify(item)).status_code == 503
    assert stored(here) == 0
    here.remotes.broken.clear()
    assert (await here.notify(item)).status_code == 202


async def test_a_rotated_signing_key_is_fetched_when_it_is_first_seen(here: Clinic) -> None:
    jwk = public_jwk()
    here.remotes.broken["keys"] = lambda _: httpx.Response(200, json={"keys": [{**jwk, "kid": "next"}]})
    item = here.item(here.event("n-1", 1))
    assert (await here.notify(item, tokens=[validation_token(kid="next")])).status_code == 202
    assert here.remotes.names().count("keys") == 1


async def test_notifications_that_come_before_graphs_answer_are_known(postgres: PostgresServer) -> None:
    async with clinic(postgres) as here:

        async def early(made: Subscribed) -> None:
            answer = await here.notify(here.item(here.event("n-1", 1, staff("p-1")), made))
            assert answer.status_code == 202

        here.remotes.during_subscribe = early
        await here.provider()
        await here.processed()
        assert presence(here) == [("staff", "connected")]


async def test_a_replay_counts_once(here: Clinic) -> None:
    item = here.item(here.event("n-1", 1, staff("p-1"), guest("p-2")))
    again = here.item(here.event("n-1", 1, staff("p-1"), guest("p-2")))
    for body in (item, item, again):
        assert (await here.notify(body)).status_code == 202
        await here.processed()
    assert (stored(here), told(here)) == (1, 2)


async def test_processing_a_notification_twice_counts_once(here: Clinic) -> None:
    await here.happen("n-1", 1, staff("p-1"))
    (number,) = here.rows("SELECT id FROM notification")[0]
    await process_notification(here.worker, number)
    assert told(here) == 1


async def test_what_could_not_be_processed_its_job_does_later(here: Clinic) -> None:
    here.execute("ALTER TABLE participant RENAME TO away")
    with pytest.raises(UndefinedTable):
        await here.happen("n-1", 1, staff("p-1"))
    here.execute("ALTER TABLE away RENAME TO participant")
    assert (presence(here), told(here)) == ([], 0)
    jobs = here.rows(
        "SELECT (args->>'notification')::int FROM procrastinate_jobs WHERE task_name='process-notification'"
    )
    await process_notification(here.worker, jobs[0][0])
    assert presence(here) == [("staff", "connected")]


async def test_disorder_ends_with_the_truth(here: Clinic) -> None:
    await here.happen("n-3", 30, guest("p-2", left=True))
    await here.happen("n-1", 10, guest("p-2", lobby=True))
    await here.happen("n-2", 20, guest("p-2"))
    assert presence(here) == [("patient", "left")]


async def test_the_lobby_is_not_connected(here: Clinic) -> None:
    await here.happen("n-1", 1, guest("p-2", lobby=True))
    assert (presence(here), told(here)) == ([("patient", "waiting")], 0)


async def test_an_employee_who_is_not_a_provider_of_this_visit_is_on_the_patients_side(here: Clinic) -> None:
    await here.happen("n-1", 1, staff("p-1"), staff("p-9", BEN))
    assert presence(here) == [("patient", "connected"), ("staff", "connected")]
    await here.provider(object_id=BEN)
    assert presence(here) == [("staff", "connected"), ("staff", "connected")]


async def test_a_user_of_another_tenant_with_the_providers_object_id_is_not_staff(here: Clinic) -> None:
    stranger = staff("p-1")
    stranger["info"]["identity"]["user"]["tenantId"] = "1a1a1a1a-0000-4000-8000-000000000002"
    await here.happen("n-1", 1, stranger)
    assert presence(here) == [("patient", "connected")]


async def test_the_end_of_the_call_disconnects_all_and_ends_the_visit(here: Clinic) -> None:
    await here.happen("n-1", 1, staff("p-1"), guest("p-2"))
    await here.happen("n-2", 9, kind="callEnded")
    assert presence(here) == [("patient", "left"), ("staff", "left")]
    assert told(here) == 4
    assert here.rows("SELECT state, ended_at IS NOT NULL FROM visit") == [("ended", True)]


async def test_who_comes_back_to_the_call_reopens_the_visit(here: Clinic) -> None:
    await here.happen("n-1", 1, staff("p-1"))
    await here.happen("n-2", 9, kind="callEnded")
    await here.happen("n-3", 12, staff("p-5"))
    assert here.rows("SELECT state, ended_at FROM visit") == [("open", None)]


async def test_the_older_payload_is_read_too(here: Clinic) -> None:
    person = {"Identity": {"User": {"Id": "3c3c3c3c-0000-4000-8000-000000000011", "TenantId": "t"}, "Guest": None}}
    joined = {"activeParticipants@joined": [person], "eventType": "Microsoft.Communication.CallRosterUpdate"}
    base = here.event("n-1", 1)
    del base["participants@delta"]
    await here.notify(here.item({**base, **joined}))
    await here.processed()
    assert presence(here) == [("patient", "connected")]
    exited = {"activeParticipants@exited": [person], "id": "n-2", "eventDateTime": "2026-01-05T14:00:05Z"}
    await here.notify(here.item({**base, **exited}))
    await here.processed()
    assert presence(here) == [("patient", "left")]


async def test_nothing_stored_names_anybody(here: Clinic) -> None:
    await here.happen("n-1", 1, staff("p-1"), guest("canary-guest"))
    everything = repr(here.server.dump(here.database))
    for canary in ("csn-1", "canary-guest", "meetup-join", "3c3c3c3c-0000-4000-8000-000000000011", "p-1"):
        assert canary not in everything, canary


# --- lifecycle --------------------------------------------------------------------------------------------------


def lifecycle(here: Clinic, event: str, **changes: Any) -> dict[str, Any]:
    made = here.remotes.subscriptions[0]
    return {
        "value": [
            {
                "subscriptionId": made.id,
                "clientState": made.body["clientState"],
                "tenantId": "1a1a1a1a-0000-4000-8000-000000000001",
                "lifecycleEvent": event,
                **changes,
            }
        ]
    }


def queued(here: Clinic) -> list[str]:
    rows = here.rows("SELECT args->>'event' FROM procrastinate_jobs WHERE task_name = 'mend-subscription'")
    return [row[0] for row in rows]


@pytest.mark.parametrize("event", ["reauthorizationRequired", "subscriptionRemoved", "missed"])
async def test_a_lifecycle_notification_is_queued(here: Clinic, event: str) -> None:
    path = here.remotes.subscriptions[0].lifecycle_path
    assert (await here.http.post(path, json=lifecycle(here, event))).status_code == 202
    assert queued(here) == [event]


@pytest.mark.parametrize(
    "changes", [{"clientState": "wrong"}, {"tenantId": "1a1a1a1a-0000-4000-8000-000000000002"}, {"subscriptionId": "x"}]
)
async def test_a_forged_lifecycle_notification_queues_nothing(here: Clinic, changes: dict[str, str]) -> None:
    path = here.remotes.subscriptions[0].lifecycle_path
    assert (await here.http.post(path, json=lifecycle(here, "missed", **changes))).status_code == 403
    assert queued(here) == []
