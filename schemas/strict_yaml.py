"""YAML that every reader understands alike: what two readers could read differently is refused.

Owns how text becomes values with line and column. Pulumi reads a stack file with a Go reader that mixes YAML 1.1 and
1.2, this project's tools read YAML 1.2, editors and other tools often YAML 1.1: a plain scalar is a string only if it
is one for all three. Anchors, aliases, merge keys, tags, directives, duplicate keys, several documents and values over
several lines are refused where they concern the project's own keys; the rest of the file belongs to others.
"""

# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# (PyYAML is typed in parts.)

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from yaml import CSafeLoader, MarkedYAMLError, YAMLError, parse
from yaml import events as e

from schemas.problems import Path, bare, shown

DEEPEST = 40


@dataclass(frozen=True)
class Mark:
    line: int
    column: int


@dataclass(frozen=True)
class Unclear:
    """A plain scalar that some reader does not take for a string, number or boolean as another does."""

    kind: str
    text: str


@dataclass(frozen=True)
class Finding:
    """A problem that is in the text itself."""

    path: Path
    mark: Mark
    code: str
    expected: str
    got: str


@dataclass
class Reading:
    """The values of one document, and where each value and each key stands."""

    value: Any = None
    values: dict[Path, Mark] = field(default_factory=dict[Path, Mark])
    keys: dict[Path, Mark] = field(default_factory=dict[Path, Mark])
    findings: list[Finding] = field(default_factory=list[Finding])
    readable: bool = True


def read_yaml(text: str, concerns: Callable[[Path], bool] = lambda _: True) -> Reading:
    """Read one document. Findings at paths that `concerns` answers no for are left out."""
    reading = Reading()
    reading.findings.extend(_refused_characters(text))
    if reading.findings:
        reading.readable = False
        return reading
    composer = _Composer(text, reading, concerns)
    try:
        # libyaml's events: docs/decisions/0017-libyaml-reads-yaml.md
        reading.value = composer.document(iter(parse(text, CSafeLoader)))
    except MarkedYAMLError as problem:
        reading.readable = False
        mark = problem.problem_mark or problem.context_mark
        where = Mark(mark.line + 1, mark.column + 1) if mark else Mark(1, 1)
        got = " ".join(filter(None, (problem.context, problem.problem)))
        reading.findings.append(Finding((), where, "yaml-syntax", "YAML", _one_line(got)))
    except YAMLError as problem:
        reading.readable = False
        reading.findings.append(Finding((), Mark(1, 1), "yaml-syntax", "YAML", _one_line(str(problem))))
    except _TooDeep as problem:
        reading.readable = False
        reading.findings.append(
            Finding((), problem.mark, "yaml-depth", f"at most {DEEPEST} levels of nesting", "more levels")
        )
    return reading


# --- which plain scalars are strings for every reader ---------------------------------------------------------------

_WORDS: Final = {
    **dict.fromkeys(("true", "false", "yes", "no", "on", "off", "y", "n"), "boolean"),
    **dict.fromkeys(("null", "~", ""), "null"),
    **dict.fromkeys((".nan", ".inf", "+.inf", "-.inf"), "number"),
    "=": "value key",
    "<<": "merge key",
}
_INTEGER = re.compile(r"[-+]?(?:0[xX][0-9a-fA-F_]+|0[oO][0-7_]+|0[bB][01_]+|[0-9][0-9_]*)")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9_]+|[0-9][0-9_]*(?:\.[0-9_]*)?)(?:[eE][-+]?[0-9_]+)?")
_BASE_60 = re.compile(r"[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?")
_TIMESTAMP = re.compile(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt \t].*)?")
_PLAIN_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,14})")


def kind_of_plain(text: str) -> str:
    """`string`, or what some reader of YAML 1.1, 1.2 or Pulumi's takes the plain scalar for."""
    word = _WORDS.get(text.lower())
    if word:
        return word
    if _TIMESTAMP.fullmatch(text):
        return "date"
    if any(pattern.fullmatch(text) for pattern in (_INTEGER, _FLOAT, _BASE_60)):
        return "number"
    return "string"


def _plain_value(text: str) -> Any:
    kind = kind_of_plain(text)
    if kind == "string":
        return text
    if text in ("true", "false"):
        return text == "true"
    if _PLAIN_INTEGER.fullmatch(text) and text != "-0":
        return int(text)
    return Unclear(kind, text)


# --- from events to values ------------------------------------------------------------------------------------------


def _is_plain(event: Any) -> bool:
    return not event.style  # without quotes, and no block


class _TooDeep(Exception):
    def __init__(self, mark: Mark) -> None:
        self.mark = mark


