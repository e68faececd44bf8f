"""Processes, sockets and listeners of the emulated cloud: restarted, ended, found, and refused by name."""

import asyncio
import json
import os
import signal
import socket
import ssl
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from emulators import tls
from emulators.azure import client, layout
from emulators.azure.errors import AzureError
from emulators.azure.ingress import Ingress
from emulators.azure.processes import Children, Kept, stop
from emulators.azure.services import port_problem
from emulators.azure.store import Store
from emulators.hosting import HostCheck, JsonLines, RawRequestLog
from tests.support.ports import free_port

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True); time.sleep(600)",
]


async def soon(what: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "not so in time"
        await asyncio.sleep(0.02)


def kept(state: Path, argv: list[str]) -> Kept:
    return Kept(Children(state), "child", argv, lambda: {"PATH": os.environ["PATH"]}, state)


def test_a_kept_process_comes_back_when_it_is_killed_and_stays_away_when_it_is_stopped(tmp_path: Path) -> None:
    async def scenario() -> None:
        child = kept(tmp_path, SLEEP)
        await child.start()
        assert child.process is not None
        first = child.process.pid
        os.kill(first, signal.SIGKILL)
        await soon(lambda: child.alive and child.process is not None and child.process.pid != first)
        recorded = json.loads((tmp_path / "supervisor" / "children.json").read_text())
        assert recorded["child"]["pid"] == child.process.pid
        await child.stop()
        assert not child.is_kept
        assert json.loads((tmp_path / "supervisor" / "children.json").read_text()) == {}

    asyncio.run(scenario())


def test_a_process_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    async def scenario() -> int | None:
        children = Children(tmp_path)
        process = await children.start("stubborn", STUBBORN, {}, tmp_path)
        await soon(lambda: children.tail("stubborn") == "1")
        await stop(process, grace_seconds=0.2)
        return process.returncode

    assert asyncio.run(scenario()) == -signal.SIGKILL


def test_a_unix_socket_works_below_a_path_longer_than_its_address_may_be(tmp_path: Path) -> None:
    folder = tmp_path / ("long-" * 30)
    folder.mkdir()
    server = layout.listen(folder / "control.sock")
    assert (folder / "control.sock").stat().st_mode & 0o777 == 0o600
    with server, layout.connect(folder / "control.sock", 1.0) as connection:
        connection.sendall(b"x")


def test_a_stale_pid_file_is_not_a_running_supervisor_and_its_pid_is_not_touched(tmp_path: Path) -> None:
    folder = tmp_path / "supervisor"
    folder.mkdir()
    (folder / "lock").touch()
    (folder / "supervisor.pid").write_text(json.dumps({"pid": os.getpid(), "create_time": 1.0}))
    assert not client.is_running(tmp_path)
    client.stop(tmp_path)


def test_what_pulumi_does_not_know_is_forgotten_with_its_secrets(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with store.transaction() as contents:
        for name in ("known", "unknown"):
            contents.put({"id": f"/subscriptions/s/resourceGroups/{name}", "type": "x", "properties": {}})
    assert client.forget(tmp_path, ["/subscriptions/s/resourcegroups/KNOWN"]) == [
        "/subscriptions/s/resourceGroups/unknown"
    ]
    assert list(store.read().resources) == ["/subscriptions/s/resourcegroups/known"]


def test_certificates_that_operators_brought_stay_in_a_vault_that_stays(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with store.transaction() as contents:
        for vault in ("known", "unknown"):
            for below in ("", "/secrets/public-host", "/secrets/other"):
                contents.put({"id": f"/vaults/{vault}{below}", "type": "x", "properties": {}})
    client.forget(tmp_path, ["/vaults/known"])
    assert list(store.read().resources) == ["/vaults/known", "/vaults/known/secrets/public-host"]


def test_a_transaction_that_raises_writes_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with suppress(ZeroDivisionError), store.transaction() as contents:
        contents.put({"id": "/x", "type": "x", "properties": {}})
        raise ZeroDivisionError
    assert store.read().resources == {}


def test_a_server_held_by_a_dead_process_is_free(tmp_path: Path) -> None:
    with Store(tmp_path).transaction() as contents:
        contents.hold("/s/A")
        assert contents.holder("/s/a") is not None
        contents.operations["/s/a"]["create_time"] = 1.0
        assert contents.holder("/s/a") is None


def served(state: Path) -> ssl.SSLContext:
    tls.ensure_leaf(state, ["localhost"])
    return tls.server_context(state)


def test_the_ingress_ends_tls_and_passes_bytes_both_ways(tmp_path: Path) -> None:
    async def scenario() -> bytes:
        async def app(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"got " + await reader.readuntil(b"\r\n\r\n"))
            writer.close()

        server = await asyncio.start_server(app, "127.0.0.1", 0)
        port = int(server.sockets[0].getsockname()[1])
        ingress = Ingress(f"localhost:{free_port()}", served(tmp_path), lambda: [port])
        await ingress.start()
        answer = await fetched(tmp_path, ingress.port)
        await ingress.stop()
        server.close()
        return answer

    assert asyncio.run(scenario()).startswith(b"got GET / HTTP/1.1")


def test_the_ingress_says_503_while_no_replica_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("emulators.azure.ingress.CONNECT_SECONDS", 0.2)

    async def scenario() -> bytes:
        ingress = Ingress(f"localhost:{free_port()}", served(tmp_path), list)
        await ingress.start()
        answer = await fetched(tmp_path, ingress.port)
        await ingress.stop()
        return answer

    assert asyncio.run(scenario()).startswith(b"HTTP/1.1 503 ")


async def fetched(state: Path, port: int) -> bytes:
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=tls.client_context(state), server_hostname="localhost"
    )
    writer.write(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
    answer = await reader.read()
    writer.close()
    return answer


def test_a_taken_public_port_is_named_with_its_remedy(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(AzureError, match=rf"port {port} of 127\.0\.0\.1.*publicHosts"):
            asyncio.run(Ingress(f"localhost:{port}", served(tmp_path), list).start())
        assert port_problem(port) == f"is in use by {Path('/proc/self/comm').read_text().strip()} (pid {os.getpid()})"
    assert port_problem(port) is None


@pytest.mark.parametrize(
    ("host", "status"),
    [("127.0.0.1:8461", 404), ("127.0.0.1", 421), ("evil.example:8461", 421), ("127.0.0.1:8462", 421), ("", 421)],
)
def test_only_configured_hosts_are_served(host: str, status: int) -> None:
    app: Any = TestClient(HostCheck(Starlette(), ["https://127.0.0.1:8461"]))
    assert app.get("/x", headers={"host": host}).status_code == status
    assert app.get("/healthz", headers={"host": host}).status_code == (200 if status == 404 else 421)


def test_the_raw_log_has_the_request_as_it_came_in_a_private_file(tmp_path: Path) -> None:
    file = tmp_path / "raw" / "requests.jsonl"
    app: Any = TestClient(RawRequestLog(Starlette(), JsonLines(file), ("Content-Type",)))
    app.post("/a%20b?c=d", content=b"body", headers={"content-type": "text/plain"})
    record = json.loads(file.read_text())
    assert (record["method"], record["path"], record["query"]) == ("POST", "/a%20b", "c=d")
    assert (record["body"], record["headers"], record["status"]) == ("body", {"content-type": "text/plain"}, 404)
    assert file.stat().st_mode & 0o777 == 0o600


def test_keys_of_the_local_authority_are_private_and_a_leaf_grows_by_names(tmp_path: Path) -> None:
    tls.ensure_leaf(tmp_path, ["localhost"])
    first = tls.server_pair(tmp_path)[0].read_bytes()
    tls.ensure_leaf(tmp_path, ["localhost"])
    assert tls.server_pair(tmp_path)[0].read_bytes() == first
    tls.ensure_leaf(tmp_path, ["127.0.0.1"])
    assert tls.server_pair(tmp_path)[0].read_bytes() != first
    assert {f.stat().st_mode & 0o777 for f in (tmp_path / "ca").glob("*.key")} == {0o600}
