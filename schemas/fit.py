"""Whether values fit the models, everything wrong at once, and what is still usable of values that do not.

Owns the two looks at a value (shape by JSON Schema, meaning by the model), their wording as expected and got, and
`salvage_stack`, which keeps the valid parts of an invalid stack so that rules between values still run over them.
"""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# (Values of YAML and JSON are of any type until the models have seen them.)

import types
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Union, cast, get_args, get_origin

import orjson
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError as ShapeError
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import PydanticUndefined

from schemas.problems import Path, bare, shown
from schemas.scalars import FilePath
from schemas.stack_config import Organization, StackConfig
from schemas.strict_yaml import Unclear
from schemas.unknown import UNKNOWN


@dataclass(frozen=True)
class Misfit:
    """A value at `path` that does not fit; `got` is None where the value at the path tells it."""

    path: Path
    code: str
    expected: str
    got: str | None = None
    at_key: bool = False


def together(by_shape: Iterable[Misfit], by_meaning: Iterable[Misfit]) -> list[Misfit]:
    """One misfit a path; the model's word counts only where the schema has none at, above or below the path."""
    found = {m.path: m for m in reversed(list(by_shape))}
    above = {path[:n] for path in found for n in range(len(path) + 1)}
    shapes = set(found)
    for misfit in by_meaning:
        if misfit.path not in above and not any(misfit.path[:n] in shapes for n in range(len(misfit.path))):
            found.setdefault(misfit.path, misfit)
    return list(found.values())


# --- shape ----------------------------------------------------------------------------------------------------------


def shape(validator: Draft202012Validator, data: Any, prefix: Path) -> Iterator[Misfit]:
    """What JSON Schema says."""
    for error in cast("Iterator[ShapeError]", validator.iter_errors(data)):
        yield from _shape_misfits(error, (*prefix, *error.absolute_path))


def _shape_misfits(error: ShapeError, path: Path) -> Iterator[Misfit]:
    keyword, wanted, schema = str(error.validator), cast(Any, error.validator_value), cast(Any, error.schema)
    instance = cast(Any, error.instance)
    match keyword:
        case "required":
            # One error a missing key; jsonschema yields them one by one, with the key only in its message.
            for name in wanted:
                if name not in instance and error.message.startswith(repr(name)):
                    yield Misfit((*path, name), "missing", f"the key {name}", "nothing", at_key=True)
        case "additionalProperties":
            for name in instance:
                if name not in schema.get("properties", {}):
                    allowed = ", ".join(schema.get("properties", {}))
                    yield Misfit(
                        (*path, name), "unknown-key", f"one of the keys {allowed}", f"the key {shown(name)}", True
                    )
        case "propertyNames" | "enum" if "propertyNames" in error.absolute_schema_path:
            name = str(instance)
            yield Misfit((*path, name), "unknown-key", _one_of(wanted), f"the key {shown(name)}", at_key=True)
        case "type":
            yield Misfit(path, "type", _type(wanted))
        case "enum":
            yield Misfit(path, "value", _one_of(wanted))
        case "minItems" | "minProperties":
            yield Misfit(path, "length", f"at least {_count(wanted, 'entry', 'entries')}")
        case "maxLength":
            yield Misfit(path, "length", f"at most {wanted} characters")
        case "pattern" | "minLength":
            yield Misfit(path, "value", _expected(schema) or f"text that matches {wanted}")
        case _:
            yield Misfit(path, keyword, _expected(schema) or f"a value that fits {keyword} {wanted}")


def _expected(schema: Any) -> str | None:
    message = schema.get("errorMessage") if isinstance(schema, dict) else None
    return str(message).removeprefix("expected ") if message else None


def _one_of(values: Iterable[str]) -> str:
    values = [f'"{v}"' for v in values]
    return f"one of {', '.join(values)}" if len(values) > 1 else values[0]


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


_TYPES = {"string": "a string", "object": "a mapping", "array": "a list", "boolean": "true or false"}


def _type(wanted: str | list[str]) -> str:
    return " or ".join(_TYPES.get(w, w) for w in ([wanted] if isinstance(wanted, str) else wanted))


# --- meaning --------------------------------------------------------------------------------------------------------


@cache
def _adapter(annotation: Any) -> TypeAdapter[Any]:
    return TypeAdapter(annotation)


def meaning(data: dict[str, Any]) -> Iterator[Misfit]:
    """What the models say, organisation by organisation; a file's path that is still one is checked as a path."""
    organizations = data.get("organizations")
    entries = cast("list[Any]", organizations) if isinstance(organizations, list) else []
    rest = {**data, "organizations": []} if entries else data
    yield from _model_misfits(StackConfig, rest, ())
    for index, entry in enumerate(entries):
        yield from _model_misfits(FilePath if isinstance(entry, str) else Organization, entry, ("organizations", index))


def _model_misfits(annotation: Any, data: Any, prefix: Path) -> Iterator[Misfit]:
    try:
        _adapter(annotation).validate_python(data, by_alias=True, by_name=False)
    except ValidationError as problem:
        for error in problem.errors(include_url=False, include_context=False, include_input=False):
            path = (*prefix, *_path_in(data, error["loc"]))
            expected = error["msg"].removeprefix("Value error, ")
            if expected.startswith("expected "):
                yield Misfit(path, "value", expected.removeprefix("expected "))
            elif error["type"] in ("missing", "extra_forbidden"):
                yield Misfit(
                    path, error["type"], f"a mapping that fits its schema ({error['msg'].lower()})", at_key=True
                )
            else:
                yield Misfit(path, "value", f"another value ({expected[:1].lower()}{expected[1:]})")


