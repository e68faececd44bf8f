"""Values changed in YAML while every other byte stays; what two readers could take differently is never written."""

import difflib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.strict_yaml import read_yaml
from schemas.yaml_edit import EditImpossible, document, rendered, with_value, without_value

TEXT = """\
# Heading
id: lakeside   # the id
name: 'Lakeside Health'

people:
  # first
  - objectId: a
    displayName: "Ann"

  # second
  - objectId: b
    displayName: Bob # the builder
    github: bob
# not indented
origins: [https://a.example, "https://b.example"]
nothing: []
nested:
  deeper:
    deepest: 1
  flag: true
last:
- x
-
  # below its dash
  id: y
  z: "1"
"""


def same_but(path: tuple[str | int, ...], wanted: Any, text: str = TEXT) -> tuple[list[str], list[str]]:
    """The lines taken away and those put there; everything else is the same by construction of a diff."""
    return diff(text, with_value(text, path, wanted))


def diff(text: str, made: str) -> tuple[list[str], list[str]]:
    lines = list(difflib.ndiff(text.splitlines(), made.splitlines()))
    return [x[2:] for x in lines if x.startswith("- ")], [x[2:] for x in lines if x.startswith("+ ")]


CHANGES: dict[str, tuple[tuple[str | int, ...], Any, list[str], list[str]]] = {
    "a value, its comment kept": (("id",), "other", ["id: lakeside   # the id"], ["id: other   # the id"]),
    "quotes stay quotes": (("name",), "New", ["name: 'Lakeside Health'"], ['name: "New"']),
    "a value that is the same": (("people", 0), {"objectId": "a", "displayName": "Ann"}, [], []),
    "keys in another order are the same": (("people", 0), {"displayName": "Ann", "objectId": "a"}, [], []),
    "a word that some reader takes for a boolean": (
        ("id",),
        "off",
        ["id: lakeside   # the id"],
        ['id: "off"   # the id'],
    ),
    "a number as text": (("id",), "0123", ["id: lakeside   # the id"], ['id: "0123"   # the id']),
    "a key more in an entry": (
        ("people", 0),
        {"objectId": "a", "displayName": "Ann", "github": "ann"},
        [],
        ["    github: ann"],
    ),
    "a key between others": (
        ("people", 1),
        {"objectId": "b", "role": "x", "displayName": "Bob", "github": "bob"},
        [],
        ["    role: x"],
    ),
    "a key less in an entry": (
        ("people", 1),
        {"objectId": "b", "displayName": "Bob"},
        ["    github: bob"],
        [],
    ),
    "a whole list, one entry more in the middle": (
        ("people",),
        [
            {"objectId": "a", "displayName": "Ann"},
            {"objectId": "c", "displayName": "Cy"},
            {"objectId": "b", "displayName": "Bob", "github": "bob"},
        ],
        [],
        ["  - objectId: c", "    displayName: Cy"],
    ),
    "a whole list, its first entry gone, its comment kept": (
        ("people",),
        [{"objectId": "b", "displayName": "Bob", "github": "bob"}],
        ["  - objectId: a", '    displayName: "Ann"'],
        [],
    ),
    "an entry after the last": (
        ("people", 2),
        {"objectId": "c", "list": ["1", "two"], "empty": {}},
        [],
        ["  - objectId: c", "    list:", '      - "1"', "      - two", "    empty: {}"],
    ),
    "an entry in place of another": (
        ("people", 0),
        {"id": "new"},
        ["  - objectId: a", '    displayName: "Ann"'],
        ["  - id: new"],
    ),
    "a list on one line": (
        ("origins",),
        ["https://a.example"],
        ['origins: [https://a.example, "https://b.example"]'],
        ["origins:", "  - https://a.example"],
    ),
    "an empty list": (("nothing",), ["x"], ["nothing: []"], ["nothing:", "  - x"]),
    "an entry of an empty list": (("nothing", 0), "x", ["nothing: []"], ["nothing:", "  - x"]),
    "a mapping in place of a value": (
        ("nested", "flag"),
        {"a": False},
        ["  flag: true"],
        ["  flag:", "    a: false"],
    ),
    "a value in place of a mapping": (
        ("nested", "deeper"),
        "x",
        ["  deeper:", "    deepest: 1"],
        ["  deeper: x"],
    ),
    "a key of the root": (("more",), {"a": "b"}, [], ["more:", "  a: b"]),
    "below a dash of its own line": (("last", 1, "z"), "2", ['  z: "1"'], ['  z: "2"']),
    "a number is not text": (("nested", "deeper", "deepest"), "1", ["    deepest: 1"], ['    deepest: "1"']),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_only_the_lines_of_the_change_differ(change: tuple[tuple[str | int, ...], Any, list[str], list[str]]) -> None:
    path, wanted, gone, new = change
    assert same_but(path, wanted) == (gone, new)


@pytest.mark.parametrize(
    ("path", "gone", "new"),
    [
        (("people", 1), ["  - objectId: b", "    displayName: Bob # the builder", "    github: bob"], []),
        (("people", 1, "github"), ["    github: bob"], []),
        (("last", 1), ["-", "  # below its dash", "  id: y", '  z: "1"'], []),
        (("nested", "deeper", "deepest"), ["  deeper:", "    deepest: 1"], ["  deeper: {}"]),
        (("people", 0, "objectId"), ["  - objectId: a", '    displayName: "Ann"'], ["  - displayName: Ann"]),
    ],
)
def test_what_is_removed_takes_its_own_lines_with_it(
    path: tuple[str | int, ...], gone: list[str], new: list[str]
) -> None:
    assert diff(TEXT, without_value(TEXT, path)) == (gone, new)


@pytest.mark.parametrize("ending", ["\n", "\r\n", ""])
def test_line_endings_stay_as_they_are(ending: str) -> None:
    newline = ending or "\n"
    text = f"a: x{newline}list:{newline}  - id: p{ending}"
    made = with_value(with_value(text, ("list", 1), {"id": "q", "r": "s"}), ("a",), "z")
    assert made == f"a: z{newline}list:{newline}  - id: p{newline}  - id: q{newline}    r: s{newline}"


@pytest.mark.parametrize(
    "text",
    [
        "a: &x 1\nb: *x\n",
        "a: 1\na: 2\n",
        "a: |\n  x\n",
        "---\na: 1\n---\nb: 1\n",
        "%YAML 1.1\n---\na: 1\n",
        "a: !!str x\n",
        "{",
        "",
        "\t",
    ],
)
def test_a_file_that_two_readers_understand_differently_is_not_edited(text: str) -> None:
    with pytest.raises(EditImpossible):
        with_value(text, ("a",), "y")


@pytest.mark.parametrize("path", [("none", "x"), ("people", 7), ("id", "x"), ("people", -1), ("name", 0)])
def test_a_place_that_is_not_there_is_not_made(path: tuple[str | int, ...]) -> None:
    with pytest.raises(EditImpossible):
        with_value(TEXT, path, "x")


@pytest.mark.parametrize("value", [None, 1.5, object(), [["x"]]])
def test_values_without_one_spelling_for_all_are_not_written(value: Any) -> None:
    with pytest.raises(EditImpossible):
        with_value(TEXT, ("more",), value)


WORDS = st.one_of(
    st.text(st.characters(exclude_categories=("Cs",)), max_size=20),
    st.sampled_from(["off", "~", "", "1e3", "0x1F", "12:30:45", "2026-01-01", "a: b", "a #b", "- x", "? x", "=", "<<"]),
    st.sampled_from(["\x00", "\t", "\x85", "\u2028", "\u2029", "\ufeff", "\uffff"]),
    st.from_regex(r"[A-Za-z0-9 .:/@#&*!|>'\"%`,\[\]{}?-]{0,12}", fullmatch=True),
)


@given(WORDS)
@settings(max_examples=150, deadline=None)
def test_text_is_written_so_that_every_reader_takes_it_for_that_text(value: str) -> None:
    reading = read_yaml(f"key: {rendered(value)}\nlist:\n  - {rendered(value)}\n")
    controls = [f for f in reading.findings if f.code == "yaml-character"]
    assert reading.readable
    assert reading.findings == controls  # text that no configuration may hold, refused where it stands
    assert reading.value == {"key": value, "list": [value]}


VALUES = st.recursive(
    st.one_of(WORDS.filter(str.isprintable), st.booleans(), st.integers(0, 10**12)),
    lambda inner: st.one_of(
        st.lists(inner.filter(lambda v: not isinstance(v, list)), max_size=3),
        st.dictionaries(
            st.from_regex(r"[a-z]{1,6}", fullmatch=True).filter(
                lambda k: k not in {"y", "n", "no", "on", "off", "yes", "true", "false", "null"}
            ),
            inner,
            max_size=3,
        ),
    ),
    max_leaves=12,
)


@st.composite
def trees(draw: st.DrawFn) -> dict[str, Any]:
    keys = draw(st.lists(st.sampled_from(["a", "b", "c", "d", "e"]), min_size=2, unique=True))
    return {key: draw(VALUES) for key in keys}


def commented(value: dict[str, Any]) -> str:
    """A file of these values with a comment above each line and behind it."""
    lines = document(value).splitlines()
    return "".join(f"# above {n}\n{line} # behind {n}\n" for n, line in enumerate(lines))


@given(trees(), st.data())
@settings(max_examples=120, deadline=None)
def test_any_change_says_what_is_wanted_and_keeps_every_line_outside_it(
    tree: dict[str, Any], data: st.DataObject
) -> None:
    text = commented(tree)
    assert read_yaml(text).value == tree
    key = data.draw(st.sampled_from(sorted(tree)))
    wanted = data.draw(VALUES)
    made = with_value(text, (key,), wanted)
    assert read_yaml(made).value == {**tree, key: wanted}
    others = {k: v for k, v in tree.items() if k != key}
    outside = [line for line in text.splitlines() if line.split(" #")[0].split(":")[0] in others]
    kept = made.splitlines()
    assert [line for line in kept if line in outside] == outside
    removed, _ = diff(text, made)
    first = next(n for n, line in enumerate(text.splitlines()) if line.startswith((f"{key}:",)))
    last = first + 2 * len(document({key: tree[key]}).splitlines()) - 1
    assert all(line in text.splitlines()[first:last] for line in removed)


@given(
    st.lists(st.sampled_from("abcdefgh"), unique=True, min_size=1), st.lists(st.sampled_from("abcdefgh"), unique=True)
)
@settings(max_examples=60, deadline=None)
def test_entries_keep_their_comments_whatever_comes_and_goes(before: list[str], after: list[str]) -> None:
    text = "list:\n" + "".join(f"  # {n}\n  - id: {n}\n    of: {n} # {n}\n" for n in before)
    wanted = [{"id": n, "of": n} for n in after]
    made = with_value(text, ("list",), wanted)
    assert read_yaml(made).value == {"list": wanted}
    stay = [n for n in before if n in after]
    if stay and stay == [n for n in after if n in before]:
        assert all(f"  - id: {n}\n    of: {n} # {n}\n" in made for n in stay)
