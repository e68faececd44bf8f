"""Changing values in a YAML file while every other byte of it stays: comments, order, quotes, blank lines.

Owns the step from "this value shall be that" to the fewest changed lines. The text is spliced where the parser says
that a value stands, never written anew; what is made is read again by the strict reader, and must say exactly what was
wanted and nothing else differently (`EditImpossible` otherwise). A comment above something that is removed stays.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# (ruamel.yaml is typed in parts; values of YAML are of any type.)

import re
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from schemas.problems import Path
from schemas.strict_yaml import Unclear, kind_of_plain, read_yaml

INDENT = 2
_PLAIN = re.compile(r"[^\W_](?:[^\W]|[ ./:@+'()&,-])*")
"""Text that needs no quotes for any reader, if it is no number, date or word of YAML's: a part of what YAML allows."""


class EditImpossible(Exception):
    """The file cannot be changed so that it says what is wanted and nothing else."""


@dataclass(frozen=True)
class _Splice:
    """Lines of the text (from 0) give way to others; `columns` instead names a part of one line."""

    first: int
    after: int
    lines: tuple[str, ...]
    columns: tuple[int, int] | None = None


def with_value(text: str, path: Path, wanted: Any, concerns: Callable[[Path], bool] = lambda _: True) -> str:
    """The text with the value at a path set to `wanted`: of mappings, lists, strings, booleans and integers.

    The path's parent must be there; a key or an entry at the end of a list that is not is added. `concerns` says, as
    for `read_yaml`, which paths must be plain to every reader.
    """
    return _edited(text, path, wanted, concerns)


def without_value(text: str, path: Path, concerns: Callable[[Path], bool] = lambda _: True) -> str:
    """The text without the key or the entry at a path."""
    return _edited(text, path, _ABSENT, concerns)


_ABSENT: Any = object()


def _edited(text: str, path: Path, wanted: Any, concerns: Callable[[Path], bool]) -> str:
    before = read_yaml(text, concerns)
    if not before.readable or before.findings:
        raise EditImpossible("expected a file that every reader understands alike")
    expected = _replaced(before.value, path, wanted)
    made = _made(text, before.value, path, wanted)
    after = read_yaml(made, concerns)
    if not after.readable or after.findings or not _same(after.value, expected):
        raise EditImpossible("the file is laid out in a way that this change cannot keep")
    return made


def _made(text: str, value: Any, path: Path, wanted: Any) -> str:
    """The change at the path; where its layout does not allow that, what holds it written anew."""
    while path:
        try:
            return _Editor(text).edited(path, wanted)
        except _Anew:
            wanted = _with(_at(value, path[:-1]), path[-1], wanted)
            path = path[:-1]
    raise EditImpossible("the file is laid out in a way that this change cannot keep")


def _at(value: Any, path: Path) -> Any:
    for part in path:
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            raise EditImpossible("expected the place of the change in the file") from None
    return value


def _with(there: Any, key: str | int, wanted: Any) -> Any:
    if isinstance(there, dict) and isinstance(key, str):
        rest = {k: v for k, v in there.items() if wanted is not _ABSENT or k != key}
        return rest if wanted is _ABSENT else {**rest, key: wanted}
    if isinstance(there, list) and isinstance(key, int) and 0 <= key <= len(there) - (wanted is _ABSENT):
        return [*there[:key], *(() if wanted is _ABSENT else (wanted,)), *there[key + 1 :]]
    raise EditImpossible("expected the place of the change in the file")


def _replaced(value: Any, path: Path, target: Any) -> Any:
    if len(path) <= 1:
        return _with(value, path[0], target) if path else target
    return _with(value, path[0], _replaced(_at(value, path[:1]), path[1:], target))


