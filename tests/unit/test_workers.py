# pyright: reportUnknownMemberType=false, reportArgumentType=false
# (pytest-xdist has no types; its nodes and pytest's configuration are stood in for.)
"""Two workers: what stays together, who begins with what, and what a worker found is told at the session's end."""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.workers import Groups, found, group_of, pytest_sessionfinish, pytest_testnodedown

DEAR = ["tests/faults/test_f.py::test_f", "tests/journeys/test_j.py::test_j", "tests/journeys/test_k.py::test_k"]
CHEAP = [f"tests/unit/test_{name}.py::test_{number}" for name in "abc" for number in range(4)]


@dataclass(eq=False)
class Worker:
    """Takes what it is sent, and runs it when asked to."""

    collection: list[str]
    sent: list[str] = field(default_factory=list[str])
    shutting_down: bool = False
    gateway: Any = field(default_factory=lambda: SimpleNamespace(id="gw"))

    def send_runtest_some(self, indices: list[int]) -> None:
        self.sent += [self.collection[index] for index in indices]

    def shutdown(self) -> None:
        self.shutting_down = True


def test_a_file_stays_in_one_worker_and_all_journeys_do() -> None:
    assert group_of("tests/unit/test_a.py::test_b[x::y]") == "tests/unit/test_a.py"
    assert {group_of(nodeid) for nodeid in DEAR[1:]} == {"tests/journeys/"}


def test_the_first_worker_begins_with_the_dearest_and_the_second_with_the_cheapest_and_all_is_run_once() -> None:
    tests = [*DEAR, *CHEAP]
    two: dict[str, Any] = {"tx": ["popen", "popen"]}
    config = SimpleNamespace(option=SimpleNamespace(loadscopereorder=False), getvalue=two.__getitem__)
    groups = Groups(config)
    workers = [Worker(tests), Worker(tests)]
    for worker in workers:
        groups.add_node(worker)
        groups.add_node_collection(worker, tests)
    groups.schedule()
    assert [w.sent[0] for w in workers] == [DEAR[0], CHEAP[8]]
    assert workers[0].sent == DEAR, "and nothing of the second's"
    ran: list[str] = []
    while left := [(w, t) for w in workers for t in w.sent if t not in ran]:
        worker, test = left[-1]
        ran.append(test)
        groups.mark_test_complete(worker, tests.index(test))
    assert sorted(ran) == sorted(tests)
    assert all(w.shutting_down for w in workers)


def test_what_a_worker_found_is_the_sessions() -> None:
    worker: Any = SimpleNamespace(stash=pytest.Stash(), workeroutput={})
    found(worker, "axe")["keyboard"] = ["decide", "confirm"]
    pytest_sessionfinish(SimpleNamespace(config=worker))
    whole: Any = SimpleNamespace(stash=pytest.Stash())
    found(whole, "axe")["phone"] = ["edit"]
    pytest_testnodedown(SimpleNamespace(config=whole, workeroutput=worker.workeroutput))
    assert found(whole, "axe") == {"keyboard": ["decide", "confirm"], "phone": ["edit"]}


def test_a_worker_that_died_found_nothing() -> None:
    whole: Any = SimpleNamespace(stash=pytest.Stash())
    pytest_testnodedown(SimpleNamespace(config=whole))
    assert found(whole, "axe") == {}
