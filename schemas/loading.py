"""From a stack's file to a `StackConfig`, or to every problem in it at once.

Owns the way in for the two who read a stack file: `connector check` reads the file, the Pulumi program gets its values
from the engine and reads the file beside it. Both take the same steps: strict YAML (`strict_yaml.py`), shape by JSON
Schema (`json_schema.py`), meaning by the model (`stack_config.py`), rules between values (`rules/`). Reading is an
argument: `read(path)` gives a file's text, or raises one of `UNREADABLE`.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# (Values of YAML and JSON are of any type until the models have seen them.)

import errno
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from schemas import fit, rules
from schemas.json_schema import STACK_FIELDS, organization_validator, stack_validator
from schemas.problems import Path, Problem, Severity, in_order, path_text, shown
from schemas.stack_config import PROJECT, StackConfig
from schemas.strict_yaml import Finding, Mark, Reading, Unclear, read_yaml

Read = Callable[[str], str]

UNREADABLE = (OSError, UnicodeDecodeError)
"""What reading a file raises."""

LONGEST_CONFIG_BYTES = 120 * 1024
"""Pulumi gives a program its whole config in one environment string, which Linux caps at 128 KiB."""


@dataclass(frozen=True)
class Loaded:
    """A valid stack configuration with its warnings, or None with every problem."""

    stack: StackConfig | None
    problems: tuple[Problem, ...]

    @property
    def errors(self) -> tuple[Problem, ...]:
        return tuple(p for p in self.problems if p.severity is Severity.ERROR)

    @property
    def warnings(self) -> tuple[Problem, ...]:
        return tuple(p for p in self.problems if p.severity is Severity.WARNING)


def load_stack(stack_file: str, read: Read) -> Loaded:
    """Read and check `Pulumi.<stack>.yaml` and the organisations' files that it names."""
    source = _Source(stack_file, read)
    source.read_stack_file()
    return source.load()


def load_engine_config(values: Mapping[str, str], stack_file: str, read: Read) -> Loaded:
    """Check what the engine handed over (PULUMI_CONFIG: strings, objects as JSON), located in the stack's file.

    Where the file can be read, it is checked as strictly as `load_stack` does, and must say the same as the engine.
    """
    source = _Source(stack_file, read)
    source.read_stack_file(required=False)
    in_file = source.data if source.readable else None
    source.data = source.engine_values(values)
    if in_file is not None:
        source.compare(in_file)
    return source.load()