def _same(a: Any, b: Any) -> bool:
    """Equal, with types: `1` is not `true`. The order of keys means nothing."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_same(a[k], b[k]) for k in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(_same(x, y) for x, y in zip(a, b, strict=True))
    return type(a) is type(b) and a == b


# --- one text -------------------------------------------------------------------------------------------------------


class _Editor:
    def __init__(self, text: str) -> None:
        self.newline = "\r\n" if "\r\n" in text else "\n"
        self.lines = re.findall(r"[^\n]*\n|[^\n]+", text)
        self.splices: list[_Splice] = []
        try:
            self.root: Node | None = YAML().compose(text)
        except YAMLError:
            raise EditImpossible("expected YAML") from None

    def edited(self, path: Path, wanted: Any) -> str:
        if self.root is None:
            raise EditImpossible("expected a file that is not empty")
        node = self.root
        for part in path[:-1]:
            node = _child(node, part)
        if not _is_block(node):
            raise _Anew
        if isinstance(node, MappingNode) and isinstance(path[-1], str):
            self._set_key(node, path[-1], wanted)
        elif isinstance(node, SequenceNode) and isinstance(path[-1], int):
            self._set_entry(node, path[-1], wanted)
        return self._spliced()

    def _set_key(self, node: MappingNode, name: str, wanted: Any) -> None:
        column = node.start_mark.column
        for n, (key, value) in enumerate(node.value):
            if key.value == name and wanted is _ABSENT:
                if n == 0:
                    raise _Anew
                self._remove(key.start_mark.line, _last_line(value, key))
                return
            if key.value == name:
                self._try(value, wanted, (key.start_mark.line, _last_line(value, key)), column, name)
                return
        self._insert(_last_line(node, node) + 1, _entry(name, wanted, column))

    def _set_entry(self, node: SequenceNode, index: int, wanted: Any) -> None:
        if index == len(node.value):
            self._insert(_last_line(node, node) + 1, _item(wanted, node.start_mark.column))
            return
        item = node.value[index]
        if wanted is not _ABSENT:
            self._try_item(item, wanted, self._dash(node, item), node.start_mark.column)
        elif len(node.value) == 1:
            raise _Anew
        else:
            self._remove(self._dash(node, item), _last_line(item, item))

    def _change(self, node: Node, wanted: Any) -> None:
        """Splices for a value; raises `_Anew` where it has to be written anew by whoever holds it."""
        if isinstance(node, ScalarNode) and not isinstance(wanted, (dict, list)):
            self._change_scalar(node, wanted)
        elif isinstance(node, MappingNode) and isinstance(wanted, dict) and wanted and _is_block(node):
            self._change_mapping(node, wanted)
        elif isinstance(node, SequenceNode) and isinstance(wanted, list) and wanted and _is_block(node):
            self._change_sequence(node, wanted)
        elif not _same(_value(node), wanted):
            raise _Anew

    def _change_scalar(self, node: ScalarNode, wanted: Any) -> None:
        if _same(_value(node), wanted):
            return
        first, last = node.start_mark, node.end_mark
        if first.line != last.line or first.index == last.index:
            raise _Anew
        text = rendered(wanted, quoted=node.style is not None)
        self.splices.append(_Splice(first.line, first.line + 1, (text,), (first.column, last.column)))

    def _change_mapping(self, node: MappingNode, wanted: dict[str, Any]) -> None:
        there = {str(key.value): (key, value) for key, value in node.value}
        if next(iter(there)) not in wanted:
            raise _Anew  # the key that may share its line with an entry's dash
        for name, (key, value) in there.items():
            if name not in wanted:
                self._remove(key.start_mark.line, _last_line(value, key))
                continue
            span = key.start_mark.line, _last_line(value, key)
            self._try(value, wanted[name], span, node.start_mark.column, name)
        self._add_keys(node, there, wanted)

    def _add_keys(self, node: MappingNode, there: Mapping[str, tuple[Node, Node]], wanted: dict[str, Any]) -> None:
        anchor = next(iter(there))
        for name, value in wanted.items():
            if name in there:
                anchor = name
                continue
            key, last = there[anchor]
            self._insert(_last_line(last, key) + 1, _entry(name, value, node.start_mark.column))

    def _change_sequence(self, node: SequenceNode, wanted: list[Any]) -> None:
        items = list(node.value)
        old, new = [_identity(_value(i)) for i in items], [_identity(w) for w in wanted]
        if len(set(old)) != len(old) or len(set(new)) != len(new):
            raise _Anew
        if [i for i in old if i in new] != [i for i in new if i in old] or not set(old) & set(new):
            raise _Anew
        column = node.start_mark.column
        dashes = [self._dash(node, i) for i in items]
        position = {identity: n for n, identity in enumerate(old)}
        for n, item in enumerate(items):
            if old[n] not in new:
                self._remove(dashes[n], _last_line(item, item))
            else:
                self._try_item(item, wanted[new.index(old[n])], dashes[n], column)
        at = dashes[0]
        for identity, value in zip(new, wanted, strict=True):
            if identity in position:
                at = _last_line(items[position[identity]], items[position[identity]]) + 1
            else:
                self._insert(at, _item(value, column))

    def _dash(self, node: SequenceNode, item: Node) -> int:
        """The line of an entry's dash, which may stand above its content."""
        column = node.start_mark.column
        for line in range(item.start_mark.line, node.start_mark.line - 1, -1):
            if re.match(rf" {{{column}}}-(?:\s|$)", self.lines[line]):
                return line
        raise _Anew

    def _try(self, node: Node, wanted: Any, span: tuple[int, int], column: int, name: str) -> None:
        held = len(self.splices)
        try:
            self._change(node, wanted)
        except _Anew:
            del self.splices[held:]
            first, last = span
            if self.lines[first][:column].strip():
                raise  # the key stands behind a dash: whoever holds the entry writes it
            self.splices.append(_Splice(first, last + 1, tuple(_entry(name, wanted, column))))

    def _try_item(self, node: Node, wanted: Any, first: int, column: int) -> None:
        held = len(self.splices)
        try:
            self._change(node, wanted)
        except _Anew:
            del self.splices[held:]
            self.splices.append(_Splice(first, _last_line(node, node) + 1, tuple(_item(wanted, column))))

    def _remove(self, first: int, last: int) -> None:
        self.splices.append(_Splice(first, last + 1, ()))

    def _insert(self, before: int, lines: Iterable[str]) -> None:
        self.splices.append(_Splice(before, before, tuple(lines)))

    def _spliced(self) -> str:
        lines = list(self.lines)
        if lines and not lines[-1].endswith("\n") and any(s.first >= len(lines) for s in self.splices):
            lines[-1] += self.newline
        order = sorted(enumerate(self.splices), key=lambda s: (s[1].first, s[1].after, s[0]), reverse=True)
        for _, splice in order:
            if splice.columns:
                start, end = splice.columns
                line = lines[splice.first]
                lines[splice.first] = line[:start] + splice.lines[0] + line[end:]
            else:
                lines[splice.first : splice.after] = [line + self.newline for line in splice.lines]
        return "".join(lines)