class _Composer:
    def __init__(self, text: str, reading: Reading, concerns: Callable[[Path], bool]) -> None:
        self.text, self.reading, self.concerns = text, reading, concerns

    def document(self, events: Iterator[Any]) -> Any:
        value: Any = None
        documents = 0
        for event in events:
            if isinstance(event, e.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    self._find((), _mark(event), "yaml-documents", "one YAML document", "another one")
                if event.version or event.tags:
                    self._find((), _mark(event), "yaml-directive", "no YAML directives", "a % directive")
            elif isinstance(event, e.DocumentEndEvent) and event.explicit:
                self._find((), _mark(event), "yaml-documents", "one YAML document", "the end of one (...)")
            elif isinstance(event, (e.ScalarEvent, e.MappingStartEvent, e.SequenceStartEvent, e.AliasEvent)):
                composed = self._node(event, events, ())
                value = composed if documents == 1 else value
        return value

    def _node(self, event: Any, events: Iterator[Any], path: Path) -> Any:
        mark = self.reading.values.setdefault(path, _mark(event))
        if len(path) > DEEPEST:
            raise _TooDeep(mark)
        if isinstance(event, e.AliasEvent):
            self._find(path, mark, "yaml-alias", "the value itself", f"the alias *{bare(event.anchor)}")
            return Unclear("alias", f"*{event.anchor}")
        if event.anchor:
            self._find(path, mark, "yaml-anchor", "a value without an anchor", f"the anchor &{bare(event.anchor)}")
        if event.tag:
            self._find(path, mark, "yaml-tag", "a value without a tag", f"the tag {shown(str(event.tag))}")
        if isinstance(event, e.MappingStartEvent):
            return self._mapping(events, path)
        if isinstance(event, e.SequenceStartEvent):
            return self._sequence(events, path)
        return self._scalar(event, path, mark)

    def _scalar(self, event: Any, path: Path, mark: Mark) -> Any:
        if event.style in ("|", ">") or event.start_mark.line != event.end_mark.line:
            self._find(path, mark, "yaml-lines", "a value on one line", "a value over several lines")
            return event.value
        if refused := _REFUSED.search(event.value):
            got = f"U+{ord(refused.group()):04X}"
            self._find(path, mark, "yaml-character", "text without control characters", got)
        if event.style == '"' and (escape := _unusual_escape(self.text[event.start_mark.index : event.end_mark.index])):
            self._find(path, mark, "yaml-escape", "the character itself", f"the escape {shown(escape)}")
        return _plain_value(event.value) if _is_plain(event) and not event.tag else event.value

    def _sequence(self, events: Iterator[Any], path: Path) -> list[Any]:
        items: list[Any] = []
        while not isinstance(event := next(events), e.SequenceEndEvent):
            items.append(self._node(event, events, (*path, len(items))))
        return items

    def _mapping(self, events: Iterator[Any], path: Path) -> dict[str, Any]:
        items: dict[str, Any] = {}
        while not isinstance(event := next(events), e.MappingEndEvent):
            key = self._key(event, events, path)
            inside = (*path, key)
            mark = _mark(event)
            again = key in items
            if again:
                again_text = f"the key {shown(key)} again"
                self._find(inside, mark, "yaml-duplicate-key", "each key once", again_text, always=len(path) < 2)
            else:
                self.reading.keys[inside] = mark
            event_of_value = next(events)
            if isinstance(event_of_value, e.ScalarEvent) and not event_of_value.value and _is_plain(event_of_value):
                # The reader places a value that is not there at the next token, which may be many lines below.
                end = event.end_mark
                self.reading.values.setdefault(inside, Mark(end.line + 1, end.column + 1))
            value = self._node(event_of_value, events, inside)
            if not again:
                items[key] = value
        return items

    def _key(self, event: Any, events: Iterator[Any], path: Path) -> str:
        mark = _mark(event)
        if not isinstance(event, e.ScalarEvent):
            inside = (*path, f"(key in line {mark.line})")
            self._node(event, events, inside)
            self._find(inside, mark, "yaml-key", "a key that is a string", "a list, a mapping or an alias")
            return str(inside[-1])
        key = str(event.value)
        inside = (*path, key)
        if _is_plain(event) and key == "<<":
            self._find(inside, mark, "yaml-merge-key", "the keys themselves", "a merge key (<<)", always=len(path) < 2)
        elif _is_plain(event) and (kind := kind_of_plain(key)) != "string":
            self._find(inside, mark, "yaml-key", "a key that is a string", f"the {kind} {shown(key)}")
        if event.anchor or event.tag:
            self._find(inside, mark, "yaml-anchor", "a key without anchor or tag", "a key that has one")
        return key

    def _find(self, path: Path, mark: Mark, code: str, expected: str, got: str, *, always: bool = False) -> None:
        if always or self.concerns(path):
            self.reading.findings.append(Finding(path, mark, code, expected, got))


def _mark(event: Any) -> Mark:
    return Mark(event.start_mark.line + 1, event.start_mark.column + 1)


_REFUSED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff\ud800-\udfff]|\t")
_COMMENT = re.compile(r"(?:^|(?<=[ \t]))#")


def _unusual_escape(quoted: str) -> str | None:
    """An escape that Pulumi's reader does not know (`\\/`) or that has no place in a value on one line."""
    escapes = re.findall(r"\\.", quoted)
    return next((escape for escape in escapes if escape[1] not in '"\\xuU'), None)


def _refused_characters(text: str) -> Iterator[Finding]:
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), start=1):
        code = _COMMENT.split(line, 1)[0] if "\t" in line else line
        for match in _REFUSED.finditer(line):
            character = match.group()
            if character == "\t" and match.start() >= len(code):
                continue
            what = {"\t": "a tab", "\ufeff": "a byte order mark"}.get(character, f"U+{ord(character):04X}")
            yield Finding(
                (), Mark(number, match.start() + 1), "yaml-character", "text without control characters", what
            )
            break


def _one_line(text: str) -> str:
    return " ".join(text.split())