def _path_in(data: Any, location: tuple[str | int, ...]) -> Path:
    """pydantic's location without what is no key of the data (the branch taken in a union, `[key]`)."""
    path: list[str | int] = []
    for n, part in enumerate(location):
        if isinstance(data, dict) and part in data:
            data = cast(Any, data)[part]
        elif isinstance(data, (list, tuple)) and isinstance(part, int) and part < len(cast("list[Any]", data)):
            data = cast("list[Any]", data)[part]
        elif n != len(location) - 1 or part == "[key]" or not isinstance(data, dict):
            continue
        path.append(part)
    return tuple(path)


def is_file_path(text: str) -> bool:
    """Whether an entry of `organizations` may be read as a file: inside the project, and never elsewhere."""
    return not any(_model_misfits(FilePath, text, ()))


def fitting_stack(data: dict[str, Any]) -> StackConfig | None:
    """The stack, where its values fit model and schema alike, in one look; None where somebody must look closer.

    The schema is generated from the model. It refuses what the model takes when it is lenient (text for a boolean) and
    null, so the model is strict here, and a value with a null in it, or that is no JSON, is none that fits.
    """
    try:
        text = orjson.dumps(data, option=orjson.OPT_PASSTHROUGH_DATACLASS)  # `Unclear` is no JSON
        if b"null" not in text:
            return _adapter(StackConfig).validate_json(text, strict=True, by_alias=True, by_name=False)
    except (TypeError, ValidationError):
        pass
    return None


def parse_stack(data: dict[str, Any]) -> StackConfig:
    """Values without problems as the model."""
    return _adapter(StackConfig).validate_python(data, by_alias=True, by_name=False)


# --- how a value is shown -------------------------------------------------------------------------------------------

_SECRET_WORDS = ("secret", "password", "token", "privatekey", "key", "jwk", "pem", "assertion")


def is_secret(path: Path) -> bool:
    """Whether somebody may have put a secret at this path instead of a secret's name."""
    last = str(path[-1]).lower() if path else ""
    return last == "keys" or any(last.endswith(word) for word in _SECRET_WORDS)


def got(data: Any, path: Path) -> str:
    """What stands at a path of the data."""
    for part in path:
        try:
            data = data[part]
        except (KeyError, IndexError, TypeError):
            return "nothing"
    return described(data)


def described(value: Any) -> str:
    """A value in a message: its kind where it is no string, with the advice to quote it."""
    match value:
        case Unclear(kind="null", text=text):
            return f"nothing ({bare(text)})" if text else "nothing"
        case Unclear(kind="alias", text=text):
            return f"the alias {bare(text)}"
        case Unclear(kind=kind, text=text):
            return f"the {kind} {bare(text)}; put it in quotes if it is text"
        case bool():
            return f"the boolean {str(value).lower()}; put it in quotes if it is text"
        case int() | float():
            return f"the number {value}; put it in quotes if it is text"
        case str():
            return shown(value) if value else "an empty string"
        case dict():
            return "a mapping" if value else "an empty mapping"
        case list() | tuple():
            return "a list" if value else "an empty list"
        case None:
            return "null"
        case _:
            return f"a {type(value).__name__}"


# --- what is still usable -------------------------------------------------------------------------------------------


def salvage_stack(data: dict[str, Any], broken: Collection[Path]) -> StackConfig:
    """A `StackConfig` of what is valid, `UNKNOWN` where a path is broken or missing: only for `rules.violations`."""
    if not broken:
        return parse_stack(data)
    ancestors = {path[:n] for path in broken for n in range(len(path) + 1)}
    return _salvage(StackConfig, data, (), set(broken), ancestors)


def _salvage(annotation: Any, data: Any, path: Path, broken: set[Path], ancestors: set[Path]) -> Any:
    if path in broken:
        return UNKNOWN
    if path not in ancestors and path:
        try:
            return _adapter(annotation).validate_python(data, by_alias=True, by_name=False)
        except ValidationError:
            return UNKNOWN
    annotation = _branch(annotation, data)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel) and isinstance(data, dict):
        return _salvage_model(annotation, cast("dict[str, Any]", data), path, broken, ancestors)
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is tuple and isinstance(data, list):
        items = cast("list[Any]", data)
        return tuple(_salvage(arguments[0], d, (*path, i), broken, ancestors) for i, d in enumerate(items))
    if origin is dict and isinstance(data, dict):
        entries = cast("dict[str, Any]", data).items()
        names = {k: _salvage(arguments[0], k, (*path, k, "[key]"), broken, ancestors) for k, _ in entries}
        return {names[k]: _salvage(arguments[1], v, (*path, k), broken, ancestors) for k, v in entries}
    return UNKNOWN


def _salvage_model(
    model: type[BaseModel], data: dict[str, Any], path: Path, broken: set[Path], ancestors: set[Path]
) -> BaseModel:
    values: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        key = field.alias or name
        if key in data:
            values[name] = _salvage(field.annotation, data[key], (*path, key), broken, ancestors)
        elif field.is_required() or (*path, key) in broken:
            values[name] = UNKNOWN
        elif field.default is not PydanticUndefined:
            values[name] = field.default
    return model.model_construct(**values)


def _branch(annotation: Any, data: Any) -> Any:
    """An annotation without Annotated and None; of a discriminated union, the member whose method the data names."""
    while hasattr(annotation, "__metadata__"):
        annotation = annotation.__origin__
    if get_origin(annotation) not in (Union, types.UnionType):
        return annotation
    members = [m for m in get_args(annotation) if m is not type(None)]
    if len(members) == 1:
        return _branch(members[0], data)
    for member in members:
        method = get_args(member.model_fields["method"].annotation) if "method" in member.model_fields else ()
        if isinstance(data, dict) and cast(Any, data).get("method") in method:
            return member
    return None