class _Anew(Exception):
    """This value cannot be changed in part."""


# --- nodes ----------------------------------------------------------------------------------------------------------


def _child(node: Node, part: str | int) -> Node:
    if isinstance(node, MappingNode):
        for key, value in node.value:
            if key.value == part:
                return value
    if isinstance(node, SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part]
    raise EditImpossible("expected the place of the change in the file")


def _is_block(node: Any) -> bool:
    return not node.flow_style and bool(node.value)


def _value(node: Any) -> Any:
    """The value as the strict reader takes it."""
    if isinstance(node, MappingNode):
        return {str(key.value): _value(value) for key, value in node.value}
    if isinstance(node, SequenceNode):
        return [_value(item) for item in node.value]
    text = str(node.value)
    if node.style is not None or kind_of_plain(text) == "string":
        return text
    if text in ("true", "false"):
        return text == "true"
    return int(text) if re.fullmatch(r"0|-?[1-9][0-9]{0,14}", text) else Unclear(kind_of_plain(text), text)


def _last_line(node: Node, key: Node) -> int:
    """The last line on which something of the value stands; comments and blank lines below are not of it."""
    if isinstance(node, MappingNode) and _is_block(node):
        last_key, last = node.value[-1]
        return _last_line(last, last_key)
    if isinstance(node, SequenceNode) and _is_block(node):
        last = node.value[-1]
        return _last_line(last, last)
    if node.start_mark.index == node.end_mark.index:
        return key.end_mark.line  # nothing is there: the parser places it at the next token
    return node.end_mark.line


def _identity(item: Any) -> Hashable:
    """What makes an entry of a list the same one after a change: its id, the person it names, or itself."""
    if isinstance(item, dict):
        if "id" in item:
            return ("id", str(item["id"]))
        if "objectId" in item:
            return ("person", str(item.get("tenantId")), str(item["objectId"]))
        if "keyId" in item:
            return ("key", str(item["keyId"]))
    return ("value", repr(item))


# --- text of values -------------------------------------------------------------------------------------------------


def rendered(value: Any, *, quoted: bool = False) -> str:
    """A value on one line: plain where no reader takes it for anything but this text, else in double quotes."""
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case str():
            plain = _PLAIN.fullmatch(value) and kind_of_plain(value) == "string" and not _is_cut(value)
            return value if plain and not quoted else _in_quotes(value)
        case dict() if not value:
            return "{}"
        case list() if not value:
            return "[]"
        case _:
            raise EditImpossible("expected text, true or false, or a whole number")


def _is_cut(text: str) -> bool:
    """Whether a plain scalar would end early, or be trimmed."""
    return ": " in text or text.endswith((":", " ")) or " #" in text


def _in_quotes(text: str) -> str:
    """In double quotes, with what cannot be seen as an escape: U+2028 would end a line for some readers."""
    return f'"{"".join(map(_escaped, text))}"'


def _escaped(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    if character.isprintable():
        return character
    return f"\\u{ord(character):04x}" if ord(character) < 0x10000 else f"\\U{ord(character):08x}"


def _entry(name: str, value: Any, column: int) -> Iterator[str]:
    """The lines of a key with its value."""
    pad, key = " " * column, rendered(name)
    if isinstance(value, dict) and value:
        yield f"{pad}{key}:"
        for inner, item in value.items():
            yield from _entry(inner, item, column + INDENT)
    elif isinstance(value, list) and value:
        yield f"{pad}{key}:"
        for item in value:
            yield from _item(item, column + INDENT)
    else:
        yield f"{pad}{key}: {rendered(value)}"


def _item(value: Any, column: int) -> Iterator[str]:
    """The lines of an entry of a list."""
    pad = " " * column
    if isinstance(value, dict) and value:
        lines = [line for name, item in value.items() for line in _entry(name, item, column + INDENT)]
        yield f"{pad}-{' ' * (INDENT - 1)}{lines[0].lstrip()}"
        yield from lines[1:]
    elif isinstance(value, list) and value:
        raise EditImpossible("expected no list directly in a list")
    else:
        yield f"{pad}- {rendered(value)}"


def document(value: Mapping[str, Any], heading: str = "") -> str:
    """A new file: one mapping, behind a comment."""
    lines = [line for name, item in value.items() for line in _entry(name, item, 0)]
    return "".join(f"{line}\n" for line in ([heading] if heading else []) + lines)