class _Source:
    """One stack being read: the values so far, where each came from, and the problems found on the way."""

    def __init__(self, stack_file: str, read: Read) -> None:
        self.stack_file, self.read = stack_file, read
        self.data: dict[str, Any] = {}
        self.readable = False
        self.problems: list[Problem] = []
        self.main = Reading()
        self.included: dict[int, tuple[str, Reading]] = {}
        self.broken: set[Path] = set()
        self.stack: StackConfig | None = None

    # --- reading ------------------------------------------------------------------------------------------------

    def read_stack_file(self, *, required: bool = True) -> None:
        try:
            text = self.read(self.stack_file)
        except UNREADABLE as problem:
            if required:
                self._add((), "file-unreadable", "a readable stack file in UTF-8", _reason(problem))
            return
        self.main = read_yaml(text, is_ours)
        self._take(self.main.findings, self.stack_file, from_file=_from_file)
        if not self.main.readable:
            return
        document = self.main.value if self.main.value is not None else {}
        config = document.get("config", {}) if isinstance(document, dict) else Unclear("", "")
        if not isinstance(config, dict):
            self._add((), "yaml-shape", "a mapping with the key config, itself a mapping", _kind(config))
            return
        self.readable = True
        for key, value in config.items():
            self._stack_key(str(key), value)

    def _stack_key(self, key: str, value: Any) -> None:
        namespace, _, name = key.rpartition(":")
        mark = self.main.keys.get(("config", key), Mark(1, 1))
        if not namespace or namespace == f"{PROJECT}:config":
            expected = f"the key {PROJECT}:{name}, with its namespace"
            self._put(self.stack_file, mark, key, "key-namespace", expected, f"the key {shown(key)}")
        elif namespace == PROJECT:
            self.data[name] = value

    def engine_values(self, values: Mapping[str, str]) -> dict[str, Any]:
        """The engine's strings as values; a key of ours that is not JSON where it must be is a problem."""
        data: dict[str, Any] = {}
        for key, text in values.items():
            namespace, _, name = key.rpartition(":")
            if namespace != PROJECT:
                continue
            data[name] = text
            if STACK_FIELDS.get(name) == "json":
                try:
                    data[name] = json.loads(text, object_pairs_hook=_object_of_unique_keys)
                except ValueError:
                    self._add((name,), "engine-json", "a mapping or a list", "a single value")
        return data

    def compare(self, in_file: Mapping[str, Any]) -> None:
        """Both must say the same; values that the file's reader already refused are left to that problem."""
        for path, expected, got in _differences(in_file, self.data, ()):
            what = "the same value in file and engine (was another --config-file given, or an environment?)"
            self._add(path, "engine-differs", what, f"{expected} in the file and {got} from the engine")

    def _include_files(self) -> None:
        entries = self.data.get("organizations")
        if not isinstance(entries, list):
            return
        merged: list[Any] = list(entries)
        for index, entry in enumerate(entries):
            if isinstance(entry, str) and fit.is_file_path(entry):
                merged[index] = self._organization_file(index, entry)
        self.data = {**self.data, "organizations": merged}

    def _organization_file(self, index: int, entry: str) -> Any:
        name = str(PurePosixPath(self.stack_file).parent / entry)
        try:
            text = self.read(name)
        except UNREADABLE as problem:
            self._add(("organizations", index), "file-unreadable", "a readable file in UTF-8", _reason(problem))
            self.broken.add(("organizations", index))
            return entry
        reading = read_yaml(text)
        self.included[index] = (name, reading)
        self._take(reading.findings, name, from_file=lambda path: ("organizations", index, *path))
        if not reading.readable or not isinstance(reading.value, dict):
            if reading.readable:
                got = "an empty file" if reading.value is None else _kind(reading.value)
                self._add(("organizations", index), "yaml-shape", "a mapping: one organisation", got)
            self.broken.add(("organizations", index))
            return entry
        return reading.value

    # --- checking -----------------------------------------------------------------------------------------------

    def load(self) -> Loaded:
        if self.main.readable and (self.readable or self.data):
            self._check_size()
            self._include_files()
            self._check()
        problems = in_order(self.problems)
        if any(p.severity is Severity.ERROR for p in problems):
            return Loaded(None, problems)
        return Loaded(self.stack or fit.parse_stack(self.data), problems)

    def _check(self) -> None:
        self.stack = None if self.broken else fit.fitting_stack(self.data)
        if self.stack is None:
            self._look_closer()
        for violation in rules.violations(self.stack or fit.salvage_stack(self.data, self.broken)):
            if not self._is_broken(violation.path):
                self._add(violation.path, violation.code, violation.expected, violation.got, violation.severity)

    def _look_closer(self) -> None:
        """Everything that does not fit, at once."""
        broken: set[Path] = set()
        by_shape = [
            *fit.shape(stack_validator(), self.data, ()),
            *(
                m
                for i, o in self._organizations()
                for m in fit.shape(organization_validator(), o, ("organizations", i))
            ),
        ]
        for misfit in fit.together(by_shape, fit.meaning(self.data)):
            if not self._is_broken(misfit.path):
                self._add(misfit.path, misfit.code, misfit.expected, self._got(misfit), at_key=misfit.at_key)
                broken.add(misfit.path)
        self.broken |= broken

    def _organizations(self) -> list[tuple[int, dict[str, Any]]]:
        entries = self.data.get("organizations")
        return [(i, o) for i, o in enumerate(entries) if isinstance(o, dict)] if isinstance(entries, list) else []

    def _check_size(self) -> None:
        if (size := len(json.dumps(self.data, default=str).encode())) > LONGEST_CONFIG_BYTES:
            expected = f"at most {LONGEST_CONFIG_BYTES} bytes of config, because Pulumi hands it over in one string"
            advice = f"{size} bytes; move organisations into files of their own and list their paths"
            self._add(("organizations",), "config-too-long", expected, advice)

    def _is_broken(self, path: Path) -> bool:
        return any(path[: len(b)] == b or b[: len(path)] == path for b in self.broken)

    def _got(self, misfit: fit.Misfit) -> str:
        if misfit.got is not None:
            return misfit.got
        return "a value that is not shown" if fit.is_secret(misfit.path) else fit.got(self.data, misfit.path)

    # --- locating -----------------------------------------------------------------------------------------------

    def _take(self, findings: list[Finding], file: str, *, from_file: Callable[[Path], Path]) -> None:
        for f in findings:
            path = from_file(f.path)
            self._put(file, f.mark, path_text(path), f.code, f.expected, f.got)
            if path:
                self.broken.add(path)

    def _add(
        self,
        path: Path,
        code: str,
        expected: str,
        got: str,
        severity: Severity = Severity.ERROR,
        *,
        at_key: bool = False,
    ) -> None:
        file, mark = self._locate(path, at_key)
        self._put(file, mark, path_text(path), code, expected, got, severity)

    def _put(
        self,
        file: str,
        mark: Mark,
        path: str,
        code: str,
        expected: str,
        got: str,
        severity: Severity = Severity.ERROR,
    ) -> None:
        self.problems.append(Problem(file, mark.line, mark.column, path, code, expected, got, severity))

    def _locate(self, path: Path, at_key: bool) -> tuple[str, Mark]:
        """Where a value stands, else the key of the nearest mapping that does."""
        file, reading, inside = self.stack_file, self.main, _to_file(path)
        if len(path) >= 2 and path[0] == "organizations" and path[1] in self.included:
            file, reading = self.included[int(path[1])]
            inside = path[2:]
        if at_key and inside in reading.keys:
            return file, reading.keys[inside]
        if inside in reading.values:
            return file, reading.values[inside]
        while inside:
            inside = inside[:-1]
            if mark := reading.keys.get(inside) or reading.values.get(inside):
                return file, mark
        return file, Mark(1, 1)


