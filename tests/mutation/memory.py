"""What a test finds in memory because another one computed it: whoever takes it came to the same rules.

Owns the three memories of a process of tests: functions with `@cache`, fixtures of several tests, and the statements
that were verified. A value that a rule had its part in is computed anew where that rule is away.
"""

import functools
import sys
from collections.abc import Callable, Generator, Hashable
from typing import Any

import pytest

from tests.mutation.guards import RULES

OURS = ("components", "emulators", "policies", "runtime", "schemas", "tests", "tools", "workflow")
"""Whose functions are looked at: what the libraries keep comes to no rule."""


def note_caches() -> None:
    """Every function of ours that is decorated with `functools.cache` from now on."""
    plain = functools.cache

    def cache(function: Callable[..., Any]) -> Callable[..., Any]:
        if function.__module__.partition(".")[0] not in OURS:
            return plain(function)
        return noting(function)

    functools.cache = cache  # type: ignore[assignment]


def noting(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function with a memory of its values, and of the rules that were come to for each."""
    values: dict[Hashable, tuple[Any, frozenset[str], str]] = {}

    @functools.wraps(function)
    def remembered(*given: Hashable, **named: Hashable) -> Any:
        key = (given, frozenset(named.items()))
        known = values.get(key)
        if known is None or (known[2] != RULES.away and RULES.away in known[1]):
            with RULES.noted() as notes:
                value = function(*given, **named)
            known = values[key] = value, frozenset(notes), RULES.away
        RULES.note(known[1])
        return known[0]

    remembered.cache_clear = values.clear  # type: ignore[attr-defined]
    return remembered


def forget_statements() -> None:
    """What was verified is kept as long as the keys that it was verified by."""
    envelope: Any = sys.modules.get("schemas.promotion.envelope")
    if envelope is not None:
        envelope._FOUND.clear()


class Fixtures:
    """A pytest plugin: what was come to while a fixture was made is come to by each test that has it."""

    def __init__(self) -> None:
        self._made: dict[int, frozenset[str]] = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any, request: Any) -> Generator[None, Any, Any]:
        with RULES.noted() as reached:
            value = yield
        self._made[id(fixturedef)] = frozenset(reached)
        return value

    def note(self, item: pytest.Item) -> None:
        """Before the test ends: its fixtures are its own."""
        found: dict[str, Any] = getattr(item, "_fixtureinfo").name2fixturedefs  # noqa: B009 - pytest gives no other way
        for definitions in found.values():
            for definition in definitions:
                RULES.note(self._made.get(id(definition), ()))
