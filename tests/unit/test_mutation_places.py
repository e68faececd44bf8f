"""Each rule can be taken away from outside, and only it; what is wrong with its tests is then said."""

import ast
from typing import Any

import pytest

from tests.mutation import memory
from tests.mutation.guards import NAME, NoBranch, Rules, guarded
from tests.mutation.kinds import KINDS, kind_of_each
from tests.mutation.passes import OfFile, Seen
from tests.mutation.verdicts import Run
from tests.support.samples import ROOT

MADE = [(kind, package, maker) for kind in KINDS for package, maker in kind.made.items()]


@pytest.mark.parametrize(("kind", "package", "maker"), MADE, ids=[f"{k.name} in {p}" for k, p, _ in MADE])
def test_every_place_of_the_code_can_be_guarded(kind: Any, package: str, maker: str) -> None:
    files = sorted((ROOT / package.replace(".", "/")).glob("*.py"))
    calls = sum(f.read_text("utf-8").count(f" {maker}(") for f in files)
    guards = sum(
        isinstance(n, ast.Name) and n.id == NAME
        for f in files
        for n in ast.walk(guarded(f.read_bytes(), frozenset({maker}), f.name))
    )
    assert guards >= calls > 0, kind.name


def test_every_rule_is_of_one_kind() -> None:
    kinds = kind_of_each()
    assert {kind.name for kind in KINDS} == set(kinds.values())
    assert len(kinds) == sum(len([*kind.codes()]) for kind in KINDS)


SOURCES: dict[str, tuple[str, list[str], list[str]]] = {
    # what it is: a generator of reasons; what it finds; what it finds without the rule `a`
    "an if": ("if True:\n  yield Reason('a')\nyield from ()", ["a"], []),
    "an if whose elif has its turn": (
        "if True:\n  yield Reason('a')\nelif True:\n  yield Reason('b')",
        ["a"],
        ["b"],
    ),
    "an else": ("if False:\n  pass\nelse:\n  yield Reason('a')", ["a"], []),
    "an if inside": ("if True:\n  x = 'c'\n  if x:\n    yield Reason('a')\n  yield x", ["a", "c"], ["c"]),
    "a condition that binds": ("if x := ['c']:\n  yield Reason('a')\nyield from x", ["a", "c"], ["c"]),
    "an except": ("try:\n  1 / 0\nexcept ZeroDivisionError:\n  yield Reason('a')", ["a"], []),
    "a case": ("match 1:\n  case 1:\n    yield Reason('a')", ["a"], []),
    "a loop": ("for _ in range(2):\n  yield Reason('a')", ["a", "a"], []),
    "a code from a table": ("for x in ('a', 'b'):\n  if x:\n    yield Reason(x)", ["a", "b"], ["b"]),
    "a comprehension": ("yield from [Reason(x) for x in ('a', 'b') if x]", ["a", "b"], ["b"]),
    "a generator": ("x = 'c'\nyield Reason('a')", ["a"], []),
}


@pytest.mark.parametrize("name", SOURCES)
def test_without_a_rule_the_branch_that_leads_to_its_reason_is_not_taken(name: str) -> None:
    body, found, left = SOURCES[name]
    source = "def find():\n" + "".join(f"  {line}\n" for line in body.splitlines())

    def ran(away: str) -> tuple[list[str], set[str]]:
        asked: set[str] = set()

        def stands(code: str) -> bool:
            asked.add(code)
            return code != away

        names: dict[str, Any] = {"Reason": str, NAME: stands}
        exec(compile(guarded(source, frozenset({"Reason"})), "<source>", "exec"), names)  # noqa: S102 - as above
        return list(names["find"]()), asked

    with_it, reached = ran("")
    assert with_it == found
    assert reached == {r for r in found if r != "c"}, "a guard is asked where the reason is made, and nowhere else"
    assert ran("a")[0] == left


def test_a_condition_that_is_false_never_asks_the_guard() -> None:
    tree = guarded("def find(x):\n  if x:\n    return Reason('a')\n  return None", frozenset({"Reason"}))
    names: dict[str, Any] = {}
    exec(compile(tree, "<source>", "exec"), names)  # noqa: S102 - as above; no guard is there to be asked
    assert names["find"](None) is None


def test_a_reason_that_is_made_in_every_case_cannot_be_left_out() -> None:
    with pytest.raises(NoBranch, match="line 2: expected a reason to be made in a branch"):
        guarded("def find():\n  return Reason('a')", frozenset({"Reason"}), "some.py")


def said(*seen: Seen, failed: list[str]) -> str:
    return Run.of("a", [OfFile("a.py", [*seen], {"a": failed}, 0.0)]).verdict


def test_what_is_wrong_with_the_tests_of_a_rule_is_said() -> None:
    marked, stranger = Seen("one", ["a"], ["a"]), Seen("two", [], ["a", "b"])
    assert said(marked, stranger, failed=["one"]) == ""
    assert said(marked, stranger, failed=[]) == "passes without it: one"
    assert said(marked, stranger, failed=["one", "two"]) == "fails, and is not marked: two"
    assert said(Seen("one", ["a"]), failed=[]) == "never comes to it: one"
    collecting = Run.of("a", [OfFile("a.py", [marked], {"a": ["one"]}, 0.0)], collecting=True)
    assert collecting.verdict == "come to while tests are collected: do it in a test"


def test_a_rule_whose_tests_are_all_unmarked_is_told() -> None:
    stranger = Seen("two", ["b"], ["a"])
    assert said(stranger, failed=["two"]) == "no unit test of it; fails, and is not marked: two"
    assert said(stranger, failed=[]) == "no unit test of it"
    assert said(failed=[]) == "no unit test of it"


def test_who_takes_what_another_one_computed_came_to_the_same_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    rules = Rules()
    monkeypatch.setattr(memory, "RULES", rules)
    calls: list[int] = []

    def doubled(number: int) -> int:
        calls.append(number)
        return number * 2 if rules.stands("a") else 0

    remembered = memory.noting(doubled)
    for _ in range(2):
        with rules.noted() as reached:
            assert remembered(3) == 6
        assert reached == {"a"}
    assert calls == [3]
    rules.away = "a"
    assert (remembered(3), remembered(3)) == (0, 0), "what the rule had its part in is computed anew without it"
    assert calls == [3, 3], "and once"