# --- paths of the file and of the configuration ---------------------------------------------------------------------


def is_ours(path: Path) -> bool:
    """Whether a path of a stack's file is of our keys, which must be plain to every reader."""
    if not path or path == ("config",):
        return True
    key = str(path[1]) if len(path) > 1 and path[0] == "config" else None
    return key is not None and (":" not in key or key.startswith(f"{PROJECT}:"))


def _from_file(path: Path) -> Path:
    if len(path) < 2:
        return ()
    return (str(path[1]).removeprefix(f"{PROJECT}:"), *path[2:])


def _to_file(path: Path) -> Path:
    return ("config", f"{PROJECT}:{path[0]}", *path[1:]) if path else ()


# --- engine and file ------------------------------------------------------------------------------------------------


def _object_of_unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def _differences(a: Any, b: Any, path: Path) -> list[tuple[Path, str, str]]:
    if isinstance(a, dict) and isinstance(b, dict):
        keys = dict.fromkeys([*a, *b])
        return [d for k in keys for d in _differences(a.get(k, _ABSENT), b.get(k, _ABSENT), (*path, k))]
    if isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        return [d for i, (x, y) in enumerate(zip(a, b, strict=True)) for d in _differences(x, y, (*path, i))]
    if isinstance(a, Unclear) or (type(a) is type(b) and a == b):
        return []
    if fit.is_secret(path):
        return [(path, "one value", "another")]
    return [(path, _kind(a), _kind(b))]


_ABSENT = object()


def _kind(value: Any) -> str:
    return "nothing" if value is _ABSENT else fit.described(value)


def _reason(problem: Exception) -> str:
    if isinstance(problem, UnicodeDecodeError):
        return f"bytes that are not UTF-8 (at byte {problem.start})"
    if isinstance(problem, OSError) and problem.errno == errno.ELOOP:
        return "a link that leads to itself"
    return (getattr(problem, "strerror", None) or type(problem).__name__).lower()
