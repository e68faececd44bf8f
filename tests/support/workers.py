"""Which worker runs which tests where there are several (pytest-xdist), and what they find out for the session's end.

Owns which tests stay together, in which order their groups begin, and gathering what is told once all have ended.
"""

# pyright: reportUnknownMemberType=false
# (pytest-xdist has no types.)

from typing import Any

import pytest
from xdist.scheduler.loadscope import LoadScopeScheduling  # pyright: ignore[reportMissingTypeStubs]

Found = dict[str, list[str]]
TOGETHER = "tests/journeys/"
"""All of them share one running stack, which is too dear to start twice."""
DEAR = ("tests/faults/", TOGETHER, "tests/engine/")
"""They start whole stacks, of a dozen processes each."""

KEY = pytest.StashKey[dict[str, Found]]()


def found(config: pytest.Config, what: str) -> Found:
    """What tests find out about `what`, to be added to: at the session's end it is complete, whoever found it."""
    return config.stash.setdefault(KEY, {}).setdefault(what, {})


def group_of(nodeid: str) -> str:
    """Tests of one group run in one worker, in their order: a file's, for what it sets up is set up once."""
    return TOGETHER if nodeid.startswith(TOGETHER) else nodeid.partition("::")[0]


class Groups(LoadScopeScheduling):
    """The next group goes to the worker that has nothing left: to the first worker the dearest, to others the cheapest.

    So two stacks start beside each other only once nothing else is to be done, and the workers end together.
    """

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)

    def _assign_work_unit(self, node: Any) -> None:
        if node is not self.nodes[0]:
            self.workqueue.move_to_end(next(reversed(self.workqueue)), last=False)
        super()._assign_work_unit(node)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Groups:
    config.option.loadscopereorder = False  # it would put first what has most tests
    return Groups(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The dear ones first; otherwise as they are collected."""
    items.sort(key=lambda item: [not item.nodeid.startswith(folder) for folder in DEAR])


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A worker's last word."""
    output: dict[str, Any] | None = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["found"] = session.config.stash.get(KEY, dict[str, Found]())


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    for what, entries in getattr(node, "workeroutput", {}).get("found", {}).items():
        found(node.config, what).update(entries)
