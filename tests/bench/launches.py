"""A returning provider's launch, beside a bare Starlette handler that makes the same calls (`bare.py`), in turns.

A local stack of one geography, of real processes: the application, PostgreSQL, EHR and Graph. Either is behind an
ingress. The bare handler makes its calls one after the other; the application those that need each other. One
provider, linked before, begins one visit after the other. Timed is what the person waits for: from the launch URL in
the EHR's frame to the page of the visit, redirects included. The emulators count the calls of both.
"""

import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from ruamel.yaml import YAML

from schemas.vocabulary import RuntimeRole, Stage
from tests.bench import bare, ingress
from tests.bench.organizations import as_yaml
from tests.bench.timing import tell
from tests.support.one_geography import keep_only
from tests.support.ports import free_port
from tests.support.samples import ROOT
from tests.support.stack import Running, TestStack
from workflow.people import Provider

GOAL = 0.7
ORGANIZATION, CONNECTION, GEOGRAPHY = "prairie", "prairie-test", "americas"
FIRST_CSN = 9_000_000
WARM_UP = 3
"""Launches of each kind before the clock counts: imports, connections, tokens, keys, plans of the database."""
READY_SECONDS = 30.0
AGENT = "teams-ehr-connector"


def measure(launches: int) -> None:
    with tempfile.TemporaryDirectory(prefix="launches-") as folder:
        stack = TestStack.make(Path(folder))
        keep_only(stack, GEOGRAPHY)
        origin = f"https://localhost:{free_port()}"
        _extend(stack, origin, 2 * (launches + WARM_UP) + 1)
        running = Running(stack)
        try:
            running.until_up()
            with _bare(stack, origin):
                asyncio.run(_measure(stack, origin, launches))
        finally:
            running.end()
            stack.kill()


def _extend(stack: TestStack, origin: str, appointments: int) -> None:
    """The EHR knows the bare handler as one more place of the provider's client, and has a long day of appointments."""
    yaml = YAML(typ="safe", pure=True)
    file = stack.root / "world.yaml"
    world: Any = yaml.load(file)  # pyright: ignore[reportUnknownMemberType]
    ehr = next(e for e in world["ehrs"] if e["organization"] == ORGANIZATION)
    clients = next(e for e in ehr["environments"] if e["stage"] == Stage.TEST)["clients"]
    provider: dict[str, Any] = next(c for c in clients if c["role"] == "provider")
    provider["redirectUris"].append(f"{origin}/launch/provider/{CONNECTION}/callback")
    first = ehr["appointments"][0]
    ehr["appointments"] += [first | {"csn": str(FIRST_CSN + n)} for n in range(appointments)]
    file.write_text(as_yaml(world), "utf-8")


@contextmanager
def _bare(stack: TestStack, origin: str) -> Generator[None]:
    """The bare handler, in the environment of the application's replica."""
    environments = (process.environ() for process in stack.processes())
    environment = next(e for e in environments if e.get("CONNECTOR_ROLE") == RuntimeRole.APPLICATION)
    port = str(free_port())
    commands = (
        [bare.__name__, port, origin, CONNECTION],
        [ingress.__name__, str(urlsplit(origin).port), port, str(stack.state)],
    )
    processes = [
        subprocess.Popen([sys.executable, "-m", *command], cwd=ROOT, env=environment | {"PYTHONPATH": str(ROOT)})
        for command in commands
    ]
    try:
        _until_ready(stack, origin, processes)
        yield
    finally:
        for process in processes:
            process.terminate()
            process.wait()


def _until_ready(stack: TestStack, origin: str, processes: Sequence["subprocess.Popen[bytes]"]) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline and all(process.poll() is None for process in processes):
        with suppress(httpx.TransportError):
            if httpx.get(f"{origin}/visit/provider", verify=stack.certificates, trust_env=False).is_success:
                return
        time.sleep(0.1)
    raise AssertionError(f"the bare handler did not come up within {READY_SECONDS:.0f} s")


async def _measure(stack: TestStack, origin: str, launches: int) -> None:
    ehr = next(e for e in stack.world.ehrs if e.organization == ORGANIZATION)
    provider = Provider(ehr, Stage.TEST, ehr.users[0], stack.world.entra, stack.certificates)
    places = {"launch": None, "bare": origin}
    csns = (str(number) for number in range(FIRST_CSN, FIRST_CSN + 10**6))
    seconds: dict[str, list[float]] = {name: [] for name in places}
    calls: dict[str, Counter[str]] = {name: Counter() for name in places}
    try:
        await provider.begin(next(csns))  # the sign-in that is the only one ever
        for turn in range(WARM_UP + launches):
            for name, place in places.items():
                frame = await provider.frame(next(csns))
                url = frame if place is None else place + frame.removeprefix(_origin(frame))
                before, began = _calls(stack), time.perf_counter()
                page = await provider.browser.open(url)
                took = time.perf_counter() - began
                assert page.path == "/visit/provider", page.described
                if turn >= WARM_UP:
                    seconds[name].append(took)
                    calls[name] += _calls(stack) - before
    finally:
        await provider.browser.close()
    assert calls["launch"] == calls["bare"], f"expected the same calls of both, got {calls}"
    launch, alone = (statistics.median(seconds[name]) for name in places)
    tell(
        "a returning provider's launch beside a bare handler with the same calls",
        launches=launches,
        calls_of_a_launch=calls["launch"].total() / launches,
        calls_of_the_bare_handler=calls["bare"].total() / launches,
        launch_seconds=launch,
        bare_seconds=alone,
        ratio=alone / launch,
        goal_at_least=GOAL,
    )


def _calls(stack: TestStack) -> "Counter[str]":
    """What the emulated EHR and Graph were asked so far by the connector's HTTP client, by method and service."""
    logs = {"ehr": stack.state / "ehr" / ORGANIZATION, "graph": stack.state / "graph"}
    return Counter(
        f"{line['method']} {name}"
        for name, folder in logs.items()
        for line in map(json.loads, (folder / "raw-requests.jsonl").read_text("utf-8").splitlines())
        if line["headers"].get("user-agent") == AGENT
    )


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
