"""What is wrong with a rule's tests, when the rule is away."""

from collections.abc import Sequence
from dataclasses import dataclass

from tests.mutation.passes import OfFile

MOST_TOLD = 3
"""Tests of each sort that a line names."""


@dataclass(frozen=True)
class Run:
    """The tests without a rule: which are marked with it, which come to its place, and which failed.

    `collecting` says that the place was come to while tests were collected.
    """

    code: str
    marked: frozenset[str]
    reached: frozenset[str]
    failed: frozenset[str] = frozenset()
    collecting: bool = False

    @classmethod
    def of(cls, code: str, files: Sequence[OfFile], *, collecting: bool = False) -> "Run":
        seen = [one for file in files for one in file.seen]
        marked = frozenset(one.test for one in seen if code in one.marked)
        reached = frozenset(one.test for one in seen if code in one.reached)
        failed = frozenset(test for file in files for test in file.failed.get(code, ()))
        return cls(code, marked, reached, failed, collecting)

    @property
    def verdict(self) -> str:
        """What is wrong; empty where nothing is."""
        told = [
            "come to while tests are collected: do it in a test" if self.collecting else "",
            _told("never comes to it", self.marked - self.reached),
            _told("passes without it", (self.marked & self.reached) - self.failed),
            _told("fails, and is not marked", self.failed - self.marked),
        ]
        return "; ".join(filter(None, ["" if self.marked else "no unit test of it", *told]))

    def __str__(self) -> str:
        killed = f"{len(self.marked & self.failed)}/{len(self.marked)}"
        return f"{self.code:<34} {killed:>7}  {self.verdict or 'its tests fail, no other'}"


def _told(what: str, tests: frozenset[str]) -> str:
    more = [f"and {len(tests) - MOST_TOLD} more"] if len(tests) > MOST_TOLD else []
    return f"{what}: {', '.join([*sorted(tests)[:MOST_TOLD], *more])}" if tests else ""
