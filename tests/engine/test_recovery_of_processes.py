"""Processes of the local stack that are killed come back, or end together, and nothing stays after Ctrl-C."""

import os
import random
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from emulators.azure.client import is_running
from tests.support.one_geography import keep_only
from tests.support.stack import Running, TestStack

SECONDS = 180.0


def until(happened: Callable[[], object], what: str, seconds: float = SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, f"{what}: not within {seconds:.0f} s"
        time.sleep(0.1)


def answers(stack: TestStack) -> bool:
    """Whether every geography is ready, and its portal."""
    try:
        with httpx.Client(verify=stack.certificates, trust_env=False, timeout=5) as http:
            hosts = [h for g in stack.config.geographies.values() for h in (g.public_hosts.test, g.portal_host)]
            return all(http.get(f"https://{host}/readyz").status_code == 200 for host in hosts)
    except (httpx.HTTPError, OSError):
        return False


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, pulumi_executable: Path) -> Iterator[Running]:
    """Started, used and killed at will by the tests of this module, in their order; ended by the last one."""
    found = Running(TestStack.make(tmp_path_factory.mktemp("processes")))
    found.until_up()
    yield found
    found.end()


@pytest.fixture
def stack(tmp_path: Path, pulumi_executable: Path) -> TestStack:
    """One geography, not started."""
    made = TestStack.make(tmp_path)
    keep_only(made, "americas")
    return made


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("role", ["application", "worker", "portal"])
def test_a_killed_container_comes_back(running: Running, role: str, seed: int) -> None:
    stack = running.stack
    apps = [p for p in stack.named("-m runtime") if p.environ().get("CONNECTOR_ROLE") == role]
    chosen = random.Random(seed).choice(sorted(apps, key=lambda p: p.pid))
    geography = chosen.environ()["CONNECTOR_GEOGRAPHY"]
    chosen.kill()

    def back() -> bool:
        now = [p for p in stack.named("-m runtime") if p.pid != chosen.pid]
        return any(_is(p, role, geography) for p in now) and answers(stack)

    until(back, f"{role} of {geography} runs again")


def _is(process: psutil.Process, role: str, geography: str) -> bool:
    try:
        environment = process.environ()
    except psutil.Error:
        return False
    return (environment.get("CONNECTOR_ROLE"), environment.get("CONNECTOR_GEOGRAPHY")) == (role, geography)


def test_a_killed_database_comes_back(running: Running) -> None:
    stack = running.stack
    servers = [p for p in stack.named("postgres") if p.cmdline() and "-D" in p.cmdline()]
    chosen = random.Random(3).choice(sorted(servers, key=lambda p: p.pid))
    chosen.kill()
    until(lambda: not psutil.pid_exists(chosen.pid) or chosen.status() == psutil.STATUS_ZOMBIE, "the server is gone")
    until(lambda: answers(stack), "every geography is ready again")


def test_when_the_supervisor_is_killed_its_children_end_within_ten_seconds_and_up_starts_it_again(
    running: Running,
) -> None:
    stack = running.stack
    (supervisor,) = stack.named("-m emulators.azure.supervisor")
    children = [p for p in stack.processes() if p.pid != supervisor.pid and os.getsid(p.pid) == supervisor.pid]
    children += [p for p in stack.named("-m runtime") if p not in children]
    assert len(children) > 10
    supervisor.kill()
    psutil.wait_procs(children, timeout=10)
    left = [p for p in children if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
    assert [p.cmdline() for p in left] == []
    until(lambda: is_running(stack.state) and answers(stack), "every geography is ready again")


def test_ctrl_c_ends_everything_with_code_zero(running: Running) -> None:
    stack = running.stack
    assert running.end() == 0, running.lines[-40:]
    assert stack.until_no_processes() == []
    assert stack.arm() == {}
    keys = [f for f in stack.state.rglob("*") if f.suffix in (".key", ".pem", ".secret")]
    assert keys == []


def test_a_second_command_is_told_that_the_first_one_runs_and_down_ends_it(stack: TestStack) -> None:
    first = Running(stack)
    until(lambda: (stack.state / "command.lock").exists() and stack.named("pulumi"), "up has begun")
    refused = stack.connector("demo")
    assert refused.returncode == 1
    assert "is running here" in refused.stderr
    assert stack.connector("down").returncode == 0
    assert first.process.wait(30) == 0
    assert stack.until_no_processes() == []


def test_a_port_in_use_is_named_with_what_to_do(stack: TestStack) -> None:
    host = stack.config.geographies[next(iter(stack.config.geographies))].public_hosts.test
    port = int(host.rpartition(":")[2])
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        failed = stack.connector("up")
    assert failed.returncode == 1
    assert str(port) in failed.stderr
    assert stack.until_no_processes() == []


def test_ctrl_c_in_the_middle_of_the_update_leaves_nothing_either(stack: TestStack) -> None:
    running = Running(stack)
    until(lambda: len(stack.arm()) > 25, "the update is under way")
    assert running.end() == 0, running.lines[-40:]
    assert stack.until_no_processes() == []
    assert stack.arm() == {}
